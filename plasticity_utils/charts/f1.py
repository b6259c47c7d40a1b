"""Charts of F1: what removal takes, what training brings back, of one run or of many side by side.

F1 is entity level, on the scoring part. On a concept's page the concept's own panel is the large
one; those of the other types stand below it on the same axis, because a loss says something about
the concept only where the others keep theirs.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import (
    LABEL_GAP,
    ROW,
    SERIES_COLOURS,
    SERIES_DASHES,
    UNIT,
    condition_signs,
    conditions_in,
    distinct,
    dots,
    entities_from,
    lines,
    need,
    panel,
    present_in_order,
    rows,
    stack_of_rows,
    stack_panels,
    value_tooltips,
    zero_line,
)
from plasticity_utils.errors import InputError
from plasticity_utils.formats import chosen_percent
from plasticity_utils.names import EPOCH_TITLES, OVER_SENTENCES, OVERALL

_BIG, _SMALL, _FORCED = 190, 85, 260
_DOSE_TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
_EPOCH_TICKS = [0, 0.125, 0.25, 0.5, 1, 2, 4, 8]
# What happens, happens early: each step between snapshots is drawn about as wide as the next.
_EARLY = 0.05
_INTERVAL = ("entity_f1", "entity_f1_low", "entity_f1_high")
_REGIMES = {"curve": "growing dose", "half": "half"}
_GROUPS = ("host", "random", "removed", "all", "head")
_LEVELS = {
    "all": "entity_f1_end",
    "head": "entity_f1_end",
    "base": "entity_f1_base",
    "just removed": "entity_f1_removed",
}
_GROUP_SHAPES = {"host": "square", "random": "circle", "removed": "cross", "all": "diamond"}
_GROUP_DASHES = {
    "host": [1, 0],
    "random": SERIES_DASHES["random"],
    "removed": [4, 2],
    "all": [10, 2, 2, 2],
    "head": SERIES_DASHES["head"],
    "base": SERIES_DASHES["base"],
    "just removed": [2, 5],
}


def dose_response(
    curve: pd.DataFrame, chosen_dose: float, label: str, title: str = ""
) -> alt.VConcatChart:
    """Draw what every entity type loses as more neurons are removed, without retraining.

    The `title` says what was found; without one, it says what is drawn. Of `random`, the interval
    is the range of the draws. `chosen_dose`, the share that the run removes, is a vertical line;
    the panel of the concept `label` comes first.
    """
    need(curve, ["regime", "dose", "n_removed", "condition", "entity", *_INTERVAL, "n_draws"])
    entities = entities_from(curve, label)
    present_in_order(curve, "regime", tuple(_REGIMES))
    shown = curve.assign(percent=100 * curve["dose"], regime=curve["regime"].map(_REGIMES))
    draws, chosen = int(curve["n_draws"].max()), chosen_percent(chosen_dose)
    return stack_panels(
        [
            _dose_panel(shown[shown["entity"] == name], chosen_dose, label, name == entities[-1])
            for name in entities
        ],
        title or f"What is lost as the neurons of {label} are removed",
        [
            f"Vertical line: the dose of this run, {chosen} of all neurons.",
            f"Bands: targeted, {OVER_SENTENCES}; random, median and range of {draws} draws.",
        ],
        f"Line chart, a panel for each of {', '.join(entities)}: F1 without retraining against the "
        f"share of neurons removed, for the neurons of {label} and for random ones of the same "
        f"layers, with the half regime at 50 % and the chosen dose at {chosen}.",
    )


def f1_through_retraining(
    metrics: pd.DataFrame,
    label: str,
    base_f1: Mapping[str, float] | pd.Series,
    interval: str = OVER_SENTENCES,
    mute: Collection[str] = (),
    title: str = "",
) -> alt.VConcatChart:
    """Draw F1 from just after removal (epoch 0) to the end of retraining, one line a condition.

    `title`, as of `dose_response`. `base_f1` holds the base model's by entity. A concept without a
    tag is drawn without the conditions that say nothing of it (`mute`: there only the head trains);
    its rows follow those of `overall`.
    """
    need(metrics, ["condition", "epoch", "entity", *_INTERVAL])
    found = distinct(metrics, "entity")
    untagged = found[found.index(OVERALL) :] if OVERALL in found else []
    metrics = metrics[(metrics["epoch"] >= 0) & (metrics["entity"] != OVERALL)]
    entities = entities_from(metrics, label)
    if missing := [entity for entity in entities if entity not in base_f1]:
        raise InputError(f"base_f1 has no value for {', '.join(missing)}; it needs every entity")
    conditions = ["base", *conditions_in(metrics)]
    last = metrics["epoch"].max()
    scale = alt.Scale(type="symlog", constant=_EARLY, domain=[0, float(last)], nice=False)
    ticks = alt.Axis(values=[t for t in _EPOCH_TICKS if t <= last], labelExpr=_epoch_labels())
    panels = []
    for entity in entities:
        own = metrics[metrics["entity"] == entity]
        if entity in untagged:
            own = own[~own["condition"].isin(mute)]
        base = pd.DataFrame({"condition": ["base"], "entity_f1": [float(base_f1[entity])]})
        below = "epochs of retraining (0 = just removed)" if entity == entities[-1] else None
        x = alt.X("epoch:Q", title=below, scale=scale, axis=ticks)
        y, signs = _f1_axis(entity == label), condition_signs(conditions)
        tooltips = [
            alt.Tooltip("condition:N"),
            alt.Tooltip("epoch:Q", title="epochs", format=".3~f"),
            *value_tooltips(own, "entity_f1", "F1"),
        ]
        layers = [_base_rule(base, signs), *lines(own, x, y, "entity_f1", signs, tooltips)]
        panels.append(_entity_panel(layers, entity, label))
    return stack_panels(
        panels,
        title or f"F1 of {label} after removal and through retraining",
        [f"Bands: {interval}.", "The axis is drawn wide where things happen early."],
        f"Line chart, a panel for each of {', '.join(entities)}: F1 against epochs of retraining "
        f"after the removal of {label}, one line for each of the conditions "
        f"{', '.join(conditions[1:])}, beside the base model's F1.",
    )


def outcomes(table: pd.DataFrame, interval: str, title: str = "") -> alt.VConcatChart:
    """Draw F1 of each concept and model after removal (open) and at the end, by condition.

    `title`, as of `dose_response`.
    """
    need(table, ["concept", "model", "condition", "stage", *_INTERVAL])
    conditions = conditions_in(table)
    table = _named_series(table)
    series = distinct(table, "series")
    # The axis names the conditions: a legend would say it twice.
    color = condition_signs(conditions)["color"].copy()
    color.legend = None
    panels = []
    for name in series:
        own = table[table["series"] == name]
        base = alt.Chart(own[own["stage"] == "base"].head(1))
        layers = [base.mark_rule(strokeDash=[14, 3], color=theme.INK).encode(x="entity_f1:Q")]
        x, y = _score("F1" if name == series[-1] else None), rows("condition", conditions)
        tooltips = [*map(alt.Tooltip, ("condition:N", "stage:N", "model:N")),
                    *value_tooltips(own, "entity_f1", "F1")]  # fmt: skip
        for stage in ("removed", "end"):
            at = own[own["stage"] == stage]
            layers += dots(at, x, y, "entity_f1", tooltips, stage == "end", color=color)
        panels.append(panel(layers, name, 4 * 2 * ROW))
    return stack_panels(
        panels,
        title or "What removal takes, and what comes back",
        ["Open points: just after removal. Full: at the end. Broken line: base.",
         f"Lines: {interval}."],
        f"Dot chart, a panel for each of {'; '.join(series)}: F1 just after removal and after "
        f"retraining under the conditions {', '.join(conditions)}.",
    )  # fmt: skip


def differences(
    table: pd.DataFrame, values: dict[str, str], title: str, note: str, interval: str
) -> alt.VConcatChart:
    """Draw differences with their intervals, one row a concept and model, beside a line at zero.

    `values` names the columns to draw and the titles of their panels, which have one scale.
    """
    need(table, ["concept", "model", *values])
    named = _named_series(table)
    order = distinct(named, "series")
    panels = []
    for value, heading in values.items():
        tooltips = [alt.Tooltip("series:N", title="run"), *value_tooltips(named, value, heading)]
        x = alt.X(f"{value}:Q", title=None, axis=alt.Axis(grid=True))
        drawn = dots(named, x, rows("series", order), value, tooltips)
        panels.append(panel([zero_line(value, "x"), *drawn], heading, 2 * ROW * len(order)))
    shown, names = ", ".join(values.values()), "; ".join(order)
    description = f"Dot chart with intervals: {shown} for {names}. {note}"
    return stack_of_rows(panels, title, [note, f"Lines: {interval}."], description)


def regained(table: pd.DataFrame, title: str, note: str) -> alt.VConcatChart:
    """Draw the share of the loss that the last layer, the best reader and the whole model regain.

    A panel a way of cutting; `share_low` and `share_high` are the least and the greatest seed.
    """
    need(table, ["way", "concept", "who", "share", "share_low", "share_high"])
    ways, concepts, who = (distinct(table, name) for name in ("way", "concept", "who"))
    colours = [theme.CONDITION_COLOURS["head"], theme.INK, theme.CONDITION_COLOURS["targeted"]]
    colours, shapes = colours[: len(who)], ["circle", "triangle-up", "diamond"][: len(who)]
    signs: dict[str, Any] = {
        "color": alt.Color("who:N", title=None, scale=alt.Scale(domain=who, range=colours)),
        "shape": alt.Shape("who:N", title=None, scale=alt.Scale(domain=who, range=shapes)),
        "yOffset": alt.YOffset("who:N", sort=who),
    }
    panels = []
    for way in ways:
        own = table[table["way"] == way]
        axis = alt.Axis(grid=True, format="%", values=[0, 0.5, 1], labelOverlap=False)
        heading = "share of the lost score that comes back" if way == ways[-1] else None
        scale = alt.Scale(domain=[-0.1, 1.05], nice=False)
        x = alt.X("share:Q", title=heading, axis=axis, scale=scale)
        tooltips = [
            alt.Tooltip("concept:N"),
            alt.Tooltip("who:N"),
            *value_tooltips(own, "share", "regained"),
        ]
        drawn = dots(own, x, rows("concept", concepts), "share", tooltips, **signs)
        panels.append(panel(drawn, way, 3 * ROW * len(concepts)))
    return stack_of_rows(
        panels,
        title,
        [note, "Points: means over repeats. Lines: from the lowest repeat to the highest."],
        f"Dot chart, a panel for each of {'; '.join(ways)}: share of the lost F1 that "
        f"{', '.join(who)} regain, for {', '.join(concepts)}. {note}",
    )


def forced_f1(
    f1: pd.DataFrame, seeds: pd.DataFrame, concept: str, host: str, title: str
) -> alt.VConcatChart:
    """Draw F1 of the concept against the number of neurons that may change, a point a seed.

    `f1` has the means over seeds, and `seeds` the values. `concept` lost its neurons, and the
    neurons of `host` are to carry both.
    """
    need(
        f1,
        [
            "target",
            "dose",
            "n_neurons",
            "entity",
            "entity_f1_base",
            "entity_f1_removed",
            "entity_f1_end",
        ],
    )
    need(seeds, ["seed", "target", "dose", "n_neurons", "entity", "entity_f1_end"])
    present_in_order(f1, "target", _GROUPS)
    signs, own = _group_signs(host), f1[f1["entity"] == concept]
    points = seeds[seeds["entity"] == concept]
    return stack_panels(
        [panel([*_levels(own, signs), *_groups(own, points, concept, signs)], "", _FORCED)],
        title,
        ["Points: seeds. Lines: their mean; those across have no number of neurons."],
        f"Line chart: F1 of {concept} after training confined to a group of neurons, against their "
        "number, for the host's neurons, random ones of the same layers and the removed ones; "
        "beside it the base, just removed, the whole model and the head alone.",
    )


def _dose_panel(own: pd.DataFrame, chosen: float, label: str, last: bool) -> alt.LayerChart:
    entity = own["entity"].iloc[0]
    scale = alt.Scale(type="log", domain=[0.08, 60], nice=False)
    ticks = alt.Axis(values=_DOSE_TICKS, format="~g")
    title = "neurons removed (% of all, log scale)" if last else None
    x = alt.X("percent:Q", title=title, scale=scale, axis=ticks)
    y, signs = _f1_axis(entity == label), condition_signs(conditions_in(own))
    tooltips = [
        alt.Tooltip("condition:N", title="removed"),
        alt.Tooltip("regime:N"),
        alt.Tooltip("percent:Q", title="neurons removed, %", format=".3~g"),
        alt.Tooltip("n_removed:Q", title="neurons removed", format=","),
        *value_tooltips(own, "entity_f1", "F1"),
    ]
    base = own[own["condition"] == "base"].drop_duplicates("condition")
    removed = own[own["condition"] != "base"]
    growing = removed[removed["regime"] == _REGIMES["curve"]]
    halved = removed[removed["regime"] == _REGIMES["half"]]
    half = alt.Chart(halved).encode(x=x, color=signs["color"])
    shapes = alt.Scale(domain=list(_REGIMES.values()), range=["circle", "diamond"])
    # Drawn in the muted grey: the default, black, is lost on the dark page.
    apart = alt.Legend(padding=12, symbolFillColor=theme.MUTED, symbolStrokeColor=theme.MUTED)
    shape = alt.Shape("regime:N", title="regime", scale=shapes, legend=apart)
    rule = alt.Chart(pd.DataFrame({"percent": [100 * chosen]})).mark_rule(color=theme.INK)
    layers = [
        _base_rule(base, signs),
        rule.encode(
            x=x, tooltip=alt.Tooltip("percent:Q", title="dose of this run, %", format=".3~g")
        ),
        *lines(growing, x, y, "entity_f1", {**signs, "shape": shape}, tooltips),
        half.mark_rule().encode(y=alt.Y("entity_f1_low:Q", title="F1"), y2="entity_f1_high:Q"),
        half.mark_point(size=130, opacity=1, filled=False, strokeWidth=2).encode(
            y=y, shape=shape, tooltip=tooltips
        ),
    ]
    return _entity_panel(layers, entity, label)


def _named_series(table: pd.DataFrame) -> pd.DataFrame:
    """Name each row's `series`: its concept, and its model where the table has several."""
    several = table["model"].nunique() > 1
    names = table["concept"] + " (" + table["model"] + ")" if several else table["concept"]
    return table.assign(series=names)


def _base_rule(base: pd.DataFrame, signs: dict[str, Any]) -> alt.Chart:
    tooltips = [alt.Tooltip("condition:N"), *value_tooltips(base, "entity_f1", "F1")]
    return (
        alt.Chart(base)
        .mark_rule(strokeWidth=1.5)
        .encode(y="entity_f1:Q", tooltip=tooltips, **signs)
    )


def _f1_axis(big: bool) -> alt.Y:
    axis = alt.Axis(tickCount=5 if big else 2, labelPadding=LABEL_GAP)
    return alt.Y("entity_f1:Q", title="F1", scale=UNIT, axis=axis)


def _score(title: str | None) -> alt.X:
    return alt.X("entity_f1:Q", title=title, scale=UNIT, axis=alt.Axis(grid=True, format=".1f"))


def _epoch_labels() -> str:
    """Write the epochs of the axis as their snapshots are named."""
    named = {f"{epoch:g}": title for epoch, title in EPOCH_TITLES.items() if epoch > 0}
    return f"{json.dumps(named, ensure_ascii=False)}[datum.value] || datum.label"


def _entity_panel(layers: list[alt.Chart], entity: str, label: str) -> alt.LayerChart:
    big = entity == label
    return panel(layers, f"{entity} (the concept)" if big else entity, _BIG if big else _SMALL)


def _group_signs(host: str) -> dict[str, Any]:
    """Signs of who may change: those of a condition where it is the same thing."""
    colours = {
        **SERIES_COLOURS,
        "host": theme.entity_colours()[host],
        "removed": theme.CONDITION_COLOURS["targeted"],
        "all": theme.CONDITION_COLOURS["none"],
        "just removed": theme.MUTED,
    }
    domain = list(_GROUP_DASHES)
    legend = alt.Legend(symbolType="stroke", symbolSize=400, symbolOpacity=1, columns=4)
    colour = alt.Scale(domain=domain, range=[colours[name] for name in domain])
    dash = alt.Scale(domain=domain, range=[_GROUP_DASHES[name] for name in domain])
    shape = alt.Scale(domain=list(_GROUP_SHAPES), range=list(_GROUP_SHAPES.values()))
    return {
        "color": alt.Color("target:N", title="who may change", scale=colour, legend=legend),
        "strokeDash": alt.StrokeDash("target:N", title="who may change", scale=dash, legend=legend),
        "shape": alt.Shape("target:N", scale=shape, legend=None),
    }


def _groups(
    means: pd.DataFrame, points: pd.DataFrame, concept: str, signs: dict[str, Any]
) -> list[alt.Chart]:
    """Lines and points of the groups that have a number of neurons."""
    means, points = (
        table[table["dose"].between(0, 1, inclusive="neither")] for table in (means, points)
    )
    x = alt.X(
        "n_neurons:Q", title="number of neurons that may change", axis=alt.Axis(format=",d"),
        scale=alt.Scale(type="log", nice=False, padding=16),
    )  # fmt: skip
    y = alt.Y("entity_f1_end:Q", title=f"F1 of {concept}", axis=alt.Axis(grid=True), scale=UNIT)
    tooltips = [
        alt.Tooltip("target:N", title="who may change"),
        alt.Tooltip("seed:N"),
        alt.Tooltip("n_neurons:Q", title="neurons", format=","),
        alt.Tooltip("dose:Q", title="share of all", format=".2~%"),
        alt.Tooltip("entity_f1_end:Q", title="F1", format=".3f"),
    ]
    drawn, dotted = (
        alt.Chart(table).encode(x=x, y=y, color=signs["color"]) for table in (means, points)
    )
    return [
        drawn.mark_line().encode(strokeDash=signs["strokeDash"]),
        dotted.mark_point(size=45, opacity=1).encode(shape=signs["shape"], tooltip=tooltips),
    ]


def _levels(own: pd.DataFrame, signs: dict[str, Any]) -> list[alt.Chart]:
    """Lines across: the base, just removed, and trainings that have no number of neurons."""
    layers = []
    for name, column in _LEVELS.items():
        row = own[own["target"] == name] if name in _GROUPS else own
        if row.empty:
            continue
        f1 = alt.Tooltip(f"{column}:Q", title="F1", format=".3f")
        rule = alt.Chart(row.head(1).assign(target=name)).mark_rule(strokeWidth=1.5)
        drawn = rule.encode(
            y=alt.Y(f"{column}:Q", title=None),
            color=signs["color"],
            strokeDash=signs["strokeDash"],
            tooltip=[alt.Tooltip("target:N", title="line"), f1],
        )
        layers.append(drawn)
    return layers
