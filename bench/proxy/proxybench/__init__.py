"""Sidecar proxies compared on this machine: see the README beside this package."""
