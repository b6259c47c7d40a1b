"""How much each row works on: all of it, or a little of it to try the rows out."""

from __future__ import annotations

from dataclasses import asdict, dataclass

# Smaller batches than by default: less memory, and a processor's cache holds them.
EXTRACTION_TOKENS = 384


@dataclass(frozen=True)
class Size:
    """Sizes of all rows.

    Attributes
    ----------
    sentences : int
        Of the training split, whose activations are extracted.
    words : int
        Words (at least; whole sentences) whose activations are scored.
    neurons : int or None
        Neurons on which the peers that go neuron by neuron are measured, where all would take too
        long; their time is scaled up. None: all.
    auroc_neurons : int or None
        The same for scikit-learn's AUROC.
    concepts : int
        Entity types and then the most frequent parts of speech.
    train, epochs, scored : int
        Training sentences, epochs, and validation sentences on which F1 is taken. One epoch is
        timed: the next ones are no faster.
    scale : str
        Of the whole run.
    """

    name: str
    sentences: int
    words: int
    neurons: int | None
    auroc_neurons: int | None
    concepts: int
    train: int
    epochs: int
    scored: int
    scale: str

    def as_dict(self) -> dict[str, object]:
        """All values, for JSON."""
        return asdict(self)


SIZES = {
    # Epochs and training sentences are those of the quick scale.
    "full": Size("full", 2000, 20_000, None, 128, 20, 1800, 5, 1000, "quick"),
    "small": Size("small", 50, 800, 64, 16, 8, 48, 1, 40, "smoke"),
}
