"""Grid files: what becomes of a good one, and what is said of every bad one."""

import re
from pathlib import Path

import nbformat
import pytest

from plasticity_utils import cli
from plasticity_utils.batch.cells import base_cells
from plasticity_utils.batch.grid import ROOT, _read_yaml, read_grid
from plasticity_utils.errors import InputError

BAD = Path(__file__).parent / "bad_input"
MESSAGES = {
    "no_yaml": ", line 2, column 6: no YAML: expected ',' or ']', but got ':'",
    "tab": ", line 2, column 1: no YAML: found character '\\t' that cannot start any token",
    "a_list": "a grid is a mapping with the keys concepts, models,",
    "empty": "a grid is a mapping with the keys concepts, models,",
    "unknown_key": "unknown key 'sedes'; allowed: concepts, models, scales, regimes, seeds,",
    "key_twice": ", line 3, column 1: no YAML: the key 'seeds' is there twice",
    "empty_list": "concepts is an empty list",
    "no_concepts": "concepts are missing; a grid needs a list of them",
    "no_list": "concepts must be a list, not 'locations'",
    "unknown_concept": "unknown concept 'cheeses'; allowed: locations, persons,",
    "unknown_model": "there is no model folder '/no/such'; allowed: minilm, smollm2",
    "unknown_scale": "unknown scale 'huge'; allowed: smoke, quick, medium, full",
    "unknown_regime": "unknown regime 'gentle'; allowed: surgical, half",
    "seed_below_zero": "seed must be a whole number of at least 0, not -1",
    "unknown_parameter": "unknown parameter 'epohcs'; allowed: concept, model, scale, seed,",
    "results_dir": "unknown parameter 'results_dir'; allowed: concept, model, scale, seed,",
    "dose": "dose must be a fraction between 0 and 1, not 7.5",
    "parameters_number": "parameters must be a mapping, not 3",
    "cell_twice": "the cell 'concept-locations-minilm-surgical-quick-seed0' is there twice",
    "scale_twice": "scale and scales are both there; one is allowed",
    "variants_none": "variants must be a list, not None",
    "variant_unnamed": "a variant is a mapping with a name, not {'regrow': True}",
    "variant_and_list": "'seed' is in parameters or in a variant, and also in a list",
    "no_notebook": "there is no notebook 'no-such.ipynb' beside it or in the project",
    "latin1": "byte 14 is not UTF-8",
    "nul": "no YAML: unacceptable character #x0000",
    "python_object": "no YAML: could not determine a constructor for the tag",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_bad_grid_is_one_line_and_exit_code_2_and_leaves_nothing(name, tmp_path, capsys):
    path, results = BAD / f"{name}.yaml", tmp_path / "results"
    assert cli.main(["batch", str(path), "--results", str(results)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"plasticity: '{path}'")
    assert MESSAGES[name] in err
    assert err.count("\n") == 1
    assert not results.exists()


@pytest.mark.parametrize("text", ["hello", "", "{}", "[]", "5", '{"nbformat": 4, "cells": [5]}'])
def test_a_file_that_is_no_notebook_is_named(text, tmp_path):
    (tmp_path / "page.ipynb").write_text(text)
    grid = tmp_path / "grid.yaml"
    grid.write_text("concepts: [locations]\nnotebook: page.ipynb\n")
    with pytest.raises(InputError, match=r"^'.*grid.yaml': '.*page.ipynb' is no notebook: "):
        read_grid(grid)


def test_every_bad_file_has_its_message():
    assert {path.stem for path in BAD.glob("*.yaml")} == set(MESSAGES)


def test_the_page_of_errors_says_what_the_command_says():
    pages = [ROOT / "book" / name for name in ("errors.md", "errors_grids.md")]
    page = "".join(path.read_text(encoding="utf-8") for path in pages)
    for message in MESSAGES.values():
        # The page has an example of each, with values of its own.
        fixed = max(re.split(r"'[^']*'|\d+", message), key=len).strip(" ,:;")
        assert fixed in page, fixed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such.yaml"], "the grid 'no-such.yaml' cannot be read: No such file or directory"),
        (["."], "the grid '.' cannot be read: Is a directory"),
        (["GRID", "--workers", "-1"], "workers must be a whole number of at least 1, not -1"),
        (["GRID", "--results", "GRID"], "results cannot be written to"),
        (["GRID", "--results", "nowhere://x"], "fsspec knows no 'nowhere' addresses"),
        (["GRID", "--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers at 'tcp://"),
        (["GRID", "--scheduler", "gopher"], "no Dask scheduler answers at 'gopher' within"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(
    arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("plasticity_utils.batch.workers.SECONDS_TO_CONNECT", 1)
    grid = tmp_path / "grid.yaml"
    grid.write_text("concepts: [locations]\nscale: smoke\n")
    arguments = [str(grid) if each == "GRID" else each for each in arguments]
    if "--results" not in arguments:
        arguments += ["--results", str(tmp_path / "results")]
    assert cli.main(["batch", *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_the_demonstration_is_twelve_cells_on_one_base_model():
    cells = read_grid(ROOT / "notebooks" / "grid.yaml")
    assert len(cells) == 12
    assert len(base_cells(cells)) == 1
    assert {cell.base for cell in cells} == {base_cells(cells)[0].name}
    settings = [(c.settings["concept"], c.settings["regime"], c.settings["regrow"]) for c in cells]
    assert settings[:3] == [
        ("locations", "surgical", False), ("locations", "surgical", True),
        ("locations", "half", False),
    ]  # fmt: skip


def test_lists_are_crossed_and_bases_shared(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(
        "concepts: [locations, persons]\nseeds: [0, 1]\nscales: [smoke, quick]\n"
        "parameters: {epochs: 1}\n"
    )
    cells = read_grid(path)
    assert len({cell.name for cell in cells}) == 8
    assert len(base_cells(cells)) == 4
    assert all(cell.settings["epochs"] == 1 for cell in cells)


def test_a_notebooks_own_parameter_is_allowed_and_changes_the_cell(tmp_path):
    cell = nbformat.v4.new_code_cell('colour = "red"', metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata=kernel)
    nbformat.write(notebook, tmp_path / "own.ipynb")
    path, names = tmp_path / "grid.yaml", set()
    for colour in ("red", "blue"):
        path.write_text(
            f"concepts: [locations]\nnotebook: own.ipynb\nparameters: {{colour: {colour}}}\n"
        )
        (found,) = read_grid(path)
        assert found.parameters["colour"] == colour
        names.add(found.name)
    assert len(names) == 2


def test_a_local_models_path_is_that_of_the_notebook(tiny_folder):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    nbformat.write(notebook, tiny_folder.parent / "own.ipynb")
    path = tiny_folder.parent / "grid.yaml"
    path.write_text(f"concepts: [locations]\nmodels: [{tiny_folder.name}]\nnotebook: own.ipynb\n")
    (cell,) = read_grid(path)
    assert cell.settings["model"] == cell.parameters["model"] == str(tiny_folder)


def test_a_change_of_the_notebook_or_the_model_makes_another_cell(tiny_folder, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(f"concepts: [locations]\nmodels: [{tiny_folder}]\n")
    (before,) = read_grid(path)
    (tiny_folder / "note.txt").write_text("changed")
    (after,) = read_grid(path)
    assert before.name != after.name
    assert before.base != after.base


def test_an_error_names_the_file():
    with pytest.raises(InputError, match=r"unknown_key\.yaml': unknown key 'sedes'"):
        read_grid(BAD / "unknown_key.yaml")


@pytest.mark.parametrize(
    ("written", "read"),
    [("010", 10), ("8", 8), ("+3", 3), ("1e-4", 1e-4), (".5", 0.5), ("1:30", "1:30"),
     ("0x1F", "0x1F"), ("1_000", "1_000"), ("'010'", "010"), ("yes", True)],
)  # fmt: skip
def test_a_grids_numbers_are_decimal_as_one_reads_them(written, read, tmp_path):
    (tmp_path / "grid.yaml").write_text(f"seeds: [{written}]\n")
    (found,) = _read_yaml(tmp_path / "grid.yaml")["seeds"]
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    "text",
    ["a: !!float x", "a: !!timestamp x", "a: !!int 0x1F", "? [a, b]\n: c", f"a: {'[' * 2000}"],
)
def test_what_yaml_cannot_read_is_one_line(text, tmp_path):
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(InputError, match="no YAML: ") as caught:
        read_grid(tmp_path / "grid.yaml")
    assert "\n" not in str(caught.value)
