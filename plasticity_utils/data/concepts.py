"""The concepts that a run can be about, and how one's own is named.

Three kinds: a type of the task's tags (`LOC`, which has the name `locations`; `NNP` of parts of
speech); a label of a pair of files (`file:WORDS,LABELS#LABEL`); a list of words
(`words:Monday,Tuesday`), taken as they are written. Only a type is a tag that the model learns to
give, so only it has an F1 of its own. The other two are measured by a linear probe (see
`fit_custom_probe`).

A name is checked, and files are read, when a run is configured: what is wrong with them shows
before any training.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from plasticity_utils.data.corpus import CONCEPTS, Corpus, concept_words, load_corpus
from plasticity_utils.data.schemes import OUTSIDE, UNTAUGHT
from plasticity_utils.data.tasks import Task, in_order
from plasticity_utils.errors import InputError
from plasticity_utils.files import from_project

FILE, WORDS = "file:", "words:"
CUSTOM_KINDS = f"{FILE}WORDS,LABELS#LABEL, {WORDS}Monday,Tuesday"
ENTITIES = tuple(CONCEPTS.values())
CUSTOM_COLUMN = "concept"
_DIGITS, LONGEST_TAG, LONGEST_SLUG, WORDS_NAMED, _SHOWN = 8, 20, 20, 3, 60
TYPES_SHOWN, LONGEST_NAME = 50, 60
# Tags that mean something else in tables and charts.
_TAKEN = {*ENTITIES, OUTSIDE, "OTHER"}


@dataclass(frozen=True)
class Concept:
    """What a run is about.

    Attributes
    ----------
    text : str
        The setting as it was given.
    kind : {"entity", "label", "words"}
    label : str
        Short tag for tables and charts: `LOC`, the last part of a file's label in capitals, or
        `WORDS`.
    name : str
        For names of folders: of a type its name here or its tag; else the kind, a readable part
        and eight digits that stand for the files' contents and label, or for the words.
    """

    text: str
    kind: str
    label: str
    name: str

    @property
    def is_entity(self) -> bool:
        """Whether the concept is a tag that the model learns to give."""
        return self.kind == "entity"

    @property
    def words(self) -> tuple[str, ...]:
        """Words of a word list, each once, in the order given; empty for other concepts."""
        return _word_list(self.text) if self.kind == "words" else ()

    @property
    def title(self) -> str:
        """Readable name for prose and tables; no sign in it means anything to Markdown."""
        if self.is_entity:
            return self.text
        named = [self.text.rpartition("#")[2].rpartition(":")[2]]
        if self.kind == "words":
            named = list(self.words[:WORDS_NAMED])
        plain = [re.sub(r"[^\w .'-]|_", " ", name)[:LONGEST_TAG].strip() for name in named]
        title = ", ".join(filter(None, plain)) or self.label
        return f"{title}, …" if len(self.words) > WORDS_NAMED else title


def parse_concept(text: str, task: Task | None = None) -> Concept:
    """Read a concept's setting, and the files that it names.

    Parameters
    ----------
    text : str
        A type of the task's tags, or the name of one that has one: `locations`, `persons`,
        `organisations`, `miscellaneous`; `file:WORDS,LABELS#LABEL`, where
        the label is what follows the last `#` and paths are taken as they are given, else from the
        project's folder; or `words:` and words with commas between them.
    task : Task, optional
        What the model learns to tag; by default names in news.

    Raises
    ------
    InputError
        If it is none of these (the types that there are stand in the message, with their words), a
        file cannot be read, or the label is at none or all of its words.
    """
    task = task or Task()
    if text in CONCEPTS and task.is_usual:
        return of_type(text, CONCEPTS[text])
    if text.startswith(WORDS):
        words = _word_list(text)
        name = "-".join(filter(None, ["words", _slug(words[0]), _digest(*sorted(words))]))
        return Concept(text, "words", "WORDS", name)
    if text.startswith(FILE):
        return _of_files(text, task)
    types = task.types()
    named = {name: label for name, label in CONCEPTS.items() if label in types}
    if (label := named.get(text, text)) in types:
        return of_type(text, label)
    counted = [f"{kind} ({n} words)" for kind, n in types.items()]
    raise InputError(
        f"unknown concept {_shown(text)}; allowed: {', '.join([*named, CUSTOM_KINDS])}, or a type "
        f"of {task.corpus} ({task.tags}): {', '.join(counted[:TYPES_SHOWN]) or 'none'}"
    )


def file_corpus(concept: Concept) -> Corpus:
    """Read the corpus of a `file:` concept, with the one column `concept` (its label or `O`)."""
    if _of_files(concept.text, Task()).name != concept.name:
        raise InputError(f"the files of {_shown(concept.text)} have changed since the run was made")
    paths, label = _file_parts(concept.text)
    corpus = load_corpus(paths)
    inside = concept_words(corpus, label, "label").tolist()
    return Corpus(corpus.name, corpus.sentences, {CUSTOM_COLUMN: _tagged(corpus, inside, concept)})


def with_words(corpus: Corpus, concept: Concept) -> Corpus:
    """Give a corpus the column `concept` of a `words:` concept: exact forms, case and all."""
    wanted = set(concept.words)
    inside = [word in wanted for word in corpus.words]
    column = {CUSTOM_COLUMN: _tagged(corpus, inside, concept)}
    return replace(corpus, labels={**corpus.labels, **column})


def members(corpus: Corpus, label: str) -> Bool[np.ndarray, " word"]:
    """Tell for each word whether it belongs to a type or to the run's own concept."""
    return concept_words(
        corpus, label, CUSTOM_COLUMN if label in _custom_labels(corpus) else "entity"
    )


def types_of(corpus: Corpus) -> tuple[str, ...]:
    """Return the types that a corpus is reported on: those of a run, or else all that it has."""
    if "entity" not in corpus.labels:
        return ()
    if corpus.reported:
        return corpus.reported
    found = corpus.types()
    return ENTITIES if set(found) <= set(ENTITIES) else tuple(in_order(found))


def without_tags(corpus: Corpus, label: str) -> Corpus:
    """Give a corpus in which the words of a type are outside, or untaught where none is outside."""
    instead = OUTSIDE if OUTSIDE in corpus.word_labels() else UNTAUGHT
    inside = iter(members(corpus, label).tolist())
    tags = [
        [instead if next(inside) else tag for tag in sentence]
        for sentence in corpus.labels["entity"]
    ]
    return replace(corpus, labels={**corpus.labels, "entity": tags})


def kinds(corpus: Corpus) -> tuple[str, ...]:
    """Return the labels that a corpus can be measured for, the own concept's last."""
    return (*types_of(corpus), *sorted(_custom_labels(corpus)))


def _custom_labels(corpus: Corpus) -> set[str]:
    return set(corpus.word_labels(CUSTOM_COLUMN) if CUSTOM_COLUMN in corpus.labels else ()) - {
        OUTSIDE
    }


def of_type(text: str, label: str) -> Concept:
    """The concept of a type that a task is known to have."""
    names = {kind: name for name, kind in CONCEPTS.items()}
    plain = re.sub(r"[^\w-]", "", label)
    whole = plain == label and len(label) <= LONGEST_NAME
    name = plain if whole else "-".join(filter(None, [plain[:LONGEST_NAME], _digest(label)]))
    return Concept(text, "entity", label, names.get(label, name))


def _of_files(text: str, task: Task) -> Concept:
    paths, label = _file_parts(text)
    corpus = load_corpus(paths)
    if concept_words(corpus, label, "label").all():
        raise InputError(
            f"label {_shown(label)} is at all {corpus.n_words} words of {paths[1]}; a concept "
            "needs words outside it"
        )
    try:
        contents = [path.read_bytes() for path in paths]
    except OSError as error:
        raise InputError(f"{text} cannot be read: {error}") from error
    digest = _digest(*contents, label)
    name = "-".join(filter(None, ["label", _slug(label.rpartition(":")[2]), digest]))
    taken = set() if task.is_usual else set(task.types())
    return Concept(text, "label", _tag(label, taken), name)


def _file_parts(text: str) -> tuple[tuple[Path, Path], str]:
    """Paths of the word and the label file, and the label."""
    names, _, label = text.removeprefix(FILE).rpartition("#")
    paths = names.split(",")
    if not label or len(paths) != 2 or not all(paths):
        raise InputError(
            f"concept {_shown(text)} is not of the form {FILE}WORDS,LABELS#LABEL: two paths with a "
            "comma between them, and a label after the last #"
        )
    return (_found(paths[0]), _found(paths[1])), label


def _found(name: str) -> Path:
    """A plain file, from the project's folder too; a device or a pipe may never end."""
    path = from_project(name, "file")
    if path is None:
        raise InputError(
            f"there is no file {_shown(name)}, neither from the current folder nor from the "
            "project's"
        )
    return path


def _word_list(text: str) -> tuple[str, ...]:
    words = [word.strip(" \t") for word in text.removeprefix(WORDS).split(",")]
    for place, word in enumerate(words, start=1):
        if not word:
            raise InputError(
                f"concept {_shown(text)}: word {place} is empty; allowed: {WORDS}Monday,Tuesday"
            )
        if " " in word or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in word):
            raise InputError(
                f"concept {_shown(text)}: {_shown(word)} is no single word; allowed: words without "
                "spaces or control characters"
            )
    return tuple(dict.fromkeys(words))


def _tagged(corpus: Corpus, inside: list[bool], concept: Concept) -> list[list[str]]:
    """Write one flag a word as labels in the shape of the sentences."""
    flags = iter(inside)
    return [[concept.label if next(flags) else OUTSIDE for _ in s] for s in corpus.sentences]


def _tag(label: str, taken: set[str]) -> str:
    tag = re.sub(r"[^A-Z0-9_]", "", label.rpartition(":")[2].upper())[:LONGEST_TAG] or "LABEL"
    return f"CUSTOM_{tag}" if tag in _TAKEN | taken else tag


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:LONGEST_SLUG].strip("-")


def _digest(*parts: str | bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        # Each part's length first: otherwise "ab" + "c" would be "a" + "bc".
        whole.update(f"{len(data)}:".encode() + data)
    return whole.hexdigest()[:_DIGITS]


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
