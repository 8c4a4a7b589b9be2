"""Certificates as pure functions: keys, requests, issuing, bundles, verifying. No clock, no files, no network."""
