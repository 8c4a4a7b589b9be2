"""Kubernetes for weft's services: list, watch, objects, names."""
