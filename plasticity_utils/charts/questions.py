"""Charts of claims beside their controls, of runs one by one, of audits, and of what it costs.

A claim is a point with its interval, and its control has a point beside it. Of few runs the values
are drawn, and no interval. Titles come from the page, which says what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    same_axis,
    stack_of_rows,
    stack_panels,
    value_tooltips,
    zero_line,
)
from plasticity_utils.names import NOTHING

_FIELD = 26
_WIDE_NAMES, _NAMES = 240, 150
_STEPS_HEIGHT, _GROWTH_HEIGHT = 170, 130
_STEP_TICKS = [0, 4, 8, 16, 32, 64, 128, 256, 512]
_LOG = alt.Scale(type="log", nice=False, padding=8)
_COSTS = {"seconds": "seconds", "rise_mb": "memory, MB"}
# Clusters are named by several words; the axis below has room for the first.
_FIRST_WORD = "split(datum.label, ' · ')[0]"
_FLOOR_NOTE = "Dotted grey line: the best reader of a model that was never taught names."
# Who finds the concept, with colour and dash, from the least that may change to the most.
_WHO = {
    "own_head": ("the model as it is", theme.MUTED, [8, 4]),
    "bias": ("thresholds alone", *theme.FALLBACKS[1]),
    "head": (
        "last layer alone", theme.CONDITION_COLOURS["head"], theme.CONDITION_DASHES["head"],
    ),
    "perceptron": ("new reader", theme.INK, [1, 0]),
    "linear_everywhere": ("reader of every layer", *theme.FALLBACKS[2]),
    "whole_model": ("whole model", theme.CONDITION_COLOURS["targeted"], [1, 0]),
    "never_knew": ("model that never knew", *theme.FALLBACKS[0]),
}  # fmt: skip
BODY_TITLES = {
    "base": "base model",
    "removed": "after the removal",
    "control": "after its control",
    "pretrained": "pretrained, never taught",
    "pretrained_removed": "pretrained, after the removal",
}


def claims(
    table: pd.DataFrame, title: str, unit: str, interval: str, least: float = 0
) -> alt.VConcatChart:
    """Draw each claim with its control: a row each, a point with its interval for each condition.

    The table has row (what is claimed), condition, value, and with several seeds value_low and
    value_high. `least` is the smallest value that would matter, marked by a dashed line; 0: none.
    """
    need(table, ["row", "condition", "value"])
    conditions, order = conditions_in(table), distinct(table, "row")
    x = alt.X("value:Q", title=unit, axis=alt.Axis(grid=True, tickCount=6))
    marks = [zero_line("value", "x")]
    if least:
        line = alt.Chart(pd.DataFrame({"value": [least]}))
        line = line.mark_rule(color=theme.MUTED, strokeDash=[4, 4])
        marks.append(line.encode(x="value:Q"))
    tooltips = [alt.Tooltip("row:N"), alt.Tooltip("condition:N"),
                *value_tooltips(table, "value", unit)]  # fmt: skip
    signs = _beside(conditions)
    marks += dots(table, x, rows("row", order), "value", tooltips, **signs)
    note = "Dashed: the smallest that would matter." if least else ""
    return stack_of_rows(
        [panel(marks, "", ROW * len(conditions) * len(order))],
        title,
        [f"{interval[0].upper()}{interval[1:]}.", *([note] if note else [])],
        f"Dot chart of {unit} for {', '.join(order)}, under {', '.join(conditions)}. {note}",
        _WIDE_NAMES,
    )


def values(
    table: pd.DataFrame,
    title: str,
    subtitle: str,
    unit: str,
    domain: tuple[float, float] = (0, 1),
) -> alt.VConcatChart:
    """Draw the value of every run as a point: a row a kind, a panel for each value of `panel`.

    The table has panel, row, condition (`base` or a condition), value, seed. Where each row has one
    condition its name says all, and there is no legend. All panels have the scale `domain`.
    """
    need(table, ["panel", "row", "condition", "value", "seed"])
    conditions, order = conditions_in(table), distinct(table, "row")
    names = distinct(table, "panel")
    several = bool(table.groupby("row")["condition"].nunique().max() > 1)
    signs = _beside(conditions, several, "circle")
    tooltips = [*(alt.Tooltip(f"{name}:N") for name in ("panel", "row", "condition", "seed")),
                alt.Tooltip("value:Q", title=unit, format=".3f")]  # fmt: skip
    panels = []
    for name in names:
        own = table[table["panel"] == name][["panel", "row", "condition", "value", "seed"]]
        axis_title = unit if name == names[-1] else None
        scale = alt.Scale(domain=list(domain))
        x = alt.X("value:Q", title=axis_title, axis=alt.Axis(grid=True), scale=scale)
        points = dots(own, x, rows("row", order), "value", tooltips, **signs)
        zero = [zero_line("value", "x")] if domain[0] < 0 else []
        height = ROW * (len(conditions) if several else 2) * own["row"].nunique()
        panels.append(panel([*zero, *points], name, height))
    return stack_of_rows(
        panels,
        title,
        [subtitle],
        f"Dot chart, a panel for each of {', '.join(names)}: {unit} of every run, for "
        f"{', '.join(order)}, under {', '.join(conditions)}.",
        _WIDE_NAMES,
    )


def part_transitions(table: pd.DataFrame, title: str) -> alt.VConcatChart:
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
        title,
        ["Rows: before. Columns: after. Neurons, mean over seeds; darker: more of the row."],
        f"Matrices for {', '.join(concepts)} under {', '.join(conditions)}: how many kept neurons "
        "that carried one part in the base carry each part after retraining.",
    )
    # Each concept has parts of its own.
    return chart.resolve_scale(x="independent")


def _beside(
    conditions: Sequence[str], several: bool = True, symbol: str = "stroke"
) -> dict[str, Any]:
    """Colours of conditions, and their places beside each other in a row that has several."""
    colour = condition_signs(conditions)["color"].copy()
    if not several:
        return {"color": colour.legend(None)}
    legend = alt.Legend(values=list(conditions), symbolType=symbol, symbolOpacity=1)
    if symbol == "stroke":
        legend.symbolSize = 500
    offset = alt.YOffset("condition:N", sort=list(conditions))
    return {"color": colour.legend(legend), "yOffset": offset}


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


def returns(table: pd.DataFrame, title: str, goal: pd.Series | None = None) -> alt.VConcatChart:
    """Draw F1 of a concept by step of training, a panel a concept, a line a protocol.

    `table` has concept, condition, step, entity_f1 and may have its interval, and first_time, true
    under conditions in which the model never knew the concept; `title` says what was found; `goal`,
    F1 by concept, is a line across: what the steps are counted to.
    """
    need(table, ["concept", "condition", "step", "entity_f1"])
    conditions, last = conditions_in(table), float(table["step"].max())
    scale = alt.Scale(type="symlog", constant=4, domain=[0, last], nice=False)
    ticks = alt.Axis(values=[tick for tick in _STEP_TICKS if tick <= last])
    concepts, panels = distinct(table, "concept"), []
    signs = condition_signs(conditions)
    never = conditions_in(table[table["first_time"]]) if "first_time" in table else []
    for concept in concepts:
        own = table[table["concept"] == concept]
        heading = "steps of training (0 = just removed)" if concept == concepts[-1] else None
        x = alt.X("step:Q", title=heading, scale=scale, axis=ticks)
        y = alt.Y("entity_f1:Q", title="F1", scale=UNIT)
        tips = [
            alt.Tooltip("condition:N"),
            alt.Tooltip("step:Q", format=".0f"),
            *value_tooltips(own, "entity_f1", "F1"),
        ]
        layers = lines(own, x, y, "entity_f1", signs, tips)
        if goal is not None:
            layers.insert(0, _dotted("goal", float(goal[concept])))
        panels.append(panel(layers, concept, _STEPS_HEIGHT))
    notes = [f"Never knew it: {', '.join(never)}."] if never else []
    if goal is not None:
        notes.append("Dotted: nine tenths of the base model's F1.")
    return stack_panels(
        panels,
        title,
        [" ".join(notes)] if notes else [],
        f"Line chart, a panel for each of {', '.join(concepts)}: F1 against steps of training, one "
        f"line for each of the protocols {', '.join(conditions)}.",
    )


def _dotted(name: str, value: float) -> alt.Chart:
    """Draw a line across a panel of F1 at one value."""
    rule = alt.Chart(pd.DataFrame({name: [value]})).mark_rule(color=theme.MUTED, strokeDash=[2, 4])
    return rule.encode(y=alt.Y(f"{name}:Q", scale=UNIT))


def readings(table: pd.DataFrame, title: str = "") -> alt.VConcatChart:
    """Draw what each reader finds of a concept, a panel a frozen body, a point a seed.

    The `title` says what was found; without one, it says what is drawn. An open point is what a
    reader finds in the control task, where it was given one.
    """
    need(table, ["body", "reader", "place", "seed", "entity_f1", "control_f1"])
    wide = table["place"].map({"every layer": " (all layers)"}).fillna("")
    table = table.assign(reader=table["reader"].str.replace("_", " ") + wide)
    order = distinct(table, "reader")
    bodies = [body for body in BODY_TITLES if body in set(table["body"])]
    panels = []
    notes = ["A point a seed. The own head is the model as it is; the others are fitted anew."]
    if table["control_f1"].notna().any():
        notes.append(
            "Open: the same reader, where each form of a word has the tag of another form."
        )
    for body in bodies:
        own = table[table["body"] == body][["reader", "seed", "entity_f1", "control_f1"]]
        below = "F1 of the concept" if body == bodies[-1] else None
        x = alt.X("entity_f1:Q", title=below, scale=UNIT)
        tips = [
            alt.Tooltip("reader:N"),
            alt.Tooltip("seed:N"),
            *value_tooltips(own, "entity_f1", "F1"),
        ]
        # Every row is named: which reader it is decides.
        axis = alt.Axis(labelPadding=LABEL_GAP, labelOverlap=False, labelLimit=_NAMES)
        y = rows("reader", order, axis=axis)
        points = dots(own, x, y, "entity_f1", tips)
        remembered = own.dropna(subset=["control_f1"])
        if len(remembered):
            tips = [*tips[:2], *value_tooltips(remembered, "control_f1", "F1, control task")]
            control = same_axis(x, "control_f1")
            points = [*dots(remembered, control, y, "control_f1", tips, filled=False), *points]
        panels.append(panel(points, BODY_TITLES[body], ROW * len(order)))
    return stack_of_rows(
        panels,
        title or "What readers of the frozen model find",
        notes,
        f"Dot plot, a panel for each of {', '.join(BODY_TITLES[body] for body in bodies)}: F1 of "
        f"the concept as each of the readers {', '.join(order)} finds it.",
        names=_NAMES,
    )


def growth(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw the measured curves, a panel for each; the slope of a straight line is the exponent."""
    need(table, ["curve", "n", *_COSTS])
    curves = list(dict.fromkeys(table["curve"]))
    panels = [_growth(table[table["curve"] == curve], curve) for curve in curves]
    return stack_panels(
        panels,
        "Growth of time and memory",
        ["Solid: seconds. Dashed: peak memory beyond what was held before, in MB."],
        f"Line charts with logarithmic axes, a panel for each of {', '.join(curves)}: seconds and "
        "peak memory.",
    )


def _growth(rows: pd.DataFrame, curve: str) -> alt.LayerChart:
    long = rows.melt(["curve", "n"], list(_COSTS), "measure", "value").replace({"measure": _COSTS})
    names = list(_COSTS.values())
    base = alt.Chart(long).encode(
        x=alt.X("n:Q", title=curve.rpartition(" ")[2], scale=_LOG, axis=_log_axis(8)),
        y=alt.Y("value:Q", title=None, scale=_LOG, axis=_log_axis(4)),
        color=alt.value(theme.INK),
        strokeDash=alt.StrokeDash(
            "measure:N", scale=alt.Scale(domain=names, range=[[1, 0], [6, 3]]), title=None
        ),
    )
    tooltips = [
        alt.Tooltip("n:Q", format=","),
        alt.Tooltip("measure:N"),
        alt.Tooltip("value:Q", format=".3~g"),
    ]
    points = base.mark_point(size=30, opacity=1).encode(strokeDash=alt.Undefined, tooltip=tooltips)
    return panel([base.mark_line(), points], curve, _GROWTH_HEIGHT)


def _log_axis(ticks: int) -> alt.Axis:
    return alt.Axis(format="~s", grid=False, tickCount=ticks)


def found_by_dose(
    table: pd.DataFrame, title: str, note: str, floor: float | None = None
) -> alt.VConcatChart:
    """Draw F1 of a concept by the share of neurons taken, a panel a cut, a line a reader.

    `table` has cut, dose, reader, entity_f1 and may have its interval; `floor` is what a reader
    finds in a body that was never taught the task.
    """
    need(table, ["cut", "dose", "reader", "entity_f1"])
    table = table[table["reader"].isin(_WHO)]
    who = [_WHO[name] for name in _WHO if name in set(table["reader"])]
    table = table.assign(who=table["reader"].map({name: said[0] for name, said in _WHO.items()}))
    names, colours, dashes = (list(part) for part in zip(*who, strict=True))
    legend = alt.Legend(
        symbolType="stroke", symbolSize=500, symbolOpacity=1, columns=2, labelLimit=0
    )
    signs = {
        channel: of("who:N", title="found by", legend=legend, scale=alt.Scale(
            domain=names, range=values
        ))
        for channel, of, values in (
            ("color", alt.Color, colours), ("strokeDash", alt.StrokeDash, dashes)
        )
    }  # fmt: skip
    cuts, doses, panels = distinct(table, "cut"), sorted(set(table["dose"])), []
    for cut in cuts:
        own = table[table["cut"] == cut].sort_values("dose")
        heading = "share of all neurons that is taken" if cut == cuts[-1] else None
        axis = alt.Axis(
            labelExpr="format(datum.value, '.1~%')",
            # Not 0, whose label would meet that of the other axis.
            values=[dose for dose in doses if dose],
            labelOverlap="greedy",
        )
        x = alt.X("dose:Q", title=heading, scale=alt.Scale(type="sqrt", nice=False), axis=axis)
        y = alt.Y("entity_f1:Q", title="F1 of the concept", scale=UNIT)
        tips = [
            alt.Tooltip("who:N"),
            alt.Tooltip("dose:Q", format=".1%"),
            *value_tooltips(own, "entity_f1", "F1"),
        ]
        layers = lines(own, x, y, "entity_f1", signs, tips)
        if floor is not None:
            layers.insert(0, _dotted("floor", floor))
        panels.append(panel(layers, f"{cut} neurons", _STEPS_HEIGHT))
    return stack_panels(
        panels,
        title,
        [note, *([_FLOOR_NOTE] if floor is not None else [])],
        f"Line chart, a panel for each of {', '.join(cuts)}: F1 against the share of neurons that "
        f"is taken, one line for each of {', '.join(names)}. {note}",
    )
