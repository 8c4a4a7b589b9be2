"""Validating webhook: refuses broken ServiceProfiles, saying where and why."""
