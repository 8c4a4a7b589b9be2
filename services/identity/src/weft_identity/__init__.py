"""Certificate authority of the mesh: tokens in, workload certificates out; keeper of anchor, issuer and bundle."""
