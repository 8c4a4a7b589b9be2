"""Aggregated Kubernetes API that streams live requests from proxies."""
