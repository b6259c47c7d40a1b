"""The explorer on a model without a run: whatever has a tokenizer, and some text."""

import re
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch

import plasticity_utils as pu
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.data.tasks import MOST_TYPES
from plasticity_utils.errors import InputError
from plasticity_utils.explorer.app import NO_WIDGETS, VIEWS
from plasticity_utils.explorer.opening import open_model
from plasticity_utils.explorer.panels import words_of
from plasticity_utils.formats import short
from plasticity_utils.neurons.scores import selectivity
from test_explorer import all_widgets, opened_again, tagged_words, words_shown
from test_neuron_html import EVIL, Tags

TEXTS = ["London calls Berlin.", "Paris, in the rain, calls London."]
WORDS = ["London", "calls", "Berlin", ".", "Paris", ",", "in", "the", "rain", ",", "calls",
         "London", "."]  # fmt: skip
TAGS = [["B-LOC", "O", "B-LOC", "O"], ["B-LOC", *["O"] * 6, "B-LOC", "O"]]
KINDS = [["N", "V", "N", "."], ["N", ".", "P", "D", "N", ".", "V", "N", "."]]


def corpus():
    cut = words_of
    return Corpus("made up", [list(cut(text)) for text in TEXTS], {"entity": TAGS, "kind": KINDS})


@pytest.fixture
def named(tiny_folder):
    """A tiny model with the head of a tagger."""
    return pu.load_model(tiny_folder, labels=["O", "B-LOC", "I-LOC", "B-PER", "I-PER"])


def activations(model, neuron):
    X = pu.word_activations(*model, corpus().sentences).astype(np.float16).astype(np.float32)
    return X[:, neuron.layer * 16 + neuron.unit]


def test_a_tag_has_its_type_whatever_the_scheme_of_the_models_labels(tiny_folder):
    labels = ["O", "B-LOC", "I-LOC", "E-LOC", "S-LOC"]
    model, tokenizer = pu.load_model(tiny_folder, labels=labels)
    with torch.no_grad():
        model.classifier.bias[4] = 99.0
    data = pu.explore(model=(model, tokenizer), sentences=corpus()).data
    assert set(data.respond(data.first(), ("london", "calls"))["tag"]) == {"LOC"}


def test_activations_that_are_not_kept_whole_are_told(tiny_folder):
    model, tokenizer = pu.load_model(tiny_folder, labels=["O", "B-LOC"])
    with torch.no_grad():
        model.bert.encoder.layer[2].output.LayerNorm.bias[3] = 1e5
    with pytest.raises(InputError, match=r"activations go up to 100001; they are kept in float16"):
        pu.explore(model=(model, tokenizer), sentences=corpus())


def test_words_with_several_labels_are_of_each(named, tmp_path):
    words, labels = tmp_path / "words.txt", tmp_path / "labels.txt"
    words.write_text("london calls berlin\nin paris\n")
    labels.write_text("LOC,CITY O LOC\nO LOC,CITY\n")
    data = pu.explore(model=named, sentences=pu.load_corpus((words, labels)), concept="LOC").data
    assert set(data.types) == {"LOC", "CITY"}
    at = data.first()
    places = [0, 2, 4]
    assert data.computed("activation", at)[at.unit] == pytest.approx(
        data.activations(at)[places].mean()
    )
    cities = open_model(named, pu.load_corpus((words, labels)), "", "CITY")
    X = data.activations(at)[:, None]
    sigma = cities.tables["as it is"].set_index(["layer", "unit"])["selectivity"]
    is_city = np.array([True, False, False, False, True])
    assert sigma[at.layer, at.unit] == pytest.approx(selectivity(X, is_city[:, None])[0, 0])


def test_a_name_and_some_texts_are_enough(tiny_folder):
    explorer = pu.explore(model=tiny_folder, sentences=TEXTS)
    assert explorer.data.words == WORDS
    at = explorer.controls.selected
    assert at.layer == 3
    assert Tags(explorer.card.heading.value).text == f"Layer 3, unit {at.unit}"
    # Without types there is no σ; neurons are sorted by how far one word stands out.
    X = pu.word_activations(*pu.load_model(tiny_folder), corpus().sentences)[:, 48:]
    peak = (X.max(axis=0) - X.mean(axis=0)) / X.std(axis=0)
    assert at.unit == peak.argmax() == explorer.choices.units.options[0][1]
    assert explorer.choices.order.options == ("peak z", "unit")
    assert "all (13 words)" in explorer.card.charts.value
    for view, _ in enumerate(VIEWS):
        explorer.views.selected_index = view
        assert "pu-message" not in explorer.status.value
    assert "No head of this model was trained" in explorer.sentence.reads.value
    # A head that nobody trained has no tags to show.
    assert "LABEL" not in explorer.sentence.answer.value
    hidden = {explorer.seed, explorer.controls.condition, explorer.controls.stage}
    assert {control.layout.display for control in hidden} == {"none"}


@pytest.mark.parametrize("kind", [iter, np.array, tuple])
def test_texts_of_any_sequence_stand_in_the_line(tiny_folder, kind):
    explorer = pu.explore(model=str(tiny_folder), sentences=kind(TEXTS))
    assert f"sentences={TEXTS!r}" in Tags(explorer.line.value).text
    assert opened_again(explorer).data.words == WORDS


def test_types_and_words_have_a_selectivity_as_in_a_run(named):
    explorer = pu.explore(model=named, sentences=corpus())
    at = explorer.controls.selected
    inside = np.array([tag != "O" for tags in TAGS for tag in tags])
    X = pu.word_activations(*named, corpus().sentences).astype(np.float16).astype(np.float32)
    sigma = selectivity(X, inside[:, None])[:, 0]
    assert sigma[at.layer * 16 + at.unit] == sigma.max()
    assert "σ for LOC" in Tags(explorer.card.heading.value).text
    assert not any("removed" in name for name, _ in explorer.choices.units.options)
    assert "LOC (4 words)" in explorer.card.charts.value
    listed = pu.explore(model=named, sentences=TEXTS, concept="words:Berlin,Paris")
    assert "σ for WORDS" in listed.card.heading.value
    assert "WORDS (2 words)" in listed.card.charts.value
    other = pu.explore(model=named, sentences=corpus(), tags="kind", concept="V")
    assert "V (2 words)" in other.card.charts.value


def test_a_model_alone_has_a_map_of_its_layer(named, tiny_folder):
    by_sigma = pu.explore(model=named, sentences=corpus(), layer=2, unit=5)
    by_unit = pu.explore(model=tiny_folder, sentences=TEXTS, layer=2, unit=5)
    for explorer, across in ((by_sigma, "σ for LOC"), (by_unit, "unit")):
        at, points = explorer.controls.selected, explorer.layer_map.points
        places, _, axes = explorer.layer_map.widget.children
        left, bottom = np.array(
            re.findall(r"left:([\d.]+)%;bottom:([\d.]+)%", places.value), float
        ).T
        sigma = explorer.data.layer(at)["sigma"].to_numpy()
        expected = np.arange(16) / 15 if explorer is by_unit else (1 + sigma / abs(sigma).max()) / 2
        assert left == pytest.approx(100 * expected, abs=0.06)
        peaks = explorer.data.computed("peak z", at)
        spread = (peaks - peaks.min()) / np.ptp(peaks)
        assert bottom == pytest.approx(100 * spread, abs=0.06)
        assert f"Across: {across}. Up: how far its highest word" in axes.value
        assert points.index == 5
        points.index = 9
        assert "unit 9" in explorer.card.heading.value


def test_two_neurons_of_a_model_are_compared(named):
    explorer = pu.explore(model=named, sentences=corpus())
    explorer.views.selected_index = VIEWS.index("Compare")
    at, other = explorer.controls.selected, explorer.comparison.controls.selected
    # The second is the next in the list, and not the same again.
    listed = [unit for _, unit in explorer.choices.units.options]
    assert (at.unit, other.unit) == tuple(listed[:2])
    r = np.corrcoef(activations(named, at), activations(named, other))[0, 1]
    said = Tags(explorer.comparison.together.value).text
    assert f"correlate at r = {short(r, True)}" in said
    cards = explorer.comparison.left, explorer.comparison.right
    highest = [words_shown(c.words.value.split("Lowest-activating")[0]) for c in cards]
    both = [word for word in highest[0] if word in highest[1]]
    assert said.endswith(f"of both: {' · '.join(both) or 'none'}.")
    explorer.comparison.controls.unit.value = at.unit
    explorer.comparison.controls.layer.value = at.layer
    assert "r = +1.00." in Tags(explorer.comparison.together.value).text


def test_a_folder_of_a_model_and_one_of_a_corpus_are_opened(tiny_folder, tmp_path):
    rows = ["London B-LOC", "calls O", "Berlin B-LOC", "", "rain O", "in O", "Paris B-LOC", ""]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "train.txt").write_text("\n".join(rows))
    sentences = pu.load_corpus(str(tmp_path / "own"))
    explorer = pu.explore(model=str(tiny_folder), sentences=sentences)
    assert explorer.data.words == ["London", "calls", "Berlin", "rain", "in", "Paris"]
    assert "σ for LOC" in explorer.card.heading.value
    assert f"model={str(tiny_folder)!r}" in Tags(explorer.line.value).text


def test_a_sentence_shows_the_models_tags_and_what_a_scaled_neuron_makes_of_them(named):
    explorer = pu.explore(model=named, sentences=corpus(), layer=1, unit=3)
    explorer.views.selected_index = VIEWS.index("Sentence")
    explorer.sentence.text.value = "Paris calls Berlin"
    words, data, at = ("Paris", "calls", "Berlin"), explorer.data, explorer.controls.selected
    shown = data.respond(at, words, 8.0)
    (tags,) = pu.predict(*named, [words])
    assert shown["tag"].tolist() == ["" if tag == "O" else tag[2:] for tag in tags]
    mean = float(activations(named, at).mean(dtype=np.float64))

    def eight_times(state):
        unit = torch.arange(16) == 3
        return torch.where(unit, mean + 8 * (state - mean), state)

    with pu.patch_layers(named[0], {1: eight_times}):
        (now,) = pu.predict(*named, [words])
    assert shown["tag_now"].tolist() == ["" if tag == "O" else tag[2:] for tag in now]
    assert not np.allclose(shown["share"], shown["share_now"])
    assert [w for w in tagged_words(explorer) if w in words] == list(words)
    assert "→" not in explorer.sentence.answer.value
    explorer.sentence.factor.value = 8
    assert ("→" in explorer.sentence.answer.value) == bool((shown["tag"] + shown["tag_now"]).any())
    # Nothing stays on the model.
    assert pu.predict(*named, [words]) == [tags]


def test_a_word_leads_to_the_neurons_that_fire_on_it(named):
    explorer = pu.explore(model=named, sentences=corpus())
    panel = explorer.sentence
    explorer.views.selected_index = VIEWS.index("Sentence")
    panel.text.value = "Paris calls Berlin"
    panel.word.value = 2
    X = pu.word_activations(*named, corpus().sentences).astype(np.float16).astype(np.float64)
    x = pu.word_activations(*named, [["Paris", "calls", "Berlin"]])[2]
    z = (x - X.mean(axis=0)) / X.std(axis=0)
    expected = [divmod(int(i), 16) for i in np.argsort(-z)[:5]]
    assert [value for _, value in panel.strongest.options][:5] == expected
    panel.strongest.value = expected[1]
    at = explorer.controls.selected
    assert (at.layer, at.unit) == expected[1]
    explorer.views.selected_index = 0
    assert f"Layer {at.layer}, unit {at.unit}" in explorer.card.heading.value


def test_what_the_head_reads_is_its_weight_times_a_standard_deviation(named):
    data = pu.explore(model=named, sentences=corpus()).data
    at = replace(data.first(), layer=3, unit=5)
    reads = data.head_reads(at).set_index("tag")["weight"]
    weight = named[0].classifier.weight[:, 5].detach().numpy()
    assert reads.tolist() == pytest.approx((weight * activations(named, at).std()).tolist())
    assert list(reads.index) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert data.head_reads(replace(at, layer=2)).empty


def test_the_corpus_is_searched(named):
    explorer = pu.explore(model=named, sentences=corpus())
    explorer.views.selected_index = VIEWS.index("Corpus")
    explorer.search.text.value = "calls berlin"
    found = explorer.search.answer.value
    assert found.count("pu-sentence") == 1
    assert re.findall(r'pu-peak".*?>([^<]*)</span>', found) == ["calls", "Berlin"]
    explorer.search.text.value = "Bonn"
    assert "none of 2 sentences has 'Bonn'" in Tags(explorer.search.answer.value).text


def shown_by(widget):
    """All that stands in a widget and those in it, and what is chosen there."""
    texts = [
        (type(each).__name__, getattr(each, "options", ""), each.value)
        for each in all_widgets(widget)
        if hasattr(each, "value")
    ]
    # Each map has a name of its own.
    return re.sub("pu-map-[0-9a-f]+", "pu-map", repr(texts))


LONG = "a " * 900  # few enough characters, too many tokens
TYPED = "Paris \"calls\" 'Berlin' & <b>"


@pytest.mark.parametrize("view", VIEWS)
def test_a_line_opens_the_very_view_again(tiny_folder, view):
    about = {"sentences": TEXTS, "concept": "words:London,Paris"}
    explorer = pu.explore(model=str(tiny_folder), **about)
    usual = shown_by(explorer)
    explorer.choices.order.value = "unit"
    explorer.controls.layer.value, explorer.controls.unit.value = 2, 9
    explorer.views.selected_index = VIEWS.index(view)
    if view == "Sentence":
        explorer.sentence.text.value, explorer.sentence.factor.value = TYPED, 2.5
        explorer.sentence.word.value = 2
    elif view == "Corpus":
        explorer.search.text.value = "London"
    elif view == "Compare":
        explorer.comparison.controls.layer.value, explorer.comparison.controls.unit.value = 0, 4
    # The other views are filled once they are in front.
    again = opened_again(explorer)
    assert again.views.selected_index == VIEWS.index(view)
    for part in (again, explorer):
        part.views.children = [part.views.children[VIEWS.index(view)]]
    assert shown_by(again) == shown_by(explorer) != usual
    if view == "Sentence":
        assert (again.sentence.text.value, again.sentence.factor.value) == (TYPED, 2.5)
        assert again.sentence.word.label == "calls"


@pytest.mark.parametrize("typed", ["", " \n", "x " * 2000, LONG])
def test_a_line_of_a_sentence_that_cannot_be_read_opens(tiny_folder, typed):
    explorer = pu.explore(model=str(tiny_folder), sentences=TEXTS, sentence="Paris calls")
    assert explorer.sentence.strongest.options
    explorer.sentence.factor.value = 2.5
    explorer.sentence.text.value = typed
    assert not explorer.sentence.strongest.options
    again = opened_again(explorer)
    assert again.views.selected_index == VIEWS.index("Sentence")
    assert (again.sentence.text.value, again.sentence.factor.value) == (typed, 2.5)
    assert again.sentence.answer.value == explorer.sentence.answer.value
    assert "pu-message" in again.sentence.answer.value


def test_the_word_of_a_sentence_that_cannot_be_read_is_of_no_other(named):
    explorer = pu.explore(model=named, sentences=corpus(), sentence=LONG, word=800)
    assert "tokens; the model reads at most" in Tags(explorer.sentence.answer.value).text
    explorer.sentence.text.value = "Paris calls"
    assert explorer.sentence.word.label in ("Paris", "calls")


def test_a_line_opens_the_same_neuron(named, tiny_folder):
    sentences = corpus()
    explorer = pu.explore(model=str(tiny_folder), sentences=sentences, tags="kind", concept="N")
    explorer.controls.layer.value = 2
    explorer.controls.unit.value = 9
    again = opened_again(explorer, sentences=sentences)
    assert astuple(again.controls.selected) == astuple(explorer.controls.selected)
    assert again.card.heading.value == explorer.card.heading.value
    model, tokenizer = named
    pair = pu.explore(model=named, sentences=sentences, layer=0, unit=1)
    line = pair.data.line(pair.controls.selected)
    again = eval(line, {"pu": pu, "sentences": sentences, "model": model, "tokenizer": tokenizer})
    assert again.controls.selected == pair.controls.selected


def test_a_card_is_saved_as_a_page_that_asks_no_one(named, tmp_path):
    evil = replace(corpus(), sentences=[[EVIL, "calls", "Berlin", "."], corpus().sentences[1]])
    explorer = pu.explore(model=named, sentences=evil, layer=1, unit=3)
    page = explorer.save_card(tmp_path / "card.html").read_text(encoding="utf-8")
    tags = Tags(page)
    assert {"html", "style", "svg", "table"} <= tags.names
    assert not {"script", "img", "link", "iframe"} & tags.names
    assert not re.search(r"https?:|url\(|@import", page.replace(EVIL, ""))
    assert "Layer 1, unit 3" in tags.text
    assert EVIL in tags.text
    with pytest.raises(pu.InputError, match="no folder that exists"):
        explorer.save_card(tmp_path / "none" / "card.html")


def test_where_there_are_no_widgets_the_card_stands_as_text(named):
    explorer = pu.explore(model=named, sentences=corpus(), layer=1, unit=3)
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert NO_WIDGETS in bundle["text/plain"]
    assert "layer=1, unit=3" in bundle["text/plain"]
    shown = Tags(bundle["text/html"]).text
    assert NO_WIDGETS in shown
    assert "Highest-activating words" in shown


@pytest.mark.parametrize(
    ("options", "complaint"),
    [({"model": None}, "run must be one of"), ({"model": 7}, r"model=\(model, tokenizer\)"),
     ({"model": "no-such"}, "'no-such'"), ({"sentences": "London"}, "a sequence of texts"),
     ({"sentences": []}, "no sentences"), ({"sentences": [""]}, "no words"),
     ({"sentences": [["a", 7]]}, "sentence 1, word 2"), ({"tags": "pos"}, "no tags 'pos'"),
     ({"concept": "PER"}, r"allowed: words:Monday,Tuesday, LOC \(4 words\)"),
     ({"concept": "words:Bonn"}, "none or at all"), ({"layer": 9}, "no neuron"),
     ({"unit": "x"}, "unit must be a whole number"),
     ({"stage": "end"}, "unknown stage 'end'; allowed: base"),
     ({"concept": 7}, "concept must be a text"), ({"order": "size"}, "allowed: σ,"),
     ({"order": 0}, "unknown order 0; allowed: σ,"),
     ({"sentence": 7}, "sentence must be a text"), ({"find": 7}, "find must be a text"),
     ({"beside": 7}, "beside must be a mapping"),
     ({"beside": {"unit": 99}}, "beside: no neuron 99"),
     ({"beside": {"unit": "x", "layer": "y"}}, "beside: layer must be a whole number.* not 'y'"),
     ({"beside": {"size": 1, 2: 3}},
      "beside: unknown 'size', 2; allowed: condition, stage, layer, unit"),
     ({"sentence": "a", "find": "b"}, "sentence and find each open a view"),
     ({"factor": 2}, "factor=2 without a sentence; needed: sentence=…"),
     ({"factor": 0, "word": 1}, "factor=0 and word=1 without a sentence"),
     ({"word": 0}, "^word=0 without a sentence"),
     ({"sentence": "a", "factor": 11}, "factor must be from 0 to 10"),
     ({"sentence": "a b", "word": 2}, "no word 2; the sentence has words 0 to 1"),
     ({"sentence": "a b", "word": -1}, "word must be a whole number")],
)  # fmt: skip
@pytest.mark.usefixtures("as_for_users")
def test_what_cannot_be_looked_at_is_one_line(named, options, complaint):
    with pytest.raises(pu.InputError, match=complaint):
        pu.explore(**{"model": named, "sentences": corpus(), **options})


def test_a_rare_type_that_is_asked_for_is_among_those_that_are_reported(named):
    common = ["A1", "B2", "C3", "D4", "E5", "F6"]
    kinds = [[*common, "RARE"], common, common]
    words = [["rain"] * len(own) for own in kinds]
    asked = open_model(named, Corpus("made up", words, {"kind": kinds}), "kind", "RARE")
    assert "RARE" in asked.corpus.reported
    assert len(asked.corpus.reported) == MOST_TYPES
