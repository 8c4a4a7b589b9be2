"""Admission webhooks: the review server, and a serving certificate that keeps itself."""
