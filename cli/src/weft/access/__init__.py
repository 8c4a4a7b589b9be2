"""Who calls whom, and who may: what was observed, what the control plane says of it, and policies made from it."""
