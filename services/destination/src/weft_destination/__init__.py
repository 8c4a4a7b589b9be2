"""Tells every proxy where requests go and by which rules."""
