"""The command line of the weft service mesh."""
