"""Charts of F1: what removal takes, what training brings back, what a second removal takes again.

F1 is entity level, on the scoring half. The concept's own panel is the large one; those of the
other entity types stand below it on the same axis, because a loss says something about the concept
only where the others keep theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import (
    CONDITION_TITLES,
    CONDITIONS,
    ENTITIES,
    LABEL_GAP,
    condition_signs,
    entities_from,
    entity_signs,
    in_order,
    lines,
    need,
    panel,
    stack,
    value_tooltips,
)
from plasticity_utils.errors import InputError
from plasticity_utils.names import OVER_SENTENCES

AGAIN = ("nothing", "same", "new top", "refitted", "random")
_BIG, _SMALL = 190, 85
_DOSE_TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
_EPOCH_TICKS = [0, 0.125, 0.25, 0.5, 1, 2, 4, 8]
_EPOCH_LABELS = "{'0.125': '⅛', '0.25': '¼', '0.5': '½'}[datum.value] || datum.label"
_INTERVAL = ("f1", "f1_low", "f1_high")
_REGIMES = {"curve": "growing dose", "half": "half"}


def dose_response(
    curve: pd.DataFrame, chosen_dose: float, label: str, interval: str = OVER_SENTENCES
) -> alt.VConcatChart:
    """Draw what every entity type loses as more neurons are removed, without retraining.

    Parameters
    ----------
    curve : DataFrame
        regime ("curve", "half"), dose (share of all neurons, 0–1), n_removed, condition ("base",
        "concept", "random"), entity, f1, f1_low, f1_high (for "random": median, lowest and highest
        of the draws), n_draws.
    chosen_dose : float
        The share of neurons that the run removes, marked by a vertical line.
    label : str
        The concept's entity type, for example "LOC"; its panel comes first and is larger.
    interval : str
        What `f1_low` and `f1_high` are for the concept.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing or `label` is not among the entity types.
    """
    need(curve, ["regime", "dose", "n_removed", "condition", "entity", *_INTERVAL, "n_draws"])
    entities = entities_from(curve, label)
    in_order(curve, "regime", tuple(_REGIMES))
    rows = curve.assign(
        percent=100 * curve["dose"],
        regime=curve["regime"].map(_REGIMES),
    )
    draws = int(curve["n_draws"].max())
    return stack(
        [
            _dose_panel(rows[rows["entity"] == entity], chosen_dose, label, entity == entities[-1])
            for entity in entities
        ],
        f"What is lost as the neurons of {label} are removed",
        [
            f"Vertical line: the dose of this run, {100 * chosen_dose:.3g} % of all neurons.",
            f"Bands: concept, {interval}; random, median and range of {draws} draws.",
        ],
        f"Line chart, a panel for each of {', '.join(entities)}: F1 without retraining against the "
        f"share of neurons removed, for the neurons of {label} and for random ones of the same "
        f"layers, with the half regime at 50 % and the chosen dose at {100 * chosen_dose:.3g} %.",
    )


def f1_through_retraining(
    metrics: pd.DataFrame,
    label: str,
    base_f1: Mapping[str, float] | pd.Series,
    interval: str = OVER_SENTENCES,
) -> alt.VConcatChart:
    """Draw F1 from just after removal to the end of retraining, one line a condition.

    Parameters
    ----------
    metrics : DataFrame
        condition, epoch (0 = just removed), entity, f1, f1_low, f1_high. Rows before the removal
        (epoch < 0) and those of "overall" are left out.
    label : str
        The concept's entity type; its panel comes first and is larger. That of a concept which is
        no entity type is drawn without `head`.
    base_f1 : mapping or Series
        F1 of the base model by entity type.
    interval : str
        What `f1_low` and `f1_high` are.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column or a base F1 is missing, or `label` is not among the entity types.
    """
    need(metrics, ["condition", "epoch", "entity", *_INTERVAL])
    metrics = metrics[(metrics["epoch"] >= 0) & (metrics["entity"] != "overall")]
    entities = entities_from(metrics, label)
    if missing := [entity for entity in entities if entity not in base_f1]:
        raise InputError(f"base_f1 has no value for {', '.join(missing)}; it needs every entity")
    conditions = ["base", *in_order(metrics, "condition", CONDITIONS)]
    last = metrics["epoch"].max()
    scale = alt.Scale(type="sqrt", domain=[0, float(last)], nice=False)
    ticks = alt.Axis(values=[t for t in _EPOCH_TICKS if t <= last], labelExpr=_EPOCH_LABELS)
    panels = []
    for entity in entities:
        rows = metrics[metrics["entity"] == entity]
        if entity not in ENTITIES:
            # The head gives no tag for it, so training the head alone says nothing of it.
            rows = rows[rows["condition"] != "head"]
        base = pd.DataFrame({"condition": ["base"], "f1": [float(base_f1[entity])]})
        title = "epochs of retraining (0 = just removed)" if entity == entities[-1] else None
        x = alt.X("epoch:Q", title=title, scale=scale, axis=ticks)
        y, signs = _f1_axis(entity == label), condition_signs(conditions)
        tooltips = [
            alt.Tooltip("condition:N"),
            alt.Tooltip("epoch:Q", title="epochs", format=".3~f"),
            *value_tooltips(rows, "f1", "F1"),
        ]
        layers = [
            _base_rule(base, signs),
            *lines(rows, x, y, "f1", signs, tooltips),
        ]
        panels.append(_entity_panel(layers, entity, label))
    return stack(
        panels,
        f"F1 of {label} after removal and through retraining",
        [f"Bands: {interval}.", "Square-root axis: the first quarter epoch is drawn wide."],
        f"Line chart, a panel for each of {', '.join(entities)}: F1 against epochs of retraining "
        f"after the removal of {label}, one line for each of the conditions "
        f"{', '.join(conditions[1:])}, beside the base model's F1.",
    )


def reliance(table: pd.DataFrame, label: str, interval: str = OVER_SENTENCES) -> alt.VConcatChart:
    """Draw what is lost when neurons are removed again after retraining.

    Parameters
    ----------
    table : DataFrame
        condition, again ("nothing", "same", "new top" or, of erasers, "refitted", "random"),
        entity, f1, f1_low, f1_high.
        Rows of "overall" are left out.
    label : str
        The concept's entity type.
    interval : str
        What `f1_low` and `f1_high` are.

    Returns
    -------
    alt.VConcatChart
        A panel a condition.

    Raises
    ------
    InputError
        If a column is missing, `again` has another value, or `label` is not among the entities.
    """
    need(table, ["condition", "again", "entity", *_INTERVAL])
    table = table[table["entity"] != "overall"]
    again = in_order(table, "again", AGAIN)
    entities = entities_from(table, label)
    conditions = in_order(table, "condition", CONDITIONS)
    gaps = alt.Scale(paddingInner=0.3, paddingOuter=0.15)
    panels = []
    for condition in conditions:
        base = alt.Chart(table[table["condition"] == condition]).encode(
            y=alt.Y("again:N", title="removed again", sort=again, scale=gaps),
            yOffset=alt.YOffset("entity:N", sort=entities),
            color=entity_signs(entities)["color"],
        )
        title = "F1" if condition == conditions[-1] else None
        grid = alt.Axis(grid=True)
        x = alt.X("f1_low:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=grid)
        tooltips = [
            alt.Tooltip("again:N", title="removed again"),
            alt.Tooltip("entity:N", title="entity type"),
            *value_tooltips(table, "f1", "F1"),
        ]
        ranges = base.mark_rule(strokeWidth=2).encode(x=x, x2="f1_high:Q", tooltip=tooltips)
        points = base.mark_point(opacity=1).encode(
            x=alt.X("f1:Q", title=title), shape=entity_signs(entities)["shape"], tooltip=tooltips
        )
        height = 40 * len(again)
        panels.append(panel([ranges, points], CONDITION_TITLES[condition], height))
    return stack(
        panels,
        f"What the retrained model relies on for {label}: removed again",
        [f"Lines: {interval}; for random, the range of its draws."],
        f"Dot chart, a panel for each of the conditions {', '.join(conditions)}: F1 of "
        f"{', '.join(entities)} after retraining, when {', '.join(again)} is removed again.",
    )


def _dose_panel(rows: pd.DataFrame, chosen: float, label: str, last: bool) -> alt.LayerChart:
    entity = rows["entity"].iloc[0]
    scale = alt.Scale(type="log", domain=[0.08, 60], nice=False)
    ticks = alt.Axis(values=_DOSE_TICKS, format="~g")
    title = "neurons removed (% of all, log scale)" if last else None
    x = alt.X("percent:Q", title=title, scale=scale, axis=ticks)
    y, signs = _f1_axis(entity == label), condition_signs(["base", "concept", "random"])
    tooltips = [
        alt.Tooltip("condition:N", title="removed"),
        alt.Tooltip("regime:N"),
        alt.Tooltip("percent:Q", title="neurons removed, %", format=".3~g"),
        alt.Tooltip("n_removed:Q", title="neurons removed", format=","),
        *value_tooltips(rows, "f1", "F1"),
    ]
    base = rows[rows["condition"] == "base"].drop_duplicates("condition")
    removed = rows[rows["condition"] != "base"]
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
        *lines(growing, x, y, "f1", {**signs, "shape": shape}, tooltips),
        half.mark_rule().encode(y=alt.Y("f1_low:Q", title="F1"), y2="f1_high:Q"),
        half.mark_point(size=130, opacity=1, filled=False, strokeWidth=2).encode(
            y=y, shape=shape, tooltip=tooltips
        ),
    ]
    return _entity_panel(layers, entity, label)


def _base_rule(base: pd.DataFrame, signs: dict[str, Any]) -> alt.Chart:
    tooltips = [alt.Tooltip("condition:N"), *value_tooltips(base, "f1", "F1")]
    return alt.Chart(base).mark_rule(strokeWidth=1.5).encode(y="f1:Q", tooltip=tooltips, **signs)


def _f1_axis(big: bool) -> alt.Y:
    scale, axis = (
        alt.Scale(domain=[0, 1]),
        alt.Axis(tickCount=5 if big else 2, labelPadding=LABEL_GAP),
    )
    return alt.Y("f1:Q", title="F1", scale=scale, axis=axis)


def _entity_panel(layers: list[alt.Chart], entity: str, label: str) -> alt.LayerChart:
    big = entity == label
    return panel(layers, f"{entity} (the concept)" if big else entity, _BIG if big else _SMALL)
