"""The outcome in sentences for the front page, until that page says them itself."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plasticity_utils.analysis.wording import eraser_share, wording
from plasticity_utils.formats import percent, signed
from plasticity_utils.names import READ_AGAIN
from plasticity_utils.results import tables
from plasticity_utils.results.groups import Seeds


def front(groups: Sequence[Seeds]) -> str:
    """Tell the outcome to a reader who knows none of the terms (Markdown, a bullet a concept)."""
    return "\n".join(f"- {_front_line(seeds)}" for seeds in groups)


def head_verdict(recovery: pd.DataFrame, label: str) -> str:
    """Say what the head alone regains of what was lost.

    Parameters
    ----------
    recovery : DataFrame
        `Seeds.recovery`, by condition.
    label : str
        Entity type of the concept.
    """
    base, removed, end = recovery.loc["head", ["base", "removed", "end"]]
    lost, regained = base - removed, end - removed
    if lost <= tables.MEASURABLE_LOSS:
        return f"the removal took little of {label}, so there was little to regain"
    if regained >= READ_AGAIN * lost:
        return f"{label} had not left the model, it was only not read"
    if regained < (1 - READ_AGAIN) * lost:
        return f"what the head reads no longer carries {label}"
    return f"a part of {label} had never left; the head alone does not regain the rest"


def beyond_head(seeds: Seeds) -> str:
    """Write what training the whole model brings beyond the head, paired by seed."""
    row = _recovery(seeds).loc["targeted"]
    value = signed(row["beyond_head"])
    if pd.isna(row["beyond_head_low"]):
        return value
    low, high = signed(row["beyond_head_low"]), signed(row["beyond_head_high"])
    return f"{value} ({low} to {high} over {len(seeds.runs)} seeds)"


def removed_share(seeds: Seeds) -> str:
    """Write how many neurons were removed; a range where the dose differs between seeds.

    Where the concept was erased: how many dimensions of each level.
    """
    if not seeds.config.chosen.takes_neurons:
        ranks = [rank for run in seeds.runs for rank in run.facts["ranks"]["targeted"]]
        n_levels = len(seeds.facts["ranks"]["targeted"])
        return eraser_share(ranks, seeds.facts["n_neurons"] // n_levels)
    counts = sorted({run.facts["n_removed"] for run in seeds.runs})
    shares = sorted({run.facts["dose"] for run in seeds.runs})
    if len(counts) == 1:
        return f"{counts[0]:,} neurons ({percent(shares[0])})"
    share = f"{percent(shares[0]).removesuffix(' %')}–{percent(shares[-1])}"
    return f"{counts[0]:,}–{counts[-1]:,} neurons ({share}, by seed)"


def _front_line(seeds: Seeds) -> str:
    config, n, words = seeds.config, len(seeds.runs), wording(seeds.config)
    cut = words.front.format(share=removed_share(seeds), n_neurons=seeds.facts["n_neurons"])
    runs = "one run" if n == 1 else f"{n} runs with different random seeds"
    if not config.about.is_entity:
        return _own_front_line(seeds, runs)
    return (
        f"**{config.concept.capitalize()}**: {head_verdict(_recovery(seeds), 'the concept')}"
        f"{_and_more(seeds)}. "
        f"{cut} took the score from "
        f"{_with_interval(seeds, 'targeted', 'base')} to "
        f"{_with_interval(seeds, 'targeted', 'removed')}; {words.front_random} took it to "
        f"{_with_interval(seeds, 'random', 'removed')}. Training only the last, linear layer "
        f"brought {_with_interval(seeds, 'head', 'end')}, training everything "
        f"{_with_interval(seeds, 'targeted', 'end')} ({runs})."
    )


def _own_front_line(seeds: Seeds, runs: str) -> str:
    title = seeds.config.about.title
    return (
        f"**{title[:1].upper()}{title[1:]}** (no entity type; read by a probe): cutting out "
        f"{removed_share(seeds)} of {seeds.facts['n_neurons']:,} took the score from "
        f"{_with_interval(seeds, 'targeted', 'base')} to "
        f"{_with_interval(seeds, 'targeted', 'removed')}; as many random neurons took it to "
        f"{_with_interval(seeds, 'random', 'removed')}. Training everything brought "
        f"{_with_interval(seeds, 'targeted', 'end')} ({runs}). Probes fitted anew: "
        f"{_fitted_anew(seeds)}."
    )


def _fitted_anew(seeds: Seeds) -> str:
    """Say what a probe of the last layer reads in the base, just after removal and at the end.

    Not of the best layer: the embeddings tell the words of a list apart whatever is removed above.
    """
    label, layers = seeds.config.label, seeds.layers
    rows = layers[(layers["condition"] == "targeted") & (layers["entity"] == label)]
    last = rows[rows["layer"] == rows["layer"].max()].set_index("stage")["word_f1"]
    found = (
        f"on the last layer {label} has {last['base']:.3f} in the base model, "
        f"{last['removed']:.3f} just after the removal and {last['end']:.3f} in the end"
    )
    if last["removed"] >= READ_AGAIN * last["base"]:
        return f"{found}, so {label} was still there to be read"
    if last["removed"] < (1 - READ_AGAIN) * last["base"]:
        return f"{found}, so the last layer no longer carried {label}"
    return f"{found}, so a part of {label} was still there to be read"


def _recovery(seeds: Seeds) -> pd.DataFrame:
    return seeds.recovery.set_index("condition")


def _and_more(seeds: Seeds) -> str:
    """Add to what the head finds what training everything surely brings beyond it."""
    if not _recovery(seeds).loc["targeted", "beyond_head_low"] > 0:
        return ""
    return f"; training everything adds {beyond_head(seeds)} to what the last layer finds by itself"


def _row(seeds: Seeds, condition: str, stage: str) -> pd.Series:
    rows = seeds.metrics
    chosen = (rows["condition"] == condition) & (rows["stage"] == stage)
    return rows[chosen & (rows["entity"] == seeds.config.label)].iloc[0]


def _with_interval(seeds: Seeds, condition: str, stage: str) -> str:
    row = _row(seeds, condition, stage)
    return f"{row['entity_f1']:.3f} ({row['entity_f1_low']:.3f}–{row['entity_f1_high']:.3f})"
