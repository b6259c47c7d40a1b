"""Fine-tune, resume, predict, score; relearning protocols; readers of a frozen network."""
