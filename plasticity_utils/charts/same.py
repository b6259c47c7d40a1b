"""Charts of two questions: is it the same concept, and which neurons carry its parts?

Lines by layer are drawn as in `charts_layers`, a panel a concept; colours are those of the
conditions. In the matrix of transitions a field is the darker the larger its share of the row, and
says how many neurons it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.layers import layer_panel
from plasticity_utils.charts.parts import (
    CONDITIONS,
    LABEL_GAP,
    condition_signs,
    in_order,
    need,
    panel,
    stack,
    value_tooltips,
)
from plasticity_utils.names import NOTHING

ALIGNED = {"none": "as it is", "procrustes": "aligned", "shuffled": "aligned to shuffled words"}
_NAMES_WIDTH = 200
_NARROW = theme.CHART_WIDTH + 50 - _NAMES_WIDTH
_ROW = 15
_FIELD = 26
# Clusters are named by several words; the axis below has room for the first.
_FIRST_WORD = "split(datum.label, ' · ')[0]"


def cka_by_layer(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw how alike the concept's words are represented before and after, by layer.

    Parameters
    ----------
    table : DataFrame
        concept, condition, layer (0 = embedding), cka_debiased; with several seeds also its `_low`
        and `_high`.
    interval : str
        What `_low` and `_high` are.

    Returns
    -------
    alt.VConcatChart
        A panel a concept.

    Raises
    ------
    InputError
        If a column is missing or a condition is unknown.
    """
    need(table, ["concept", "condition", "layer", "cka_debiased"])
    conditions, concepts = in_order(table, "condition", CONDITIONS), _distinct(table, "concept")
    panels = [
        layer_panel(
            table[table["concept"] == concept],
            "cka_debiased",
            "CKA",
            concept,
            conditions,
            # A fall of some hundredths must be seen, so this axis does not start at 0.
            alt.Scale(zero=False),
            concept == concepts[-1],
        )
        for concept in concepts
    ]
    return stack(
        panels,
        "How alike the concept's words are: base and after retraining",
        ["Linear CKA, debiased: 1 is the same geometry up to rotation and scale.", _said(interval)],
        f"Line chart by layer, a panel for each of {', '.join(concepts)}: linear CKA of the base "
        f"and the retrained model, one line for each of {', '.join(conditions)}.",
    )


def transfer_by_layer(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw how well a probe of the base reads the retrained model, before and after alignment.

    Parameters
    ----------
    table : DataFrame
        concept, condition, layer (0 = embedding), alignment (`base`, `none`, `procrustes`,
        `shuffled`), f1; with several seeds also f1_low and f1_high. `base` is the ceiling, the same
        under every condition.
    interval : str
        What `f1_low` and `f1_high` are.

    Returns
    -------
    alt.VConcatChart
        A panel a concept and alignment.

    Raises
    ------
    InputError
        If a column is missing, or a condition or an alignment is unknown.
    """
    need(table, ["concept", "condition", "layer", "alignment", "f1"])
    drawn = [name for name in in_order(table, "alignment", ("base", *ALIGNED)) if name != "base"]
    conditions, concepts = in_order(table, "condition", CONDITIONS), _distinct(table, "concept")
    panels = []
    for concept in concepts:
        own = table[table["concept"] == concept]
        ceiling = own[own["alignment"] == "base"].drop_duplicates("layer").assign(condition="base")
        for alignment in drawn:
            rows = pd.concat([ceiling, own[own["alignment"] == alignment]])
            last = concept == concepts[-1] and alignment == drawn[-1]
            title = f"{concept}, {ALIGNED[alignment]}"
            signs, scale = ["base", *conditions], alt.Scale(domain=[0, 1])
            panels.append(layer_panel(rows, "f1", "F1", title, signs, scale, last))
    return stack(
        panels,
        "A probe of the base model on the retrained one",
        ["base: the probe on its own model. F1 over words that it was not fitted on.",
         _said(interval)],
        f"Line charts by layer for {', '.join(concepts)}: F1 of the base's probe "
        f"{', '.join(ALIGNED[name] for name in drawn)}, for {', '.join(conditions)}.",
    )  # fmt: skip


def carrier_counts(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw how many kept neurons carry each part of a concept, before and after.

    Parameters
    ----------
    table : DataFrame
        concept, part, condition (`base` or a condition), n; with several seeds also n_low, n_high.
    interval : str
        What `n_low` and `n_high` are.

    Returns
    -------
    alt.VConcatChart
        A panel a concept.

    Raises
    ------
    InputError
        If a column is missing or a condition is unknown.
    """
    need(table, ["concept", "part", "condition", "n"])
    shown, concepts = (
        in_order(table, "condition", ("base", *CONDITIONS)),
        _distinct(table, "concept"),
    )
    color = condition_signs(shown)["color"]
    panels = []
    for concept in concepts:
        own = table[table["concept"] == concept]
        title = "neurons" if concept == concepts[-1] else None
        axis = alt.Axis(grid=True, tickMinStep=1)
        base = alt.Chart(own).encode(
            y=_names("part", _distinct(own, "part")),
            yOffset=alt.YOffset("condition:N", sort=shown),
            color=color,
            tooltip=[
                alt.Tooltip("part:N"),
                alt.Tooltip("condition:N"),
                *value_tooltips(own, "n", "neurons"),
            ],
        )
        layers = [
            base.mark_point(size=50, opacity=1).encode(x=alt.X("n:Q", title=title, axis=axis))
        ]
        if "n_low" in own:
            ends = alt.X("n_low:Q", title=title, axis=axis)
            layers.insert(0, base.mark_rule(strokeWidth=2).encode(x=ends, x2="n_high:Q"))
        height = _ROW * len(shown) * own["part"].nunique()
        panels.append(panel(layers, concept, height).properties(width=_NARROW))
    chart = stack(
        panels,
        "Kept neurons that carry each part of a concept",
        ["base: before. Others: after retraining, by condition.", _said(interval)],
        f"Dot chart, a panel for each of {', '.join(concepts)}: kept neurons that carry each part, "
        f"for {', '.join(shown)}.",
    )
    return chart.properties(usermeta={"gutter": _NAMES_WIDTH})


def part_transitions(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw what kept neurons carried before against what they carry after.

    Parameters
    ----------
    table : DataFrame
        concept, condition, base, end (names of parts, or `nothing`), n (neurons), share (of those
        with this base, in [0, 1]).

    Returns
    -------
    alt.VConcatChart
        A panel a concept and condition.

    Raises
    ------
    InputError
        If a column is missing or a condition is unknown.
    """
    need(table, ["concept", "condition", "base", "end", "n", "share"])
    conditions, concepts = in_order(table, "condition", CONDITIONS), _distinct(table, "concept")
    panels = []
    for concept in concepts:
        for condition in conditions:
            own = table[(table["concept"] == concept) & (table["condition"] == condition)]
            panels.append(_matrix(own, f"{concept}, {condition}"))
    chart = stack(
        panels,
        "What kept neurons carry: before (rows) and after (columns)",
        ["Numbers: neurons, mean over seeds. Darker: a larger share of the row."],
        f"Matrices for {', '.join(concepts)} under {', '.join(conditions)}: how many kept neurons "
        "that carried one part in the base carry each part after retraining.",
    )
    return chart.properties(usermeta={"gutter": _NAMES_WIDTH})


def _matrix(own: pd.DataFrame, title: str) -> alt.LayerChart:
    order = [name for name in _distinct(own, "base") if name != NOTHING]
    order += [name for name in _distinct(own, "end") if name not in (*order, NOTHING)]
    order.append(NOTHING)
    # On a phone there is no room for all of them; the rows bear the same names in the same order.
    below = alt.Axis(labelExpr=_FIRST_WORD, labelOverlap="greedy", labelSeparation=4)
    base = alt.Chart(own).encode(
        x=alt.X("end:N", title=None, sort=order, axis=below),
        y=_names("base", order),
        tooltip=[
            alt.Tooltip("base:N", title="before"),
            alt.Tooltip("end:N", title="after"),
            alt.Tooltip("n:Q", title="neurons", format=".1f"),
            alt.Tooltip("share:Q", title="share of the row", format=".3f"),
        ],
    )
    shade = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0, 0.6]), legend=None)
    fields = base.mark_rect(color=theme.MUTED).encode(opacity=shade)
    numbers = base.mark_text().encode(text=alt.Text("n:Q", format=".0f"))
    height = _FIELD * own["base"].nunique()
    return panel([fields, numbers], title, height).properties(width=_NARROW)


def _names(column: str, order: Sequence[str]) -> alt.Y:
    axis = alt.Axis(labelPadding=LABEL_GAP, labelLimit=_NAMES_WIDTH - 2 * LABEL_GAP)
    return alt.Y(f"{column}:N", title=None, sort=list(order), axis=axis)


def _distinct(table: pd.DataFrame, column: str) -> list[str]:
    return list(dict.fromkeys(table[column]))


def _said(interval: str) -> str:
    return f"Intervals: {interval}."
