"""Tables as a reader sees them."""

import re

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.charts.tables import marked_table, number_table
from plasticity_utils.errors import InputError

FRAME = pd.DataFrame(
    {
        "concept": ["locations", "<b>"],
        "quantity": ["the mean rise of rank saliency", "neurons removed"],
        "seed": [0, 1],
        "entity_f1": [0.12345, np.nan],
        "difference": [-1e-9, 179.333],
        "difference_low": [-0.25, 81.807],
        "difference_high": [0.25, 276.86],
    }
)


def read(html):
    """Headings, rows, and what columns look like, each by its place."""
    headings = re.findall(r'<th class="col_heading.*?>(.*?)</th>', html)
    cells = re.findall(r"<td .*?>(.*?)</td>", html)
    rows = [cells[i : i + len(headings)] for i in range(0, len(cells), len(headings))]
    return (
        headings,
        rows,
        dict(re.findall(r" (t[dh]\.col\d+)[^{]*\{\s*(.*?)\s*\}", html, re.DOTALL)),
    )


def test_numbers_have_the_digits_that_say_something_and_markup_is_text():
    headings, rows, _ = read(number_table(FRAME).to_html())
    assert headings == ["concept", "quantity", "seed", "F1", "difference"]
    assert [row[0] for row in rows] == ["locations", "&lt;b&gt;"]
    assert [row[3] for row in rows] == ["0.123", "–"]
    # No sign where a number rounds to nothing; a value has the digits of its interval.
    assert [row[4] for row in rows] == [
        "0.00 <small>[−0.25,\u00a00.25]</small>",
        "179 <small>[82,\u00a0277]</small>",
    ]


def test_a_table_made_again_is_the_same_and_another_has_another_name():
    first, again = (number_table(FRAME).to_html() for _ in range(2))
    assert first == again
    other = number_table(FRAME.assign(seed=2)).to_html()
    names = {re.search(r'<table id="(\w+)"', html)[1] for html in (first, other)}
    assert len(names) == 2


def test_larger_numbers_have_fewer_digits():
    counts = pd.DataFrame({"count": [-9.5, 72.0, 598.4]})
    _, rows, _ = read(number_table(counts).to_html())
    assert rows == [["−9.500"], ["72.0"], ["598"]]


def test_steps_are_whole_numbers():
    steps = pd.DataFrame({"steps_masked": [47.7, 9.3], "steps_masked_low": [47.6, np.nan],
                          "steps_masked_high": [47.8, np.nan]})  # fmt: skip
    _, rows, _ = read(number_table(steps).to_html())
    assert rows == [["48 <small>[48,\u00a048]</small>"], ["9"]]


@pytest.mark.parametrize("part", ["td", "th"])
def test_texts_stand_to_the_left_and_short_ones_in_one_line(part):
    *_, looks = read(number_table(FRAME).to_html())
    assert set(looks) == {f"{part}.col{place}" for part in ("td", "th") for place in (0, 1)}
    assert "text-align: left" in looks[f"{part}.col0"]
    assert "nowrap" in looks[f"{part}.col0"]
    assert "nowrap" not in looks[f"{part}.col1"]


def test_only_the_columns_asked_for_are_shown_in_their_order():
    headings, rows, _ = read(number_table(FRAME, ["seed", "concept"]).to_html())
    assert headings == ["seed", "concept"]
    assert rows[0] == ["0", "locations"]


def test_a_value_without_an_interval_stands_beside_those_that_have_one():
    values = {"gain": [0.5, 0.5], "gain_low": [0.2, np.nan], "gain_high": [0.7, np.nan]}
    _, rows, _ = read(number_table(pd.DataFrame(values)).to_html())
    assert rows == [["0.50 <small>[0.20,\u00a00.70]</small>"], ["0.500"]]


def test_quantities_are_named_as_headings_are_and_the_frame_stays_as_it_is():
    frame = pd.DataFrame({"quantity": ["took_on", "F1 of the concept"], "word": ["a_b", "c"]})
    _, rows, _ = read(number_table(frame).to_html())
    assert rows == [["took on a concept", "a_b"], ["F1 of the concept", "c"]]
    assert frame["quantity"].tolist() == ["took_on", "F1 of the concept"]


def test_a_table_without_rows_has_its_headings():
    headings, rows, looks = read(number_table(FRAME.iloc[:0]).to_html())
    assert headings == ["concept", "quantity", "seed", "F1", "difference"]
    assert rows == []
    assert looks == {}


def test_a_name_without_a_heading_of_its_own_is_written_with_spaces():
    frame = pd.DataFrame({"tokens_per_s": [1234.5]})
    headings, rows, _ = read(number_table(frame).to_html())
    assert headings == ["tokens per s"]
    assert rows == [["1,234"]]


def test_names_of_a_sentence_are_marked_with_their_type_and_words_are_no_markup():
    said = {"base": ["B-LOC", "I-LOC", "O", "B-MISC"], "removed": ["O", "O", "O", "B-MISC"]}
    frame = pd.DataFrame(
        {"stage": stage, "position": position, "word": word, "tag": tag}
        for stage, tags in said.items()
        for position, (word, tag) in enumerate(zip(["New", "York", "<b>", "&"], tags, strict=True))
    )
    html = marked_table(frame, {"removed": "after", "base": "before"}).to_html()
    headings, rows, _ = read(html)
    assert headings == ["when", "what the model marks"]
    assert [row[0] for row in rows] == ["after", "before"]
    assert rows[0][1].startswith("New York &lt;b&gt; <span")
    assert "<b>New York</b> <small>LOC</small></span> &lt;b&gt; <span" in rows[1][1]
    assert rows[1][1].endswith("<b>&amp;</b> <small>MISC</small></span>")
    with pytest.raises(InputError, match="stage"):
        marked_table(frame.drop(columns="stage"), {"base": "before"})
