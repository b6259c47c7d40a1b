"""Is what comes back relearned, or only read again (question 1)?

The rule, fixed before the runs were looked at. Over all runs of a regime, each its own pair of
`concept` and `head`: *relearned* if the 95 % interval of the F1 that training the whole model
brings beyond the head lies above 0 and its mean is at least 0.05; *read again* if the head alone
regains at least nine tenths of the loss and the interval ends below 0.05; else *not resolved*.
Seeds of one concept share the corpus, and concepts of one seed the base model, so an interval over
runs is narrower than one over fresh corpora would be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from plasticity_utils.across import relearned
from plasticity_utils.seeds import Seeds, over_seeds
from plasticity_utils.sentences import percent, signed
from plasticity_utils.verdicts import READ_AGAIN

LEAST_EFFECT = 0.05
AVERAGED = ["lost", "by_head", "recovery", "beyond_head", "drift"]
REGIMES = {
    "surgical": "After a surgical removal",
    "half": "After the removal of half of all neurons",
    "erase": "After the concept was erased from every level",
}
WORDS = {
    "relearned": "**yes, relearned**",
    "read again": "**no, only read again**",
    "not resolved": "**not resolved**",
}
PLAIN = {
    "relearned": "This time the concept **was relearned**",
    "read again": "Here too the concept **was only not read**",
    "not resolved": "Whether the concept was relearned **is not resolved**",
}


@dataclass(frozen=True)
class Relearning:
    """What of the recovery is relearning, over the runs of one regime.

    Attributes
    ----------
    verdict : {"relearned", "read again", "not resolved"}
    values : Series
        Means over runs of lost (F1), by_head and recovery (share of the loss that the head alone
        and the whole model regain), beyond_head and drift (F1), each with `_low` and `_high` (95 %,
        Student's t), and n_seeds, the number of runs.
    """

    verdict: str
    values: pd.Series


def relearning_of(groups: Sequence[Seeds]) -> Relearning:
    """Average over all runs of these series, and judge by the rule above.

    Parameters
    ----------
    groups : sequence of Seeds
        Series of one regime, from `across.choose`; at least one.
    """
    runs = [run for seeds in groups for run in seeds.runs]
    rows = pd.DataFrame([relearned(run) for run in runs]).assign(row="")
    values = over_seeds(rows, ["row"], AVERAGED).iloc[0]
    return Relearning(verdict_of(values), values)


def relearning_sentence(groups: Sequence[Seeds]) -> str:
    """Say in one sentence whether the concepts of these runs were relearned (Markdown)."""
    found = relearning_of(groups)
    values, n = found.values, int(found.values["n_seeds"])
    interval = f" (95 % over {n} runs: {_beyond_head(values)})" if n > 1 else " (one run)"
    return (
        f"{REGIMES[groups[0].config.regime]}: {WORDS[found.verdict]}. Of {values['lost']:.2f} F1 "
        f"that were lost the head alone regains {percent(values['by_head'])}; training the whole "
        f"model brings {signed(values['beyond_head'])} beyond it{interval}, where further training "
        f"with nothing removed brings {signed(values['drift'])}."
    )


def plain_sentence(groups: Sequence[Seeds]) -> str:
    """Say the same for a reader who knows neither F1 nor heads (Markdown).

    Parameters
    ----------
    groups : sequence of Seeds
        Series of one regime, from `across.choose`; without any, that nothing was measured.
    """
    if not groups:
        return "Not measured yet."
    found = relearning_of(groups)
    values, n = found.values, int(found.values["n_seeds"])
    runs = f"mean over {n} runs" if n > 1 else "one run"
    interval = f", 95 % {_beyond_head(values)}" if n > 1 else ""
    return (
        f"{PLAIN[found.verdict]}. Taking it out cost {values['lost']:.2f} of the score ({runs}: "
        f"{', '.join(seeds.config.about.title.lower() for seeds in groups)}). Training only the "
        f"last layer brought back {percent(values['by_head'])} of that, training everything "
        f"{percent(values['recovery'])}; the difference is {signed(values['beyond_head'])} of the "
        f"score{interval}."
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


def verdict_of(values: pd.Series) -> str:
    """Judge by the rule above.

    Parameters
    ----------
    values : Series
        by_head, beyond_head, beyond_head_low, beyond_head_high; the last two NaN for one run.

    Returns
    -------
    {"relearned", "read again", "not resolved"}
    """
    beyond, low, high = (values[f"beyond_head{end}"] for end in ("", "_low", "_high"))
    if low > 0 and beyond >= LEAST_EFFECT:
        return "relearned"
    if values["by_head"] >= READ_AGAIN and high < LEAST_EFFECT:
        return "read again"
    return "not resolved"


def _beyond_head(values: pd.Series) -> str:
    return f"{signed(values['beyond_head_low'])} to {signed(values['beyond_head_high'])}"
