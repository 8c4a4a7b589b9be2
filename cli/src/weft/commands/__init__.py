"""One file for each command: flags in, text out; the work is done elsewhere."""
