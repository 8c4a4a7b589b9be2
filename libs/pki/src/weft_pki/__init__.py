"""Keys, certificate requests, issuing and verifying, as pure functions."""
