"""How long and how fast one trains: said before anything is loaded to train."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """One training: linear decay to zero after a warm-up, no restarts.

    Attributes
    ----------
    epochs : int
    learning_rate : float
        Peak rate of AdamW.
    batch_tokens : int
        Sub-words in a batch, padding included.
    seed : int
        Of the data order and of dropout.
    warmup : float
        Share of the steps in which the rate rises.
    """

    epochs: int
    learning_rate: float
    batch_tokens: int
    seed: int
    warmup: float = 0.1
