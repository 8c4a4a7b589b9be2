"""`weft check`: one file a category; `model` says what a check is, `runner` runs them, `report` prints results."""
