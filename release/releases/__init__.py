"""Releases, unit by unit: versions, changelogs, what a change touches, contracts that only grow."""
