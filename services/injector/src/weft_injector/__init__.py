"""Mutating webhook: adds init container and proxy to pods."""
