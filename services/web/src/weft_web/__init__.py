"""Public API and dashboard."""
