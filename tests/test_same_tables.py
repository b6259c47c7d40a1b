"""Tables of questions 3 and 4 over several runs, whose answers are written down here."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.analysis import parts_tables, rules, sameness
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.record import Run
from plasticity_utils.names import NOTHING
from plasticity_utils.results.derived import OF_SNAPSHOTS
from plasticity_utils.results.groups import RunGroup, holding

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


def part_rows():
    row = {
        "n_words": 100,
        "n_names": 20,
        "shown": "x",
        "silhouette": np.nan,
        "silhouette_reference": np.nan,
    }
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
        **changes,
    }
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet")
    return Run(folder)


@pytest.fixture
def two_seeds(tmp_path):
    return RunGroup(tuple(make_run(tmp_path / str(seed), seed) for seed in (0, 1)))


def test_a_run_keeps_a_share_of_what_the_probe_reads_in_its_own_model(two_seeds):
    row = sameness.kept_f1([two_seeds]).iloc[0]
    assert row[["as_is", "as_is_none"]].tolist() == pytest.approx([0.2 / 0.8, 0.7 / 0.8])
    assert row[["kept", "kept_none"]].tolist() == pytest.approx([0.5, 0.7 / 0.8])
    assert row[["aligned", "shuffled"]].tolist() == pytest.approx([0.75, 0.125])


def test_what_is_lost_beyond_none_is_paired_by_run(two_seeds):
    """Seed 1 reads everything worse by the same, so the difference does not vary."""
    found = sameness.same([two_seeds])
    assert found["lost_as_is"] == pytest.approx(0.5 / 0.8)
    assert found["lost_as_is_high"] - found["lost_as_is_low"] == pytest.approx(0, abs=1e-9)
    assert found["lost_kept"] == pytest.approx(0.3 / 0.8)
    assert found["aligned_beyond"] == pytest.approx(0.5 / 0.8)
    assert found["verdict"] == rules.TURNED


def test_each_probe_is_shown_on_its_own_model_and_on_every_end(two_seeds):
    table = sameness.probes([two_seeds])
    assert len(table) == 2 * len(sameness.READINGS) * 4
    rows = table.set_index(["seed", "condition", "reading"])["word_f1"]
    assert rows[1, "targeted", "as it is"] == pytest.approx(0.1)
    assert rows[0, "base", "kept neurons alone"] == pytest.approx(0.8)
    assert rows[0, "none", "after alignment"] == pytest.approx(0.6)


def test_similarity_is_averaged_over_seeds_by_layer(two_seeds):
    table = sameness.cka([two_seeds]).set_index(["condition", "layer"])
    assert table.loc[("targeted", 1), "cka_debiased"] == pytest.approx(0.7)
    assert len(table) == 3 * 2


def test_who_takes_over_is_counted_over_kept_neurons(two_seeds):
    row = parts_tables.newly_carried([two_seeds]).iloc[0]
    assert row["carriers"] == 2 * 50
    assert row["targeted"] == pytest.approx(10 / 50)
    assert row["none"] == 0
    assert row["random"] == pytest.approx(3 / 30)
    assert row["beyond_none"] == pytest.approx(0.2)
    assert row["beyond_random"] == pytest.approx(0.1)


def test_the_rest_class_is_judged_with_and_without(tmp_path):
    """All that is new carries the class of all other names."""
    rows = subconcept_rows(0)
    stays = (rows["base"] == rows["end"]) | (rows["end"] == NOTHING)
    rows["end"] = rows["end"].where(stays, "other")
    runs = [
        make_run(tmp_path / str(seed), seed, subconcepts=rows.query("condition != 'random'"))
        for seed in (0, 1, 2)
    ]
    random = rows[rows["condition"] == "none"].assign(condition="random")
    for run in runs:
        pd.concat([rows.query("condition != 'random'"), random]).to_parquet(
            run.path / "subconcepts.parquet"
        )
    table = parts_tables.taken_over([RunGroup(tuple(runs))]).set_index("parts")
    assert table.loc[parts_tables.EVERY, "beyond_none"] == pytest.approx(0.2)
    assert table.loc[parts_tables.NAMED, "beyond_none"] == 0
    words = table["verdict"]
    assert words.to_dict() == {parts_tables.EVERY: "yes", parts_tables.NAMED: "no"}
    assert rules.parts_taken_over(*words) == rules.ONLY_REST


def test_transitions_are_means_over_seeds(two_seeds):
    rows = parts_tables.transitions([two_seeds]).set_index(["condition", "base", "end"])
    assert rows.loc[("targeted", NOTHING, A), "n_neurons"] == 26
    assert rows.loc[("targeted", A, A), "share"] == 1
    assert rows.loc[("none", B, A), "n_neurons"] == 0


def test_parts_have_whole_neurons_and_only_those_that_are_compared(two_seeds):
    table = parts_tables.parts_of([two_seeds]).set_index("part")
    assert table.loc[A, ["carriers", "removed", "new_none"]].tolist() == [100, 40, 6]
    assert table.loc[B, ["carriers", "removed", "new"]].tolist() == [20, 0, 0]
    assert "other" not in table.index
    assert all(isinstance(value, (int, np.integer)) for value in table["carriers"])


def test_a_concept_without_parts_is_left_out(two_seeds, tmp_path):
    empty = make_run(tmp_path / "empty", 0, subconcepts=subconcept_rows(0).iloc[:0])
    groups = [two_seeds, RunGroup((empty,))]
    assert len(parts_tables.newly_carried(groups)) == 2 * 2
    assert parts_tables.with_parts([]) == []


def test_runs_without_answers_are_left_out(tmp_path):
    (tmp_path / "old").mkdir()
    assert holding([RunGroup((Run(tmp_path / "old"),))], OF_SNAPSHOTS) == []
