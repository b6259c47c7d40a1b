"""Look into a run, live."""
