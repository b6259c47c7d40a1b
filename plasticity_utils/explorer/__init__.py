"""Look into a run or a model, live."""
