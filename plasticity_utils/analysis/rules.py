"""What a number means: every rule of the book, numbers in, one of a few words out.

A page prints the rule that it uses (`rules.came_back` as the last line of a cell shows it) and the
word that follows from its numbers. Nothing else in the package decides what a page claims.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from math import isnan
from typing import Generic, ParamSpec

from plasticity_utils.names import READ_AGAIN
from plasticity_utils.results.stack import Estimate

P = ParamSpec("P")
OPEN = "not resolved"
_BEFORE = "Written before the numbers were seen."
AFTER = "Written after numbers were seen: it describes them, and does not test them."


class Rule(Generic[P]):
    """A rule that is called with numbers, and shows its text where a page ends a cell with it.

    `words` are what it can say; `says` is the rule in English (Markdown), `written` whether it was
    written before the numbers that it judges were seen, `set_in` the commits of this project that
    wrote it and last changed what it says.
    """

    def __init__(
        self,
        decide: Callable[P, str],
        words: Sequence[str],
        says: str,
        written: str,
        set_in: str,
    ) -> None:
        self.decide, self.words, self.says = decide, tuple(words), says
        self.written, self.set_in = written, set_in
        update_wrapper(self, decide)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Apply the rule."""
        return self.decide(*args, **kwargs)

    def _repr_markdown_(self) -> str:
        return f"> **The rule.** {self.says} *{self.written}* Commit {self.set_in}."


RULES: dict[str, Rule[...]] = {}


def rule(
    words: Sequence[str], says: str, written: str, set_in: str
) -> Callable[[Callable[P, str]], Rule[P]]:
    """Make a rule of a function from numbers to one of these words."""

    def made(decide: Callable[P, str]) -> Rule[P]:
        found = Rule(decide, words, says, written, set_in)
        RULES[decide.__name__] = found
        return found

    return made


# Any question with an effect, a control and runs

YES, NO = "yes", "no"
LEAST_RUNS = 3


@rule(
    (YES, NO, OPEN),
    "*Yes*: the 95 % interval of the effect lies on the predicted side of zero, that of the effect "
    "less its control too, and the effect less its control is at least the smallest that would "
    "matter. *No*: one of the two intervals lies below that smallest effect. *Not resolved*: "
    f"neither, or fewer than {LEAST_RUNS} runs.",
    "The smallest effects were chosen before full-size runs were seen; that the size is judged "
    "less the control was added afterwards.",
    "778b7f9, bbe57df",
)
def decide(effect: Estimate, beyond_control: Estimate, least: float) -> str:
    """Is there an effect beyond its control? All positive on the predicted side."""
    if effect.high < least or beyond_control.high < least:
        return NO
    if effect.low > 0 and beyond_control.low > 0 and beyond_control.value >= least:
        return YES
    return OPEN


@rule(
    (YES, NO, OPEN),
    "Several measures of one question answer it only if all say the same.",
    _BEFORE,
    "778b7f9",
)
def together(verdicts: Sequence[str]) -> str:
    """Join the verdicts of several measures."""
    distinct = set(verdicts)
    return distinct.pop() if len(distinct) == 1 else OPEN


# Question 1: what was cut, what a reader still finds, what came back

LITTLE, _SPECIFIC = 0.05, 0.5
CONCEPT, TASK, LITTLE_LOST = "the concept", "the task", "little was lost"


@rule(
    (CONCEPT, TASK, LITTLE_LOST),
    f"A cut is about *the concept* if it takes at least {_SPECIFIC:g} more of the F1 of the "
    "concept than it takes of the other types on average. Else it is about *the task*. If it takes "
    f"{LITTLE:g} or less, little was lost.",
    _BEFORE,
    "bbe57df",
)
def cut(lost: float, lost_others: float) -> str:
    """What did a cut take, in F1 of the concept and mean F1 of the other types?"""
    if lost <= LITTLE:
        return LITTLE_LOST
    return CONCEPT if lost - lost_others >= _SPECIFIC else TASK


FOUND, IN_PART, NOT_FOUND = "still there to be read", "there in part", "not found"


@rule(
    (FOUND, IN_PART, NOT_FOUND, LITTLE_LOST),
    f"A reader finds the concept *still there to be read* if it regains at least {READ_AGAIN:g} of "
    f"the loss, *in part* from {1 - READ_AGAIN:.1f} on, and else *not*. Of a loss of {LITTLE:g} or "
    "less nothing is said.",
    AFTER,
    "bbe57df",
)
def reader_finds(lost: float, regained: float) -> str:
    """What does a reader of the frozen network find of what was lost (both in F1)?"""
    if lost <= LITTLE:
        return LITTLE_LOST
    if regained >= READ_AGAIN * lost:
        return FOUND
    return NOT_FOUND if regained < (1 - READ_AGAIN) * lost else IN_PART


LEAST_F1 = 0.05
READ, BEYOND = "read again", "more than was read"


@rule(
    (READ, BEYOND, OPEN),
    f"*Read again*: the best reader regains at least {READ_AGAIN:g} of the loss, and the interval "
    f"of what training the whole model adds ends below {LEAST_F1:g} F1. *More than was read*: what "
    "it adds lies above zero, what it adds less the same after the control (a random cut, or no "
    f"cut) lies above zero too, and that difference is at least {LEAST_F1:g}. Else *not resolved*. "
    "Whether what lies beyond the readers was relearned or learned for the first time takes a "
    "model that never knew the concept: the audits of removals have one.",
    "Written when the first runs of the small cut were known, and no others. That a random cut is "
    "subtracted was added after all were known.",
    "7772a41, bbe57df",
)
def came_back(found: float, beyond: Estimate, beyond_control: Estimate) -> str:
    """Was what came back only read again?

    `found` is the share of the loss that the best reader regains; `beyond` the F1 that training
    the whole model adds to it.
    """
    if found >= READ_AGAIN and beyond.high < LEAST_F1:
        return READ
    if beyond.low > 0 and beyond_control.low > 0 and beyond_control.value >= LEAST_F1:
        return BEYOND
    return OPEN


# The audit: what a removal did, and whether what came back was kept

NOT_ABOUT, HIDDEN = "not about the concept", "hidden"
WEAKENED, GONE = "weakened", "gone for these readers"
NOT_MEASURABLE, LEAST_BASE = "not measurable", 0.6
NOT_TAKEN, MOST_LEFT = "not taken", 0.5


@rule(
    (NOT_MEASURABLE, NOT_TAKEN, NOT_ABOUT, HIDDEN, WEAKENED, GONE),
    f"Of a concept that the base model finds at an F1 under {LEAST_BASE:g} there is too little to "
    "take: *not measurable*. It was *not taken* if the model itself still has more than half of "
    "that F1. Else a removal is *not about the concept* if it takes less than "
    f"{_SPECIFIC:g} more F1 of the concept than of the other types on average. Else the best "
    "reader of the frozen model decides, beside the same reader on the base model: the concept is "
    f"*hidden* if it finds at least {READ_AGAIN:g} as much, *gone for these readers* if it finds "
    f"less than {1 - READ_AGAIN:.1f} as much, and *weakened* in between.",
    "Written before the numbers were seen, but for *not taken*: that came after the first cut of a "
    "part of speech, and changed no other word.",
    "0d7d337, 42a34b9",
)
def audited(base: float, removed: float, specificity: float, read: float) -> str:
    """What did a removal do?

    `base` and `removed` are F1 before and after it, `read` the best reader's F1 as a share
    of its F1 on the base.
    """
    if base < LEAST_BASE:
        return NOT_MEASURABLE
    if removed > MOST_LEFT * base:
        return NOT_TAKEN
    if specificity < _SPECIFIC:
        return NOT_ABOUT
    if read >= READ_AGAIN:
        return HIDDEN
    return GONE if read < 1 - READ_AGAIN else WEAKENED


LEAST_SAVINGS = 0.2
SOONER, NO_SOONER = "sooner", "no sooner"


@rule(
    (SOONER, NO_SOONER, OPEN),
    "Savings are 1 − (steps until the concept has 0.9 of its F1 in the base model) / (the same "
    "steps of a model that learned the task without the concept, under the same removal); what "
    "is not reached counts as reached at the last step. The concept is back *sooner* than if never "
    "known if the 95 % interval of the savings over seeds lies above zero and their mean is at "
    f"least {LEAST_SAVINGS:g}; *no sooner* if the interval lies below {LEAST_SAVINGS:g}. Else, and "
    "with one seed, *not resolved*.",
    "Written before the numbers were seen; its words are newer.",
    "0d7d337, 3352075",
)
def kept(savings: Estimate) -> str:
    """Was what came back sooner there than in a model that never knew it?"""
    if isnan(savings.low):
        return OPEN
    if savings.low > 0 and savings.value >= LEAST_SAVINGS:
        return SOONER
    return NO_SOONER if savings.high < LEAST_SAVINGS else OPEN


ELSEWHERE, MOVED, ALL_ALONG = "held elsewhere too", "moved there", "there all along"


@rule(
    (ELSEWHERE, MOVED, ALL_ALONG, OPEN),
    "After training, the units that now tell the concept best are cut as well, or random ones of "
    "the same layers, and readers are fitted again. What counts is the best reader's F1 after the "
    "random cut less that after the other. *Held elsewhere too*: its interval over seeds ends "
    f"below {LEAST_F1:g}. Else the same is done to the cut model before that training, and "
    f"subtracted. *Moved there*: both intervals lie above zero, and the difference is at least "
    f"{LEAST_F1:g}. *There all along*: the first lies above zero, and the interval of the "
    f"difference ends below {LEAST_F1:g}. Else, and with one seed, *not resolved*.",
    _BEFORE,
    "a1f9303",
)
def sits(taken: Estimate, beyond_untrained: Estimate) -> str:
    """Does the concept sit in the units that tell it best in the end? In F1 of the best reader."""
    if isnan(taken.low):
        return OPEN
    if taken.high < LEAST_F1:
        return ELSEWHERE
    if taken.low > 0 and beyond_untrained.low > 0 and beyond_untrained.value >= LEAST_F1:
        return MOVED
    return ALL_ALONG if taken.low > 0 and beyond_untrained.high < LEAST_F1 else OPEN


# Movement between layers

_SAME = 0.1
AS_RANDOM, FURTHER, OTHERWISE = "as a random cut", "further than a random cut", "otherwise"


@rule(
    (AS_RANDOM, FURTHER, OTHERWISE, OPEN),
    "A centre moves *as a random cut* moves it if the whole interval of the difference is within a "
    "tenth of the move, less what the two sets of neurons share. It moves *further* if move and "
    "difference lie on the same side of zero, and *otherwise* if on opposite sides. Else, and with "
    "one seed, *not resolved*.",
    AFTER,
    "bbe57df",
)
def moves(move: Estimate, beyond_random: Estimate, shared: float = 0.0) -> str:
    """Does the centre of the concept move as a random cut moves it? `shared`: of the neurons."""
    low, high = beyond_random.low, beyond_random.high
    if isnan(low):
        return OPEN
    if max(abs(low), abs(high)) < _SAME * abs(move.value) * (1 - shared):
        return AS_RANDOM
    if (low > 0 and move.low > 0) or (high < 0 and move.high < 0):
        return FURTHER
    return OTHERWISE if low > 0 or high < 0 else OPEN


LESS, MORE, NO_PREDICTION = "less", "further", "no prediction"
ALONE = "as removal alone"


@rule(
    (ALONE, LESS, MORE, NO_PREDICTION),
    "A released table moves *as removal alone* predicts if the two differ by less than a tenth of "
    "the predicted move; else *less* or *further*. Where the tables do not tell which neurons were "
    "cut out there is *no prediction*.",
    AFTER,
    "41cb254",
)
def beside_removal(move: float, alone: float) -> str:
    """How does a move compare with what removal alone predicts (NaN: not known)?"""
    if isnan(alone):
        return NO_PREDICTION
    if abs(move - alone) < _SAME * abs(alone):
        return ALONE
    return MORE if move / alone > 1 else LESS


# Questions 2, 5 and 6: several concepts in one neuron

ONLY_REMOVED = "only the removed concept"
NOT_WITH_RULER = "not measurable with this ruler"
NOT_WITH_INVENTORY = "not measurable with this inventory"


@rule(
    (YES, NO, ONLY_REMOVED, OPEN),
    "*Yes*: the rule above says yes to a concept other than the removed one. *Only the removed "
    "concept*: it says no to all others, and the removed one is taken on more often than after a "
    "random cut. *No*: it says no to any concept at all. Else *not resolved*.",
    "That the removed concept is told apart was added after the numbers were seen: before, its "
    "return alone made a yes.",
    "52f1509",
)
def new_functions(any_concept: str, another: str, removed_beyond_random: Estimate) -> str:
    """Do neurons take on functions beyond the return of the removed one?

    The first two are the words of `decide` for any concept, and for others than the removed.
    """
    if any_concept == NO:
        return NO
    if another == YES:
        return YES
    return ONLY_REMOVED if another == NO and removed_beyond_random.low > 0 else OPEN


@rule(
    (YES, NO, OPEN, NOT_WITH_RULER),
    "*Yes*: the words of concepts that share a neuron are more alike than those of shuffled pairs, "
    "by at least the smallest difference that would matter, with its whole interval above zero. "
    "*No*: the interval lies below that difference. It is over base models; with fewer than "
    f"{LEAST_RUNS} it is *not resolved*. If the words are measured by the model under study, or by "
    "its checkpoint, it is *not measurable with this ruler*.",
    "That base models are counted was decided after the first run, that the ruler must be another "
    "model after all of them.",
    "778b7f9, 52f1509",
)
def likeness(difference: Estimate, least: float, n_models: int, ruler_is_the_model: bool) -> str:
    """Are concepts that share a neuron alike?"""
    if ruler_is_the_model:
        return NOT_WITH_RULER
    return OPEN if n_models < LEAST_RUNS else decide(difference, difference, least)


@rule(
    (YES, NO, OPEN, NOT_WITH_INVENTORY),
    "Superposition needs more features than dimensions. With fewer concepts than dimensions it is "
    "*not measurable with this inventory*. Else both measures must say the same: interference "
    "rises, dimensionality falls.",
    "That the inventory must be large enough was added after the numbers were seen: before, it "
    "read no.",
    "778b7f9, 52f1509",
)
def crowding(verdicts: Sequence[str], n_concepts: int, n_dimensions: int) -> str:
    """Do concepts crowd each other? `verdicts` are the words of `decide` for each measure."""
    return together(verdicts) if n_concepts > n_dimensions else NOT_WITH_INVENTORY


# Questions 3 and 4: the parts of the concept, and its directions

MARGIN, LEAST_NEW = 0.1, 0.05


@rule(
    (YES, NO, OPEN),
    "What counts is the share that is new to a part, of the kept neurons that carry it in the end. "
    f"*Yes*, which is asked first: less that where nothing was cut out, and less that after a "
    f"random cut, it is at least {LEAST_NEW:g}, and both intervals lie above zero. *No*: one of "
    f"them lies below {MARGIN:g}. Else *not resolved*.",
    "The bounds were written before the numbers were seen; that a random cut counts was added "
    "afterwards.",
    "4e914b2, bbe57df",
)
def parts_move(beyond_none: Estimate, beyond_random: Estimate) -> str:
    """Do other neurons carry the parts of the concept than before?"""
    both = (beyond_none, beyond_random)
    if all(one.low > 0 and one.value >= LEAST_NEW for one in both):
        return YES
    return NO if any(one.high < MARGIN for one in both) else OPEN


ONLY_REST = "only in the class “other”"


@rule(
    (YES, NO, OPEN, ONLY_REST),
    "The rule is applied to all parts, and again without the class “other”, the names that the "
    "gazetteer does not hold. If both say the same, that is the answer. If only all parts say yes, "
    "it is *only in the class “other”*. Else *not resolved*.",
    "Added after the numbers were seen: before, all parts alone made a yes.",
    "52f1509",
)
def parts_taken_over(all_parts: str, named_parts: str) -> str:
    """Do other neurons carry the parts, and is it the parts that have a name?"""
    if all_parts == named_parts:
        return all_parts
    return ONLY_REST if all_parts == YES else OPEN


SAME_DIRECTIONS, KEPT = "the same directions", "the same directions in the kept units"
TURNED, ANOTHER = "the same geometry, turned", "another representation"
NOT_AS_IS = "not the same directions"


def _side(one: Estimate) -> str:
    if one.high < MARGIN:
        return "less"
    return "more" if one.low > MARGIN else ""


@rule(
    (SAME_DIRECTIONS, KEPT, TURNED, ANOTHER, NOT_AS_IS, OPEN),
    "A probe of the base reads the last layer in the end. If it loses less than a tenth of its F1 "
    "beyond what it loses with nothing cut out: *the same directions*. If it loses more, but a "
    "probe of the kept units alone loses less than a tenth: *the same directions in the kept "
    "units*. If only an orthogonal alignment brings it back, a tenth more than one to shuffled "
    "words does: *the same geometry, turned*. If not even that: *another representation*. An "
    "interval that holds the tenth resolves nothing.",
    "The case of the kept units was added once the first run was known; the others were written "
    "before.",
    "4e914b2, bbe57df",
)
def representation(
    lost_as_is: Estimate, lost_kept: Estimate, lost_aligned: Estimate, aligned_beyond: Estimate
) -> str:
    """Is it the same concept in the end? Shares of a probe's F1."""
    as_is, aligned = _side(lost_as_is), _side(lost_aligned)
    if as_is == "more":
        if _side(lost_kept) == "less":
            return KEPT
        if aligned == "less" and _side(aligned_beyond) == "more":
            return TURNED
        return ANOTHER if aligned == "more" else NOT_AS_IS
    return SAME_DIRECTIONS if as_is == "less" else OPEN


CAN_FAIL, CANNOT_FAIL = "the test can fail", "the test cannot fail"
NO_PROBE = "not measurable with this probe"


@rule(
    (CAN_FAIL, CANNOT_FAIL, OPEN),
    "The control of question 4: a probe of one seed's base is put to another seed's base, as it "
    "is. If it loses a tenth of its F1 or more, for each concept and pair: *the test can fail*. If "
    "it loses less each time, *the test cannot fail*: any training from this checkpoint gives the "
    "same directions, and question 4 is *not measurable with this probe*. Else *not resolved*.",
    "Written before the number was seen.",
    "907f11e",
)
def can_fail(lost: Sequence[float]) -> str:
    """Can the test of question 4 fail? Shares of a probe's F1, one a concept and pair of seeds."""
    if len(lost) and min(lost) >= MARGIN:
        return CAN_FAIL
    return CANNOT_FAIL if len(lost) and max(lost) < MARGIN else OPEN


# Question 8: forced to carry two

REGAINED, KEPT_F1, FEW, WAS_LOST = 0.9, 0.02, 0.05, 0.5
NOT_BACK = "the concept does not come back"


@rule(
    (YES, NO, OPEN, NOT_BACK),
    "Each number of the host's neurons is judged; the answer is that of the largest. If less "
    f"than {REGAINED:g} of the loss is regained, *the concept does not come back*. *Yes*: the "
    "share of neurons that carries both rises, and more than that of random neurons, both with "
    f"their whole interval; and the host's F1 falls by {KEPT_F1:g} at most. *No*: the host pays "
    f"more, or one of the two intervals ends below {FEW:g}. Else *not resolved*, and also if the "
    "cut took less than half of the concept's F1.",
    "The bounds were written before the runs were seen. That random neurons count, and that the "
    "largest number is judged, was added afterwards: before, it was the smallest.",
    "0aaea18, 52f1509",
)
def forced(
    lost: float, regained: float, price: float, rise: Estimate, beyond_random: Estimate
) -> str:
    """Can this many neurons be forced to carry two?

    `lost` and `regained` are shares, of the concept's F1 and of its loss; `price` is the F1 that
    the host loses.
    """
    if not lost > WAS_LOST:
        return OPEN
    if not regained >= REGAINED:
        return NOT_BACK
    if price > KEPT_F1 or rise.high < FEW or beyond_random.high < FEW:
        return NO
    return YES if rise.low > 0 and beyond_random.low > 0 else OPEN


# How sure an answer is

STRONG, SOME, WEAK, NO_STRENGTH = "●●●", "●●", "●", "–"


@rule(
    (STRONG, SOME, WEAK, NO_STRENGTH),
    "●●●: three seeds of each concept, a control subtracted, and a second model that points the "
    "same way. ●●: three seeds and a control, in one model. ●: fewer seeds, no control, or a rule "
    "that was set, or changed in what it decides, after all the numbers were seen. A rule that two "
    "seeds of each concept came after is not such a one. –: no answer.",
    "Written after numbers were seen, and once more when a reader found it kept too loosely: after "
    "the half, and after the erasure that takes the task along, the answers lost a dot.",
    "bbe57df, 3352075",
)
def strength(
    answered: bool, n_seeds: int, controlled: bool, models_agree: bool, post_hoc: bool
) -> str:
    """How sure is an answer?"""
    if not answered:
        return NO_STRENGTH
    if n_seeds < LEAST_RUNS or not controlled or post_hoc:
        return WEAK
    return STRONG if models_agree else SOME
