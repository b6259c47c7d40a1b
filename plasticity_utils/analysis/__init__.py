"""The book's questions: tables in, tables and one-word verdicts out."""
