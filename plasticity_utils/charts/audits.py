"""Charts of audits: how soon a concept returns, and what readers find of it."""

from __future__ import annotations

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import (
    LABEL_GAP,
    ROW,
    UNIT,
    condition_signs,
    conditions_in,
    distinct,
    dots,
    lines,
    need,
    panel,
    rows,
    stack_of_rows,
    stack_panels,
    value_tooltips,
)

_STEP_TICKS = [0, 4, 8, 16, 32, 64, 128, 256, 512]
_PANEL, _NAMES = 170, 150
BODY_TITLES = {
    "base": "base model",
    "removed": "after the removal",
    "control": "after its control",
    "pretrained": "pretrained, never taught",
    "pretrained_removed": "pretrained, after the removal",
}


def returns(table: pd.DataFrame, goal: pd.Series | None = None) -> alt.VConcatChart:
    """Draw F1 of a concept by step of training, a panel a concept, a line a protocol.

    `table` has concept, condition, step, entity_f1 and may have its interval; `goal`, F1 by
    concept, is a line across: what the steps are counted to.
    """
    need(table, ["concept", "condition", "step", "entity_f1"])
    conditions, last = conditions_in(table), float(table["step"].max())
    scale = alt.Scale(type="symlog", constant=4, domain=[0, last], nice=False)
    ticks = alt.Axis(values=[tick for tick in _STEP_TICKS if tick <= last])
    concepts, panels = distinct(table, "concept"), []
    signs = condition_signs(conditions)
    for concept in concepts:
        own = table[table["concept"] == concept]
        title = "steps of training (0 = just removed)" if concept == concepts[-1] else None
        x = alt.X("step:Q", title=title, scale=scale, axis=ticks)
        y = alt.Y("entity_f1:Q", title="F1", scale=UNIT)
        tips = [
            alt.Tooltip("condition:N"),
            alt.Tooltip("step:Q", format=".0f"),
            *value_tooltips(own, "entity_f1", "F1"),
        ]
        layers = lines(own, x, y, "entity_f1", signs, tips)
        if goal is not None:
            rule = alt.Chart(pd.DataFrame({"goal": [float(goal[concept])]})).mark_rule(
                color=theme.MUTED, strokeDash=[2, 4]
            )
            layers.insert(0, rule.encode(y=alt.Y("goal:Q", scale=UNIT)))
        panels.append(panel(layers, concept, _PANEL))
    return stack_panels(
        panels,
        "How soon the concept is back",
        ["masked and first_time never knew it. Dotted: nine tenths of the base model's F1."],
        f"Line chart, a panel for each of {', '.join(concepts)}: F1 against steps of training, one "
        f"line for each of the protocols {', '.join(conditions)}.",
    )


def readings(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw what each reader finds of a concept, a panel a frozen body, a point a seed."""
    need(table, ["body", "reader", "place", "seed", "entity_f1"])
    wide = table["place"].map({"every layer": " (all layers)"}).fillna("")
    table = table.assign(reader=table["reader"].str.replace("_", " ") + wide)
    order = distinct(table, "reader")
    bodies = [body for body in BODY_TITLES if body in set(table["body"])]
    panels = []
    for body in bodies:
        own = table[table["body"] == body][["reader", "seed", "entity_f1"]]
        title = "F1 of the concept" if body == bodies[-1] else None
        x = alt.X("entity_f1:Q", title=title, scale=UNIT)
        tips = [
            alt.Tooltip("reader:N"),
            alt.Tooltip("seed:N"),
            *value_tooltips(own, "entity_f1", "F1"),
        ]
        # Every row is named: which reader it is decides.
        axis = alt.Axis(labelPadding=LABEL_GAP, labelOverlap=False, labelLimit=_NAMES)
        points = dots(own, x, rows("reader", order, axis=axis), "entity_f1", tips)
        panels.append(panel(points, BODY_TITLES[body], ROW * len(order)))
    return stack_of_rows(
        panels,
        "What readers of the frozen model find",
        ["A point a seed. The own head is the model as it is; the others are fitted anew."],
        f"Dot plot, a panel for each of {', '.join(BODY_TITLES[body] for body in bodies)}: F1 of "
        f"the concept as each of the readers {', '.join(order)} finds it.",
        names=_NAMES,
    )
