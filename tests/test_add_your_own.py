"""A removal and a protocol of one's own: their run, on the page "Add your own" and the template."""

import ast
import json
import runpy

import jupytext
import numpy as np
import pytest
from pandas.io.formats.style import Styler

from plasticity_utils.files import ROOT

PAGE = ROOT / "notebooks" / "add_your_own.py"
TEMPLATE = ROOT / "notebooks" / "concept.py"
MINE = "book/examples/mine.py"
EXAMPLE = ROOT / MINE


@pytest.fixture(scope="module")
def settings(tiny_run_folder, make_run):
    """Parameters of a page about a run that is there."""
    settings = {
        "removal": f"{MINE}:MeanProjection",
        "protocols": f"targeted, random, none, head, {MINE}:HALF_SEEN",
    }
    run = make_run(dose=None, **settings)
    results = str(run.config.results)
    return settings | {"model": str(tiny_run_folder), "scale": "tiny", "results_dir": results}


def executed(page, settings):
    """The names that a page's cells leave, and what each of them shows."""
    cells = [cell for cell in jupytext.read(page).cells if cell.cell_type == "code"]
    names, shown = {}, []
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        if "skip-execution" in tags or cell.source.startswith("!"):
            continue
        *body, last = ast.parse(cell.source).body
        is_shown = isinstance(last, ast.Expr)
        exec(compile(ast.Module(body if is_shown else [*body, last], []), page, "exec"), names)
        if is_shown:
            shown.append(eval(compile(ast.Expression(last.value), page, "eval"), names))
        if "parameters" in tags:
            names |= settings
    return names, shown


@pytest.mark.slow
def test_its_cells_run_and_the_charts_and_tables_have_what_was_added(settings):
    names, _ = executed(PAGE, settings)
    run = names["run"]
    assert list(run.metrics["condition"].unique()) == [
        "targeted", "random", "none", "head", "HALF_SEEN",
    ]  # fmt: skip
    assert "MeanProjection" in run.path.name
    f1 = run.metrics.set_index(["condition", "stage", "entity"])["entity_f1"]
    assert f1["targeted", "removed", "LOC"] < 0.5 * f1["none", "removed", "LOC"]
    assert f1["random", "removed", "LOC"] > f1["targeted", "removed", "LOC"]
    assert set(names["read"]["reader"]) == {"linear", "neighbours"}


@pytest.mark.slow
def test_the_template_shows_what_was_added(settings):
    names, shown = executed(TEMPLATE, settings)
    banner = shown[0].data
    assert "**MeanProjection**" in banner
    assert "**HALF_SEEN**" in banner
    tables = [one.data for one in shown if isinstance(one, Styler)]
    assert "HALF SEEN" in tables[0]
    of_conditions = [table["condition"].tolist() for table in tables if "condition" in table]
    assert len(of_conditions) == 2
    assert all("HALF_SEEN" in conditions for conditions in of_conditions)
    drawn = [json.dumps(one.to_dict()) for one in shown if hasattr(one, "to_dict")]
    drawn = [text for text in drawn if "HALF_SEEN" in text]
    assert any("Training brings the F1" in text for text in drawn)
    assert any("In the last layer" in text for text in drawn)
    assert set(names["cards"]["card_neurons"]["kind"]) == {"newly salient", "polysemantic"}


def test_the_removal_is_short():
    text = EXAMPLE.read_text()
    removal = text[text.index("@dataclass") : text.index("def first_half")]
    assert len([line for line in removal.splitlines() if line.strip()]) <= 30


def test_the_projection_leaves_the_mean_along_its_direction():
    own = runpy.run_path(str(EXAMPLE))
    fitted = own["projections"](np.array([[3.0, 4.0]]), np.array([[1.0, 1.0]]))
    import torch

    state = own["held"](fitted.directions[0], fitted.means[0])(torch.tensor([[5.0, -2.0]]))
    assert float(state @ torch.tensor([0.6, 0.8])) == pytest.approx(1.4)
    assert float(state @ torch.tensor([-0.8, 0.6])) == pytest.approx(-5.2)
