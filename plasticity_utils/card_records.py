"""The cards of neurons as a chart carries them: one nested record a neuron.

Laid flat, a hundred cards are forty thousand rows, each with the names of all columns: megabytes.
Nested, with shares as whole thousandths, they are about two hundred kilobytes, and the chart lays
out only the neuron that it shows. Nothing is computed here but the change from first to last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from plasticity_utils.cards import KINDS, OTHER
from plasticity_utils.charts_parts import in_order, need
from plasticity_utils.errors import InputError
from plasticity_utils.replay import STAGES

MOMENTS = STAGES
THOUSAND = 1000
NO_WORDS = "–"  # of a neuron that says the same of every word
_SIGMA = "selectivity_"
_PLACE = ["layer", "unit"]
_FRACTIONS = {0.125: "⅛", 0.25: "¼", 0.5: "½", -1: "base", 0: "removed"}
_NEEDED = {
    "card_neurons": [*_PLACE, "kind", "place", "n_types", "low", "high"],
    "card_stages": ["condition", "stage", "epoch", *_PLACE, "gain"],
    "card_words": ["stage", *_PLACE, "words", "words_low"],
    "card_histograms": ["stage", *_PLACE, "entity", "n", "share"],
}


def check(cards: Mapping[str, pd.DataFrame], label: str) -> None:
    """Check that the tables are those of `cards.neuron_cards`.

    Raises
    ------
    InputError
        If a table or a column is missing, a kind is unknown, or `label` is no entity type.
    """
    for name, columns in _NEEDED.items():
        if name not in cards:
            raise InputError(f"no table {name!r} among the cards; needed: {', '.join(_NEEDED)}")
        need(cards[name], columns)
    in_order(cards["card_neurons"], "kind", KINDS)
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
    return [(name, entity) for name in ("concept", "none") for entity in entities_of(cards)]


def times(cards: Mapping[str, pd.DataFrame]) -> list[str]:
    """Name the stages over which σ is drawn: base, removed, then epochs of retraining."""
    epochs = sorted(cards["card_stages"]["epoch"].unique())
    return [_FRACTIONS.get(epoch, f"{epoch:g}") for epoch in epochs]


def card_records(cards: Mapping[str, pd.DataFrame], label: str) -> list[dict[str, Any]]:
    """Nest the tables into what one neuron's card shows.

    Parameters
    ----------
    cards : mapping of str to DataFrame
        From `cards.neuron_cards`.
    label : str
        The concept's entity type.

    Returns
    -------
    list of dict
        As `map_records`, and: low, high; gain (one number for each of `MOMENTS`); words (for each
        of `MOMENTS` the highest and the lowest, each a list); shares (for each of `MOMENTS` and
        `classes_of`, thousandths of the class's words in each bin).
    """
    mapped, classes = map_records(cards, label), classes_of(cards)
    stages = cards["card_stages"]
    own = stages[(stages["condition"] == "concept") & stages["stage"].isin(MOMENTS)]
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
            for stage in MOMENTS
            for end in ("words", "words_low")
        ]
        records.append(
            {
                **record,
                **{name: float(f"{value:.4g}") for name, value in range_ends.items()},
                "gain": [gains[place][stage] for stage in MOMENTS],
                "words": lists,
                "shares": [
                    [shares[place][stage, entity] for entity in classes] for stage in MOMENTS
                ],
            }
        )
    return records


def map_records(cards: Mapping[str, pd.DataFrame], label: str) -> list[dict[str, Any]]:
    """Nest the tables into what the map of neurons shows.

    Returns
    -------
    list of dict
        id, layer, unit, kind, place, types (served at the end), spread (the layer, a little to the
        left or right by unit), change and change_none (of |σ| for the concept, from base to end),
        sigma (a list over `times` for each of `sigma_rows`).
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
                "change": change["concept"],
                "change_none": change["none"],
                "sigma": list(sigma.values()),
            }
        )
    return records


def _nested(frame: pd.DataFrame, keys: list[str], value: str) -> dict[tuple[int, int], dict]:
    """Values of a column by neuron, then by `keys`, in the frame's order."""
    found: dict[tuple[int, int], dict] = {}
    names = keys if len(keys) > 1 else keys[0]
    for layer, unit, key, item in zip(
        frame["layer"],
        frame["unit"],
        frame[names].itertuples(index=False, name=None) if len(keys) > 1 else frame[names],
        frame[value],
        strict=True,
    ):
        found.setdefault((layer, unit), {})[key] = item
    return found
