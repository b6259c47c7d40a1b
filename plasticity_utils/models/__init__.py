"""Load a model, find its layers, run it on words."""
