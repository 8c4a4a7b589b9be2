"""What every weft process needs: configuration, signals, drain, logs, admin server."""
