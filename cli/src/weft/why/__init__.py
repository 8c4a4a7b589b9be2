"""`weft why`: evidence from both sides of failing calls, joined into one ranked cause. `rules` is the pure core."""
