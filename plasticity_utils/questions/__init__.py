"""The nine questions of the book, as functions of arrays and tables; no model is run here."""
