"""What stands on the screen is text, and the drawings hold what their tables hold."""

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from plasticity_utils import InputError
from plasticity_utils.charts import theme
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.explorer import draw, figures
from plasticity_utils.explorer.data import Selected
from plasticity_utils.explorer.tables import activation_histogram, words_in_sentences

EVIL = '<img src=x onerror="alert(1)">'
SVG = "{http://www.w3.org/2000/svg}"


class Tags(HTMLParser):
    """The tags and the text of a piece of HTML."""

    def __init__(self, html):
        super().__init__()
        self.names, self.text = set(), ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)

    def handle_data(self, data):
        self.text += data


def evil_views():
    corpus = Corpus("evil", [[EVIL, "calm"]], {"entity": [["B-LOC", "O"]], "pos": [[EVIL, "NN"]]})
    activations = np.array([2.0, -1.0], dtype=np.float32)
    ends = pd.DataFrame({"end": ["positive"], "word": [EVIL], "score": [2.0], "n": [1]})
    response = pd.DataFrame(
        {"stage": "end", "word": [EVIL], "activation": [1.0], "z": [3.0], "tag": [EVIL],
         "share": [0.9], "tag_now": [EVIL], "share_now": [0.8]}
    )  # fmt: skip
    yield draw.sentences(words_in_sentences(activations, corpus), {"LOC": "#000"})
    yield draw.word_lists(ends)
    yield draw.listed_words(EVIL, "")
    yield draw.responses(response, {}, 1.0)
    yield draw.responses(response, {}, 2.0)
    yield draw.head_table(pd.DataFrame({"tag": [EVIL], "weight": [0.1]}), 6, True)
    yield draw.card_page(Selected("none", "base", 0, 0), EVIL, [])
    yield draw.message(EVIL)
    profile = pd.DataFrame(
        {"concept": [EVIL], "kind": "part of speech", "snapshot": "base", "selectivity": [0.5]}
    )
    yield draw.profile_table(profile, pd.DataFrame({"snapshot": ["base"], "gain": [1.0]}))


@pytest.mark.parametrize("html", list(evil_views()))
def test_words_are_text_and_never_markup(html):
    tags = Tags(html)
    assert "img" not in tags.names
    assert EVIL in tags.text


def test_no_sentence_is_put_together_where_it_is_drawn():
    texts = [
        "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)
        for node in ast.walk(ast.parse(Path(draw.__file__).read_text("utf-8")))
        if isinstance(node, ast.JoinedStr)
    ]
    assert any("pu-sentence" in text for text in texts)
    assert [text for text in texts if re.search(r"[a-z]\.(\s|<|$)", text)] == []


def test_shading_follows_the_activation_and_says_the_number():
    shown = pd.DataFrame(
        {"end": "highest", "place": 0, "word": ["up", "down", "flat"], "z": [9.0, -1.5, 0.0],
         "class": ["LOC", "O", "O"], "peak": [True, False, False]}
    )  # fmt: skip
    html = draw.sentences(shown, {"LOC": "#123456"})
    up, down, flat = re.findall(r"<span.*?</span>", html)
    assert f"rgba({draw.ABOVE}, 0.50)" in up
    assert "2px solid #123456" in up
    assert 'class="pu-peak"' in up
    assert 'title="LOC, z = +9.00"' in up
    assert f"rgba({draw.BELOW}, 0.25)" in down
    assert ", 0.00)" in flat


def test_a_scaled_neuron_shows_what_becomes_of_each_tag():
    response = pd.DataFrame(
        {"stage": "base", "word": ["Rome", "Bonn", "fell"], "activation": 1.0, "z": 0.5,
         "tag": ["LOC", "LOC", ""], "share": [0.9, 0.8, 0.9], "tag_now": ["LOC", "", "PER"],
         "share_now": [0.7, 0.1, 0.2]}
    )  # fmt: skip
    as_it_is = Tags(draw.responses(response, {}, 1.0)).text
    assert "RomeLOC 0.90BonnLOC 0.80fell" in as_it_is
    assert "→" not in as_it_is
    assert (
        "RomeLOC 0.90 → 0.70BonnLOC 0.80 → OfellO → PER"
        in Tags(draw.responses(response, {}, 0.0)).text
    )


def spread():
    activations = np.array([0, 0, 1, 4], dtype=np.float32)
    return activation_histogram(
        activations, ["other", "other", "LOC", "PER"], ["LOC", "PER", "other"]
    )


def course(**values):
    rows = [
        (entity, "entity type", snapshot, sigma)
        for entity, line in values.items()
        for snapshot, sigma in zip(["base", "removed", "1"], line, strict=True)
    ]
    return pd.DataFrame(rows, columns=["concept", "kind", "snapshot", "selectivity"])


def test_a_histogram_has_a_shape_a_class_in_the_class_s_colour():
    svg = ElementTree.fromstring(
        figures.activation_spread(spread(), 1.0).replace("<svg", f'<svg xmlns="{SVG[1:-1]}"')
    )
    colours = [path.get("fill") for path in svg.iter(f"{SVG}path") if path.get("fill") != "none"]
    assert colours == [theme.ENTITY_COLOURS["LOC"], theme.ENTITY_COLOURS["PER"], theme.MUTED]
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert "other (2 words)" in texts
    assert "LOC, PER, other" in svg.get("aria-label")


def test_a_histogram_is_as_high_as_its_share_of_the_tallest():
    heights = []
    for tallest in (1.0, 2.0):
        (path,) = re.findall(r'<path d="([^"]*)" fill="#', drawn := figures.activation_spread(
            spread()[spread()["class"] == "LOC"], tallest))  # fmt: skip
        foot = float(re.search(r"M[\d.]+,(\d+)V", path).group(1))
        heights.append(foot - min(float(y) for y in re.findall(r"V([\d.]+)H", path)))
        assert f"{tallest:.0%}" in drawn
    assert heights == [figures.PANEL, figures.PANEL / 2]


def test_the_course_puts_greater_selectivity_higher_and_leaves_gaps():
    drawn = figures.selectivity_course(course(LOC=[0.9, 0.0, np.nan], PER=[-0.9, 0.5, 1.0]))
    svg = ElementTree.fromstring(drawn.replace("<svg", f'<svg xmlns="{SVG[1:-1]}"'))
    loc, per = (line.get("points").split() for line in svg.iter(f"{SVG}polyline"))
    assert (len(loc), len(per)) == (2, 3)
    heights = [float(point.split(",")[1]) for point in loc]
    assert heights[0] < heights[1] < float(per[0].split(",")[1])
    tips = [title.text for title in svg.iter(f"{SVG}title")]
    assert "LOC, base: σ = +0.90" in tips
    assert all(0 <= float(p.split(",")[0]) <= figures.WIDTH for p in [*loc, *per])


def test_types_of_another_task_have_signs_of_their_own_and_a_legend_that_fits():
    names = ["NN", "NNP", "VBD", "a-long-name-of-a-type", "JJ"]
    drawn = figures.selectivity_course(course(**{name: [0, 0.5, 1] for name in names}))
    svg = ElementTree.fromstring(drawn.replace("<svg", f'<svg xmlns="{SVG[1:-1]}"'))
    lines = {line.get("stroke") for line in svg.iter(f"{SVG}polyline")}
    assert len(lines) == len(names)
    places = {t.text: (float(t.get("x")), float(t.get("y"))) for t in svg.iter(f"{SVG}text")}
    assert len({places[name] for name in names}) == len(names)
    assert all(places[name][0] + 8 * len(name) <= figures.WIDTH for name in names)


def test_a_table_without_its_columns_is_named():
    with pytest.raises(InputError, match="'share'"):
        figures.activation_spread(spread().drop(columns="share"), 1.0)
