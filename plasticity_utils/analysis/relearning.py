"""Is what comes back relearned, or only read again by the head (question 1)?

The rule, written when the first surgical runs were known and none of `half` or `erase`: of the
surgical verdict it is a description. Over all runs of a regime, each its own pair of `targeted` and
`head`: *relearned* if the 95 % interval of the F1 that training the whole model brings beyond the
head lies above 0, so it does less what training on brings with nothing removed, and its mean is at
least 0.05; *read again* if the head alone regains at least nine tenths of the loss and the interval
ends below 0.05; else *not resolved*.
A head is one reader, and a linear one: `reading` applies the rule to the best of several.
Seeds of one concept share the corpus, and concepts of one seed the base model, so an interval over
runs is narrower than one over fresh corpora would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from plasticity_utils.analysis.readers import by_reader
from plasticity_utils.formats import percent, signed
from plasticity_utils.names import READ_AGAIN
from plasticity_utils.results.across import collateral, relearned, relearning
from plasticity_utils.results.groups import Seeds, check_poolable, concept_names
from plasticity_utils.results.stack import mean_interval

LEAST_EFFECT, NOTHING = 0.05, 0.005
AVERAGED = ["lost", "by_head", "recovery", "beyond_head", "drift", "beyond_drift"]
REGIMES = {
    "surgical": "After a surgical removal",
    "half": "After the removal of half of all neurons",
    "erase": "After the concept was erased from every level",
}
WORDS = {
    "relearned": "**yes, beyond the head**",
    "read again": "**no, only read again**",
    "not resolved": "**not resolved**",
}
PLAIN = {
    "relearned": "This time **the last layer does not find it again**",
    "read again": "Here too **the last layer finds it again**",
    "not resolved": "Whether the last layer finds it again **is not resolved**",
}


@dataclass(frozen=True)
class Relearning:
    """What of the recovery is relearning, over the runs of one regime.

    Attributes
    ----------
    verdict : {"relearned", "read again", "not resolved"}
    values : Series
        Means over runs of lost (F1), by_head and recovery (share of the loss that the head alone
        and the whole model regain), beyond_head, drift and beyond_drift (F1), each with `_low` and
        `_high` (95 %, Student's t), and n_seeds, the number of runs.
    """

    verdict: str
    values: pd.Series


def relearning_of(groups: Sequence[Seeds]) -> Relearning:
    """Average over all runs of these series, and judge by the rule above.

    Parameters
    ----------
    groups : sequence of Seeds
        Series of one regime, model and scale, from `grouping.choose`; at least one.

    Raises
    ------
    InputError
        If the series differ in model or scale.
    """
    check_poolable(groups)
    runs = [run for seeds in groups for run in seeds.runs]
    rows = pd.DataFrame([relearned(run) for run in runs])
    values = mean_interval(rows, [], AVERAGED).iloc[0]
    return Relearning(verdict_of(values), values)


def relearning_sentence(groups: Sequence[Seeds]) -> str:
    """Say in one sentence whether the concepts of these runs were relearned (Markdown)."""
    found = relearning_of(groups)
    values = found.values
    return (
        f"{REGIMES[groups[0].config.regime]} ({concept_names(groups)}): {WORDS[found.verdict]}. Of "
        f"{values['lost']:.2f} F1 that were lost the head alone regains "
        f"{regained(values['by_head'])}; training the whole model brings "
        f"{signed(values['beyond_head'])} beyond it{over_runs(values)}, where further training "
        f"with nothing removed brings {signed(values['drift'])}.{_above_zero(found)}"
    )


def plain_sentence(groups: Sequence[Seeds]) -> str:
    """Say the same for a reader who knows neither F1 nor heads (Markdown).

    Parameters
    ----------
    groups : sequence of Seeds
        Series of one regime, from `grouping.choose`; without any, that nothing was measured.
    """
    if not groups:
        return "Not measured yet."
    found = relearning_of(groups)
    values, n = found.values, int(found.values["n_seeds"])
    runs = f"mean over {n} runs" if n > len(groups) else "one run each" if n > 1 else "one run"
    return (
        f"{PLAIN[found.verdict]}. Taking it out cost {values['lost']:.2f} of the score ({runs}: "
        f"{concept_names(groups)}). Training only the last layer brought back "
        f"{regained(values['by_head'])} of that, training everything "
        f"{regained(values['recovery'])}; the difference is {signed(values['beyond_head'])} of "
        f"the score{_spread(groups)}. {cost_sentence(groups)}"
    )


def relearning_verdicts(regimes: Mapping[str, Sequence[Seeds]]) -> str:
    """Say a sentence a regime, as a list (Markdown).

    Parameters
    ----------
    regimes : mapping of regime to its series
        A regime without any is said not to be measured yet.
    """
    lines = [
        relearning_sentence(groups)
        if groups
        else f"{REGIMES[regime]}: not measured yet; `plasticity run --regime {regime} --scale full`"
        for regime, groups in regimes.items()
    ]
    return "\n".join(f"- {line}" for line in lines)


def model_verdicts(groups: Sequence[Seeds]) -> str:
    """Say a sentence a model, as a list (Markdown).

    Parameters
    ----------
    groups : sequence of Seeds
        Series of one regime, each model's at one scale, as from `grouping.largest`.
    """
    by_model: dict[str, list[Seeds]] = {}
    for seeds in groups:
        by_model.setdefault(seeds.config.model, []).append(seeds)
    return "\n".join(f"- {name}: {relearning_sentence(of)}" for name, of in by_model.items())


def cost_sentence(groups: Sequence[Seeds]) -> str:
    """Say what the other kinds of name lost, and what the random control took from them.

    Parameters
    ----------
    groups : sequence of Seeds
        Series of one regime and model, from `grouping.choose`; without any, nothing is said.
    """
    if not groups:
        return ""
    lost = collateral(groups).groupby(["condition", "concept"])["at_removal"].mean()
    by_concept, random = -lost["targeted"], -lost["random"].mean()
    least, most = by_concept.min(), by_concept.max()
    each = f" (from {least:.2f} to {most:.2f} by concept)" if len(by_concept) > 1 else ""
    return (
        f"It also took {by_concept.mean():.2f} of the score from the other kinds of name{each}; "
        f"the random control took {random:.2f} from them."
    )


def verdict_of(values: pd.Series) -> str:
    """Judge by the rule above.

    Parameters
    ----------
    values : Series
        by_head, beyond_head, beyond_head_low, beyond_head_high, beyond_drift_low;
        the ends of intervals are NaN for one run.

    Returns
    -------
    {"relearned", "read again", "not resolved"}
    """
    beyond, low, high = (values[f"beyond_head{end}"] for end in ("", "_low", "_high"))
    if low > 0 and beyond >= LEAST_EFFECT and values["beyond_drift_low"] > 0:
        return "relearned"
    if values["by_head"] >= READ_AGAIN and high < LEAST_EFFECT:
        return "read again"
    return "not resolved"


def over_runs(values: pd.Series, spread: str = "") -> str:
    """Write the interval of what is beyond the head, in brackets; `spread` stands before it.

    Parameters
    ----------
    values : Series
        Of a `Relearning`.
    spread : str
        With its own sign at the end; of one run there is none to write.
    """
    n = int(values["n_seeds"])
    if n == 1:
        return " (one run)"
    low, high = signed(values["beyond_head_low"]), signed(values["beyond_head_high"])
    return f" ({spread}95 % over {n} runs: {low} to {high})"


def regained(share: float) -> str:
    """Write a share of the loss; a loss that grew or stayed has no share."""
    return "nothing" if share < NOTHING else percent(share)


def _above_zero(found: Relearning) -> str:
    if found.verdict != "read again" or not found.values["beyond_head_low"] > 0:
        return ""
    return f" That is above zero, and under the {LEAST_EFFECT} from which it counts as relearning."


def _spread(groups: Sequence[Seeds]) -> str:
    """The least and the greatest difference of a concept."""
    beyond = relearning(groups)["beyond_head"]
    if len(beyond) < 2:
        return ""
    return f" (from {signed(beyond.min())} to {signed(beyond.max())} by concept)"


READERS = ["head", "linear", "perceptron"]
BY_READERS = WORDS | {"relearned": "**yes, relearned**"}
# From which share of the loss on that the best reader regains a sentence is said.
LEFT = {
    0.9: "**the concept had not left**",
    0.5: "**most of the concept had not left**",
    0.1: "**a part of the concept had not left**",
    float("-inf"): "**it finds next to nothing either**",
}
READER_PLAIN = {
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
    concept, none = rows.loc["targeted"], rows.loc["none"]
    best = concept[READERS].max(axis=1)
    lost = none["removed"] - concept["removed"]
    beyond, drift = concept["end"] - best, none["end"] - none["removed"]
    found = concept[[*READERS, "end"]].assign(
        lost=lost,
        by_head=(best - concept["removed"]) / lost,
        recovery=(concept["end"] - concept["removed"]) / lost,
        beyond_head=beyond,
        drift=drift,
        beyond_drift=beyond - drift,
    )
    values = mean_interval(found, [], [*AVERAGED, *READERS, "end"]).iloc[0]
    values["least"], values["greatest"] = beyond.min(), beyond.max()
    by_concept = found.groupby("concept")[["beyond_head", "by_head"]].mean()
    concepts = mean_interval(by_concept, [], ["beyond_head"]).iloc[0]
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


def reader_sentence(groups: Sequence[Seeds]) -> str:
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
