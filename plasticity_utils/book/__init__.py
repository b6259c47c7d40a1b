"""Pages, figures and what stands on them."""
