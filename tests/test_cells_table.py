"""All cells of a grid as one table; and what is counted of a run that nobody has timed."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from transformers import AutoConfig, AutoModelForTokenClassification

import plasticity_utils as pu
from plasticity_utils import cli
from plasticity_utils.batch.cells import base_cells, note_settings
from plasticity_utils.batch.driver import _of_shard
from plasticity_utils.batch.estimate import _one_batch, memory_of
from plasticity_utils.batch.grid import read_grid
from plasticity_utils.book.pages import render_grid
from plasticity_utils.errors import InputError
from plasticity_utils.files import ROOT
from plasticity_utils.results import cells

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


def test_cells_are_compared_by_what_tells_them_apart():
    def rows(cell, concept, seed, removed):
        own = {"cell": cell, "concept": concept, "seed": seed, "is_concept": True}
        f1 = {("targeted", "base"): 0.9, ("targeted", "removed"): removed}
        f1 |= {("targeted", "end"): 0.8, ("head", "end"): 0.7}
        return [
            {**own, "condition": condition, "stage": stage, "entity_f1": value}
            for (condition, stage), value in f1.items()
        ]

    made = [
        *rows("a", "locations", 0, 0.1),
        *rows("b", "locations", 1, 0.2),
        *rows("c", "persons", 0, 0.3),
        {"cell": "d", "concept": "persons", "seed": 1, "is_concept": None},
    ]
    table = pd.DataFrame(made).reindex(columns=["corpus", "model", *made[0], *cells._SETTINGS])
    table = table.loc[:, ~table.columns.duplicated()]
    compared = cells.compared_cells(table)
    assert compared["row"].tolist() == ["locations", "locations", "persons"]
    assert compared["removed"].tolist() == [0.1, 0.2, 0.3]
    assert compared["end_head"].tolist() == [0.7] * 3
    drawn = cells.outcomes_of_cells(compared, {"removed": "cut", "end_head": "read", "no": "x"})
    assert set(drawn["panel"]) == {"cut", "read"}
    assert set(drawn["condition"]) == {"targeted", "head"}
    assert len(drawn) == 6
    own = table["condition"].eq("targeted") & table["stage"].ne("base")
    other = cells.compared_cells(table.assign(condition=table["condition"].mask(own, "random")))
    assert other["removed"].isna().all()
    assert other["end_random"].tolist() == [0.8] * 3
    with pytest.raises(InputError, match="no cell of the grid is finished"):
        cells.compared_cells(table.tail(1))


def put_cell(run, name):
    """Leave a finished cell of a batch beside a run."""
    folder = run.path.parent / "batch" / name
    folder.mkdir(parents=True, exist_ok=True)
    record = {"status": "done", "seconds": 1.0, "run": run.path.name}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


@pytest.mark.slow
def test_a_grid_becomes_a_book_with_an_index_and_a_page_a_cell(tiny_run, tmp_path, capsys):
    results = tmp_path / "results"
    shutil.copytree(tiny_run.path, results / tiny_run.path.name)
    run = type(tiny_run)(results / tiny_run.path.name)
    folder = put_cell(run, "the-cell")
    with pytest.raises(InputError, match=r"no cell of the grid in .* is done"):
        render_grid(results, tmp_path / "book")
    shutil.copyfile(ROOT / "notebooks" / "status.ipynb", folder / "page.ipynb")
    assert cli.main(["book", str(results), str(tmp_path / "book")]) == 0
    index = tmp_path / "book" / "notebooks" / "grid.html"
    assert f"book: {index}" in capsys.readouterr().out
    text = index.read_text(encoding="utf-8")
    assert "1 of 1 cells are done" in text
    assert 'href="the-cell.html"' in text
    assert (index.parent / "the-cell.html").is_file()


@pytest.mark.slow
def test_a_finished_cell_has_the_scores_of_its_run(tiny_run, tmp_path):
    results = tiny_run.path.parent
    folder = put_cell(tiny_run, "concept-of-the-test")
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


@pytest.mark.parametrize("family", ["gpt2", "deberta-v2", "megatron-bert", "mixtral"])
def test_operations_are_counted_of_families_that_look_into_their_tokens(
    family, tmp_path, tiny_tokenizer
):
    width, inner, blocks, length, labels, experts = 16, 32, 2, 32, 9, 2
    config = AutoConfig.for_model(
        family, vocab_size=40, hidden_size=width, num_hidden_layers=blocks, num_attention_heads=2,
        num_key_value_heads=2, intermediate_size=inner, max_position_embeddings=64, n_inner=inner,
        pad_token_id=0, num_local_experts=4, num_experts_per_tok=experts,
    )  # fmt: skip
    AutoModelForTokenClassification.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer(["a"]).save_pretrained(tmp_path)
    flops, kept, n_parameters = _one_batch(str(tmp_path), labels, 64)
    # Three matrices of each chosen expert, and the router.
    mixed = experts * 3 * width * inner + 4 * width
    products = mixed if family == "mixtral" else 2 * width * inner
    products += 4 * width**2 + 2 * length * width
    assert flops == 2 * (blocks * products + labels * width)
    assert 0 < n_parameters < kept


def test_the_memory_of_a_model_is_that_of_its_largest_cell_or_unknown(tiny_folder, tmp_path):
    bad = shutil.copytree(tiny_folder, tmp_path / "bad")
    path = tmp_path / "grid.yaml"
    path.write_text(
        f"concepts: [locations]\nmodels: [{tiny_folder}, {bad}]\nscales: [smoke, quick]\n"
    )
    cells = read_grid(path)
    (bad / "config.json").write_text("{}")
    found = memory_of(cells)
    assert np.isnan(found[str(bad)])
    (large,) = (cell for cell in cells if cell.settings["scale"] == "quick"
                and cell.settings["model"] == str(tiny_folder))  # fmt: skip
    assert found[str(tiny_folder)] == memory_of([large])[str(tiny_folder)]
