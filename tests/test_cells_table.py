"""All cells of a grid as one table; and what is counted of a run that nobody has timed."""

import json

import numpy as np
import pytest

import plasticity_utils as pu
from plasticity_utils import cli
from plasticity_utils.batch.cells import base_cells, note_settings
from plasticity_utils.batch.driver import _of_shard
from plasticity_utils.batch.grid import _one_batch, read_grid
from plasticity_utils.errors import InputError

GRID = """\
concepts: [NNP]
scales: [smoke]
tags: [pos]
removals: ["", mean_projection]
protocols: ["targeted, random, none, head"]
learning_rates: [0.0001, 0.0002]
seeds: [0, 1]
"""


@pytest.fixture
def grid(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text(GRID)
    return read_grid(file)


def test_tags_removals_protocols_and_rates_are_axes(grid):
    assert len(grid) == 8
    assert {cell.settings["tags"] for cell in grid} == {"pos"}
    assert {cell.settings["removal"] for cell in grid} == {"", "mean_projection"}
    # A base model for each rate and seed; what is removed does not matter to it.
    bases = base_cells(grid)
    assert len(bases) == 4
    assert all("conll2003-pos" in base.name for base in bases)
    assert {base.settings["learning_rate"] for base in bases} == {0.0001, 0.0002}


def test_shards_are_all_cells_once(grid):
    shards = [_of_shard(grid, f"{number}/3") for number in (1, 2, 3)]
    assert sorted(cell.name for shard in shards for cell in shard) == sorted(c.name for c in grid)
    assert _of_shard(grid, "") == grid
    for wrong in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(InputError, match="shard must be i/n"):
            _of_shard(grid, wrong)


def test_a_table_of_cells_names_those_that_are_not_done(grid, tmp_path, capsys):
    with pytest.raises(InputError, match="no cells of a batch"):
        pu.grid_results(tmp_path)
    note_settings(grid, tmp_path)
    failed = grid[0].folder(tmp_path)
    record = {"status": "failed", "seconds": 3.5, "error": "no room left", "run": ""}
    (failed / "record.json").write_text(json.dumps(record))
    table = pu.grid_results(tmp_path).set_index("cell")
    assert len(table) == len(grid)
    assert table.loc[failed.name, ["status", "seconds", "error"]].tolist() == [
        "failed", 3.5, "no room left",
    ]  # fmt: skip
    others = table.drop(failed.name)
    assert set(others["status"]) == {"waiting"}
    assert set(others["tags"]) == {"pos"}
    assert others["entity_f1"].isna().all()
    assert cli.main(["results", str(tmp_path)]) == 0
    assert "8 cells: 7 waiting, 1 failed" in capsys.readouterr().out
    assert (tmp_path / "results.csv").is_file()


@pytest.mark.slow
def test_a_finished_cell_has_the_scores_of_its_run(tiny_run, tmp_path):
    results = tiny_run.path.parent
    folder = results / "batch" / "concept-of-the-test"
    folder.mkdir(parents=True)
    record = {"status": "done", "seconds": 1.0, "error": "", "run": tiny_run.path.name}
    (folder / "record.json").write_text(json.dumps(record))
    table = pu.grid_results(results)
    table = table[table["cell"] == folder.name]
    assert len(table) == len(tiny_run.metrics)
    np.testing.assert_array_equal(table["entity_f1"], tiny_run.metrics["entity_f1"])
    assert set(table.loc[table["is_concept"].astype(bool), "entity"]) == {tiny_run.config.label}
    assert set(table["corpus"]) == {"conll2003"}


def test_operations_of_a_token_are_two_for_each_weight_that_multiplies(tiny_folder):
    flops, kept, n_parameters = _one_batch(str(tiny_folder), 9, 64)
    width, inner, blocks, length = 16, 32, 3, 32
    products = blocks * (4 * width**2 + 2 * width * inner + 2 * length * width) + 9 * width
    assert flops == 2 * products
    assert n_parameters > products - blocks * 2 * length * width
    assert kept > 0
