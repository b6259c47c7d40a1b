"""Corpora of the Hugging Face Hub, or of a folder that `datasets` wrote, through that package.

`hf:NAME` (or `hf:NAME:CONFIG`) is looked up on the Hub; `hf:FOLDER`, written by `save_to_disk`,
needs no network. Of its columns the one of words is found by name, and tags are those that are
lists of labels or of text beside it.
"""

from __future__ import annotations

from typing import Any

from plasticity_utils.data.column_files import SPLITS, Columns, deal_out
from plasticity_utils.errors import InputError
from plasticity_utils.files import path_of
from plasticity_utils.optional import needed

PREFIX = "hf:"
WORD_COLUMNS = ("tokens", "words", "token", "word")
# What the Hub's corpora call the columns that column files call otherwise.
NAMES = {"ner_tags": "entity", "ner": "entity", "pos_tags": "pos", "chunk_tags": "chunk"}


def read_hub(source: str, split: str) -> tuple[list[list[str]], Columns, bool]:
    """Read a split: sentences, tags of each column, and whether it was cut from `train`."""
    parts = _load(source)
    found = {name: _first(parts, names) for name, names in SPLITS.items()}
    present = [name for name, part in found.items() if part is not None]
    part = found[split] if found[split] is not None else found["train"]
    if part is None:
        raise InputError(f"{source!r} has no split {split!r} and no 'train'; it has: {list(parts)}")
    words, labels = _columns(source, part)
    return deal_out(words, labels, split, present)


def _load(source: str) -> dict[str, Any]:
    datasets = needed("datasets", f"corpus {source!r}")
    name, _, config = source.removeprefix(PREFIX).partition(":")
    folder = path_of(name, "corpus")
    try:
        if folder.is_dir():
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(name, config or None)
    except Exception as error:
        # The package raises many kinds, for want of a network, a name, or a sound folder.
        said = str(error).strip().splitlines()
        raise InputError(
            f"corpus {source!r} cannot be loaded by 'datasets': {said[0] if said else error!r}"
        ) from error
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}


def _first(parts: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((parts[name] for name in names if name in parts), None)


def _columns(source: str, part: Any) -> tuple[list[list[str]], Columns]:
    word = next((name for name in WORD_COLUMNS if name in part.features), None)
    if word is None:
        raise InputError(
            f"corpus {source!r} has no column of words; it has: {', '.join(part.features)}; "
            f"allowed: {', '.join(WORD_COLUMNS)}"
        )
    words = [[str(token) for token in sentence] for sentence in part[word]]
    labels: Columns = {}
    for name, feature in part.features.items():
        inner = getattr(feature, "feature", None)
        if name == word or inner is None or getattr(inner, "dtype", "") not in ("int64", "string"):
            continue
        names = getattr(inner, "names", None)
        column = [[names[tag] if names else str(tag) for tag in tags] for tags in part[name]]
        wrong = [at for at, tags in enumerate(column) if len(tags) != len(words[at])]
        if wrong:
            raise InputError(
                f"corpus {source!r}, sentence {wrong[0] + 1}: {len(column[wrong[0]])} tags in "
                f"{name!r} for {len(words[wrong[0]])} words"
            )
        labels[NAMES.get(name, name)] = column
    if not labels:
        raise InputError(f"corpus {source!r} has no column of tags beside {word!r}")
    return words, labels
