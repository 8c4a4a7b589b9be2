"""For tests only: a Kubernetes API on a socket, builders of objects, golden files."""
