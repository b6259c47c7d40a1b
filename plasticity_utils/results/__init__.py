"""Open published runs, group seeds, means and intervals."""
