"""Charts of who took over: whose neurons the concept moved in with, and were they near it before?

Shares stand for what is above or below the layer-matched expectation, and `random`, the control,
has a panel or points of its own.
"""

from __future__ import annotations

import altair as alt
import pandas as pd

from plasticity_utils import vega
from plasticity_utils.charts_parts import (
    CONDITIONS,
    LABEL_GAP,
    in_order,
    need,
    panel,
    stack,
)
from plasticity_utils.charts_questions import NAMES_WIDTH, NARROW, ROW, dots

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
    zero = alt.Chart(pd.DataFrame({"effect": [0.0]})).mark_rule(color=vega.MUTED)
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
        .mark_square(filled=side == "more", opacity=opacity, color=vega.INK)
        for side in ("more", "less")
        for sure, opacity in ((True, 1.0), (False, 0.35))
    ]
