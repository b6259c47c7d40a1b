"""Charts of what kept neurons come to serve: functions, concepts that share, and crowded layers.

Every value stands beside its control: `random` and `none` in the same panel, shuffled pairs in the
same row. A line at zero is what training on with nothing removed does.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.layers import layer_panel
from plasticity_utils.charts.parts import (
    CONDITION_TITLES,
    CONDITIONS,
    LABEL_GAP,
    condition_signs,
    in_order,
    need,
    panel,
    stack,
    value_tooltips,
)

ROW, _TALL_ROW = 16, 24
# Names of rows take room that the axis of a line chart does not; the book's script asks for it.
NAMES_WIDTH = 240
NARROW = theme.CHART_WIDTH + 50 - NAMES_WIDTH
FUNCTIONS = {
    "took_on": "Share that serves a concept it did not serve before",
    "polysemantic": "Share that serves two concepts or more",
    "n_concepts": "Concepts that a neuron serves",
}
_MEASURES = {"interference": "mean |cos|", "dimensionality": "share of a dimension"}
_STAGES = {"removed": "just after removal", "end": "after retraining"}
_SIGNS = {"same": "one end", "any": "both ends"}


def functions_by_layer(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw by layer what kept neurons come to serve beyond training on with nothing removed.

    Parameters
    ----------
    table : DataFrame
        From `neuron_tables.functions_by_layer`.
    interval : str
        What `beyond_none_low` and `beyond_none_high` are.

    Returns
    -------
    alt.VConcatChart
        A panel a quantity.

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["condition", "quantity", "layer", "beyond_none"])
    conditions = in_order(table, "condition", CONDITIONS)
    zero = alt.Chart(pd.DataFrame({"beyond_none": [0.0]})).mark_rule().encode(y="beyond_none:Q")
    panels = []
    for quantity, title in FUNCTIONS.items():
        rows, last = table[table["quantity"] == quantity], quantity == list(FUNCTIONS)[-1]
        drawn = layer_panel(
            rows, "beyond_none", "beyond none", title, conditions, alt.Scale(), last
        )
        drawn.layer = [zero, *drawn.layer]
        panels.append(drawn)
    return stack(
        panels,
        "What kept neurons take on, beyond training on with nothing removed",
        ["Base to end, minus the same under none.", f"Bands: {interval}."],
        "Line charts by layer, one line for each of the conditions "
        f"{', '.join(conditions)}: change of polysemanticity of kept neurons minus the change "
        "where nothing was removed.",
    )


def superposition(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw interference and feature dimensionality by layer, just after removal and at the end.

    Parameters
    ----------
    table : DataFrame
        From `neuron_tables.superposition_by_layer`.
    interval : str

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["condition", "stage", "layer", *_MEASURES])
    base = table[table["stage"] == "base"].drop_duplicates("layer").assign(condition="base")
    conditions = ["base", *in_order(table, "condition", CONDITIONS)]
    panels = []
    for measure, unit in _MEASURES.items():
        for stage, when in _STAGES.items():
            rows = pd.concat([base, table[table["stage"] == stage]])
            last = (measure, stage) == (list(_MEASURES)[-1], "end")
            name = "Interference" if measure == "interference" else "Feature dimensionality"
            # Differences are small beside the values, so these axes do not start at 0.
            scale = alt.Scale(zero=False)
            panels.append(
                layer_panel(rows, measure, unit, f"{name}, {when}", conditions, scale, last)
            )
    return stack(
        panels,
        "Do concepts crowd each other?",
        ["Superposition: more interference, less dimensionality.", f"Bands: {interval}."],
        "Line charts by layer of interference and feature dimensionality of the inventory's "
        f"concepts, just after removal and after retraining, for {', '.join(conditions)}.",
    )


def sharing(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw how alike concepts are that share a neuron, beside shuffled pairs.

    Parameters
    ----------
    table : DataFrame
        From `neuron_tables.sharing`.
    interval : str

    Returns
    -------
    alt.VConcatChart
        A panel for the base and for the end of each condition.

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["condition", "stage", "scope", "sign", "shared", "expected"])
    named = table.assign(row=table["scope"] + ", " + table["sign"].map(_SIGNS))
    order = list(dict.fromkeys(named["row"]))
    moments = list(dict.fromkeys(zip(named["condition"], named["stage"], strict=True)))
    panels = []
    for condition, stage in moments:
        rows = named[(named["condition"] == condition) & (named["stage"] == stage)]
        title = "Base model" if stage == "base" else CONDITION_TITLES[condition]
        last = (condition, stage) == moments[-1]
        axis_title = "mean cosine of the concepts' words" if last else None
        marks = [
            *dots(rows, "row", order, "shared", axis_title, "sharing a neuron"),
            open_dots(rows, "row", order, "expected", axis_title, "shuffled pairs"),
        ]
        panels.append(panel(marks, title, _TALL_ROW * len(order)).properties(width=NARROW))
    chart = stack(
        panels,
        "Are concepts that share a neuron alike?",
        ["Full: pairs that share a neuron. Open: shuffled pairs.", f"Lines: {interval}."],
        "Dot charts, a panel a moment: mean cosine of the words of concepts that share a neuron, "
        f"and of shuffled pairs, for {', '.join(order)}.",
    )
    return chart.resolve_scale(x="shared").properties(usermeta={"gutter": NAMES_WIDTH})


def dots(
    rows: pd.DataFrame,
    y: str,
    order: Sequence[str],
    value: str,
    axis_title: str | None,
    name: str,
    conditions: Sequence[str] = (),
) -> list[alt.Chart]:
    """Draw a full point a row with its interval, beside each other where there are conditions."""
    tooltips = [alt.Tooltip(f"{y}:N", title="row"), *value_tooltips(rows, value, name)]
    base = alt.Chart(rows).encode(y=_rows(y, order), tooltip=tooltips)
    if conditions:
        offset = alt.YOffset("condition:N", sort=list(conditions))
        base = base.encode(yOffset=offset, color=condition_signs(conditions)["color"])
    else:
        base = base.encode(color=alt.value(theme.INK))
    axis = alt.Axis(grid=True)
    scale = alt.Scale(zero=False)
    ends = alt.X(f"{value}_low:Q", title=axis_title, axis=axis, scale=scale)
    point = alt.X(f"{value}:Q", title=axis_title, axis=axis, scale=scale)
    return [
        base.mark_rule(strokeWidth=2).encode(x=ends, x2=f"{value}_high:Q"),
        base.mark_point(filled=True, size=50, opacity=1).encode(x=point),
    ]


def open_dots(
    rows: pd.DataFrame, y: str, order: Sequence[str], value: str, axis_title: str | None, name: str
) -> alt.Chart:
    """Draw an open point a row: what is expected."""
    tooltips = [alt.Tooltip(f"{y}:N", title="row"), *value_tooltips(rows, value, name)]
    x = alt.X(f"{value}:Q", title=axis_title, scale=alt.Scale(zero=False))
    base = alt.Chart(rows).encode(y=_rows(y, order), x=x, tooltip=tooltips)
    return base.mark_point(filled=False, size=60, opacity=1, color=theme.MUTED)


def _rows(column: str, order: Sequence[str]) -> alt.Y:
    axis = alt.Axis(labelPadding=LABEL_GAP, labelLimit=NAMES_WIDTH - 60)
    return alt.Y(f"{column}:N", title=None, sort=list(order), axis=axis)


_TERMS = {
    "similarity": "Nearness to the concept in the base",
    "base": "Selectivity |σ| in the base (persistence)",
}
_NEARNESS = {"profile": "profiles", "words": "words"}


def migration(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw whose neurons gained more or less of the concept than their layers let expect.

    Parameters
    ----------
    table : DataFrame
        From `neuron_tables.migration`.

    Returns
    -------
    alt.VConcatChart
        A panel a condition: a row a former role, a column a concept.

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["concept", "condition", "role", "share", "expected", "difference", "p_adjusted"])
    conditions = in_order(table, "condition", CONDITIONS)
    concepts, roles = (list(dict.fromkeys(table[name])) for name in ("concept", "role"))
    # One scale for all panels, whatever their own largest cell.
    reach = float(table["difference"].abs().max())
    named = table.assign(
        size=table["difference"].abs(),
        side=table["difference"].ge(0).map({True: "more", False: "less"}),
        sure=table["p_adjusted"].lt(0.05),
    )
    panels = []
    for condition in conditions:
        rows = named[named["condition"] == condition]
        base = alt.Chart(rows).encode(
            x=alt.X("concept:N", title=None, sort=concepts),
            y=alt.Y("role:N", title=None, sort=roles, axis=alt.Axis(labelPadding=LABEL_GAP)),
            size=alt.Size("size:Q", title="share minus expected").scale(
                domain=[0, reach], range=[0, 24 * ROW]
            ),
            tooltip=[
                alt.Tooltip("concept:N"),
                alt.Tooltip("role:N", title="served before"),
                alt.Tooltip("share:Q", format=".3f"),
                alt.Tooltip("expected:Q", title="expected from its layers", format=".3f"),
                alt.Tooltip("difference:Q", format="+.3f"),
                alt.Tooltip("p_adjusted:Q", title="p, adjusted", format=".2g"),
            ],
        )
        marks = _squares(base)
        drawn = panel(marks, condition, round(1.6 * ROW) * len(roles))
        panels.append(drawn.properties(width=NARROW))
    chart = stack(
        panels,
        "Whose neurons took the concept on",
        [
            "Area: share of the gain minus what the layers let expect. Full: more; open: less.",
            "Pale: not told apart from chance (permutation, adjusted for all cells).",
        ],
        f"Squares, a panel for each of {', '.join(conditions)}: by former role of neurons and by "
        f"concept ({', '.join(concepts)}), share of the gained selectivity minus the "
        "layer-matched expectation.",
    )
    return chart.properties(usermeta={"gutter": NAMES_WIDTH})


def priming(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw the coefficients of the priming regression, run by run.

    Parameters
    ----------
    table : DataFrame
        From `neuron_tables.priming`.

    Returns
    -------
    alt.VConcatChart
        A panel a term.

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["concept", "seed", "condition", "similarity", "term", "effect", "effect_low"])
    conditions = in_order(table, "condition", CONDITIONS)
    seed = table["seed"].astype(str)
    named = table.assign(
        row=table["concept"] + " " + seed + ", " + table["similarity"].map(_NEARNESS)
    )
    order = list(dict.fromkeys(named["row"]))
    zero = alt.Chart(pd.DataFrame({"effect": [0.0]})).mark_rule(color=theme.MUTED)
    panels = []
    for term, title in _TERMS.items():
        rows = named[named["term"] == term]
        last = term == list(_TERMS)[-1]
        axis_title = "effect (standard deviations)" if last else None
        marks = [zero.encode(x="effect:Q")]
        marks += dots(rows, "row", order, "effect", axis_title, "effect", conditions)
        panels.append(panel(marks, title, 2 * ROW * len(order)).properties(width=NARROW))
    chart = stack(
        panels,
        "Did neurons gain more that were near the concept before?",
        [
            "One row a concept, seed and measure of nearness.",
            "Effects on the gain beyond none; lines: 95 %, over neurons.",
        ],
        "Forest plot, a panel for nearness and one for selectivity in the base: standardised "
        f"effects on the gain beyond none, for the conditions {', '.join(conditions)}.",
    )
    return chart.properties(usermeta={"gutter": NAMES_WIDTH})


def _squares(base: alt.Chart) -> list[alt.Chart]:
    """Draw full squares for more than expected, open ones for less, pale ones for chance."""
    return [
        base.transform_filter(alt.datum.side == side)
        .transform_filter(alt.datum.sure == sure)
        .mark_square(filled=side == "more", opacity=opacity, color=theme.INK)
        for side in ("more", "less")
        for sure, opacity in ((True, 1.0), (False, 0.35))
    ]
