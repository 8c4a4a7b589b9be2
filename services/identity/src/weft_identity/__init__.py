"""Certificate authority of the mesh."""
