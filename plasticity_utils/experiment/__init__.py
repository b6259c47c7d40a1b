"""One run from settings to tables on disk."""
