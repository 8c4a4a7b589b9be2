"""Validating webhook: refuses broken weft objects, saying where and why."""
