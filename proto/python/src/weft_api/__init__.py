"""Generated contracts of weft."""
