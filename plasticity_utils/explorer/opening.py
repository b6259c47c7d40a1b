"""A model and some text, without a run: what `explore` was given, checked and read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from plasticity_utils.data.concepts import CUSTOM_COLUMN, WORDS, parse_concept, with_words
from plasticity_utils.data.corpus import CONCEPTS, LABEL, Corpus, load_corpus
from plasticity_utils.data.tasks import CONLL2003, ENTITY, reported_types
from plasticity_utils.errors import InputError, items_of, shown
from plasticity_utils.explorer.data import Loaded, ModelData
from plasticity_utils.explorer.panels import words_of
from plasticity_utils.models.load import check_loaded, load_model
from plasticity_utils.models.tokens import as_sentences

SENTENCES = 500  # of the usual corpus
_WRITTEN_OUT = 300  # characters of texts in a line of code


def open_model(model: Any, sentences: Any, tags: str, concept: str) -> ModelData:
    """Read the sentences, find the concept and load the model, in this order."""
    for name, value in (("tags", tags), ("concept", concept)):
        if not isinstance(value, str):
            raise InputError(f"{name} must be a text, not {shown(value)}")
    # Once: a generator has nothing to give the second time.
    rows = items_of(sentences)
    corpus, label = _about(_corpus(sentences, rows), tags, concept)
    named = isinstance(model, str | Path)
    command = f"model={str(model)!r}" if named else "model=(model, tokenizer)"
    command += "" if sentences is None else f", sentences={_in_code(rows)}"
    for name, value in (("tags", tags), ("concept", concept)):
        command += f", {name}={value!r}" if value else ""
    return ModelData(load_model(model) if named else _pair(model), corpus, label, command)


def _in_code(rows: list | None) -> str:
    """Write a few texts out; of anything else there is only the name that it may have."""
    if rows is None or not all(isinstance(row, str) for row in rows):
        return "sentences"
    written = repr([str(row) for row in rows])
    return written if len(written) <= _WRITTEN_OUT else "sentences"


def _pair(model: Any) -> Loaded:
    pair = items_of(model) if not hasattr(model, "config") else None
    if pair is None or len(pair) != 2:
        raise InputError(
            f"model must be a name, or a model and its tokenizer, not {shown(model)}; needed: "
            "model=(model, tokenizer)"
        )
    check_loaded(pair[0])
    return pair[0], pair[1]


def _corpus(sentences: Any, rows: list | None) -> Corpus:
    if sentences is None:
        return load_corpus(CONLL2003, "test").first(SENTENCES)
    if isinstance(sentences, Corpus):
        return sentences
    if rows is None:
        raise InputError(
            f"sentences must be a sequence of texts or of words, or a corpus of load_corpus, not "
            f"{shown(sentences)}"
        )
    if not rows:
        raise InputError("no sentences; at least one is needed")
    cut = [words_of(row) if isinstance(row, str) else row for row in rows]
    return Corpus("sentences", as_sentences(cut), {})


def _about(corpus: Corpus, tags: str, concept: str) -> tuple[Corpus, str]:
    """Put the wanted tags into the column of types, and find the concept's label."""
    if tags and tags not in corpus.labels:
        allowed = ", ".join(corpus.labels) or "none: these sentences have no tags"
        raise InputError(f"no tags {tags!r}; allowed: {allowed}")
    column = tags or (ENTITY if ENTITY in corpus.labels else next(iter(corpus.labels), ""))
    if column:
        several = {ENTITY: LABEL} if column == LABEL else {}
        corpus = replace(
            corpus,
            labels={**corpus.labels, ENTITY: corpus.labels[column]},
            schemes={**corpus.schemes, **several},
        )
    if concept.startswith(WORDS):
        listed = parse_concept(concept)
        corpus = with_words(corpus, listed)
        if len(set(corpus.word_labels(CUSTOM_COLUMN))) < 2:
            raise InputError(f"concept {concept!r} is at none or at all of the words")
        return _reporting(corpus, listed.label), listed.label
    types = corpus.types() if column else {}
    label = CONCEPTS.get(concept, concept) or next(iter(types), "")
    if label and label not in types:
        raise InputError(
            f"no word is of the type {concept!r}; allowed: {WORDS}Monday,Tuesday"
            + "".join(f", {kind} ({n} words)" for kind, n in types.items())
        )
    return _reporting(corpus, label), label


def _reporting(corpus: Corpus, label: str) -> Corpus:
    if ENTITY not in corpus.labels or not corpus.types():
        return corpus
    return replace(corpus, reported=reported_types(corpus.types(), [corpus], (label,)))
