"""The notebooks hold prose and calls, are in sync with their text, and show what they computed."""

import re
from pathlib import Path

import nbformat
import pytest
from jupytext.cli import jupytext

from plasticity_utils.experiment.config import RunConfig

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
LOGIC = re.compile(r"^\s*(def |class |for |while |import sys|sys\.path|[!%]\s*pip)", re.MULTILINE)
PAGE_COLUMNS = 76

CONCEPT_PAGES = [
    path for path in NOTEBOOKS if path.stem in ("locations", "persons", "organisations", "concept")
]

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_concept = pytest.mark.parametrize("path", CONCEPT_PAGES, ids=lambda path: path.stem)


def code_cells(path):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@every_notebook
def test_text_and_notebook_are_in_sync(path, tmp_path):
    # The command itself, without a process for each notebook.
    assert jupytext(["--test-strict", "--to", "py:percent", str(path)]) == 0
    assert jupytext(["--to", "py:percent", "--output", str(tmp_path / "text.py"), str(path)]) == 0
    text = (tmp_path / "text.py").read_text()
    assert without_header(text) == without_header(path.with_suffix(".py").read_text())


def without_header(text):
    return text.split("# ---\n")[-1].strip()


@every_notebook
def test_cells_hold_no_logic_and_fit_the_page(path):
    for cell in code_cells(path):
        assert not LOGIC.search(cell.source), cell.source
        assert max(map(len, cell.source.splitlines()), default=0) <= PAGE_COLUMNS, cell.source


MEASURED = re.compile(r"\d\.\d")


@every_notebook
def test_no_hand_written_cell_holds_a_measured_number(path):
    """A number in prose is inserted from the results, so that it cannot be stale."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"\(https?://[^)]*\)", "", cell.source)
            assert not MEASURED.search(text), cell.source


@every_concept
def test_parameters_are_the_ones_others_script_against(path):
    tagged = [c for c in code_cells(path) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    values: dict = {}
    exec(tagged[0].source, {}, values)
    named = {"concept", "model", "scale", "seed", "regime", "corpus", "tags", "results_dir"}
    assert set(values) == named
    assert RunConfig.from_notebook(values).concept == values["concept"]


@every_notebook
def test_stored_outputs_are_complete_and_clean(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    charts = [o for o in outputs if any("vegalite" in mime for mime in o.get("data", {}))]
    assert len(charts) >= (6 if path in CONCEPT_PAGES else 0)
    assert outputs
    assert not [o for o in outputs if o.output_type in ("error", "stream")]
    assert not [
        o for o in outputs if "application/vnd.jupyter.widget-view+json" in o.get("data", {})
    ]


def test_four_pages_have_an_exercise_and_a_cell_that_answers_it():
    pages = []
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        for i, cell in enumerate(cells):
            if cell.source.startswith("```{exercise}"):
                assert cells[i + 1].cell_type == "code"
                assert cells[i + 1].outputs
                assert "remove-input" not in cells[i + 1].metadata["tags"]
                assert "```{solution}" in cells[i + 2].source
                pages.append(path.stem)
    assert len(set(pages)) >= 4
