"""Verdicts on the questions about neurons, with their numbers, in sentences.

Rule and intervals: `verdict_rule`. The smallest effects that would matter are chosen here, after
smoke runs and before any full-scale run was looked at: one kept neuron in twenty, a hundredth of a
cosine or of a dimension, a fiftieth of a cosine between word lists, five hundredths of the gain, a
tenth of a standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from plasticity_utils.analysis import pooled as tables
from plasticity_utils.analysis.pooling import beyond_control, estimate, interval, judged
from plasticity_utils.analysis.rules import LEAST_RUNS, OPEN, Estimate, decide, together
from plasticity_utils.results.groups import Seeds

LEAST_SHARE, LEAST_OVERLAP, LEAST_COSINE = 0.05, 0.01, 0.02
LEAST_MIGRATION, LEAST_PRIMING = 0.05, 0.1
NOT_YET = (
    "No published run has its answers yet: `plasticity run --scale full`, and `plasticity publish` "
    "on the folder that it makes, work them out."
)


def functions(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Judge question 2: new functions, and several at once, among kept neurons beyond `none`.

    Returns
    -------
    DataFrame
        A row a claim, as from `judged`. So do the functions below.
    """
    rows = tables.functions_by_run(groups)
    claims = {
        "took_on": "kept neurons that serve a concept they did not serve before",
        "polysemantic": "kept neurons that serve two concepts or more",
    }
    return pd.DataFrame(
        [
            judged(
                claim,
                beyond_control(rows[rows["quantity"] == quantity], [], "beyond_none"),
                LEAST_SHARE,
            )
            for quantity, claim in claims.items()
        ]
    )


def sharing(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Judge question 5: are parts of speech that share an end of a neuron more alike than shuffled?

    The control is the shuffling itself, so the effect has it subtracted. Runs of one seed share
    their base model, so here it is base models of which there must be three: with fewer the
    interval is that of the shuffling, and the question is not resolved.
    """
    rows = tables.base_sharing(groups, "parts of speech", "same")
    found = Estimate(*rows[["difference", "low", "high"]].mean())
    verdict = OPEN
    if len(rows) >= LEAST_RUNS:
        found = estimate(rows, "difference")
        verdict = decide(found, found, LEAST_COSINE)
    claim = "parts of speech that share an end of a neuron: likeness above shuffled pairs (cosine)"
    return pd.DataFrame(
        [
            {
                "claim": claim,
                "effect": found.value,
                "effect_low": found.low,
                "effect_high": found.high,
                "shared": rows["shared"].mean(),
                "control": rows["expected"].mean(),
                "largest_p": rows["p"].max(),
                "n_models": len(rows),
                "least": LEAST_COSINE,
                "verdict": verdict,
            }
        ]
    )


def superposition(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Judge question 6: more interference and less dimensionality, mean over layers."""
    rows = tables.superposition_change(groups)
    sides = {"interference": 1, "dimensionality": -1}
    return pd.DataFrame(
        [
            judged(
                f"{tables.MEASURES[name]}, beyond none and chance",
                beyond_control(rows, [], name),
                LEAST_OVERLAP,
                side,
            )
            for name, side in sides.items()
        ]
    )


def migration(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Judge question 7: did neurons of other entity types gain more than their layers' share?"""
    rows = tables.migration_by_kind(groups)
    rows = rows[rows["role"] == tables.OTHER_TYPES]
    values = beyond_control(rows, [], "difference")
    claim = "share of the gain that fell to neurons of other entity types, above expectation"
    return pd.DataFrame([judged(claim, values, LEAST_MIGRATION)])


def priming(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Judge question 9: does nearness in the base go with a larger gain, base |σ| held fixed?"""
    rows = tables.priming(groups)
    rows = rows[rows["term"] == "similarity"]
    titles = {"profile": "nearness of the σ profile", "words": "nearness of the top words"}
    return pd.DataFrame(
        [
            judged(
                f"{title} (standard deviations)",
                beyond_control(rows[rows["similarity"] == measure], [], "effect"),
                LEAST_PRIMING,
            )
            for measure, title in titles.items()
            if measure in set(rows["similarity"])
        ]
    )


def runs_sentence(groups: Sequence[Seeds]) -> str:
    """Say which runs a page is about and how its verdicts are reached (Markdown)."""
    if not groups:
        return NOT_YET
    models = ", ".join(sorted({seeds.config.model for seeds in groups}))
    runs = "; ".join(
        f"{seeds.config.about.title} (seed{'s' if len(seeds.runs) > 1 else ''} "
        f"{', '.join(map(str, seeds.numbers))})"
        for seeds in groups
    )
    shared = "Runs of one seed share their base model, so few seeds say little of other seeds."
    return f"**Runs:** {models}, {runs}. Intervals: {interval(groups)}. {shared}\n\n{decide.says}"


def functions_sentence(groups: Sequence[Seeds]) -> str:
    """Answer question 2 (Markdown)."""
    return _answer(
        groups,
        functions,
        lambda rows: (
            f"New functions: {rows['verdict'].iloc[0]}. Several at once: {rows['verdict'].iloc[1]}."
        ),
        "Beyond training on with nothing removed",
    )


def sharing_sentence(groups: Sequence[Seeds]) -> str:
    """Answer question 5 (Markdown)."""
    if not groups:
        return ""
    row = sharing(groups).iloc[0]
    return (
        f"**{_capital(row['verdict'])}.** In the base model (one a seed, {row['n_models']} in "
        "all), the words of two parts of speech that share an end of a neuron have a mean cosine "
        f"of {row['shared']:.3f}, shuffled pairs {row['control']:.3f}: a difference of "
        f"{_range(row, 'effect')}, p at most {row['largest_p']:.2g} by permutation."
    )


def superposition_sentence(groups: Sequence[Seeds]) -> str:
    """Answer question 6 (Markdown)."""
    return _answer(groups, superposition, _all, "From the base to the end, mean over layers")


def migration_sentence(groups: Sequence[Seeds]) -> str:
    """Answer question 7 (Markdown)."""
    return _answer(groups, migration, _all, "Against the layer-matched expectation")


def priming_sentence(groups: Sequence[Seeds]) -> str:
    """Answer question 9 (Markdown)."""
    return _answer(groups, priming, _all, "On the gain beyond none, base |σ| and layer held fixed")


def _answer(
    groups: Sequence[Seeds],
    judge: Callable[[Sequence[Seeds]], pd.DataFrame],
    verdict: Callable[[pd.DataFrame], str],
    against: str,
) -> str:
    if not groups:
        return ""
    rows = judge(groups)
    numbers = "; ".join(
        f"{row['claim']}: {_range(row, 'effect')}, after a random removal {_range(row, 'control')}"
        for _, row in rows.iterrows()
    )
    return f"**{verdict(rows)}** {against}: {numbers} ({interval(groups)})."


def _all(rows: pd.DataFrame) -> str:
    return f"{_capital(together(rows['verdict'].tolist()))}."


def _capital(verdict: str) -> str:
    return verdict[0].upper() + verdict[1:]


def _range(row: pd.Series, name: str) -> str:
    ends = (
        ""
        if pd.isna(row[f"{name}_low"])
        else (f" ({row[f'{name}_low']:+.3f} to {row[f'{name}_high']:+.3f})")
    )
    return f"{row[name]:+.3f}{ends}"
