"""Take neurons or directions out of a model, and put them back: one file a method."""
