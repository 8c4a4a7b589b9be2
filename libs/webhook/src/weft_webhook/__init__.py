"""AdmissionReview server with TLS that reloads."""
