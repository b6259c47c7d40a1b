"""What every neuron does on every word.

A neuron is a unit of a hidden state as `transformers` returns it: layer 0 is the embedding output,
layer *l* the output of block *l*. Its activation on a word is the mean over the word's sub-words.

Ours takes the place of NeuroX's `extract_representations` (Dalvi et al. 2019), which runs one
sentence at a time and writes JSON text. Here sentences of like length run together, which is an
order of magnitude faster; a parity test holds the two to 1e-4 of each other. A word for which the
tokeniser yields nothing is the unknown token here, where NeuroX gives a row of zeros.

The matrix of all activations is what fills the memory. `word_activations` can write it to a file
as it goes, `ActivationStream` gives it batch by batch to those who need it only once or twice, and
`stored_activations` a few neurons, or a few words, at a time: 50,000 words of a small decoder fill
3.6 GB, and what looks at neurons one by one, or adds up over words, needs no more than a part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, starmap
from pathlib import Path
from typing import IO

import numpy as np
import torch
from jaxtyping import Float, Float32
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import files
from plasticity_utils.errors import InputError, check_whole
from plasticity_utils.models.load import (
    Encoded,
    check_loaded,
    count_layers,
    encode_for,
    width,
)
from plasticity_utils.models.tokens import as_sentences
from plasticity_utils.progress import bar

BATCH_TOKENS = 2048


@dataclass(frozen=True)
class ActivationStream:
    """Activations of all words, batch by batch; each pass over it runs the model once.

    Attributes
    ----------
    model, tokenizer
        From `load_model`; neurons may be removed from the model.
    sentences : sequence of sequence of str
        Words, for instance `corpus.sentences`.
    batch_tokens : int
        Sub-words that run together, padding included.

    Raises
    ------
    InputError
        As `word_activations`, where the stream is made or gone through.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    sentences: Sequence[Sequence[str]]
    batch_tokens: int = BATCH_TOKENS

    def __post_init__(self) -> None:
        check_loaded(self.model)
        check_whole(self.batch_tokens, "batch_tokens", least=1)
        object.__setattr__(self, "sentences", as_sentences(self.sentences))
        if not self.sentences:
            raise InputError("no sentences; at least one is needed")

    @cached_property
    def first_row(self) -> np.ndarray:
        """Row of each sentence's first word; the number of all words comes last."""
        return np.cumsum([0, *(len(sentence) for sentence in self.sentences)])

    @property
    def shape(self) -> tuple[int, int]:
        """Words and neurons."""
        return int(self.first_row[-1]), count_layers(self.model) * width(self.model)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows (int, [n_rows]) and their activations (float32, [n_rows, n_neurons]).

        Each row comes once. Sentences of like length run together, so rows are not in order.
        """
        encoded = encode_for(self.model, self.tokenizer, self.sentences)
        batches = inference_batches([len(e.ids) for e in encoded], self.batch_tokens)
        was_training = self.model.training
        self.model.eval()
        try:
            for batch in bar(batches, "words"):
                X = _word_means(self.model, [encoded[i] for i in batch])
                ends = [range(self.first_row[i], self.first_row[i + 1]) for i in batch]
                rows = np.concatenate([np.asarray(own) for own in ends])
                self._check_finite(rows, X)
                yield rows, X
                del X  # before the next batch, which needs its memory
        finally:
            self.model.train(was_training)

    def _check_finite(self, rows: np.ndarray, X: np.ndarray) -> None:
        broken = rows[~np.isfinite(X.sum(axis=1, dtype=np.float64))]
        if broken.size:
            row = int(broken.min())
            sentence = int(np.searchsorted(self.first_row, row, side="right")) - 1
            word = self.sentences[sentence][row - int(self.first_row[sentence])]
            raise InputError(
                f"the activations of {broken.size} words are not finite, first those of {word!r} "
                f"in sentence {sentence + 1}: the model's weights or its training are broken"
            )


def word_activations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    batch_tokens: int = BATCH_TOKENS,
    out: str | Path | None = None,
) -> Float[np.ndarray, "word neuron"]:
    """Activation of every neuron on every word.

    Parameters
    ----------
    model, tokenizer
        From `load_model`; neurons may be removed from the model.
    sentences : sequence of sequence of str
        Words, for instance `corpus.sentences`.
    batch_tokens : int
        Sub-words that run together, padding included.
    out : str or Path, optional
        A file `.npy` to write to as the model goes, so that no more than a batch is in memory. It
        appears whole or not at all.

    Returns
    -------
    float32 array, [n_words, n_layers * d_model]
        Layers side by side, the embedding output first; words in the order of the sentences. With
        `out` it is mapped from the file, read-only: what is looked at is read.

    Raises
    ------
    InputError
        If there is no sentence, a sentence is empty or too long for the model, an activation is
        not finite, or `out` does not end in `.npy` or its folder does not exist.
    """
    stream = ActivationStream(model, tokenizer, sentences, batch_tokens)
    if out is not None:
        return _written(stream, files.path_of(out, "out"))
    X = np.empty(stream.shape, dtype=np.float32)
    for rows, values in stream:
        X[rows] = values
    return X


def _written(stream: ActivationStream, path: Path) -> np.ndarray:
    """Write a stream into a file and map it."""
    if path.suffix != ".npy" or path.is_dir() or not path.parent.is_dir():
        raise InputError(f"out = {str(path)!r} must be a file .npy in a folder that exists")
    header = {"descr": "<f4", "fortran_order": False, "shape": stream.shape}
    # Written and not mapped: pages of a mapping count as this process's memory.
    with files.whole(path) as unfinished, unfinished.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        _write_rows(stream, file)
    return np.load(path, mmap_mode="r")


def _write_rows(stream: ActivationStream, file: IO[bytes]) -> None:
    """Write all words in order, each at its place from here on, though they come in another."""
    start, row_bytes = file.tell(), 4 * stream.shape[1]
    for rows, X in stream:
        # Words of a sentence are neighbours: each run of rows is written at once.
        breaks = (np.flatnonzero(np.diff(rows) != 1) + 1).tolist()
        for first, end in pairwise([0, *breaks, rows.size]):
            file.seek(start + int(rows[first]) * row_bytes)
            file.write(X[first:end].astype("<f4", copy=False).data)
        del X  # before the next batch, which needs its memory


def by_neuron(X: Float[np.ndarray, "word neuron"]) -> Float[np.ndarray, "neuron word"]:
    """Activations as they are kept: a neuron's words together, in float16; InputError beyond it."""
    with np.errstate(over="ignore"):
        kept = np.ascontiguousarray(X.T, dtype=np.float16)
    if not np.isfinite(kept).all():
        most = np.finfo(np.float16).max
        raise InputError(
            f"activations go up to {np.abs(X).max():g}; they are kept in float16, which holds "
            f"{most:g} at most"
        )
    return kept


@torch.no_grad()
def _word_means(model: PreTrainedModel, batch: list[Encoded]) -> np.ndarray:
    """Run one batch; activations of its words, in order, [n_words, n_neurons]."""
    token_word = pad([encoded.word_of_token for encoded in batch], -1)
    n_words = token_word.max(dim=1).values + 1
    offsets = torch.cumsum(n_words, 0) - n_words
    word_of_token = torch.where(token_word < 0, -1, token_word + offsets[:, None]).flatten()
    token = torch.nonzero(word_of_token >= 0)[:, 0]
    word = word_of_token[token]
    n_tokens = torch.bincount(word)
    # The tokens of a word are neighbours; most words have one.
    first = token[torch.cumsum(n_tokens, 0) - n_tokens]
    several = n_tokens > 1
    rest, owner = token[several[word]], (torch.cumsum(several, 0) - 1)[word[several[word]]]
    d_model = width(model)
    means = torch.empty(len(n_tokens), count_layers(model) * d_model)
    hidden = model(**inputs(model, batch), output_hidden_states=True).hidden_states
    for layer, hidden_states in enumerate(hidden):
        # Layer by layer into its place, so that no second copy of all layers is ever held.
        own = means[:, layer * d_model : (layer + 1) * d_model]
        states = hidden_states.flatten(0, 1).float().cpu()
        own[:] = states[first]
        own[several] = _means(states[rest], owner, n_tokens[several])
    return means.numpy()


def _means(states: torch.Tensor, owner: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean of the states of each owner, [n_owners, d_model]."""
    # In float64, where the mean of equal values is exactly that value: a removed neuron must not
    # vary from word to word by a rounding error, which selectivity would take for an answer.
    sums = torch.zeros(len(counts), states.shape[1], dtype=torch.float64)
    return (sums.index_add_(0, owner, states.double()) / counts[:, None]).float()


def inputs(model: PreTrainedModel, batch: Sequence[Encoded]) -> dict[str, torch.Tensor]:
    """Padded token ids and attention mask of a batch, each [n_sentences, longest]."""
    # The pad id is masked out; a model without one takes any valid id.
    pad_id = model.config.pad_token_id or 0
    ids = pad([encoded.ids for encoded in batch], pad_id)
    mask = pad([[1] * len(encoded.ids) for encoded in batch], 0)
    return {"input_ids": ids.to(model.device), "attention_mask": mask.to(model.device)}


SORTED_TOGETHER = 40


def inference_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Cut sentences, sorted by length, into batches of at most `batch_tokens` padded tokens."""
    return _cut(sorted(range(len(lengths)), key=lambda i: (lengths[i], i)), lengths, batch_tokens)


def training_batches(
    lengths: Sequence[int], batch_tokens: int, epochs: int, seed: int
) -> list[list[list[int]]]:
    """Batches of every epoch, in the order in which they are trained on.

    Sentences are shuffled, sorted by length within large groups and cut under the budget; then the
    batches are shuffled. The order depends on the seed alone: all conditions see the same data.
    """
    rng = np.random.default_rng(seed)
    return [_epoch(lengths, batch_tokens, rng) for _ in range(epochs)]


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Stack rows of unequal length into one integer tensor, [n_rows, longest], padded right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


def _epoch(lengths: Sequence[int], batch_tokens: int, rng: np.random.Generator) -> list[list[int]]:
    order = rng.permutation(len(lengths)).tolist()
    per_group = max(1, SORTED_TOGETHER * batch_tokens // max(1, int(np.mean(lengths))))
    batches = []
    for start in range(0, len(order), per_group):
        group = sorted(order[start : start + per_group], key=lambda i: lengths[i])
        batches += _cut(group, lengths, batch_tokens)
    return [batches[i] for i in rng.permutation(len(batches))]


def _cut(order: list[int], lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    batches: list[list[int]] = []
    for i in order:
        # Sorted by length, so the newcomer is the longest and sets the width of the batch.
        if batches and (len(batches[-1]) + 1) * lengths[i] <= batch_tokens:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


# Of `StoredActivations`: values that are read at once, and words whose values lie together.
# A product over words adds up in steps of so many: then one over parts has the same bits.
VALUES_READ, WORDS_TOGETHER = 2**21, 384


@dataclass(frozen=True)
class StoredActivations:
    """`word_activations` in a file, read a part at a time: so much, however many words there are.

    Attributes
    ----------
    n_words, n_layers, d_model : int
    """

    # `WORDS_TOGETHER` words after another; of these all of the first neuron, then of the next.
    _file: IO[bytes]
    n_words: int
    n_layers: int
    d_model: int

    @property
    def n_neurons(self) -> int:
        """Neurons of all layers."""
        return self.n_layers * self.d_model

    def units(self, layer: int) -> slice:
        """Flat ids of a layer's neurons."""
        return slice(layer * self.d_model, (layer + 1) * self.d_model)

    def by_neurons(self) -> Iterator[tuple[slice, Float32[np.ndarray, "word neuron"]]]:
        """Read some neurons after another: flat ids, and their activations on all words."""
        for ids in _pieces(self.n_neurons, self.n_words):
            yield ids, self._read(slice(0, self.n_words), ids)

    def by_words(self, layer: int) -> Iterator[Float32[np.ndarray, "word unit"]]:
        """Read some words after another, in order, at one layer."""
        n_together = -(-self.n_words // WORDS_TOGETHER)
        for own in _pieces(n_together, WORDS_TOGETHER * self.d_model):
            first, end = own.start * WORDS_TOGETHER, own.stop * WORDS_TOGETHER
            yield self._read(slice(first, min(end, self.n_words)), self.units(layer))

    def _read(self, words: slice, neurons: slice) -> np.ndarray:
        """Read neurons on words; these start and end where some lie together."""
        X = np.empty((words.stop - words.start, neurons.stop - neurons.start), dtype=np.float32)
        for first in range(words.start, words.stop, WORDS_TOGETHER):
            own = X[first - words.start :][:WORDS_TOGETHER]
            place = first * self.n_neurons + neurons.start * len(own)
            own[:] = _array_at(self._file, place, own.T.shape).T
        return X


@contextmanager
def stored_activations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    folder: Path | None = None,
) -> Iterator[StoredActivations]:
    """Run the model over the words, and keep what its neurons do in a file until the context ends.

    `folder` is where the file lies meanwhile, by default that of the system.
    """
    stream = ActivationStream(model, tokenizer, sentences)
    n_words, n_neurons = stream.shape
    with tempfile.TemporaryFile(dir=folder) as file:
        _write_rows(stream, file)
        for first in range(0, n_words, WORDS_TOGETHER):
            shape = min(WORDS_TOGETHER, n_words - first), n_neurons
            X = _array_at(file, first * n_neurons, shape)
            file.seek(4 * first * n_neurons)
            file.write(np.ascontiguousarray(X.T).data)
        yield StoredActivations(file, n_words, n_neurons // width(model), width(model))


def _array_at(file: IO[bytes], place: int, shape: tuple[int, ...]) -> np.ndarray:
    """Read float32 values, the first of them at a place that counts values; EOFError if it ends."""
    X = np.empty(shape, dtype=np.float32)
    file.seek(4 * place)
    if file.readinto(X.data) != X.nbytes:  # type: ignore[attr-defined]
        raise EOFError(f"a file of activations ends before value {place + X.size}")
    return X


def _pieces(n: int, n_values: int) -> Iterator[slice]:
    """Cut n things of so many values each into even pieces of at most `VALUES_READ`, or of two.

    A sum over one neuron alone would add up in another order than over several.
    """
    n_pieces = min(-(-n // max(1, VALUES_READ // n_values)), max(1, n // 2))
    return starmap(slice, pairwise(np.linspace(0, n, n_pieces + 1).astype(int).tolist()))
