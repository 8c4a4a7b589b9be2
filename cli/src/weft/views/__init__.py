"""Answers as tables, lines and JSON. Pure: no clock, no terminal, no cluster."""
