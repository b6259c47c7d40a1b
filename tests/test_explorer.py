"""The explorer's widgets, driven as a user would: change a control, see what is shown change."""

import copy
import json
import re
import shutil
from dataclasses import replace

import ipywidgets as widgets
import numpy as np
import pytest

import plasticity_utils as pu
from plasticity_utils import (
    Explorer,
    InputError,
    Run,
    explore,
    highest_activating_words,
    word_activations,
)
from plasticity_utils.experiment import config
from plasticity_utils.experiment.replay import activations_at, model_at
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.explorer.app import VIEWS
from plasticity_utils.explorer.data import RunData, Selected
from plasticity_utils.explorer.panels import words_of
from plasticity_utils.formats import short
from plasticity_utils.neurons.scores import selectivity
from runs import at
from test_neuron_html import EVIL, Tags


@pytest.fixture(scope="module")
def tiny_data(tiny_run):
    return RunData(tiny_run)


@pytest.fixture(scope="module")
def real_data(real_run):
    return RunData(real_run)


@pytest.fixture(params=["tiny", pytest.param("real", marks=pytest.mark.slow)])
def explorer(request):
    """An explorer of its own for each test; the run is read once."""
    return Explorer(request.getfixturevalue(f"{request.param}_data"))


@pytest.fixture
def tiny(tiny_data):
    return Explorer(tiny_data)


COMPARE, SEARCH = VIEWS.index("Compare"), VIEWS.index("Corpus")


def tagged_words(explorer):
    """The words of the answer to a sentence, one stage after another."""
    html = explorer.sentence.answer.value
    return [Tags(word).text for word in re.findall(r'title="z = [^"]*">(.*?)<small>', html)]


def flat(run, selected):
    return selected.layer * (run.neurons["unit"].max() + 1) + selected.unit


def select(explorer, condition="targeted", stage="end", layer=1, unit=3):
    for name, value in locals().copy().items():
        if name != "explorer":
            getattr(explorer.controls, name).value = value
    return explorer.controls.selected


def said(explorer):
    return Tags(explorer.status.value).text


def opened_again(explorer, **names):
    """What the line under the view opens."""
    (line,) = re.findall("<code>(.*?)</code>", explorer.line.value)
    return eval(Tags(line).text, {"pu": pu, **names})


def scales_of(charts):
    """What stands at the axes of histograms."""
    texts = re.findall("<text [^>]*>([^<]*)</text>", charts)
    return {"heights": [text for text in texts if text.endswith("%")], "range": texts[-3:]}


def all_widgets(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from all_widgets(child)


def words_shown(html):
    """The words of the two lists, highest first."""
    return [Tags(cell).text for cell in re.findall(r'<td class="pu-word".*?</td>', html)]


def test_what_is_shown_is_what_the_table_and_the_activations_hold(explorer):
    run, words = explorer.data.run, load_sentences(explorer.data.run.config).measuring.words
    least = 2 if len(set(words)) < len(words) / 2 else 1
    for condition in ("targeted", "random", "none", "head"):
        for stage in ("base", "removed", "end"):
            selected = select(explorer, condition, stage)
            row = at(run.neurons, condition=condition, stage=stage, layer=1, unit=3).iloc[0]
            heading = Tags(explorer.card.heading.value).text
            place = f"Layer 1, unit 3, {explorer.controls.stage.label}, condition {condition}"
            assert place in heading
            assert f"gain {short(row['gain'])} · σ for LOC {short(row['selectivity'])}" in heading
            assert "Effect: how much higher" in heading
            assert "Gain: what is left" in heading
            activations = activations_at(run, condition, stage)[flat(run, selected)]
            column = activations.astype(np.float32)[:, None]
            ends = highest_activating_words(column, words, [0], 8, min_count=least)
            assert words_shown(explorer.card.words.value) == ends["word"].tolist()
            assert explorer.card.charts.value.count("<svg") == 2
            assert said(explorer) == ""


def test_another_neuron_changes_every_part_of_the_card(explorer):
    select(explorer, stage="base", unit=3)
    card = explorer.card
    parts = (card.heading, card.words, card.charts, card.sentences, card.profile)
    before = [part.value for part in parts]
    explorer.controls.unit.value = 4
    assert all(part.value != old for part, old in zip(parts, before, strict=True))


def test_parts_of_speech_are_computed_from_the_activations(explorer):
    run, corpus = explorer.data.run, explorer.data.corpus
    selected = select(explorer, "none", "base")
    noun = np.array(corpus.word_labels("pos")) == "NN"
    activations = activations_at(run, "none", "base")[flat(run, selected)].astype(np.float32)
    sigma = selectivity(activations[:, None], noun[:, None])[0, 0]
    row = re.search(r"<tr><th scope=\"row\">NN .*?</tr>", explorer.card.profile.value).group()
    assert short(sigma, True) in Tags(row).text


def test_a_removed_neuron_says_nothing(explorer):
    run = explorer.data.run
    gone = at(run.neurons, condition="targeted", stage="end", removed=True).iloc[0]
    select(explorer, "targeted", "removed", int(gone["layer"]), int(gone["unit"]))
    assert "says the same of every word" in explorer.card.words.value
    assert "removed, gain 0" in Tags(explorer.card.heading.value).text


def test_the_list_is_sorted_and_chooses(explorer):
    run = explorer.data.run
    select(explorer, "none", "end", layer=1)
    layer = at(run.neurons, condition="none", stage="end", layer=1)
    best = int(layer.loc[layer["selectivity"].idxmax(), "unit"])
    assert explorer.choices.units.options[0][1] == best
    explorer.choices.units.value = best
    assert explorer.controls.unit.value == best
    assert f"unit {best}," in explorer.card.heading.value
    explorer.choices.order.value = "unit"
    assert [unit for _, unit in explorer.choices.units.options] == sorted(layer["unit"])
    explorer.choices.order.value = "activation"
    inside = np.array(explorer.data.classes) == "LOC"
    width = len(layer)
    rows = np.asarray(activations_at(run, "none", "end")[width : 2 * width], dtype=np.float64)
    assert explorer.choices.units.options[0][1] == rows[:, inside].mean(axis=1).argmax()
    assert explorer.choices.units.value == best


def test_a_point_of_the_map_stands_where_it_belongs_and_chooses(tiny):
    select(tiny, "targeted", "end", layer=2, unit=0)
    points = tiny.layer_map.points
    layer = tiny.data.layer(tiny.controls.selected)
    assert len(points.options) == len(layer)
    rules = re.findall(r"nth-child\(\d+\)\{left:([\d.]+)%;bottom:([\d.]+)%", places(tiny))
    left = [float(rule[0]) for rule in rules]
    # Places are rounded, so two neurons that are nearly alike may share one.
    assert np.all(np.diff(np.array(left)[np.argsort(layer["sigma_base"])]) >= 0)
    assert len(set(left)) > 1
    assert places(tiny).count("border-radius:0") == layer["removed"].sum()
    points.index = 7
    assert tiny.controls.unit.value == 7
    assert "unit 7," in tiny.card.heading.value
    tiny.controls.unit.value = 9
    assert points.index == 9


def places(explorer):
    return explorer.layer_map.widget.children[0].value


def test_two_neurons_or_two_stages_stand_side_by_side(explorer):
    select(explorer, "targeted", "end", layer=1, unit=3)
    explorer.views.selected_index = COMPARE
    view = explorer.comparison
    view.controls.stage.value, view.controls.layer.value = "base", 1
    view.controls.unit.value = 3
    assert "after retraining" in view.left.heading.value
    assert "base model" in view.right.heading.value
    right = view.right.charts.value
    view.controls.unit.value = 5
    assert "unit 5," in view.right.heading.value
    assert view.right.charts.value != right
    assert "unit 3," in view.left.heading.value
    # Two neurons have the same heights; one at two stages has the same range, too.
    for unit, alike in ((5, ["heights"]), (3, ["heights", "range"])):
        view.controls.unit.value = unit
        scales = [scales_of(side.charts.value) for side in (view.left, view.right)]
        assert [name for name in scales[0] if scales[0][name] == scales[1][name]] == alike
    view.controls.condition.value = "none"
    again = opened_again(explorer)
    assert again.views.selected_index == COMPARE
    for side in ("left", "right"):
        one, other = (getattr(each.comparison, side) for each in (again, explorer))
        assert one.heading.value == other.heading.value
        assert one.charts.value == other.charts.value
    view.controls.unit.value = 10_000
    assert "no neuron 10000" in said(explorer)


def test_a_typed_sentence_is_answered_by_three_models(explorer):
    run = explorer.data.run
    selected = select(explorer, "targeted", "end", layer=1, unit=3)
    explorer.views.selected_index = 1
    explorer.sentence.text.value = "London calls Berlin."
    words = ["London", "calls", "Berlin", "."]
    shown = explorer.data.respond(selected, tuple(words))
    for stage in ("base", "removed", "end"):
        with model_at(run, "targeted", stage) as (model, tokenizer):
            X = word_activations(model, tokenizer, [words])
        found = shown.loc[shown["stage"] == stage, "activation"].to_numpy()
        assert found == pytest.approx(X[:, flat(run, selected)], abs=1e-5)
    answer = tagged_words(explorer)
    assert answer == [*words, *words, *words]
    before = explorer.sentence.answer.value
    explorer.controls.unit.value = 4
    assert explorer.sentence.answer.value != before
    explorer.sentence.factor.value = 0
    again = opened_again(explorer)
    assert again.controls.selected == replace(selected, unit=4)
    assert again.sentence.answer.value == explorer.sentence.answer.value
    assert again.sentence.strongest.options == explorer.sentence.strongest.options


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "no words"), (" \n\t ", "no words"), ("x " * 500_000, "at most 2,000"),
     ("a " * 900, "tokens; the model reads at most")],
)  # fmt: skip
def test_a_sentence_that_cannot_be_read_gets_a_message(tiny, text, complaint):
    tiny.views.selected_index = 1
    tiny.sentence.text.value = "London calls"
    tiny.sentence.text.value = text
    assert complaint in Tags(tiny.sentence.answer.value).text
    tiny.sentence.text.value = "\ud800 London \u200b calls \x00"
    assert "London" in Tags(tiny.sentence.answer.value).text


def test_words_are_cut_as_in_the_corpus():
    assert words_of("The U.S. didn't play, 3.5 times.") == (
        "The", "U.S.", "didn't", "play", ",", "3.5", "times", ".",
    )  # fmt: skip


@pytest.mark.parametrize("unit", [-1, 10_000, 10**30])
def test_an_unknown_neuron_gets_a_message_and_the_view_stays(tiny, unit):
    select(tiny)
    before = tiny.card.heading.value
    for view in (0, 1, 2, 3):
        tiny.views.selected_index = view
        tiny.controls.unit.value = unit
        assert f"no neuron {unit} in layer 1" in said(tiny)
        assert tiny.line.value == ""
        tiny.controls.unit.value = 3
        assert said(tiny) == ""
        assert "unit=3" in tiny.line.value
    assert tiny.card.heading.value == before


def test_words_of_the_corpus_are_text(tiny_run):
    data = RunData(tiny_run)
    data.corpus = copy.deepcopy(data.corpus)
    data.corpus.sentences[0][0] = EVIL
    data.activations = lambda _: np.eye(len(data.words), dtype=np.float32)[0]
    tiny = Explorer(data)
    select(tiny, "none", "base", unit=5)
    for part in (tiny.card.words, tiny.card.sentences):
        assert EVIL in Tags(part.value).text
        assert "img" not in Tags(part.value).names
    tiny.views.selected_index = 1
    tiny.sentence.text.value = f"{EVIL} <b>London</b>"
    assert "img" not in Tags(tiny.sentence.answer.value).names
    assert "< b > London" in " ".join(tagged_words(tiny))
    tiny.views.selected_index = SEARCH
    tiny.search.text.value = f"{EVIL}"
    assert not {"img", "b"} & Tags(tiny.search.answer.value).names


def test_a_run_without_its_models_is_shown_from_its_tables(tiny_run, tmp_path):
    alone = Run(shutil.copytree(tiny_run.path, tmp_path / tiny_run.path.name))
    explorer = explore(alone)
    assert "models of this run are not kept here" in said(explorer)
    select(explorer, "none", "end", layer=2, unit=1)
    row = at(alone.neurons, condition="none", stage="end", layer=2, unit=1).iloc[0]
    assert f"σ for LOC {short(row['selectivity'])}" in Tags(explorer.card.heading.value).text
    assert row["words"] in Tags(explorer.card.words.value).text
    assert explorer.card.charts.value.count("<svg") == 1
    assert "activation" not in explorer.choices.order.options
    explorer.views.selected_index = 1
    assert "not kept here" in Tags(explorer.sentence.answer.value).text
    explorer.sentence.text.value, explorer.sentence.factor.value = "London calls", 2.5
    again = opened_again(explorer)
    assert (again.sentence.text.value, again.sentence.factor.value) == ("London calls", 2.5)
    explorer.views.selected_index = COMPARE
    assert "Layer 2" in explorer.comparison.left.heading.value
    assert not list(tmp_path.glob("stages"))


def test_a_published_run_says_that_it_has_no_table_of_neurons(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.path, tmp_path / "published")
    (folder / "neurons.parquet").unlink()
    (only,) = explore(Run(folder)).children
    assert "plasticity run" in Tags(only.value).text


def test_in_place_of_a_published_run_ones_own_is_shown(tiny_run, tmp_path, monkeypatch):
    folder = shutil.copytree(tiny_run.path, tmp_path / "published")
    (folder / "neurons.parquet").unlink()
    # As on the book's pages: the run of the full scale is published, one's own is a smaller one.
    facts = json.loads((folder / "config.json").read_text())
    facts["settings"]["scale"] = "full"
    (folder / "config.json").write_text(json.dumps(facts))
    monkeypatch.setattr(config, "results_root", lambda: tiny_run.path.parent)
    shown = explore(Run(folder), layer=1, unit=3)
    own, explorer = shown.children
    said = f"Shown: your own, {tiny_run.path.name}"
    assert said in Tags(own.value).text
    assert "Layer 1, unit 3" in explorer.card.heading.value
    without_widgets = shown._repr_mimebundle_()
    for form in ("text/plain", "text/html"):
        assert said in without_widgets[form]
        assert "unit 3" in without_widgets[form]


def test_other_seeds_are_found_beside_the_run(tiny_run, tmp_path):
    first = shutil.copytree(tiny_run.path, tmp_path / tiny_run.path.name)
    second = shutil.copytree(first, tmp_path / tiny_run.path.name.replace("seed0", "seed7"))
    facts = json.loads((second / "config.json").read_text())
    facts["settings"]["seed"] = 7
    (second / "config.json").write_text(json.dumps(facts))
    neurons = Run(second).neurons
    neurons["selectivity"] *= -0.5
    neurons.to_parquet(second / "neurons.parquet")
    explorer = explore(Run(first))
    assert explorer.seed.options == (0, 7)
    before = select(explorer, "none", "end")
    explorer.seed.value = 7
    assert explorer.controls.selected == before
    row = at(neurons, condition="none", stage="end", layer=1, unit=3).iloc[0]
    assert f"σ for LOC {short(row['selectivity'])}" in Tags(explorer.card.heading.value).text
    assert "not kept here" in said(explorer)


def test_every_control_has_a_label(tiny):
    kinds = (widgets.Dropdown, widgets.Select, widgets.IntText, widgets.Text, widgets.Button)
    controls = [widget for widget in all_widgets(tiny) if isinstance(widget, kinds)]
    assert len(controls) >= 12
    assert all(control.description for control in controls)
    points = tiny.layer_map.points
    assert all("σ" in name for name in points.options)
    assert points.tooltips == points.options


def test_neurons_that_are_the_same_are_read_once(tiny_run):
    run, data = tiny_run, RunData(tiny_run)
    for condition in ("none", "head", "targeted"):
        data.load_activations(condition)
    pairs = [("head", "end"), ("head", "removed"), ("none", "removed"), ("random", "base")]
    for condition, stage in pairs:
        own = np.asarray(activations_at(run, condition, stage)[19], dtype=np.float32)
        found = data.activations(Selected(condition, stage, 19 // data.d_model, 19 % data.d_model))
        np.testing.assert_array_equal(found, own)
    assert not data.is_open("random")
    with pytest.raises(InputError, match="no neuron"):
        data.history(Selected("none", "end", 99, 0))
