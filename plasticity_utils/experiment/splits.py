"""Which sentences of a corpus a run uses for what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from plasticity_utils.data.column_files import SPLITS
from plasticity_utils.data.concepts import ENTITIES, file_corpus, members, with_words
from plasticity_utils.data.corpus import Corpus, two_parts
from plasticity_utils.data.tasks import labels_of, reported_types
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig

LEAST_WORDS, LEAST_AT_SMOKE = 30, 5
# Of a type: its parts are the same for all types of a task, so none is lengthened for it.
LEAST_OF_TYPE = 10


_PARTS = ("ranking", "measuring", "dose", "scoring", "curve")
CUSTOM_PARTS = ("ranking", "measuring", "custom_dose", "custom_scoring")


@dataclass(frozen=True)
class Sentences:
    """The sentences of a run, by what they are for.

    Attributes
    ----------
    train : Corpus
        Fine-tunes the base model and retrains it.
    ranking, measuring : Corpus
        Two parts of the test split: one picks neurons and resting values, the other describes them.
    dose, scoring : Corpus
        Two parts of the validation split: the one picks the dose, the other gives every F1.
    curve : Corpus
        The first sentences of `scoring`, for the many random draws.
    validation, test : Corpus
        Whole splits, on which only the base model is scored.
    labels : tuple of str
        Labels of the model: the tags of the task.
    task : dict
        What is said of the task: see `Task.facts`.
    custom_dose, custom_scoring, custom_curve : Corpus or None
        The counterparts of `dose`, `scoring` and `curve` for a concept that is no entity type; None
        for one that is. For such a concept these and `ranking` and `measuring` have a column
        `concept`; of a pair of files they have no other.
    """

    train: Corpus
    ranking: Corpus
    measuring: Corpus
    dose: Corpus
    scoring: Corpus
    curve: Corpus
    validation: Corpus
    test: Corpus
    labels: tuple[str, ...]
    task: dict[str, Any]
    custom_dose: Corpus | None = None
    custom_scoring: Corpus | None = None
    custom_curve: Corpus | None = None


def load_sentences(config: RunConfig) -> Sentences:
    """Load the task's corpus, and the files of a `file:` concept, and cut them as the scale says.

    InputError if the concept has too few words in a part, or one of one's own all of them, and if
    a type that is reported is missing where neurons are ranked or described.
    """
    sizes = config.sizes
    splits = {split: config.task.load(split) for split in SPLITS}
    train, validation, test = splits.values()
    ranking, measuring = two_parts(test)
    dose, scoring = two_parts(validation)
    # A seeded sample: the first sentences of the training file are of one week.
    order = np.random.default_rng(config.seed).permutation(len(train))
    sentences = Sentences(
        train.select(order.tolist()).first(sizes.train),
        ranking.first(sizes.ranking),
        measuring.first(sizes.measuring),
        dose.first(sizes.dose),
        scoring.first(sizes.scoring),
        scoring.first(sizes.curve),
        validation.first(sizes.validation),
        test.first(sizes.validation),
        labels_of(list(splits.values())),
        config.task.facts(splits),
    )
    sentences = _reporting(config, sentences)
    concept = config.concept_info
    if concept.is_entity:
        return sentences
    if concept.kind == "words":
        parts = [with_words(part, concept) for part in (ranking, measuring, dose, scoring)]
    else:
        (ranking, dose), (measuring, scoring) = map(two_parts, two_parts(file_corpus(concept)))
        parts = [ranking, measuring, dose, scoring]
    own: dict[str, Any] = dict(_custom_parts(config, dict(zip(CUSTOM_PARTS, parts, strict=True))))
    return replace(sentences, **own)


def part_counts(sentences: Sentences, label: str) -> pd.DataFrame:
    """Count the words of the concept in the parts of a run that it is measured on.

    Gives part (an attribute of `Sentences`), sentences, words, of_concept (words).
    """
    own = sentences.custom_dose is not None
    names = CUSTOM_PARTS if own else ("ranking", "measuring", "dose", "scoring")
    parts = {name: getattr(sentences, name) for name in names}
    rows = [
        (name, len(part), part.n_words, int(members(part, label).sum()))
        for name, part in parts.items()
    ]
    return pd.DataFrame(rows, columns=["part", "sentences", "words", "of_concept"])


def _reporting(config: RunConfig, sentences: Sentences) -> Sentences:
    """Say of each part which types the run reports on; InputError for a rare concept."""
    parts = {name: getattr(sentences, name) for name in _PARTS}
    if config.concept_info.is_entity:
        # The curve's are a few of those for scoring.
        counted = {"train": sentences.train, **{n: p for n, p in parts.items() if n != "curve"}}
        types = {name: part.types() for name, part in counted.items()}
        n_words = {name: part.n_words for name, part in counted.items()}
        for label in config.reports_on:
            counts = {name: found.get(label, 0) for name, found in types.items()}
            _check_enough(config, counts, n_words, label)
        _check_there(sentences.curve, "curve", config.reports_on)
    if config.task.is_usual:
        for name in ("ranking", "measuring"):
            _check_there(parts[name], name, ENTITIES)
        return sentences
    reported = reported_types(sentences.task["types"], parts.values(), config.reports_on)
    changed: dict[str, Any] = {n: replace(part, reported=reported) for n, part in parts.items()}
    return replace(sentences, **changed)


def _check_there(part: Corpus, name: str, types: Iterable[str]) -> None:
    """Refuse a part that has no word of one of these types."""
    missing = set(types) - set(part.types())
    if missing:
        raise InputError(
            f"there is no {', '.join(sorted(missing))} in {name} ({len(part)} sentences); needed: "
            f"more {name}_sentences"
        )


def _check_enough(
    config: RunConfig, counts: dict[str, int], n_words: dict[str, int], title: str
) -> str:
    """Refuse a concept with too few words in a part; returns the counts in words."""
    usual = LEAST_OF_TYPE if config.concept_info.is_entity else LEAST_WORDS
    least = LEAST_AT_SMOKE if config.scale == "smoke" else usual
    said = ", ".join(f"{counts[name]} of {n} in {name}" for name, n in n_words.items())
    if min(counts.values()) < least:
        raise InputError(
            f"concept {title!r} has too few words: {said}; at least {least} are needed in each"
        )
    return said


def _custom_parts(config: RunConfig, whole_parts: dict[str, Corpus]) -> dict[str, Corpus]:
    """Cut the parts to the scale's sizes, lengthened where the concept is rare."""
    sizes, label = config.sizes, config.label
    wanted = dict(
        zip(CUSTOM_PARTS, (sizes.ranking, sizes.measuring, sizes.dose, sizes.scoring), strict=True)
    )
    least = LEAST_AT_SMOKE if config.scale == "smoke" else LEAST_WORDS
    parts = {
        name: _with_enough(part, wanted[name], label, least) for name, part in whole_parts.items()
    }
    counts = {name: part.word_labels("concept").count(label) for name, part in parts.items()}
    n_words = {name: part.n_words for name, part in parts.items()}
    said = _check_enough(config, counts, n_words, config.concept_info.title)
    if any(counts[name] == part.n_words for name, part in parts.items()):
        raise InputError(f"concept {config.concept_info.title!r} is at all words of a part: {said}")
    return {
        **parts,
        "custom_curve": _with_enough(parts["custom_scoring"], sizes.curve, label, least),
    }


def _with_enough(part: Corpus, n_sentences: int | None, label: str, least: int) -> Corpus:
    """The first sentences, and as many more as it takes to hold `least` words of the concept."""
    so_far = np.cumsum([tags.count(label) for tags in part.labels["concept"]])
    needed = int(np.searchsorted(so_far, least)) + 1
    return part.first(n_sentences if n_sentences is None else max(n_sentences, needed))
