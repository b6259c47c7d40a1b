"""What a page shows of a concept that is no entity type: charts draw, sentences hold."""

import numpy as np
import pandas as pd
import pytest

from made_up_cards import made_up_cards
from plasticity_utils import InputError, charts
from plasticity_utils.analysis import answers, rules
from plasticity_utils.book import banner
from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import entities_in
from plasticity_utils.explorer.app import explore
from plasticity_utils.formats import short
from plasticity_utils.results import across, tables
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.neurons import neuron_cards
from plasticity_utils.results.published import publish, published_runs, status
from runs import SHORT
from test_custom_concepts import ENTITIES

_CARDS = {}


@pytest.fixture
def group(custom_run):
    return RunGroup((custom_run,))


@pytest.fixture
def cards(custom_run):
    """Cards of a run, made once."""
    if custom_run.path not in _CARDS:
        _CARDS[custom_run.path] = neuron_cards(custom_run, 12)
    return _CARDS[custom_run.path]


def domains(spec, title):
    """Colour scales with this title, as domain → range, anywhere in a chart."""
    if isinstance(spec, list):
        return [found for part in spec for found in domains(part, title)]
    if not isinstance(spec, dict):
        return []
    colour = spec.get("color", {})
    own = []
    if isinstance(colour, dict) and colour.get("title") == title:
        own = [dict(zip(colour["scale"]["domain"], colour["scale"]["range"], strict=True))]
    return own + [found for part in spec.values() for found in domains(part, title)]


def test_every_chart_of_the_page_draws_it(group, custom_run, cards):
    label = custom_run.config.label
    layers = group.layers[group.layers["condition"] != "head"]
    drawn = [
        charts.dose_response(tables.dose_curve(custom_run.dose), custom_run.facts["dose"], label),
        charts.f1_through_retraining(group.metrics, label, tables.base_f1(group.metrics)),
        charts.probe_by_layer(layers, label),
        charts.layer_profile(group.layers, label),
        charts.kept_gain(group.kept_gain),
        charts.neuron_card(cards, label),
        charts.neuron_map(cards, label),
    ]
    specs = [chart.to_dict() for chart in drawn]
    scales = [scale for spec in specs for scale in domains(spec, "entity type")]
    assert scales
    assert all(scale[label] == theme.CUSTOM_COLOUR for scale in scales)
    gains = domains(specs[4], "entity type")[0]
    assert list(gains) == ([*ENTITIES, "WORDS"] if label == "WORDS" else [label])
    for name in SHORT:
        assert len(derived(custom_run, name).columns)


def test_the_head_is_not_drawn_where_it_says_nothing(group, custom_run):
    label = custom_run.config.label
    drawn = charts.f1_through_retraining(
        group.metrics, label, tables.base_f1(group.metrics), mute=group.config.only_reading
    )
    datasets = drawn.to_dict()["datasets"]
    for name, rows in datasets.items():
        conditions = {row.get("condition") for row in rows if row.get("entity") == label}
        assert "head" not in conditions, name
    every = [row for rows in datasets.values() for row in rows]
    assert {"LOC"} == {row["entity"] for row in every if row.get("condition") == "head"} & {"LOC"}


def test_what_the_head_regains_is_not_told_of_it(group, custom_run):
    table = tables.recovery_of(custom_run).set_index("condition")
    assert table.loc["head", ["removed", "end", "recovery", "epochs_to_95"]].isna().all()
    assert table["beyond_head"].isna().all()
    assert not tables.recovery(custom_run.metrics, "LOC", "head")["beyond_head"].isna().all()
    row = across.relearning([group]).iloc[0]
    assert np.isnan(row["by_head"])
    assert row["concept"] == custom_run.config.concept_info.title


def test_the_page_says_what_f1_means_and_what_the_head_is_worth(group, custom_run):
    said = banner.settings(group, {})
    assert "is no entity type, so no tag of the model's names it" in said
    assert "*head* says nothing here" in said
    assert ("pair of files" in said) == (custom_run.config.concept_info.kind == "label")
    short = answers.answer(group).set_index("step")["targeted"]
    assert short[[answers.LAST_LAYER, answers.BEYOND_LAST_LAYER]].isna().all()
    assert short[[answers.BEFORE, answers.CUT, answers.WHOLE]].notna().all()
    rows = custom_run.layers[custom_run.layers["entity"] == custom_run.config.label]
    last = rows[(rows["layer"] == rows["layer"].max()) & (rows["condition"] == "targeted")]
    removed = last[last["stage"] == "removed"]["word_f1"].iloc[0]
    assert short[answers.PROBE] == pytest.approx(removed)
    base = last[last["stage"] == "base"]["word_f1"].iloc[0]
    assert answers.found(group) == rules.reader_finds(base, removed)
    assert list(answers.rises(group)["condition"]) == ["targeted", "head", "none"]
    assert answers.second_cut(group)["again"].tolist() == ["nothing", "new top", "random"]


def test_a_card_has_the_classes_that_its_corpus_has(custom_run, cards):
    own = [custom_run.config.label]
    own = [*ENTITIES, *own] if custom_run.config.concept_info.kind == "words" else own
    assert list(dict.fromkeys(cards["card_histograms"]["entity"])) == [*own, "other"]
    kinds = set(cards["card_neurons"]["kind"])
    assert ("polysemantic" in kinds) <= (custom_run.config.concept_info.kind == "words")
    assert {"removed", "newly salient"} <= kinds


def test_the_explorer_shows_it(custom_run):
    explorer, label = explore(custom_run), custom_run.config.label
    row = custom_run.neurons.query("condition == 'targeted' and stage == 'end'")
    best = row.loc[row["selectivity"].idxmax()]
    at = explorer.controls.selected
    assert (at.layer, at.unit) == (best["layer"], best["unit"])
    assert f"σ for {label} {short(best['selectivity'])}" in explorer.card.heading.value
    n_words = (np.array(explorer.data.classes) == label).sum()
    assert f"{label} ({n_words:,} words)" in explorer.card.charts.value


def test_it_is_published_and_opened(custom_run, tmp_path):
    folder = publish(custom_run, tmp_path)
    assert folder.name.startswith(custom_run.config.concept_info.name)
    (found,) = published_runs(tmp_path)
    assert found.config.label == custom_run.config.label
    assert status([found])["concept"].tolist() == [custom_run.config.concept_info.title]
    pd.testing.assert_frame_equal(found.metrics, custom_run.metrics)


def test_types_keep_their_order_and_each_has_a_sign_of_its_own():
    frame = pd.DataFrame({"entity": ["WORDS", "PER", "LOC", "WORDS"]})
    assert entities_in(frame) == ["LOC", "PER", "WORDS"]
    tags = ["NNP", "NN", "CD", "IN", "DT"]
    assert len(set(theme.entity_colours(tags).values())) == len(tags)
    assert theme.entity_colours(["LOC", "NN", "WORDS"])["LOC"] == theme.ENTITY_COLOURS["LOC"]
    assert theme.entity_colours(["LOC", "NN", "WORDS"])["WORDS"] == theme.CUSTOM_COLOUR
    with pytest.raises(InputError, match=r"6 types .*; at most 5 are allowed"):
        entities_in(pd.DataFrame({"entity": [*tags, "VB"]}))


def test_made_up_cards_of_a_custom_concept_draw():
    cards = made_up_cards(entities=("CITY",))
    scale = domains(charts.neuron_card(cards, "CITY").to_dict(), "entity type")[0]
    assert scale == {"CITY": theme.CUSTOM_COLOUR}
