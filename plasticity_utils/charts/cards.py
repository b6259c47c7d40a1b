"""The card of a neuron, and the map of all that have one: charts that answer without a kernel.

A card shows one neuron at three snapshots: how strongly it answers to each class of words, how well
it tells each entity type from all other words through retraining, with `none` beside it, and the
words at both of its ends. The map shows all neurons that have a card, and what those of the
brushed layers do together. All numbers travel inside the chart. Words are drawn as text, whatever
they contain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import (
    KIND_COLOURS,
    KIND_SHAPES,
    LABEL_GAP,
    entity_signs,
    need,
    panel,
    present_in_order,
    stack_panels,
    zero_line,
)
from plasticity_utils.errors import InputError
from plasticity_utils.names import EPOCH_TITLES, KINDS, OTHER, STAGE_TITLES, STAGES

_STAGE_AXIS = "base, just removed, then epochs of retraining"
_ROOM = 0.86  # of a class's row, so that the fullest bin does not touch the row above
_ROW_HEIGHT, _WORD_HEIGHT, _WORDS_SHOWN = 40, 17, 5
_WORD_WIDTH = 170  # pixels; the book's script narrows it with the chart
_BOTH = "Solid: the concept's neurons removed. Dotted: nothing removed."


def neuron_card(cards: Mapping[str, pd.DataFrame], label: str) -> alt.VConcatChart:
    """Draw one neuron's life, with a list to choose the neuron and a slider for the snapshot.

    `cards` are the four tables of `results.neurons.neuron_cards`; a hundred neurons make about
    200 KB.
    """
    records, classes = card_records(cards, label), classes_of(cards)
    tall = _ROW_HEIGHT * len(classes)
    names = [f"{r['kind']} {r['place']}: layer {r['layer']}, unit {r['unit']}" for r in records]
    options = alt.binding_select(options=list(range(len(names))), labels=names, name="neuron")
    slider = alt.binding_range(min=0, max=2, step=1, name="0 base, 1 just removed, 2 end")
    shown = alt.Chart(alt.Data(values=records)).transform_filter("datum.id === neuron")
    panels = [
        panel([_heading(shown)], "", 48),
        panel(
            [_histogram(shown, classes), _highest_bar(shown)], "Activation, by class of words", tall
        ),
        panel(_sigma_lines(shown, cards, "σ"), "How well it tells each type", 150),
        panel([_words(shown, 0)], "Highest-activating words", _WORD_HEIGHT * _WORDS_SHOWN),
        panel([_words(shown, 1)], "Lowest-activating words", _WORD_HEIGHT * _WORDS_SHOWN),
    ]
    chart = stack_panels(
        panels,
        f"A card for each of the neurons that matter most for {label}",
        ["Histograms: height is the share of a class's words, on one scale.", f"σ: {_BOTH}"],
        f"A card for one of {len(records)} neurons, chosen from a list: histograms of its "
        "activation on words of each class at a chosen snapshot; its selectivity for "
        f"{', '.join(entities_of(cards))} from the base model through retraining, with the "
        "concept's neurons removed and with nothing removed; its highest- and lowest-activating "
        "words.",
    )
    return _own_legends(chart).add_params(
        alt.param(name="neuron", value=0, bind=options),
        alt.param(name="snapshot", value=0, bind=slider),
    )


def neuron_map(cards: Mapping[str, pd.DataFrame], label: str) -> alt.VConcatChart:
    """Draw the neurons that have a card by layer and change of |σ|; brushed layers are followed."""
    records = map_records(cards, label)
    kinds = alt.binding_select(options=["all", *KINDS], name="neurons")
    brush = alt.selection_interval(name="layers", encodings=["x"])
    shown = alt.Chart(alt.Data(values=records)).transform_filter(
        "kind === 'all' || datum.kind === kind"
    )
    places = _places(shown).add_params(brush)
    follower = _sigma_lines(shown.transform_filter(brush), cards, "mean |σ|", mean=True)
    chart = stack_panels(
        [
            panel([zero_line("change", "y"), places], "Each neuron that has a card", 200),
            panel(follower, "Mean |σ| of the neurons of the brushed layers", 150),
        ],
        f"The neurons that matter most for {label}, by layer",
        ["Drag over layers, and the lower chart follows; double-click for all.", _BOTH],
        f"Scatter plot of {len(records)} neurons ({', '.join(KINDS)}): layer against the change "
        f"of absolute selectivity for {label} from the base model to the end of retraining. Below "
        "it, for the neurons of the brushed layers, mean absolute selectivity for "
        f"{', '.join(entities_of(cards))} through the stages, with the concept's neurons removed "
        "and with nothing removed.",
    )
    return _own_legends(chart).add_params(alt.param(name="kind", value="all", bind=kinds))


def _own_legends(chart: alt.VConcatChart) -> alt.VConcatChart:
    """Put each legend under the panel that needs it, not at the far end."""
    return chart.resolve_scale(color="independent", shape="independent", strokeDash="independent")


def _heading(shown: alt.Chart) -> alt.Chart:
    """Say which neuron is shown, and when."""
    neuron = "datum.kind + ' ' + datum.place + ': layer ' + datum.layer + ', unit ' + datum.unit"
    snapshot = f"{json.dumps(list(STAGE_TITLES.values()))}[snapshot]"
    now = f"{snapshot} + ': gain ' + format(datum.gain[snapshot], '.2f')"
    served = (
        "'serves ' + datum.types + ' entity type' + (datum.types == 1 ? '' : 's') + ' at the end'"
    )
    lines = shown.transform_calculate(heading=f"[{neuron}, {now}, {served}]")
    mark = lines.mark_text(align="left", baseline="top", fontSize=13, lineHeight=18)
    return mark.encode(text="heading:N", x=alt.value(0), y=alt.value(0))


def _histogram(shown: alt.Chart, classes: list[str]) -> alt.Chart:
    """Draw a row of bars for each class of words, at the snapshot that the slider names."""
    signs = theme.entity_colours(classes[:-1])
    colours = [*(signs[name] for name in classes[:-1]), theme.MUTED]
    level, n_bins = len(classes) - 1, "length(datum.row)"
    step = f"(datum.high - datum.low) / {n_bins}"
    bars = (
        shown.transform_calculate(row="datum.shares[snapshot]", entity=json.dumps(classes))
        .transform_flatten(["row", "entity"])
        .transform_calculate(thousandths="datum.row", bin=f"sequence({n_bins})")
        .transform_flatten(["thousandths", "bin"])
        .transform_calculate(
            share=f"datum.thousandths / {THOUSAND}",
            base=f"{level} - indexof({json.dumps(classes)}, datum.entity)",
            colour=f"{json.dumps(colours)}[indexof({json.dumps(classes)}, datum.entity)]",
            begin=f"datum.low + datum.bin * {step}",
            end=f"datum.low + (datum.bin + 1) * {step}",
            top=f"{level} - indexof({json.dumps(classes)}, datum.entity)"
            f" + {_ROOM} * datum.thousandths / max(1, datum.tallest[snapshot])",
        )
    )
    names = alt.Axis(
        values=list(range(len(classes))),
        labelExpr=f"{json.dumps(classes[::-1])}[datum.value]",
        labelBaseline="bottom",
        labelPadding=LABEL_GAP,
    )
    whole = alt.Scale(domain=[0, len(classes)], nice=False)
    return bars.mark_bar(strokeWidth=0).encode(
        x=alt.X("begin:Q", title="activation", scale=alt.Scale(zero=False, nice=False)),
        x2="end:Q",
        y=alt.Y("base:Q", title=None, axis=names, scale=whole),
        y2="top:Q",
        color=alt.Color("colour:N", scale=None),
        tooltip=[
            alt.Tooltip("entity:N", title="words"),
            alt.Tooltip("begin:Q", title="activation from", format=".3g"),
            alt.Tooltip("end:Q", title="to", format=".3g"),
            alt.Tooltip("share:Q", title="share of these words", format=".1%"),
        ],
    )


def _highest_bar(shown: alt.Chart) -> alt.Chart:
    """Say above the histograms which share of its class's words the highest bar stands for."""
    share = f"format(datum.tallest[snapshot] / {THOUSAND}, '.0%')"
    lines = shown.transform_calculate(highest=f"'highest bar: ' + {share}")
    return lines.mark_text(align="right", baseline="bottom", color=theme.MUTED).encode(
        text="highest:N", x=alt.value("width"), y=alt.value(-6)
    )


def _sigma_lines(
    shown: alt.Chart, cards: Mapping[str, pd.DataFrame], title: str, mean: bool = False
) -> list[alt.Chart]:
    """Draw σ of every entity type through the stages; of several neurons, the mean of |σ|."""
    stages = times(cards)
    conditions, entities = (json.dumps(names) for names in zip(*sigma_rows(cards), strict=True))
    rows = (
        shown.transform_calculate(line="datum.sigma", condition=conditions, entity=entities)
        .transform_flatten(["line", "condition", "entity"])
        .transform_calculate(value="datum.line", time=json.dumps(stages))
        .transform_flatten(["value", "time"])
    )
    if mean:
        rows = rows.transform_calculate(value="abs(datum.value)").transform_aggregate(
            value="mean(value)", neurons="count()", groupby=["condition", "entity", "time"]
        )
    signs = entity_signs(entities_of(cards))
    dashes = {name: theme.CONDITION_DASHES[name] for name in ("targeted", "none")}
    legend = alt.Legend(symbolType="stroke", symbolSize=500, symbolStrokeColor=theme.MUTED)
    scale = alt.Scale(domain=list(dashes), range=list(dashes.values()))
    tooltips = [
        alt.Tooltip("condition:N"),
        alt.Tooltip("entity:N", title="entity type"),
        alt.Tooltip("time:N", title="stage"),
        alt.Tooltip("value:Q", title=title, format=".3f"),
        *([alt.Tooltip("neurons:Q", format="d")] if mean else []),
    ]
    axis = alt.Axis(tickCount=5, labelPadding=LABEL_GAP)
    base = rows.encode(
        x=alt.X("time:O", title=_STAGE_AXIS, sort=stages, scale=alt.Scale(domain=stages)),
        y=alt.Y("value:Q", title=title, axis=axis, scale=alt.Scale(domain=[0 if mean else -1, 1])),
        color=signs["color"],
    )
    dash = alt.StrokeDash("condition:N", title="condition", scale=scale, legend=legend)
    lines = base.mark_line(clip=True).encode(strokeDash=dash)
    points = base.mark_point(opacity=1).encode(shape=signs["shape"], tooltip=tooltips)
    # The control is a line without points, so that the two are told apart at a glance.
    return [lines, points.transform_filter("datum.condition === 'targeted'")]


def _words(shown: alt.Chart, end: int) -> alt.Chart:
    """Draw the words of one end of the neuron, a column a snapshot."""
    rows = (
        shown.transform_calculate(
            list=f"[datum.words[{end}], datum.words[{2 + end}], datum.words[{4 + end}]]",
            column="[0, 1, 2]",
        )
        .transform_flatten(["list", "column"])
        .transform_calculate(word="datum.list", rank="sequence(length(datum.list))")
        .transform_flatten(["word", "rank"])
    )
    axis = alt.Axis(
        orient="top",
        values=list(range(len(STAGES))),
        labelExpr=f"{json.dumps(STAGES)}[datum.value]",
        labelAlign="left",
        labelPadding=4,
        labelColor=theme.MUTED,
        domain=False,
        ticks=False,
    )
    columns = alt.Scale(domain=[0, len(STAGES)], nice=False)
    ranks = alt.Scale(domain=list(range(_WORDS_SHOWN)))
    return rows.mark_text(align="left", limit=_WORD_WIDTH).encode(
        x=alt.X("column:Q", title=None, axis=axis, scale=columns),
        y=alt.Y("rank:O", axis=None, scale=ranks),
        text="word:N",
        tooltip=alt.Tooltip("word:N"),
    )


def _places(shown: alt.Chart) -> alt.Chart:
    """Draw each neuron in its layer, spread by its unit so that few hide each other."""
    return shown.mark_point(size=45, opacity=0.9).encode(
        x=alt.X(
            "spread:Q",
            title="layer (0 = embedding), spread by unit",
            axis=alt.Axis(tickMinStep=1, format="d"),
            scale=alt.Scale(zero=False, nice=False, padding=8),
        ),
        y=alt.Y(
            "change:Q", title="change of |σ|", axis=alt.Axis(tickCount=5, labelPadding=LABEL_GAP)
        ),
        color=alt.Color("kind:N", title="neurons").scale(
            domain=list(KINDS), range=[KIND_COLOURS[kind] for kind in KINDS]
        ),
        shape=alt.Shape("kind:N", title="neurons").scale(
            domain=list(KINDS), range=[KIND_SHAPES[kind] for kind in KINDS]
        ),
        tooltip=[
            alt.Tooltip("kind:N"),
            alt.Tooltip("place:Q", title="number in the list", format="d"),
            alt.Tooltip("layer:Q", format="d"),
            alt.Tooltip("unit:Q", format="d"),
            alt.Tooltip("change:Q", title="change of |σ|", format="+.3f"),
            alt.Tooltip("change_none:Q", title="the same under none", format="+.3f"),
            alt.Tooltip("types:Q", title="entity types served at the end", format="d"),
        ],
    )


THOUSAND = 1000
NO_WORDS = "–"  # of a neuron that says the same of every word
_SIGMA = "selectivity_"
_PLACE = ["layer", "unit"]
_NEEDED = {
    "card_neurons": [*_PLACE, "kind", "place", "n_types", "low", "high"],
    "card_stages": ["condition", "stage", "epoch", *_PLACE, "gain"],
    "card_words": ["stage", *_PLACE, "words", "words_low"],
    "card_histograms": ["stage", *_PLACE, "entity", "n_words", "share"],
}


def check(cards: Mapping[str, pd.DataFrame], label: str) -> None:
    """Raise InputError unless these are the tables of cards, and `label` is among their types."""
    for name, columns in _NEEDED.items():
        if name not in cards:
            raise InputError(f"no table {name!r} among the cards; needed: {', '.join(_NEEDED)}")
        need(cards[name], columns)
    present_in_order(cards["card_neurons"], "kind", KINDS)
    if label not in entities_of(cards):
        allowed = ", ".join(entities_of(cards))
        raise InputError(f"unknown entity type {label!r}; allowed: {allowed}")


def entities_of(cards: Mapping[str, pd.DataFrame]) -> list[str]:
    """Name the entity types, and the concept of one's own, for which the cards have σ."""
    columns = [name for name in cards["card_stages"] if name.startswith(_SIGMA)]
    return [name.removeprefix(_SIGMA) for name in columns]


def classes_of(cards: Mapping[str, pd.DataFrame]) -> list[str]:
    """Name the classes of words, each a histogram: the entities, and the words of none."""
    return [*entities_of(cards), OTHER]


def sigma_rows(cards: Mapping[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """Condition and entity of each line of σ that a record holds, in order."""
    return [(name, entity) for name in ("targeted", "none") for entity in entities_of(cards)]


def times(cards: Mapping[str, pd.DataFrame]) -> list[str]:
    """Name the stages over which σ is drawn: base, removed, then epochs of retraining."""
    epochs = sorted(cards["card_stages"]["epoch"].unique())
    return [EPOCH_TITLES.get(epoch, f"{epoch:g}") for epoch in epochs]


def card_records(cards: Mapping[str, pd.DataFrame], label: str) -> list[dict[str, Any]]:
    """Nest the tables into what one neuron's card shows.

    As `map_records`, and: low, high; gain (one number for each of `STAGES`); words (for each of
    `STAGES` the highest and the lowest, each a list); shares (for each of `STAGES` and
    `classes_of`, thousandths of the class's words in each bin); tallest (for each of `STAGES`, the
    greatest of these).
    """
    mapped, classes = map_records(cards, label), classes_of(cards)
    stages = cards["card_stages"]
    own = stages[(stages["condition"] == "targeted") & stages["stage"].isin(STAGES)]
    gains = _nested(own.round({"gain": 3}), ["stage"], "gain")
    words = {end: _nested(cards["card_words"], ["stage"], end) for end in ("words", "words_low")}
    histograms = cards["card_histograms"]
    thousandths = histograms["share"].map(lambda shares: [round(THOUSAND * s) for s in shares])
    shares = _nested(histograms.assign(share=thousandths), ["stage", "entity"], "share")
    records = []
    ends = cards["card_neurons"][["low", "high"]].to_dict("records")
    for record, range_ends in zip(mapped, ends, strict=True):
        place = (record["layer"], record["unit"])
        lists = [
            (words[end][place][stage] or NO_WORDS).split(" · ")
            for stage in STAGES
            for end in ("words", "words_low")
        ]
        heights = [[shares[place][stage, entity] for entity in classes] for stage in STAGES]
        records.append(
            {
                **record,
                **{name: float(f"{value:.4g}") for name, value in range_ends.items()},
                "gain": [gains[place][stage] for stage in STAGES],
                "words": lists,
                "shares": heights,
                "tallest": [max(map(max, of_stage)) for of_stage in heights],
            }
        )
    return records


def map_records(cards: Mapping[str, pd.DataFrame], label: str) -> list[dict[str, Any]]:
    """Nest the tables into what the map of neurons shows.

    id, layer, unit, kind, place, types (served at the end), spread (the layer, a little to the left
    or right by unit), change and change_none (of |σ| for the concept, from base to end), sigma (a
    list over `times` for each of `sigma_rows`).
    """
    check(cards, label)
    stages = cards["card_stages"].sort_values("epoch")
    lines = {
        row: _nested(stages[stages["condition"] == row[0]], ["epoch"], f"selectivity_{row[1]}")
        for row in sigma_rows(cards)
    }
    most = cards["card_neurons"]["unit"].max() + 1
    records = []
    for number, neuron in enumerate(cards["card_neurons"].to_dict("records")):
        place = (neuron["layer"], neuron["unit"])
        sigma = {row: [round(v, 3) for v in line[place].values()] for row, line in lines.items()}
        change = {
            condition: round(abs(line[-1]) - abs(line[0]), 3)
            for (condition, entity), line in sigma.items()
            if entity == label
        }
        records.append(
            {
                "id": number,
                **{name: neuron[name] for name in (*_PLACE, "kind", "place")},
                "types": neuron["n_types"],
                "spread": round(neuron["layer"] + 0.7 * (neuron["unit"] / most - 0.5), 3),
                "change": change["targeted"],
                "change_none": change["none"],
                "sigma": list(sigma.values()),
            }
        )
    return records


def _nested(frame: pd.DataFrame, keys: list[str], value: str) -> dict[tuple[int, int], dict]:
    """Values of a column by neuron, then by one key or several, in the frame's order."""
    found: dict[tuple[int, int], dict] = {}
    columns = (frame[name] for name in (*_PLACE, *keys, value))
    for layer, unit, *key, item in zip(*columns, strict=True):
        found.setdefault((layer, unit), {})[tuple(key) if len(key) > 1 else key[0]] = item
    return found
