"""The card and the map as specifications: what they carry, and what they refuse."""

import json

import pytest

from made_up_cards import EPOCHS, HOSTILE, made_up_cards
from made_up_charts import svg_of
from plasticity_utils import charts
from plasticity_utils.charts.cards import NO_WORDS, card_records, map_records, times
from plasticity_utils.errors import InputError

DRAW = [charts.neuron_card, charts.neuron_map]

pytestmark = pytest.mark.usefixtures("theme")


def with_change(name, change):
    cards = made_up_cards()
    return {**cards, name: change(cards[name])}


def test_records_hold_what_the_tables_hold():
    cards = made_up_cards()
    records = card_records(cards, "PER")
    neurons = cards["card_neurons"].to_dict("records")
    assert [r["unit"] for r in records] == [n["unit"] for n in neurons]
    for record in records:
        place = f"layer == {record['layer']} and unit == {record['unit']}"
        own = cards["card_stages"].query(place).sort_values("epoch")
        concept, none = (own[own["condition"] == name] for name in ("targeted", "none"))
        assert record["sigma"][1] == list(concept["selectivity_PER"])
        assert record["sigma"][7] == list(none["selectivity_MISC"])
        ends = concept["selectivity_PER"].abs().iloc[[0, -1]]
        assert record["change"] == pytest.approx(ends.iloc[1] - ends.iloc[0], abs=0.0006)
        share = cards["card_histograms"].query(f"{place} and stage == 'end' and entity == 'other'")
        assert record["shares"][2][4] == [round(1000 * s) for s in share["share"].iloc[0]]
        of_end = cards["card_histograms"].query(f"{place} and stage == 'end'")["share"]
        assert record["tallest"][2] == round(1000 * max(max(shares) for shares in of_end))
        words = cards["card_words"].query(f"{place} and stage == 'base'")
        assert record["words"][0] == words["words"].iloc[0].split(" · ")
        if record["kind"] == "removed":
            assert record["gain"] == [1, 0, 0]
            assert record["words"][2] == [NO_WORDS]


def test_the_order_of_the_rows_does_not_matter():
    cards = made_up_cards()
    mixed = {name: frame.sample(frac=1, random_state=1) for name, frame in cards.items()}
    mixed["card_neurons"] = cards["card_neurons"]
    assert card_records(mixed, "LOC") == card_records(cards, "LOC")
    assert map_records(mixed, "LOC") == map_records(cards, "LOC")


def test_stages_are_named():
    cards = made_up_cards()
    assert len(EPOCHS) == 5
    assert times(cards) == ["base", "removed", "⅛", "½", "1"]


def test_a_card_opens_with_the_first_neuron():
    svg = svg_of(charts.neuron_card(made_up_cards(), "LOC").to_dict())
    assert "removed 1: layer 0, unit 0" in svg
    assert svg.count('aria-roledescription="bar"') == 5 * 20
    assert svg.count('aria-roledescription="line mark"') == 2 * 4
    assert svg.count('aria-roledescription="point"') == 4 * len(EPOCHS)


def test_a_map_shows_every_neuron():
    svg = svg_of(charts.neuron_map(made_up_cards(), "LOC").to_dict())
    assert svg.count('aria-roledescription="point"') == 12 + 4 * len(EPOCHS)


def test_words_are_written_as_they_are():
    svg = svg_of(charts.neuron_card(made_up_cards(), "LOC").to_dict())
    assert HOSTILE not in svg
    assert "&lt;img" in svg


def test_a_hundred_cards_leave_room_on_a_page():
    cards = made_up_cards(100)
    sizes = [len(json.dumps(draw(cards, "LOC").to_dict())) for draw in DRAW]
    assert sizes[0] < 500_000
    assert sum(sizes) < 800_000


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("name", list(made_up_cards()))
def test_a_missing_table_or_column_is_named(draw, name):
    cards = made_up_cards()
    with pytest.raises(InputError, match=f"no table '{name}'"):
        draw({key: frame for key, frame in cards.items() if key != name}, "LOC")
    with pytest.raises(InputError, match="no column 'unit'"):
        draw(with_change(name, lambda frame: frame.drop(columns="unit")), "LOC")


@pytest.mark.parametrize("draw", DRAW)
def test_what_has_no_sign_is_an_error(draw):
    with pytest.raises(InputError, match="unknown kind 'cheese'"):
        draw(with_change("card_neurons", lambda frame: frame.assign(kind="cheese")), "LOC")
    with pytest.raises(InputError, match="unknown entity type 'CHEESE'"):
        draw(made_up_cards(), "CHEESE")
