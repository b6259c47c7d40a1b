"""Tasks: a corpus and one of its columns of tags, which a model learns to give.

Names in news (`conll2003` with `entity`), its parts of speech (`pos`) or chunks (`chunk`), or
whatever a folder of column files or the Hub has. In a run the column `entity` holds the tags of its
task, whatever the corpus calls them: what trains, ranks and scores then needs to know no task.

Of tasks with many types a run reports on a few, the most frequent and the concept: as many as a
chart can tell apart. The model learns all of them, and `overall` counts them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from plasticity_utils import files
from plasticity_utils.data.column_files import CONLLU_TAGS, NAMES, PREFIX, SPLITS, split_file
from plasticity_utils.data.corpus import ALLOWED_CORPORA, CONCEPTS, WNUT16, Corpus, load_corpus
from plasticity_utils.data.schemes import OUTSIDE, PLAIN
from plasticity_utils.errors import InputError

CONLL2003, ENTITY = "conll2003", "entity"
_PACKAGED = (CONLL2003, WNUT16)
MOST_TYPES = 5
_KNOWN = tuple(CONCEPTS.values())


@dataclass(frozen=True)
class Task:
    """What a model learns to tag.

    Attributes
    ----------
    corpus : str
        `conll2003`, `wnut16`, a folder of column files, or `hf:NAME`: see `load_corpus`.
    tags : str
        A column of it, by name, by its title in the files, or by number (from 1).
    """

    corpus: str = CONLL2003
    tags: str = ENTITY

    @property
    def is_usual(self) -> bool:
        """Whether it is that of the book: names in news."""
        return self == Task()

    @property
    def name(self) -> str:
        """For names of folders; empty for the book's own."""
        if self.is_usual:
            return ""
        return re.sub(r"[^\w.-]+", "_", f"{Path(self.corpus).name}-{self.tags}").removeprefix("hf_")

    def key(self) -> dict[str, Any]:
        """What stands for it in a stage's key: contents of files, not where they lie."""
        return {} if self.is_usual else {"task": [fingerprint(self.corpus), self.tags]}

    def load(self, split: str) -> Corpus:
        """Load a split, with the tags in the column `entity`."""
        corpus = load_corpus(_found(self.corpus), split)
        named = (self.tags, NAMES.get(self.tags.lower()), _numbered(corpus, self.tags))
        column = next((name for name in named if name in corpus.labels), None)
        if column is None:
            allowed = ", ".join(corpus.labels)
            raise InputError(
                f"corpus {self.corpus!r} has no tags {self.tags!r}; allowed: {allowed}"
            )
        return replace(
            corpus,
            labels={**corpus.labels, ENTITY: corpus.labels[column]},
            schemes={**corpus.schemes, ENTITY: corpus.schemes[column]},
        )

    def types(self) -> dict[str, int]:
        """Words of each type in the training split, the most frequent type first."""
        return _types(self, fingerprint(self.corpus))

    def facts(self, parts: Mapping[str, Corpus] | None = None) -> dict[str, Any]:
        """What a page says of it: scheme of the tags, what F1 counts, which splits were cut."""
        parts = parts or {split: self.load(split) for split in SPLITS}
        scheme = parts["train"].schemes[ENTITY]
        return {
            "corpus": self.corpus,
            "tags": self.tags,
            "scheme": scheme,
            "counted": "words" if scheme == PLAIN else "names",
            "cut_from_train": [split for split, part in parts.items() if part.is_cut],
            "types": parts["train"].types(),
        }


def labels_of(parts: Sequence[Corpus]) -> tuple[str, ...]:
    """Return the labels that a model needs for the tags of a task's splits, `O` first."""
    tags = {tag for part in parts for tag in part.word_labels()}
    types = in_order({kind: n for part in reversed(parts) for kind, n in part.types().items()})
    if parts[0].schemes[ENTITY] == PLAIN:
        return (*((OUTSIDE,) if OUTSIDE in tags else ()), *types)
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def in_order(types: Mapping[str, int]) -> list[str]:
    """Put types in order: those of CoNLL-2003 first, as everywhere, then the most frequent."""
    return sorted(types, key=lambda kind: (_place(kind), -types[kind], kind))


def reported_types(
    types: Mapping[str, int], parts: Iterable[Corpus], concepts: Sequence[str]
) -> tuple[str, ...]:
    """Choose the types that a run reports on: the most frequent in every part, and the concepts."""
    found = [set(part.types()) for part in parts]
    own = [kind for kind in concepts if kind in types]
    shared = [
        kind
        for kind in sorted(types, key=lambda kind: -types[kind])
        if kind not in own
        and any(sign.isalnum() for sign in kind)
        and all(kind in there for there in found)
    ]
    # A concept of one's own stands beside them, and takes a place.
    chosen = [*own, *shared[: MOST_TYPES - max(1, len(own))]]
    return tuple(in_order({kind: types[kind] for kind in chosen}))


def fingerprint(corpus: str) -> str:
    """What stands for a corpus: its name, or a digest of what its files hold."""
    place = _found(corpus)
    folder = Path(place.removeprefix(PREFIX))
    if place in _PACKAGED or not folder.is_dir():
        return corpus
    if place.startswith(PREFIX):
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    else:
        paths = [path for split in SPLITS if (path := split_file(folder, split))]
    named = {str(path.relative_to(folder)): files.file_digest(path) for path in paths}
    return f"{folder.name}:{files.digest(named)}"


def _found(corpus: str) -> str:
    """The corpus with its folder as given, or else from the project's."""
    if corpus in _PACKAGED:
        return corpus
    prefix = PREFIX if corpus.startswith(PREFIX) else ""
    given = corpus.removeprefix(PREFIX)
    folder = files.from_project(given, "corpus", Path.is_dir)
    if folder:
        return f"{prefix}{folder.resolve()}"
    if not prefix and files.path_of(given, "corpus").is_file():
        raise InputError(
            f"corpus {corpus!r} is one file; a run needs a folder, with train and, if there are "
            "such, validation and test files"
        )
    if not prefix:
        raise InputError(f"no corpus at {corpus!r}; {ALLOWED_CORPORA}")
    return corpus


@lru_cache(maxsize=16)
def _types(task: Task, contents: str) -> dict[str, int]:
    """Kept for a file's contents: settings are checked again and again."""
    return task.load("train").types()


def _numbered(corpus: Corpus, tags: str) -> str | None:
    """The column of a number, where a file's columns are numbered as they stand: words are 1."""
    numbered = dict(enumerate(corpus.labels, start=2))
    as_they_stand = tags.isdecimal() and not set(CONLLU_TAGS) <= set(corpus.labels)
    return numbered.get(int(tags)) if as_they_stand else None


def _place(kind: str) -> int:
    return _KNOWN.index(kind) if kind in _KNOWN else len(_KNOWN)
