"""Activations of all words, of which one layer is in memory at a time.

The matrix of activations grows with words times neurons: 50,000 words of a small decoder fill
3.6 GB. The model runs over the words once, and each layer goes to a file of its own, which is gone
when the work is done. What looks at neurons one by one, or at layers, then needs no more than a
layer, and finds the same numbers to the bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float32
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.models.activations import ActivationStream
from plasticity_utils.models.load import count_layers, width


@dataclass(frozen=True)
class Layers:
    """The layers of `word_activations`, the embedding output first; read anew at each look."""

    _files: Sequence[IO[bytes]]
    _batches: Sequence[np.ndarray]
    _d_model: int

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, layer: int) -> Float32[np.ndarray, "word unit"]:
        """Read one layer, [n_words, d_model]."""
        file = self._files[layer]
        file.seek(0)
        X = np.empty((sum(map(len, self._batches)), self._d_model), dtype=np.float32)
        for rows in self._batches:
            own = np.fromfile(file, dtype=np.float32, count=len(rows) * self._d_model)
            X[rows] = own.reshape(len(rows), self._d_model)
        return X

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[layer] for layer in range(len(self)))


@contextmanager
def activations_by_layer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    folder: Path | None = None,
) -> Iterator[Layers]:
    """Run the model over the words, and give its layers one by one.

    `folder` is where the files lie meanwhile, by default that of the system.
    """
    stream = ActivationStream(model, tokenizer, sentences)
    d_model, batches = width(model), []
    with ExitStack() as stack:
        # Unbuffered, so that numpy and Python agree on where in the file they are.
        files = [
            stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))
            for _ in range(count_layers(model))
        ]
        for rows, X in stream:
            batches.append(rows)
            for layer, file in enumerate(files):
                np.ascontiguousarray(X[:, layer * d_model : (layer + 1) * d_model]).tofile(file)
            del X  # before the next batch, which needs its memory
        yield Layers(files, batches, d_model)
