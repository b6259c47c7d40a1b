"""Charts draw what their tables hold. The numbers here are made up: only the drawing is tested."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from made_up_charts import (
    ENTITIES,
    curve_rows,
    gain_rows,
    metrics_rows,
    probe_rows,
    profile_rows,
    svg_of,
    with_interval,
)
from plasticity_utils import charts
from plasticity_utils.charts import theme as vega
from plasticity_utils.errors import InputError

CASES = {
    "dose_response": (curve_rows, lambda frame: charts.dose_response(frame, 0.05, "LOC")),
    "f1_through_retraining": (
        metrics_rows,
        lambda frame: charts.f1_through_retraining(
            frame, "LOC", {"LOC": 0.96, "PER": 0.95, "ORG": 0.88, "MISC": 0.83}
        ),
    ),
    "layer_profile": (profile_rows, lambda frame: charts.layer_profile(frame, "LOC")),
    "probe_by_layer": (probe_rows, lambda frame: charts.probe_by_layer(frame, "LOC")),
    "kept_gain": (gain_rows, charts.kept_gain),
}

# Points that each chart must draw: one for every row that is not the base model's rule.
POINTS = {
    "dose_response": 4 * 2 * (15 + 1),
    "f1_through_retraining": 4 * 4 * 7,
    "layer_profile": 2 * 2 * 7 + 4 * 7,
    "probe_by_layer": 2 * (1 + 3) * 7,
    "kept_gain": 3 * 4 * 7,
}
AXES = {
    "dose_response": {"neurons removed (% of all, log scale)", "F1"},
    "f1_through_retraining": {"epochs of retraining (0 = just removed)", "F1"},
    "layer_profile": {"layer (0 = embedding)", "mean |σ|", "rank saliency"},
    "probe_by_layer": {"layer (0 = embedding)", "F1 of the probe"},
    "kept_gain": {"layer (0 = embedding)", "mean rise of |σ|"},
}
COLUMNS = {
    "dose_response": "regime dose n_removed condition entity entity_f1 entity_f1_low "
    "entity_f1_high n_draws",
    "f1_through_retraining": "condition epoch entity entity_f1 entity_f1_low entity_f1_high",
    "layer_profile": "condition stage layer selectivity rank_saliency removal_only",
    "probe_by_layer": "condition stage layer word_f1",
    "kept_gain": "condition entity layer gain",
}

pytestmark = pytest.mark.usefixtures("theme")


def chart_of(name, change=lambda frame: frame):
    make, draw = CASES[name]
    return draw(change(make()))


@cache
def drawn(name):
    """A chart of the table as it is, drawn once; the tests look at it and change nothing."""
    return chart_of(name)


@cache
def spec_of(name, change=None):
    chart = chart_of(name, change) if change else drawn(name)
    return chart.to_dict(validate=True)


def parts(node):
    """Every object of a specification, without its data."""
    if isinstance(node, dict):
        yield node
        for key, child in node.items():
            if key not in ("datasets", "config"):
                yield from parts(child)
    elif isinstance(node, list):
        for child in node:
            yield from parts(child)


def encodings(spec):
    return [part["encoding"] for part in parts(spec) if "encoding" in part]


def drawn_rows(spec):
    return [row for rows in spec["datasets"].values() for row in rows]


def legend_values(spec):
    return [
        encoding["color"]["legend"]["values"]
        for encoding in encodings(spec)
        if "values" in encoding.get("color", {}).get("legend", {})
    ]


@pytest.mark.parametrize("name", CASES)
def test_every_row_becomes_a_point(name):
    svg = svg_of(spec_of(name))
    assert svg.count('aria-roledescription="point"') == POINTS[name]


@pytest.mark.parametrize("name", CASES)
def test_title_axes_tooltips_and_text_alternative(name):
    spec = spec_of(name)
    title = spec["title"]
    assert 10 < len(title["text"]) <= 70
    assert all(len(line) <= 85 for line in title["subtitle"])
    assert len(spec["description"]) > 60
    titles = {
        encoding[axis].get("title")
        for encoding in encodings(spec)
        for axis in "xy"
        if axis in encoding
    }
    assert titles >= AXES[name]
    tooltips = [encoding["tooltip"] for encoding in encodings(spec) if "tooltip" in encoding]
    assert any(isinstance(tooltip, list) and len(tooltip) >= 3 for tooltip in tooltips)


@pytest.mark.parametrize("name", CASES)
def test_the_book_can_narrow_it_to_a_phone(name):
    assert not [
        part for part in parts(spec_of(name)) if part.keys() & {"width", "hconcat", "facet"}
    ]


@pytest.mark.parametrize(
    ("name", "column"), [(name, column) for name in CASES for column in COLUMNS[name].split()]
)
def test_a_missing_column_is_named(name, column):
    with pytest.raises(InputError, match=f"no column '{column}'"):
        chart_of(name, lambda frame: frame.drop(columns=column))


@pytest.mark.parametrize("name", CASES)
def test_an_empty_table_is_an_error(name):
    with pytest.raises(InputError, match="no rows"):
        chart_of(name, lambda frame: frame.iloc[:0])


@pytest.mark.parametrize("name", ["dose_response", "f1_through_retraining"])
def test_f1_is_drawn_with_its_interval(name):
    ends = {
        (channel["field"], encoding[f"{axis}2"]["field"])
        for encoding in encodings(spec_of(name))
        for axis in "xy"
        if f"{axis}2" in encoding and (channel := encoding[axis])
    }
    assert ends == {("entity_f1_low", "entity_f1_high")}


@pytest.mark.parametrize(
    ("name", "value"),
    [("layer_profile", "selectivity"), ("probe_by_layer", "word_f1"), ("kept_gain", "gain")],
)
def test_intervals_are_drawn_where_the_table_has_them(name, value):
    def areas(frame_change):
        spec = spec_of(name, frame_change)
        return [part for part in parts(spec) if part.get("mark", {}) and is_area(part)]

    def is_area(part):
        return isinstance(part["mark"], dict) and part["mark"]["type"] == "area"

    def without(frame):
        return frame.drop(columns=[f"{value}_low", f"{value}_high"], errors="ignore")

    assert not areas(without)
    assert areas(lambda frame: with_interval(without(frame), value))


def test_dose_response_marks_the_chosen_dose_and_both_regimes():
    spec = spec_of("dose_response")
    assert {"percent": 5.0} in drawn_rows(spec)
    half = [row for row in drawn_rows(spec) if row.get("regime") == "half"]
    assert {(row["percent"], row["condition"]) for row in half} == {
        (50, "targeted"),
        (50, "random"),
    }
    assert "5 %" in spec["title"]["subtitle"][0]
    assert "range of 10 draws" in spec["title"]["subtitle"][1]


def test_dose_response_draws_no_point_at_a_dose_of_zero():
    encoded = [e for e in encodings(spec_of("dose_response")) if "x" in e]
    assert all(e["x"]["scale"]["type"] == "log" for e in encoded)
    chart = drawn("dose_response")
    doses = [layer.data["percent"].min() for part in chart.vconcat for layer in part.layer[1:]]
    assert min(doses) > 0


@pytest.mark.parametrize("draw", ["dose_response", "f1_through_retraining"])
def test_the_concepts_panel_comes_first_and_is_the_largest(draw):
    frame = CASES[draw][0]()
    base = dict.fromkeys(ENTITIES, 0.9)
    extra = 0.05 if draw == "dose_response" else None
    chart = (
        charts.dose_response(frame, extra, "ORG")
        if extra
        else charts.f1_through_retraining(frame, "ORG", base)
    )
    panels = chart.to_dict()["vconcat"]
    assert [part["title"]["text"] for part in panels] == ["ORG (the concept)", "LOC", "PER", "MISC"]
    assert panels[0]["height"] > max(part["height"] for part in panels[1:])


def test_retraining_starts_at_removal_and_leaves_the_overall_score_out():
    def with_more(frame):
        before = frame[frame["epoch"] == 0].assign(epoch=-1)
        return pd.concat([before, frame, frame.assign(entity="overall")])

    spec = spec_of("f1_through_retraining", with_more)
    assert len(spec["vconcat"]) == 4
    assert min(row["epoch"] for row in drawn_rows(spec) if "epoch" in row) == 0


def test_the_legend_lists_what_is_drawn():
    two = spec_of("f1_through_retraining", lambda f: f[f["condition"].isin(["none", "targeted"])])
    assert {tuple(values) for values in legend_values(two)} == {("base", "targeted", "none")}


def test_colour_and_dash_of_a_condition_share_one_legend():
    for encoding in encodings(spec_of("f1_through_retraining")):
        if "strokeDash" in encoding:
            assert encoding["strokeDash"]["title"] == encoding["color"]["title"]
            assert encoding["strokeDash"]["legend"] == encoding["color"]["legend"]


def test_layer_charts_draw_the_concepts_rows_only():
    def with_others(frame):
        return pd.concat([frame.assign(entity="LOC"), frame.assign(entity="PER", word_f1=0.5)])

    assert {row["entity"] for row in drawn_rows(spec_of("probe_by_layer", with_others))} == {"LOC"}


def test_layer_profile_needs_the_control():
    with pytest.raises(InputError, match="'none'"):
        chart_of("layer_profile", lambda frame: frame[frame["condition"] != "none"])


def test_what_removal_alone_predicts_is_that_of_the_concept():
    def marked(frame):
        return frame.assign(removal_only=np.where(frame["condition"] == "targeted", 0.7, 0.1))

    drawn = drawn_rows(spec_of("layer_profile", marked))
    alone = [row["rank_saliency"] for row in drawn if row["condition"] == "removal alone"]
    assert alone == [0.7] * 7


@pytest.mark.parametrize("name", ["f1_through_retraining", "kept_gain", "probe_by_layer"])
def test_a_condition_that_others_bring_has_a_sign_of_its_own(name):
    def with_another(frame):
        return pd.concat([frame, frame[frame["condition"] == "none"].assign(condition="bias")])

    spec = spec_of(name, with_another)
    known = {*vega.CONDITION_COLOURS.values(), vega.INK, vega.MUTED}
    scales = [e["color"]["scale"] for e in encodings(spec) if "color" in e]
    of = [dict(zip(s["domain"], s["range"], strict=True)) for s in scales]
    signs = {found["bias"] for found in of if "bias" in found}
    assert signs.isdisjoint(known)
    assert signs or name == "kept_gain"
    svg = svg_of(spec)
    assert ">bias<" in svg


@pytest.mark.parametrize(
    ("name", "value"), [("layer_profile", "selectivity"), ("probe_by_layer", "word_f1")]
)
def test_panels_that_are_compared_have_one_scale(name, value):
    axes = [e["y"] for e in encodings(spec_of(name)) if e.get("y", {}).get("field") == value]
    domains = {tuple(axis["scale"]["domain"]) for axis in axes}
    assert len(axes) > 2
    assert len(domains) == 1


def test_no_band_leaves_the_axis():
    for part in parts(spec_of("f1_through_retraining")):
        mark = part.get("mark")
        if isinstance(mark, dict) and mark["type"] == "area":
            assert mark["clip"]


def test_a_value_without_a_sign_is_an_error():
    with pytest.raises(InputError, match="unknown regime 'cheese'"):
        chart_of("dose_response", lambda frame: frame.assign(regime="cheese"))


def test_a_concept_without_rows_is_an_error():
    with pytest.raises(InputError, match="'LOC'"):
        chart_of("dose_response", lambda frame: frame[frame["entity"] != "LOC"])


def test_every_entity_needs_its_base_f1():
    with pytest.raises(InputError, match="no value for PER, ORG, MISC"):
        charts.f1_through_retraining(metrics_rows(), "LOC", {"LOC": 0.9})


def test_a_title_says_what_was_found():
    said = "Half of it comes back"
    drawn = [
        charts.dose_response(curve_rows(), 0.05, "LOC", title=said),
        charts.kept_gain(gain_rows(), title=said),
        charts.layer_profile(profile_rows(), "LOC", title=said),
        charts.probe_by_layer(probe_rows(), "LOC", title=said),
    ]
    assert {vega.chart_title(chart.to_dict()) for chart in drawn} == {said}
