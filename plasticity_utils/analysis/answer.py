"""The tables of a concept's page: what was lost and came back, what rose, what a second cut takes.

Each takes the runs of one concept under several seeds. Columns are named after the conditions.
"""

from __future__ import annotations

import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.names import OVERALL
from plasticity_utils.results import tables
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.stack import SHARE_BOUNDS, mean_interval

BEFORE, CUT = "before the cut", "after the cut"
LAST_LAYER = "then the last layer alone is trained"
WHOLE = "or the whole model is trained"
BEYOND_LAST_LAYER = "whole model minus last layer"
PROBE = "probe of the last layer, after the cut"


def answer(group: RunGroup) -> pd.DataFrame:
    """F1 of the concept before the cut, after it, and after either training, beside the controls.

    Columns: step; targeted (its own neurons cut, with the interval), random, none. Of the
    difference, none holds what training brings where nothing was cut. The probe is fitted anew on
    the last layer and scored over words.
    """
    names = ["targeted", "random", "none", "head"]
    # A run need not have every condition.
    recovery = group.recovery.set_index("condition").reindex(names)
    targeted, random, none, head = (recovery.loc[name] for name in names)
    drift = none["end"] - none["base"]
    rows = [
        _row(BEFORE, targeted, "base", random["base"], none["base"]),
        _row(CUT, targeted, "removed", random["removed"], none["removed"]),
        _row(LAST_LAYER, head, "end"),
        _row(WHOLE, targeted, "end", random["end"], none["end"]),
        _row(BEYOND_LAST_LAYER, targeted, "beyond_head", none=drift),
    ]
    probes = _probes(group, "removed").reindex(names)
    probe = probes.loc["targeted"]
    rows.append(_row(PROBE, probe, "word_f1", *probes.loc[["random", "none"], "word_f1"]))
    return pd.DataFrame(rows)


def found(group: RunGroup) -> str:
    """Say by `rules.reader_finds` what was still there to be read in the cut model.

    By the last layer; of a concept that no tag of the model's names, by the probe fitted anew.
    """
    if group.config.concept_info.is_entity and "head" in group.config.conditions:
        head = group.recovery.set_index("condition").loc["head"]
        return rules.reader_finds(head["base"] - head["removed"], head["end"] - head["removed"])
    base, cut = (_probes(group, at).loc["targeted", "word_f1"] for at in ("base", "removed"))
    return rules.reader_finds(base, cut)


def second_cut(group: RunGroup) -> pd.DataFrame:
    """F1 when neurons are cut once more at the end, and what that takes from the other types.

    Columns: again; f1 of the concept, with its interval; others_lost (mean over types and seeds)
    and most_lost (of one type under one seed). What was cut before changes nothing when cut again,
    and stands here only where it may have grown back.
    """
    own = group.reliance
    own = own[(own["condition"] == "targeted") & (own["entity"] == group.config.label)]
    lost = pd.concat([_others_lost(tables.reliance_table(run.reliance), group.config.label)
                      for run in group.runs])  # fmt: skip
    found = lost.groupby("again", sort=False).agg(others_lost=("lost", "mean"),
                                                  most_lost=("lost", "max"))  # fmt: skip
    table = own[["again", "entity_f1", "entity_f1_low", "entity_f1_high"]].merge(
        found.reset_index(), on="again"
    )
    return table if group.config.regrow else table[table["again"] != "same"]


def rises(group: RunGroup) -> pd.DataFrame:
    """By how much |σ| of kept neurons of the last layer rises from the base to the end.

    Columns: condition (targeted, head, none, and others but random); rise for the concept, with
    its interval, and other_types, their mean.
    """
    rows = group.kept_gain
    rows = rows[rows["layer"] == rows["layer"].max()]
    is_own = rows["entity"] == group.config.label
    others = rows[~is_own].groupby("condition")["gain"].mean().rename("other_types")
    own = rows[is_own].set_index("condition")[["gain", "gain_low", "gain_high"]]
    names = [name for name in ("targeted", "head", "none", *own.index) if name in own.index]
    shown = [name for name in dict.fromkeys(names) if name != "random"]
    table = own.join(others).loc[shown].reset_index()
    return table.rename(columns=lambda name: name.replace("gain", "rise"))


def _row(
    step: str, own: pd.Series, value: str, random: float = float("nan"), none: float = float("nan")
) -> dict[str, object]:
    ends = {
        f"targeted{end}": own.get(f"{value}{end}", float("nan")) for end in ("", "_low", "_high")
    }
    return {"step": step, **ends, "random": random, "none": none}


def _probes(group: RunGroup, stage: str) -> pd.DataFrame:
    """F1 of the last layer's probe at a stage, by condition."""
    label = group.config.label
    parts = []
    for run in group.runs:
        rows = run.layers[(run.layers["entity"] == label) & (run.layers["stage"] == stage)]
        parts.append(rows[rows["layer"] == rows["layer"].max()])
    rows = pd.concat(parts, ignore_index=True)
    found = mean_interval(rows, ["condition"], ["word_f1"], bounds={"word_f1": SHARE_BOUNDS})
    return found.set_index("condition")


def _others_lost(reliance: pd.DataFrame, label: str) -> pd.DataFrame:
    rows = reliance[(reliance["condition"] == "targeted")]
    rows = rows[~rows["entity"].isin([label, OVERALL])]
    whole = rows[rows["again"] == "nothing"].set_index("entity")["entity_f1"]
    return rows.assign(lost=rows["entity"].map(whole) - rows["entity_f1"])[["again", "lost"]]
