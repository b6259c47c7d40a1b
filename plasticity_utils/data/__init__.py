"""Corpora, tags and their schemes, concepts: words in, labels out."""
