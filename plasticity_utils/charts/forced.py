"""Charts of a forcing: what more neurons bring and cost, and how many of them carry both concepts.

Groups take the signs of the conditions where they are the same thing (`random`, `head`); the host's
neurons have the colour of their concept, as nowhere else on the page a line stands for an entity
type. What has no dose is a line across.
"""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import (
    SERIES_COLOURS,
    SERIES_DASHES,
    in_order,
    need,
    panel,
    stack,
    value_tooltips,
)

_TARGETS = ("host", "random", "removed", "all", "head")
_LEVELS = {"all": "f1_end", "head": "f1_end", "base": "f1_base", "just removed": "f1_removed"}
_ORDER = (*_TARGETS, "base", "just removed")
_DASHES = {
    "host": [1, 0],
    "random": SERIES_DASHES["random"],
    "removed": [4, 2],
    "all": [10, 2, 2, 2],
    "head": SERIES_DASHES["head"],
    "base": SERIES_DASHES["base"],
    "just removed": [2, 5],
}
_SHAPES = {"host": "square", "random": "circle", "removed": "cross", "all": "diamond"}
_HEIGHT = 170


def dose_curve(f1: pd.DataFrame, concept: str, host: str, interval: str) -> alt.VConcatChart:
    """Draw F1 of the concept and of its host against the number of neurons that may change.

    Parameters
    ----------
    f1 : DataFrame
        From `forced_tables.f1_table` or `ForcedSeeds.f1`.
    concept, host : str
        Entity types: the one whose neurons were removed, and the one whose neurons are to carry
        both.
    interval : str
        What `f1_end_low` and `f1_end_high` are.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing, or a group is unknown.
    """
    columns = ["f1_base", "f1_removed", "f1_end", "f1_end_low", "f1_end_high"]
    need(f1, ["target", "dose", "n_neurons", "entity", *columns])
    in_order(f1, "target", _TARGETS)
    signs = _signs(host, _ORDER)
    titles = {concept: f"{concept}, whose neurons were removed", host: f"{host}, the host"}
    panels = []
    for entity, title in titles.items():
        own = f1[f1["entity"] == entity]
        last = entity == host
        y = alt.Y("f1_end:Q", title="F1", axis=alt.Axis(grid=True))
        layers = [*_levels(own, signs), *_groups(own, "f1_end", y, signs, last)]
        panels.append(panel(layers, title, _HEIGHT))
    return stack(
        panels,
        "F1 when only some neurons may change",
        [f"Lines across: what has no number of neurons. Bars: {interval}."],
        f"Line chart, a panel for {concept} and one for {host}: F1 after training confined to a "
        "group of neurons, against their number, for the host's neurons, random ones of the same "
        "layers and the removed ones; beside it the base, just removed, the whole model and the "
        "head alone.",
    )


def carriers(table: pd.DataFrame, host: str, interval: str) -> alt.VConcatChart:
    """Draw how many neurons of each group carry both concepts, and the rise of their share.

    Parameters
    ----------
    table : DataFrame
        From `forced_tables.carrier_table` or `ForcedSeeds.carriers`.
    host : str
        Entity type of the host.
    interval : str
        What `rise_low` and `rise_high` are.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing, or a group is unknown.
    """
    rises = {"rise": "rise of their share", "rise_same": "rise, same sign"}
    bounds = [f"{name}_{end}" for name in rises for end in ("low", "high")]
    need(table, ["target", "n_neurons", "n_both_removed", "n_both_end", *rises, *bounds])
    signs = _signs(host, in_order(table, "target", _TARGETS))
    count = alt.Y("n_both_end:Q", title="neurons that carry both", axis=alt.Axis(grid=True))
    open_points = alt.Chart(table).mark_point(filled=False, size=45, opacity=1)
    early = open_points.encode(
        x=_number(False),
        y=alt.Y("n_both_removed:Q", title="neurons that carry both"),
        color=signs["color"],
        shape=signs["shape"],
        tooltip=["target:N", alt.Tooltip("n_both_removed:Q", title="just removed")],
    )
    # A count has no interval of one seed's; over seeds it stands in the table.
    counts = table[["target", "dose", "n_neurons", "n_both_end"]]
    panels = [
        panel([early, *_groups(counts, "n_both_end", count, signs, False)], "how many", _HEIGHT)
    ]
    for value, title in rises.items():
        zero = alt.Chart(pd.DataFrame({value: [0.0]})).mark_rule(color=theme.MUTED)
        y = alt.Y(f"{value}:Q", title="share of the group", axis=alt.Axis(grid=True, format="+.1f"))
        own = _groups(table, value, y, signs, value == "rise_same")
        panels.append(panel([zero.encode(y=f"{value}:Q"), *own], title, 110))
    return stack(
        panels,
        "Neurons that carry both concepts",
        [
            "Open points: just after the removal. Full: in the end. all: the host's neurons,",
            f"nothing confined. Bars: {interval}.",
        ],
        "Line chart, three panels: the number of neurons that carry both concepts against the "
        "number that may change, for the host's neurons, random ones, the removed ones and the "
        "host's where nothing is confined; then the rise of their share, with any sign and with "
        "the same sign.",
    )


def _signs(host: str, shown: tuple[str, ...] | list[str]) -> dict[str, Any]:
    colours = {
        **SERIES_COLOURS,
        "host": theme.entity_colour(host),
        "removed": theme.CONDITION_COLOURS["concept"],
        "all": theme.CONDITION_COLOURS["none"],
        "just removed": theme.MUTED,
    }
    domain = [name for name in _ORDER if name in shown]
    legend = alt.Legend(symbolType="stroke", symbolSize=400, symbolOpacity=1, columns=4)
    colour = alt.Scale(domain=domain, range=[colours[name] for name in domain])
    dash = alt.Scale(domain=domain, range=[_DASHES[name] for name in domain])
    shape = alt.Scale(domain=list(_SHAPES), range=list(_SHAPES.values()))
    return {
        "color": alt.Color("target:N", title="who may change", scale=colour, legend=legend),
        "strokeDash": alt.StrokeDash("target:N", title="who may change", scale=dash, legend=legend),
        "shape": alt.Shape("target:N", scale=shape, legend=None),
    }


def _number(last: bool) -> alt.X:
    title = "number of neurons that may change" if last else None
    return alt.X(
        "n_neurons:Q", title=title, axis=alt.Axis(format=",d"),
        scale=alt.Scale(type="log", nice=False, padding=16),
    )  # fmt: skip


def _groups(
    table: pd.DataFrame, value: str, y: alt.Y, signs: dict[str, Any], last: bool
) -> list[alt.Chart]:
    """Lines, points and intervals of the groups that have a number of neurons."""
    own = table[table["dose"].between(0, 1, inclusive="neither")]
    base = alt.Chart(own).encode(x=_number(last), color=signs["color"])
    tooltips = [
        alt.Tooltip("target:N", title="who may change"),
        alt.Tooltip("n_neurons:Q", title="neurons"),
        alt.Tooltip("dose:Q", title="share of all", format=".2~%"),
        *value_tooltips(own, value, value.replace("_", " ")),
    ]
    layers = [
        base.mark_line().encode(y=y, strokeDash=signs["strokeDash"]),
        base.mark_point(size=45, opacity=1).encode(y=y, shape=signs["shape"], tooltip=tooltips),
    ]
    if f"{value}_low" in own:
        ends = y.copy()
        ends.shorthand = f"{value}_low:Q"
        layers.insert(0, base.mark_rule(strokeWidth=2).encode(y=ends, y2=f"{value}_high:Q"))
    return layers


def _levels(own: pd.DataFrame, signs: dict[str, Any]) -> list[alt.Chart]:
    """Lines across: the base, just removed, and trainings that have no number of neurons."""
    layers = []
    for name, column in _LEVELS.items():
        row = own[own["target"] == name] if name in _TARGETS else own
        if row.empty:
            continue
        level = row.head(1).assign(target=name)
        tooltips = [alt.Tooltip("target:N", title="line"), alt.Tooltip(f"{column}:Q", format=".3f")]
        layers.append(
            alt.Chart(level)
            .mark_rule(strokeWidth=1.5)
            .encode(
                y=alt.Y(f"{column}:Q", title="F1"),
                color=signs["color"],
                strokeDash=signs["strokeDash"],
                tooltip=tooltips,
            )
        )
    return layers
