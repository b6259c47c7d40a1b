"""Which classes of words erasers must make unreadable.

An eraser (`erasure`) makes the means of classes equal. Which classes? *Concept against the rest* is
the obvious choice, and no linear model that has to tell these two does better than by guessing. A
head of nine tags does: the mean of the rest lies between words of no entity and the other entities,
there the erased concept lies too, and a class between two others is easily read. Two classes of the
concept, B- and I-, can also stand on either side of a common mean. What a head of many classes
cannot read is a concept each of whose tags has the mean of words of no entity: `outside`. Its price
is that what tells any entity from no entity goes as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from plasticity_utils.config import INDICATORS
from plasticity_utils.corpus import Corpus, concept_words
from plasticity_utils.errors import InputError

OUTSIDE = "O"


@dataclass(frozen=True)
class Indicator:
    """What erasers must make unreadable, word by word.

    Attributes
    ----------
    classes : float array, [n_words, n_columns]
        A column is 1 for the words of a class and 0 for others.
    counts : bool array, [n_words]
        Which words take part in the fit.
    """

    classes: Float[np.ndarray, "word column"]
    counts: Bool[np.ndarray, " word"]

    def shuffled(self, seed: int) -> Indicator:
        """Deal the classes out anew among the words that count: the control for an erasure."""
        classes = self.classes.copy()
        order = np.random.default_rng(seed).permutation(int(self.counts.sum()))
        classes[self.counts] = self.classes[self.counts][order]
        return Indicator(classes, self.counts)


def indicator_of(corpus: Corpus, label: str, indicator: str) -> Indicator:
    """Say which classes erasers shall make unreadable.

    Parameters
    ----------
    corpus : Corpus
        Training sentences; its `entity` column holds the tags.
    label : str
        Entity type of the concept.
    indicator : {"concept", "bio", "types", "outside"}
        `concept`: words of the concept against all others. `bio`: its B- and its I-tag, each
        against the rest. `types`: every tag a class, which erases the other entity types too.
        `outside`: its B- and its I-tag, each against words of no entity; words of other entities do
        not count.

    Raises
    ------
    InputError
        For another indicator, or if no word is of the concept.
    """
    if indicator not in INDICATORS:
        raise InputError(f"unknown indicator {indicator!r}; allowed: {', '.join(INDICATORS)}")
    inside = concept_words(corpus, label)
    tags = np.array(corpus.word_labels())
    counts = inside | (tags == OUTSIDE) if indicator == "outside" else np.ones_like(inside)
    if indicator == "concept":
        return Indicator(inside[:, None].astype(np.float64), counts)
    own = tags != OUTSIDE if indicator == "types" else inside
    columns = [tags == tag for tag in np.unique(tags[own])]
    return Indicator(np.stack(columns, axis=1).astype(np.float64), counts)
