"""The page "Add your own": its cells, run on a tiny model."""

import runpy

import jupytext
import numpy as np
import pytest

from plasticity_utils.files import ROOT

PAGE = ROOT / "notebooks" / "add_your_own.py"
EXAMPLE = ROOT / "book" / "examples" / "mine.py"


@pytest.mark.slow
def test_its_cells_run_and_the_charts_and_tables_have_what_was_added(tiny_run_folder, tmp_path):
    cells = [cell for cell in jupytext.read(PAGE).cells if cell.cell_type == "code"]
    names = {}
    exec(cells[0].source, names)
    names |= {"model": str(tiny_run_folder), "scale": "tiny", "results_dir": str(tmp_path)}
    for cell in cells[1:]:
        exec(cell.source, names)
    run = names["run"]
    assert list(run.metrics["condition"].unique()) == [
        "targeted", "random", "none", "head", "HALF_SEEN",
    ]  # fmt: skip
    assert "MeanProjection" in run.path.name
    f1 = run.metrics.set_index(["condition", "stage", "entity"])["entity_f1"]
    assert f1["targeted", "removed", "LOC"] < 0.5 * f1["none", "removed", "LOC"]
    assert f1["random", "removed", "LOC"] > f1["targeted", "removed", "LOC"]
    assert set(names["read"]["reader"]) == {"linear", "neighbours"}


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
