"""Activations as files: NeuroX's own JSON and HDF5, so that its users' files work here.

Extracting activations is the slow part of every neuron analysis, so people keep them. NeuroX
(Dalvi et al. 2019b, "NeuroX: A Toolkit for Analyzing Individual Neurons in Neural Networks") has
two formats, and this module writes and reads both through NeuroX 1.0.9 itself: ``.json`` (a line a
sentence, readable, large, rounded to 8 decimals) and ``.hdf5`` (float32, exact, small).

Caveats. NeuroX's loader returns activations and no words. Both formats hold them all the same:
JSON as ``token``, HDF5 as the keys of ``sentence_to_index``, joined by spaces and with
``(Occurrence 2)`` behind a sentence that comes again. In files made by NeuroX's extractor they are
the *joined sub-words* (``lei##cest##er``), not the corpus's spelling. NeuroX checks nothing, so a
damaged file is found here, before its loader sees it.
"""

import io
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from plasticity_utils import files
from plasticity_utils.errors import InputError, is_whole, items_of, shown
from plasticity_utils.neurons.inputs import Matrix, as_activations
from plasticity_utils.optional import needed
from plasticity_utils.progress import bar

SUFFIXES = (".json", ".hdf5")
REPEATED = re.compile(r" \(Occurrence \d+\)$")


class ActivationFile(NamedTuple):
    """What an activation file holds, in the order in which ``save_activations`` takes it.

    Attributes
    ----------
    X : np.ndarray
        Activations, ``[n_words, n_layers * d_model]``, layers side by side.
    sentences : list of list of str
        The words of each sentence, in the order of the rows of ``X``.
    n_layers : int
        Number of layers in the file.
    """

    X: Float32[np.ndarray, "word neuron"]
    sentences: list[list[str]]
    n_layers: int


def save_activations(
    path: str | Path,
    X: Matrix,
    sentences: Any,
    n_layers: int,
) -> None:
    """Write activations as NeuroX does; the file appears whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in ``.json`` or ``.hdf5``, which decides the format.
    X : float array-like
        Activations, ``[n_words, n_layers * d_model]``, usually the output of
        ``activations.word_activations``. HDF5 keeps float32; JSON rounds to 8 decimals.
    sentences : list of list of str
        The words of each sentence, together as many as ``X`` has rows.
    n_layers : int
        Number of layers in ``X``, the embedding output included: L + 1 for L blocks.

    Raises
    ------
    InputError
        Another suffix, no such folder, words and rows of different number, a sentence without
        words, a word with a space (NeuroX separates words by spaces), a width that ``n_layers``
        does not divide, or an activation that is not finite.
    """
    path = files.path_of(path, "activation file")
    _check_suffix(path)
    X, sentences = as_activations(X), _as_sentences(sentences, path)
    _check_content(path, X, sentences, n_layers)
    with np.errstate(over="ignore"):
        by_word = X.astype(np.float32, copy=False).reshape(len(X), n_layers, -1)
    if not np.isfinite(by_word).all():
        raise InputError(f"{path}: an activation is too large for 32 bits")
    with files.refusals(path), files.whole(path) as unfinished:
        writer = _needed("neurox.data.writer").ActivationsWriter.get_writer(str(unfinished))
        start = 0
        for number, words in enumerate(bar(sentences, desc=f"writing {path.name}")):
            of_sentence = by_word[start : start + len(words)]
            writer.write_activations(number, words, of_sentence.transpose(1, 0, 2))
            start += len(words)
        writer.close()


def load_activations(path: str | Path) -> ActivationFile:
    """Read an activation file that NeuroX or ``save_activations`` has written.

    Parameters
    ----------
    path : str or Path
        Ends in ``.json`` or ``.hdf5``.

    Returns
    -------
    ActivationFile
        ``X`` ``[n_words, n_layers * d_model]`` as float32, the sentences' words, and ``n_layers``.

    Raises
    ------
    InputError
        A file that is missing, of another suffix, empty, truncated or damaged, whose sentences
        differ in layers or width, whose words and activations differ in number, or that holds a
        value that is not finite. The message names the file and the place.
    """
    path = files.path_of(path, "activation file")
    _check_suffix(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    sentences = list(_words_in_json(path)) if path.suffix == ".json" else _words_in_hdf5(path)
    if not sentences:
        raise InputError(f"{path}: no sentence in the file")
    with _quiet_loader():
        by_sentence, n_layers = _needed("neurox.data.loader").load_activations(str(path))
    with np.errstate(over="ignore"):  # what float32 cannot hold is found as not finite below
        by_sentence = [values.astype(np.float32) for values in by_sentence]
    for number, values in enumerate(by_sentence):
        if not np.isfinite(values).all():
            word = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise InputError(
                f"{path}: sentence {number}, word {word} ({sentences[number][word]!r}): "
                "an activation is not finite"
            )
    return ActivationFile(np.concatenate(by_sentence), sentences, n_layers)


def _needed(module: str) -> Any:
    return needed(module, "an activation file of NeuroX")


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: an activation file ends in .json or .hdf5, not {path.suffix!r}")


def _as_sentences(sentences: Any, path: Path) -> list[list[str]]:
    """Read sentences of words; a word may be empty here, as in files of NeuroX's own."""
    found = items_of(sentences)
    if found is None:
        raise InputError(f"{path}: sentences must be sequences of words, not {shown(sentences)}")
    read = []
    for number, words in enumerate(map(items_of, found)):
        if words is None:
            raise InputError(
                f"{path}: sentence {number} is {shown(found[number])}; needed: its words"
            )
        read.append(words)
        wrong = [word for word in words if not isinstance(word, str)]
        if wrong:
            raise InputError(f"{path}: sentence {number}: {shown(wrong[0])} is no text")
        if not words:
            raise InputError(f"{path}: sentence {number} has no words")
    return read


def _check_content(path: Path, X: np.ndarray, sentences: list[list[str]], n_layers: int) -> None:
    if not path.parent.is_dir():
        raise InputError(f"{path}: no such folder: {path.parent}")
    n_words = sum(map(len, sentences))
    if n_words == 0 or n_words != len(X):
        raise InputError(
            f"{path}: {len(X)} rows of activations for {n_words} words; "
            "there must be one row for each word, and at least one word"
        )
    if not is_whole(n_layers):
        raise InputError(f"{path}: n_layers must be a whole number, not {n_layers!r}")
    if n_layers < 1 or X.shape[1] == 0 or X.shape[1] % n_layers:
        raise InputError(f"{path}: {X.shape[1]} neurons do not divide into {n_layers} layers")
    for number, words in enumerate(sentences):
        spaced = next((word for word in words if " " in word), None)
        if spaced is not None:
            raise InputError(f"{path}: sentence {number}: the word {spaced!r} holds a space")
    if not np.isfinite(X).all():
        word, neuron = np.argwhere(~np.isfinite(X))[0]
        raise InputError(f"{path}: word {word}, neuron {neuron}: {X[word, neuron]} is not finite")


def _words_in_json(path: Path) -> Iterator[list[str]]:
    """Yield the words line by line; every line has the layers and the width of the first."""
    first_shape = None
    # In bytes: that a line is no text is told of that line.
    with files.refusals(path), path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            place = f"{path}: line {number}"
            try:
                features = json.loads(line.decode("utf-8"))["features"]
                words = [feature["token"] for feature in features]
                shapes = {_json_shape(feature["layers"]) for feature in features}
                if not all(isinstance(word, str) for word in words):
                    raise TypeError("a token is no text")
            except UnicodeDecodeError:
                raise InputError(f"{place}: not UTF-8 text") from None
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                raise InputError(
                    f"{place}: not a sentence as NeuroX writes it, or cut off ({error})"
                ) from error
            if not words:
                raise InputError(f"{place}: a sentence without words")
            first_shape = first_shape or min(shapes)
            if shapes != {first_shape} or len(set(first_shape)) != 1 or 0 in first_shape:
                raise InputError(
                    f"{place}: layers of {sorted(shapes)} values, the file begins with "
                    f"{first_shape}; all must be alike"
                )
            yield words


def _json_shape(layers: list[dict[str, Any]]) -> tuple[int, ...]:
    """How many values each layer of a word has; NeuroX goes by their order, not by their index."""
    given = [layer["index"] for layer in layers if "index" in layer]
    if given != sorted(set(given)):
        raise ValueError(f"its layers are not in order: {given}")
    values = [np.asarray(layer["values"], dtype=np.float64) for layer in layers]
    if any(of_layer.ndim != 1 for of_layer in values):
        raise ValueError("the values of a layer are no row of numbers")
    return tuple(map(len, values))


def _words_in_hdf5(path: Path) -> list[list[str]]:
    """Take the words from the sentence map, in the map's order, which is the loader's order."""
    try:
        with _needed("h5py").File(path, "r") as file:
            index = dict(json.loads(file["sentence_to_index"][0]))
            shapes = [_hdf5_shape(file, key, path) for key in index.values()]
    except InputError:
        raise
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(
            f"{path}: not an activation file as NeuroX writes it, or cut off ({error})"
        ) from error
    if len({(layers, width) for layers, _, width in shapes}) > 1:
        odd = next(i for i, shape in enumerate(shapes) if shape[::2] != shapes[0][::2])
        raise InputError(
            f"{path}: sentence {odd} has (layers, words, width) {shapes[odd]}, the first has "
            f"{shapes[0]}; layers and width must be alike"
        )
    return [
        _words_of_key(key, n_words, f"{path}: sentence {number}")
        for number, (key, (_, n_words, _)) in enumerate(zip(index, shapes, strict=True))
    ]


def _hdf5_shape(file: Any, key: str, path: Path) -> tuple[int, int, int]:
    if key not in file:
        raise InputError(f"{path}: sentence {key} is in the file's index, but not in the file")
    shape: tuple[int, ...] = getattr(file[key], "shape", ())
    kind = getattr(getattr(file[key], "dtype", None), "kind", "f")
    if kind not in "fiu":
        raise InputError(f"{path}: sentence {key} holds {file[key].dtype}, no real numbers")
    if len(shape) != 3 or 0 in shape:
        raise InputError(
            f"{path}: sentence {key} has shape {shape}, not (layers, words, width), all at least 1"
        )
    layers, words, width = shape
    return layers, words, width


def _words_of_key(key: str, n_words: int, place: str) -> list[str]:
    # The count decides whether a bracket at the end is NeuroX's mark of repetition or text.
    for text in (key, REPEATED.sub("", key)):
        words = text.split(" ")
        if len(words) == n_words:
            return words
    raise InputError(
        f"{place}: activations of {n_words} words, but {len(key.split(' '))} words of text: {key!r}"
    )


@contextmanager
def _quiet_loader() -> Iterator[None]:
    # NeuroX prints, and copies an HDF5 dataset in a way that torch warns about as slow.
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Creating a tensor from a list")
        yield
