"""Would a better reader have found it (question 1)?

The head is trained no longer than the model is, and it is linear. So the rule of `relearning` is
applied once more, with the best of several readers in the head's place: the head itself, and the
ones of `readers`, which are fitted on the same frozen states until they converge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from plasticity_utils.questions.relearning import (
    AVERAGED,
    LEAST_EFFECT,
    REGIMES,
    WORDS,
    Relearning,
    over_runs,
    regained,
    verdict_of,
)
from plasticity_utils.readers import by_reader
from plasticity_utils.seeds import Seeds, over_seeds
from plasticity_utils.sentences import signed

READERS = ["head", "linear", "perceptron"]
BY_READERS = WORDS | {"relearned": "**yes, relearned**"}
# From which share of the loss on that the best reader regains a sentence is said.
LEFT = {
    0.9: "**the concept had not left**",
    0.5: "**most of the concept had not left**",
    0.1: "**a part of the concept had not left**",
    float("-inf"): "**it finds next to nothing either**",
}
PLAIN = {
    "relearned": "so much **was relearned**",
    "read again": "too little to count as relearned",
    "not resolved": "whether so much was relearned **is not resolved**",
}


def reading_of(table: pd.DataFrame) -> Relearning:
    """Judge what was relearned by the best reader of each run.

    Parameters
    ----------
    table : DataFrame
        From `by_reader`, of one regime; at least one run.

    Returns
    -------
    Relearning
        `by_head` and `beyond_head` of its values are those of the best reader. Its values also have
        the mean F1 of head, linear, perceptron and end, the least and the greatest of what a run
        brings beyond its best reader; and where the seeds of each concept are averaged first, the
        least and the greatest by_head of a concept (by_head_least, by_head_greatest), and
        n_concepts with the ends of the interval of beyond_head over them (concepts_low,
        concepts_high).
    """
    rows = table.set_index(["condition", "concept", "seed"])
    concept, none = rows.loc["concept"], rows.loc["none"]
    best = concept[READERS].max(axis=1)
    lost = none["removed"] - concept["removed"]
    beyond, drift = concept["end"] - best, none["end"] - none["removed"]
    found = concept[[*READERS, "end"]].assign(
        row="",
        lost=lost,
        by_head=(best - concept["removed"]) / lost,
        recovery=(concept["end"] - concept["removed"]) / lost,
        beyond_head=beyond,
        drift=drift,
        beyond_drift=beyond - drift,
    )
    values = over_seeds(found, ["row"], [*AVERAGED, *READERS, "end"]).iloc[0]
    values["least"], values["greatest"] = beyond.min(), beyond.max()
    by_concept = found.groupby("concept")[["beyond_head", "by_head"]].mean().assign(row="")
    concepts = over_seeds(by_concept, ["row"], ["beyond_head"]).iloc[0]
    values["by_head_least"] = by_concept["by_head"].min()
    values["by_head_greatest"] = by_concept["by_head"].max()
    values["n_concepts"] = concepts["n_seeds"]
    values["concepts_low"] = concepts["beyond_head_low"]
    values["concepts_high"] = concepts["beyond_head_high"]
    return Relearning(verdict_of(values), values)


def reading_verdicts(regimes: Mapping[str, Sequence[Seeds]]) -> str:
    """Say a sentence a regime, as a list (Markdown).

    Parameters
    ----------
    regimes : mapping of regime to its series
        Runs without readers are left out, and so is a regime without any that has them.
    """
    tables = {regime: by_reader(groups) for regime, groups in regimes.items()}
    lines = [_sentence(regime, table) for regime, table in tables.items() if not table.empty]
    return "\n".join(f"- {line}" for line in lines)


def plain_sentence(groups: Sequence[Seeds]) -> str:
    """Say the same of one regime for a reader who knows no terms (Markdown).

    Parameters
    ----------
    groups : sequence of Seeds
        As in `reading_verdicts`; where no run has readers, nothing is said.
    """
    table = by_reader(groups)
    if table.empty:
        return ""
    found = reading_of(table)
    values = found.values
    # What holds of the mean need not hold of each concept.
    left = next(words for share, words in LEFT.items() if values["by_head_least"] >= share)
    return (
        "But not every reader is linear. One with a hidden layer, fitted on the same frozen "
        f"network, finds the names at {values['perceptron']:.2f}. The best reader "
        f"{_regains(values)}: {left}. Training everything brings "
        f"{signed(values['beyond_head'])} beyond it{_interval(values)}: {PLAIN[found.verdict]}."
        f"{_over_concepts(found)}"
    )


def _sentence(regime: str, table: pd.DataFrame) -> str:
    found = reading_of(table)
    values = found.values
    names = ", ".join(table["concept"].str.lower().unique())
    return (
        f"{REGIMES[regime]} ({names}): {BY_READERS[found.verdict]}. The head is at "
        f"{values['head']:.3f} in the end, a linear reader that has converged at "
        f"{values['linear']:.3f}, a perceptron at {values['perceptron']:.3f}. The best of them "
        f"{_regains(values)}; training the whole model, to {values['end']:.3f}, brings "
        f"{signed(values['beyond_head'])} beyond it{_interval(values)}.{_over_concepts(found)}"
    )


def _regains(values: pd.Series) -> str:
    least, greatest = (regained(values[f"by_head_{end}"]) for end in ("least", "greatest"))
    each = f" (from {least} to {greatest} by concept)" if values["n_concepts"] > 1 else ""
    return f"regains {regained(values['by_head'])} of what was lost{each}"


def _interval(values: pd.Series) -> str:
    least, greatest = signed(values["least"]), signed(values["greatest"])
    return over_runs(values, f"from {least} to {greatest} by run; ")


def _over_concepts(found: Relearning) -> str:
    """Concepts are few and differ: the seeds of one say little about another."""
    values = found.values
    n_concepts, low, high = (
        values[name] for name in ("n_concepts", "concepts_low", "concepts_high")
    )
    if not 1 < n_concepts < values["n_seeds"]:
        return ""
    at_large = {"relearned": low > 0, "read again": high < LEAST_EFFECT, "not resolved": True}
    limit = "" if at_large[found.verdict] else f"; so it speaks of these {n_concepts:.0f} alone"
    return (
        f" With the seeds of each concept averaged first, 95 % over {n_concepts:.0f} concepts: "
        f"{signed(low)} to {signed(high)}{limit}."
    )
