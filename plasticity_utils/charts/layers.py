"""Charts by layer: where the concept lives, can be read, and is represented alike.

Panels that are compared have one scale. A layer profile by rank is relative: its mean over the
model is always ½, so a rise in one layer is a fall in another, and removal alone already moves it.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from plasticity_utils.charts.parts import (
    LABEL_GAP,
    NOT_FROM_ZERO,
    REMOVAL_ALONE,
    SHUFFLED_WORDS,
    UNIT,
    condition_signs,
    condition_title,
    conditions_in,
    distinct,
    entities_in,
    entity_signs,
    lines,
    need,
    panel,
    stack_panels,
    value_tooltips,
    zero_line,
)
from plasticity_utils.errors import InputError
from plasticity_utils.names import OVER_NEURONS, STAGE_TITLES

_LATER = ("removed", "end")
_MEASURES = {
    "interference": ("Interference", "mean |cos|"),
    "dimensionality": ("Feature dimensionality", "share of a dimension"),
}


def layer_profile(profile: pd.DataFrame, label: str, title: str = "") -> alt.VConcatChart:
    """Draw in which layers the concept lives, before and after, by selectivity and by rank.

    `title`, as of `dose_response`. Each condition has base rows of its own, for its own kept
    neurons; `removal_only` is read from the rows of `targeted`. Where the table has a column
    entity, only the rows of `label` are drawn.
    """
    need(profile, ["condition", "stage", "layer", "selectivity", "rank_saliency", "removal_only"])
    profile = _of_concept(profile, label)
    shown = ["base", "targeted", "none", REMOVAL_ALONE]
    of = {name: profile[profile["condition"] == name] for name in ("targeted", "none")}
    for name, rows in of.items():
        if rows.empty:
            raise InputError(f"no rows of condition {name!r} in the chart's table")
    ends = {name: rows[rows["stage"] == "end"] for name, rows in of.items()}
    bases = {
        name: rows[rows["stage"] == "base"].assign(condition="base") for name, rows in of.items()
    }
    both = {name: pd.concat([bases[name], ends[name]]) for name in of}
    scale = alt.Scale(domain=[0, float(pd.concat(both.values())["selectivity"].max())])
    panels = [
        layer_panel(
            both[name],
            "selectivity",
            "mean |σ|",
            f"Mean |σ| of kept neurons, base and after retraining ({name})",
            shown,
            scale,
        )
        for name in of
    ]
    alone = ends["targeted"][["layer", "removal_only"]].rename(
        columns={"removal_only": "rank_saliency"}
    )
    by_rank = pd.concat([bases["none"], *ends.values(), alone.assign(condition=REMOVAL_ALONE)])
    heading = "Mean rank saliency, all neurons, base and after retraining"
    panels.append(
        layer_panel(by_rank, "rank_saliency", "rank saliency", heading, shown, NOT_FROM_ZERO, True)
    )
    return stack_panels(
        panels,
        title or f"In which layers {label} is found, before removal and after retraining",
        ["Rank saliency is relative: it counts only beyond what removal alone predicts."],
        f"Three line charts by layer: the mean selectivity for {label} in the base model and "
        "after retraining, with the concept's neurons removed and with nothing removed; and mean "
        "rank saliency, beside what removal alone predicts.",
    )


def probe_by_layer(layers: pd.DataFrame, label: str, title: str = "") -> alt.VConcatChart:
    """Draw how well a linear probe reads the concept off each layer; as `layer_profile`."""
    need(layers, ["condition", "stage", "layer", "word_f1"])
    layers = _of_concept(layers, label)
    base = layers[layers["stage"] == "base"].drop_duplicates("layer").assign(condition="base")
    later = layers[layers["stage"].isin(_LATER)]
    conditions = ["base", *conditions_in(later)]
    panels = [
        layer_panel(
            pd.concat([base, later[later["stage"] == stage]]),
            "word_f1",
            "F1 of the probe",
            STAGE_TITLES[stage].capitalize(),
            conditions,
            UNIT,
            last=stage == "end",
        )
        for stage in _LATER
    ]
    return stack_panels(
        panels,
        title or f"Where {label} can still be read: a linear probe on each layer",
        ["A linear probe a layer. F1 over words, on sentences that it was not fitted on."],
        f"Two line charts by layer: F1 of a linear probe for {label} just after removal and after "
        f"retraining, for {', '.join(conditions)}.",
    )


def kept_gain(
    gains: pd.DataFrame, interval: str = OVER_NEURONS, title: str = ""
) -> alt.VConcatChart:
    """Draw how much |σ| of kept neurons rose for each entity type, by layer, a panel a condition.

    `interval` says what `gain_low` and `gain_high` are; `title`, as of `dose_response`.
    """
    need(gains, ["condition", "entity", "layer", "gain"])
    entities, conditions = entities_in(gains), conditions_in(gains)
    y = alt.Y("gain:Q", title="mean rise of |σ|", axis=_value_axis())
    panels = []
    for condition in conditions:
        rows = gains[gains["condition"] == condition]
        tooltips = [
            alt.Tooltip("entity:N", title="entity type"),
            alt.Tooltip("layer:Q", format="d"),
            *value_tooltips(rows, "gain", "mean rise of |σ|"),
        ]
        x = _layer_axis(condition == conditions[-1])
        drawn = lines(rows, x, y, "gain", entity_signs(entities), tooltips)
        panels.append(panel([zero_line("gain", "y"), *drawn], condition_title(condition), 110))
    chart = stack_panels(
        panels,
        title or "What the kept neurons gain for each entity type, by layer",
        [
            "Selectivity σ = 2·AUROC − 1; base model to the end of retraining.",
            f"Bands: {interval}.",
        ],
        f"Line chart by layer, a panel for each of the conditions {', '.join(conditions)}: mean "
        f"rise of absolute selectivity over kept neurons, one line for each of "
        f"{', '.join(entities)}.",
    )
    return chart.resolve_scale(y="shared")


def released_profile(table: pd.DataFrame, title: str = "") -> alt.VConcatChart:
    """Draw the released ranks by layer, of all neurons and of those that were left intact.

    `title`, as of `dose_response`.
    """
    need(table, ["neurons", "condition", "layer", "rank_saliency"])
    groups = distinct(table, "neurons")
    panels = [
        layer_panel(
            table[table["neurons"] == group],
            "rank_saliency",
            "rank saliency",
            group,
            ["base", "targeted", REMOVAL_ALONE],
            UNIT,
            group == groups[-1],
        )
        for group in groups
    ]
    return stack_panels(
        panels,
        title or "Released ranks of DistilBERT, locations",
        ["DistilBERT, locations. base: before removal. targeted: after 8 epochs of retraining."],
        f"Line charts by layer, a panel for each of {', '.join(groups)}: mean rank saliency before "
        "removal and after retraining, and what removal alone predicts.",
    )


def cka_by_layer(table: pd.DataFrame, title: str, interval: str) -> alt.VConcatChart:
    """Draw how alike the concept's words are represented before and after, a panel a concept."""
    need(table, ["concept", "condition", "layer", "cka_debiased"])
    conditions, concepts = conditions_in(table), distinct(table, "concept")
    # A fall of some hundredths must be seen, so this axis does not start at 0.
    least = float(table.filter(like="cka_debiased").min().min())
    scale = alt.Scale(domain=[min(least, 0.99), 1])
    panels = [
        layer_panel(
            table[table["concept"] == concept],
            "cka_debiased",
            "CKA",
            concept,
            conditions,
            scale,
            concept == concepts[-1],
        )
        for concept in concepts
    ]
    return stack_panels(
        panels,
        title,
        ["Linear CKA, debiased: 1 is the same up to rotation and scale.", f"Bands: {interval}."],
        f"Line chart by layer, a panel for each of {', '.join(concepts)}: linear CKA of the base "
        f"and the retrained model, one line for each of {', '.join(conditions)}.",
    )  # fmt: skip


def superposition(table: pd.DataFrame, title: str, interval: str) -> alt.VConcatChart:
    """Draw interference and feature dimensionality by layer, beside those of shuffled words."""
    need(table, ["condition", "layer", *_MEASURES])
    conditions = conditions_in(table)
    panels = [
        layer_panel(table, measure, unit, name, conditions, UNIT, measure == list(_MEASURES)[-1])
        for measure, (name, unit) in _MEASURES.items()
    ]
    return stack_panels(
        panels,
        title,
        [f"{SHUFFLED_WORDS}: what chance gives.", f"Bands: {interval}."],
        "Line charts by layer of interference and feature dimensionality of the inventory's "
        f"concepts, for {', '.join(conditions)}.",
    )


def layer_panel(
    rows: pd.DataFrame,
    value: str,
    axis_title: str,
    title: str,
    conditions: Sequence[str],
    scale: alt.Scale,
    last: bool = False,
) -> alt.LayerChart:
    """Draw one value by layer, one line a condition; the last panel of a stack names the axis."""
    y = alt.Y(f"{value}:Q", title=axis_title, axis=_value_axis(), scale=scale)
    tooltips = [
        alt.Tooltip("condition:N"),
        alt.Tooltip("layer:Q", format="d"),
        *value_tooltips(rows, value, axis_title),
    ]
    signs = condition_signs(conditions)
    return panel(lines(rows, _layer_axis(last), y, value, signs, tooltips), title, 140)


def _layer_axis(last: bool) -> alt.X:
    """Give the axis that all panels share; only the last one writes its title."""
    title = "layer (0 = embedding)" if last else None
    return alt.X("layer:Q", title=title, axis=alt.Axis(tickMinStep=1))


def _value_axis() -> alt.Axis:
    return alt.Axis(tickCount=5, labelPadding=LABEL_GAP)


def _of_concept(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """Keep the concept's rows of a table that may hold every entity type."""
    if "entity" not in frame.columns:
        return frame
    entities_in(frame)
    rows = frame[frame["entity"] == label]
    need(rows, ["layer"])
    return rows
