"""Tables of questions 3 and 4 over several runs, whose answers are written down here."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from IPython.display import Markdown

from plasticity_utils.analysis import parts_tables
from plasticity_utils.analysis.parts_tables import (
    carrier_counts,
    part_table,
    taken_over_by_run,
    transition_counts,
)
from plasticity_utils.analysis.sameness import SAME, answer_table, averaged, same_by_run
from plasticity_utils.book import prose_views
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.run import Run
from plasticity_utils.names import NOTHING
from plasticity_utils.results.derived import OF_SNAPSHOTS
from plasticity_utils.results.groups import Seeds, holding

A, B = "country", "city"
# How many neurons carried the one and carry the other, (base, end, removed) → n.
COUNTS = {
    "targeted": {(A, A, False): 30, (B, B, False): 10, (NOTHING, A, False): 10,
                (A, NOTHING, True): 20, (NOTHING, NOTHING, False): 30},
    "none": {(A, A, False): 30, (B, B, False): 10, (NOTHING, A, False): 0,
             (A, A, True): 20, (NOTHING, NOTHING, False): 40},
    "random": {(A, A, False): 27, (B, A, False): 3, (NOTHING, NOTHING, False): 70},
}  # fmt: skip
KEPT = {"base": 0.8, "none": 0.2, "procrustes": 0.6, "shuffled": 0.1}


def subconcept_rows(more):
    rows = [
        (condition, layer, *place, n + more * (place == (NOTHING, A, False)))
        for condition, counts in COUNTS.items()
        for layer in (0, 1)
        for place, n in counts.items()
    ]
    return pd.DataFrame(rows, columns=["condition", "layer", "base", "end", "removed", "n_neurons"])


def probe_f1(condition, units):
    as_is = 0.7 if condition == "none" else 0.4 if units == "kept" else 0.2
    return {**KEPT, "none": as_is}


def transfer_rows(drop):
    rows = [
        (condition, "end", units, layer, alignment, f1 if alignment == "base" else f1 - drop)
        for condition in ("targeted", "random", "none")
        for units in ("all", "kept")
        for layer in (0, 1)
        for alignment, f1 in probe_f1(condition, units).items()
    ]
    return pd.DataFrame(
        rows, columns=["condition", "stage", "units", "layer", "alignment", "word_f1"]
    )


def representation_rows():
    rows = [
        (condition, stage, units, layer, cka)
        for condition, stage, cka in (
            ("targeted", "removed", 0.9), ("targeted", "end", 0.7),
            ("random", "end", 0.8), ("none", "end", 0.85),
        )
        for units in ("all", "kept") for layer in (0, 1)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["condition", "stage", "units", "layer", "cka"])
    return table.assign(cka_debiased=table["cka"])


def reliance_rows():
    rows = [
        (condition, again, "LOC", f1, f1, f1)
        for condition in ("targeted", "none")
        for again, f1 in (("nothing", 0.8), ("same", 0.8), ("new top", 0.0), ("random", 0.6))
    ]
    return pd.DataFrame(
        rows,
        columns=["condition", "again", "entity", "entity_f1", "entity_f1_low", "entity_f1_high"],
    )


def part_rows():
    row = {"n_words": 100, "n_names": 20, "shown": "x", "silhouette": np.nan, "level": np.nan}
    rows = [{"part": part, **row, "compared": True, "by_chance": 4.0} for part in (A, B)]
    return pd.DataFrame([*rows, {"part": "other", **row, "compared": False, "by_chance": np.nan}])


def neuron_rows():
    names = ["part", "layer", "unit", "base", "sigma_base", "sigma_end"]
    return pd.DataFrame([(A, 1, 7, NOTHING, np.nan, 0.6)], columns=names)


def make_run(folder, seed, **changes):
    folder.mkdir()
    config = {"settings": asdict(RunConfig(seed=seed)), "sizes": {}}
    (folder / "config.json").write_text(json.dumps(config))
    frames = {
        "representation": representation_rows(),
        "transfer": transfer_rows(0.1 * seed),
        "subconcepts": subconcept_rows(6 * seed),
        "subconcept_parts": part_rows(),
        "subconcept_neurons": neuron_rows(),
        "reliance": reliance_rows(),
        **changes,
    }
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet")
    return Run(folder)


@pytest.fixture
def two_seeds(tmp_path):
    return Seeds(tuple(make_run(tmp_path / str(seed), seed) for seed in (0, 1)))


def test_a_run_is_the_base_less_what_it_lost(two_seeds):
    row = same_by_run([two_seeds]).iloc[0]
    assert row["as_is"] == pytest.approx(0.2 / 0.8)
    assert row["as_is_none"] == pytest.approx(0.7 / 0.8)
    assert row[["as_is_kept", "as_is_kept_none"]].tolist() == pytest.approx([0.5, 0.7 / 0.8])
    assert row["lost_as_is"] == pytest.approx(0.5 / 0.8)
    assert row["lost_aligned"] == pytest.approx(0)
    assert row["aligned_beyond"] == pytest.approx(0.5 / 0.8)
    assert row["lost_cka"] == pytest.approx(0.15)
    assert row[["on_same", "on_new", "on_random"]].tolist() == pytest.approx([0, 1, 0.25])
    assert row["on_new_beyond"] == pytest.approx(0.75)


def test_what_is_lost_beyond_none_is_paired_by_run(two_seeds):
    """Seed 1 reads everything worse by the same, so the difference does not vary."""
    row = averaged(same_by_run([two_seeds]), SAME).iloc[0]
    assert row["as_is_high"] - row["as_is"] > 0.1
    assert row["lost_as_is_high"] - row["lost_as_is_low"] == pytest.approx(0, abs=1e-9)


def test_answers_are_averaged_by_layer(two_seeds):
    keys = ["condition", "stage", "units", "layer", "alignment"]
    table = answer_table([two_seeds], "transfer", keys)
    row = table.set_index(keys).loc[("targeted", "end", "all", 1, "none")]
    assert row["word_f1"] == pytest.approx(0.15)
    assert row["n_seeds"] == 2
    assert len(table) == 3 * 2 * 2 * 4


def test_who_takes_over_is_counted_over_kept_neurons(two_seeds):
    row = taken_over_by_run([two_seeds]).iloc[0]
    assert row["carriers"] == 2 * 60
    assert row["removed"] == 2 * 20
    assert row["removed_share"] == pytest.approx(1 / 3)
    assert row["new"] == pytest.approx(10 / 50)
    assert row["new_none"] == 0
    assert row["new_random"] == pytest.approx(3 / 30)
    assert row["beyond_none"] == pytest.approx(0.2)
    assert row["replaced"] == pytest.approx((50 - 40) / 20)


def test_counts_and_transitions_are_means_over_seeds(two_seeds):
    counts = carrier_counts([two_seeds]).set_index(["part", "condition"])["n_neurons"]
    assert counts[A, "base"] == 60
    assert counts[A, "targeted"] == 2 * (30 + 13)
    assert counts[B, "random"] == 0
    rows = transition_counts([two_seeds]).set_index(["condition", "base", "end"])
    assert rows.loc[("targeted", NOTHING, A), "n_neurons"] == 26
    assert rows.loc[("targeted", A, A), "share"] == 1
    assert rows.loc[("none", B, A), "n_neurons"] == 0


def test_parts_that_are_not_compared_have_no_carriers(two_seeds):
    table = part_table([two_seeds]).set_index("part")
    assert table.loc[A, ["carriers", "removed", "new_none"]].tolist() == [100, 40, 6]
    assert table.loc[B, ["carriers", "removed", "new"]].tolist() == [20, 0, 0]
    assert np.isnan(table.loc["other", "carriers"])


def test_a_concept_without_parts_is_left_out(two_seeds, tmp_path):
    empty = make_run(tmp_path / "empty", 0, subconcepts=subconcept_rows(0).iloc[:0])
    assert len(taken_over_by_run([two_seeds, Seeds((empty,))])) == 2
    assert prose_views.transitions([Seeds((empty,))]) is None
    assert prose_views.taken_over_verdict([Seeds((empty,))]).data.startswith("**Not resolved")


VIEWS = (
    "cka", "cka_just_removed", "transfer", "last_layer", "last_layer_beyond_none",
    "last_layer_kept_units",
    "reliance_numbers", "carrier_counts", "transitions", "parts", "part_carriers", "taken_over",
    "new_carriers",
)  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_shown_with_runs_and_none_without(two_seeds, name):
    view = getattr(prose_views, name)
    assert view([]) is None
    shown = view([two_seeds])
    assert shown.to_dict() if hasattr(shown, "to_dict") else shown.to_html()


def test_numbers_of_neurons_are_whole(two_seeds):
    html = prose_views.part_carriers([two_seeds]).to_html()
    assert ">100<" in html
    assert "100.0" not in html


@pytest.mark.parametrize("name", ["same_verdict", "taken_over_verdict"])
def test_a_verdict_without_runs_says_which_command_makes_them(two_seeds, name):
    view = getattr(prose_views, name)
    assert "`plasticity publish`" in view([]).data
    assert isinstance(view([two_seeds]), Markdown)
    assert "plasticity publish" not in view([two_seeds]).data


def test_reliance_is_drawn_for_every_concept(two_seeds, monkeypatch):
    drawn = []
    monkeypatch.setattr(prose_views, "display", drawn.append)
    prose_views.reliance([two_seeds, two_seeds])
    assert len(drawn) == 2


def test_runs_without_answers_are_left_out(tmp_path):
    (tmp_path / "old").mkdir()
    assert holding([Seeds((Run(tmp_path / "old"),))], OF_SNAPSHOTS) == []
    assert parts_tables.with_parts([]) == []
