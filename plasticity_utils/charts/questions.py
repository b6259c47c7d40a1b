"""Charts of what kept neurons come to serve: concepts that share, parts, and who took over.

Every value stands beside its control: `random` and `none` in the same panel, shuffled pairs in the
same row. In the matrix of transitions a field is the darker the larger its share of the row.
"""

from __future__ import annotations

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import (
    LABEL_GAP,
    NOT_FROM_ZERO,
    ROW,
    condition_signs,
    condition_title,
    conditions_in,
    distinct,
    dots,
    need,
    panel,
    rows,
    stack_of_rows,
    value_tooltips,
    zero_line,
)
from plasticity_utils.names import NOTHING

_TALL_ROW, _FIELD = 24, 26
_WIDE_NAMES = 240
_SIGNS = {"same": "one end", "any": "both ends"}
_TERMS = {
    "similarity": "Nearness to the concept in the base",
    "base": "Selectivity |σ| in the base (persistence)",
}
_NEARNESS = {"profile": "profiles", "words": "words"}
# Clusters are named by several words; the axis below has room for the first.
_FIRST_WORD = "split(datum.label, ' · ')[0]"


def sharing(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw how alike concepts are that share a neuron, beside shuffled pairs, a panel a moment."""
    need(table, ["condition", "stage", "scope", "sign", "shared", "expected"])
    named = table.assign(row=table["scope"] + ", " + table["sign"].map(_SIGNS))
    order = distinct(named, "row")
    moments = list(dict.fromkeys(zip(named["condition"], named["stage"], strict=True)))
    panels = []
    for condition, stage in moments:
        own = named[(named["condition"] == condition) & (named["stage"] == stage)]
        title = "Base model" if stage == "base" else condition_title(condition)
        last = (condition, stage) == moments[-1]
        axis_title = "mean cosine of the concepts' words" if last else None
        marks = []
        for value, what in (("shared", "sharing a neuron"), ("expected", "shuffled pairs")):
            x = _value(value, axis_title)
            tooltips = [alt.Tooltip("row:N"), *value_tooltips(own, value, what)]
            marks += dots(own, x, rows("row", order), value, tooltips, value == "shared")
        panels.append(panel(marks, title, _TALL_ROW * len(order)))
    return stack_of_rows(
        panels,
        "Are concepts that share a neuron alike?",
        ["Full: pairs that share a neuron. Open: shuffled pairs.", f"Lines: {interval}."],
        "Dot charts, a panel a moment: mean cosine of the words of concepts that share a neuron, "
        f"and of shuffled pairs, for {', '.join(order)}.",
        _WIDE_NAMES,
    )


def priming(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw the coefficients of the priming regression, run by run, a panel a term."""
    need(table, ["concept", "seed", "condition", "similarity", "term", "effect", "effect_low"])
    conditions = conditions_in(table)
    seed = table["seed"].astype(str)
    named = table.assign(
        row=table["concept"] + " " + seed + ", " + table["similarity"].map(_NEARNESS)
    )
    order = distinct(named, "row")
    signs = {
        "color": condition_signs(conditions)["color"],
        "yOffset": alt.YOffset("condition:N", sort=conditions),
    }
    panels = []
    for term, title in _TERMS.items():
        own = named[named["term"] == term]
        x = _value("effect", "effect (standard deviations)" if term == list(_TERMS)[-1] else None)
        tooltips = [alt.Tooltip("row:N"), alt.Tooltip("condition:N"),
                    *value_tooltips(own, "effect", "effect")]  # fmt: skip
        marks = [zero_line("effect", "x")]
        marks += dots(own, x, rows("row", order), "effect", tooltips, **signs)
        panels.append(panel(marks, title, 2 * 16 * len(order)))
    return stack_of_rows(
        panels,
        "Did neurons gain more that were near the concept before?",
        [
            "One row a concept, seed and measure of nearness.",
            "Effects on the gain beyond none; lines: 95 %, over neurons.",
        ],
        "Forest plot, a panel for nearness and one for selectivity in the base: standardised "
        f"effects on the gain beyond none, for the conditions {', '.join(conditions)}.",
        _WIDE_NAMES,
    )


def migration(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw whose neurons gained more or less of the concept than their layers let expect."""
    need(table, ["concept", "condition", "role", "share", "expected", "difference", "p_adjusted"])
    conditions = conditions_in(table)
    concepts, roles = distinct(table, "concept"), distinct(table, "role")
    # One scale for all panels, whatever their own largest cell.
    reach = float(table["difference"].abs().max())
    named = table.assign(
        size=table["difference"].abs(),
        side=table["difference"].ge(0).map({True: "more", False: "less"}),
        sure=table["p_adjusted"].lt(0.05),
    )
    panels = []
    for condition in conditions:
        base = alt.Chart(named[named["condition"] == condition]).encode(
            x=alt.X("concept:N", title=None, sort=concepts),
            y=alt.Y("role:N", title=None, sort=roles, axis=alt.Axis(labelPadding=LABEL_GAP)),
            size=alt.Size("size:Q", title="share minus expected").scale(
                domain=[0, reach], range=[0, 24 * 16]
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
        # Full for more than expected, open for less, pale for what chance gives.
        marks = [
            base.transform_filter(alt.datum.side == side)
            .transform_filter(alt.datum.sure == sure)
            .mark_square(filled=side == "more", opacity=opacity, color=theme.INK)
            for side in ("more", "less")
            for sure, opacity in ((True, 1.0), (False, 0.35))
        ]
        panels.append(panel(marks, condition, _FIELD * len(roles)))
    return stack_of_rows(
        panels,
        "Whose neurons took the concept on",
        [
            "Area: share of the gain minus what the layers let expect. Full: more; open: less.",
            "Pale: not told apart from chance (permutation, adjusted for all cells).",
        ],
        f"Squares, a panel for each of {', '.join(conditions)}: by former role of neurons and by "
        f"concept ({', '.join(concepts)}), share of the gained selectivity minus the "
        "layer-matched expectation.",
        _WIDE_NAMES,
    )


def carrier_counts(table: pd.DataFrame, interval: str) -> alt.VConcatChart:
    """Draw how many kept neurons carry each part of a concept, in the base and by condition."""
    need(table, ["concept", "part", "condition", "n_neurons"])
    shown, concepts = conditions_in(table), distinct(table, "concept")
    signs = {
        "color": condition_signs(shown)["color"],
        "yOffset": alt.YOffset("condition:N", sort=shown),
    }
    panels = []
    for concept in concepts:
        own = table[table["concept"] == concept]
        title = "neurons" if concept == concepts[-1] else None
        x = alt.X("n_neurons:Q", title=title, axis=alt.Axis(grid=True, tickMinStep=1))
        tooltips = [alt.Tooltip("part:N"), alt.Tooltip("condition:N"),
                    *value_tooltips(own, "n_neurons", "neurons")]  # fmt: skip
        marks = dots(own, x, rows("part", distinct(own, "part")), "n_neurons", tooltips, **signs)
        panels.append(panel(marks, concept, ROW * len(shown) * own["part"].nunique()))
    return stack_of_rows(
        panels,
        "Kept neurons that carry each part of a concept",
        ["base: before. Others: after retraining, by condition.", f"Intervals: {interval}."],
        f"Dot chart, a panel for each of {', '.join(concepts)}: kept neurons that carry each part, "
        f"for {', '.join(shown)}.",
    )


def part_transitions(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw what kept neurons carried before against what they carry after.

    `base` and `end` name parts, or `nothing`; `share` is of the neurons with this base.
    """
    need(table, ["concept", "condition", "base", "end", "n_neurons", "share"])
    conditions, concepts = conditions_in(table), distinct(table, "concept")
    panels = [
        _matrix(
            table[(table["concept"] == concept) & (table["condition"] == condition)],
            f"{concept}, {condition}",
        )
        for concept in concepts
        for condition in conditions
    ]
    chart = stack_of_rows(
        panels,
        "What kept neurons carry: before (rows) and after (columns)",
        ["Numbers: neurons, mean over seeds. Darker: a larger share of the row."],
        f"Matrices for {', '.join(concepts)} under {', '.join(conditions)}: how many kept neurons "
        "that carried one part in the base carry each part after retraining.",
    )
    # Each concept has parts of its own.
    return chart.resolve_scale(x="independent")


def _matrix(own: pd.DataFrame, title: str) -> alt.LayerChart:
    order = [name for name in distinct(own, "base") if name != NOTHING]
    order += [name for name in distinct(own, "end") if name not in (*order, NOTHING)]
    order.append(NOTHING)
    # On a phone there is no room for all of them; the rows bear the same names in the same order.
    below = alt.Axis(labelExpr=_FIRST_WORD, labelOverlap="greedy", labelSeparation=4)
    base = alt.Chart(own).encode(
        x=alt.X("end:N", title=None, sort=order, axis=below),
        y=rows("base", order),
        tooltip=[
            alt.Tooltip("base:N", title="before"),
            alt.Tooltip("end:N", title="after"),
            alt.Tooltip("n_neurons:Q", title="neurons", format=".1f"),
            alt.Tooltip("share:Q", title="share of the row", format=".3f"),
        ],
    )
    shade = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0, 0.6]), legend=None)
    fields = base.mark_rect(color=theme.MUTED).encode(opacity=shade)
    numbers = base.mark_text().encode(text=alt.Text("n_neurons:Q", format=".0f"))
    return panel([fields, numbers], title, _FIELD * own["base"].nunique())


def _value(value: str, title: str | None) -> alt.X:
    return alt.X(f"{value}:Q", title=title, axis=alt.Axis(grid=True), scale=NOT_FROM_ZERO)
