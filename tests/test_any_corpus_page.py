"""The notebook of any concept, run by papermill as a user types it, on corpora of one's own."""

import json
from pathlib import Path

import papermill
import pytest

import plasticity_utils as pu
import runs
from plasticity_utils.book.pages import stored_charts

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "concept.ipynb"

CORPORA = {
    "IOB1": (lambda folder: runs.write_columns(folder, "IOB1"), {"concept": "locations"}),
    "plain": (runs.write_conllu, {"concept": "NNP", "tags": "xpos"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", CORPORA)
def test_papermill_runs_the_notebook_on_a_folder(scheme, tiny_run_folder, tmp_path):
    write, own = CORPORA[scheme]
    corpus, out = str(write(tmp_path / "mine")), tmp_path / "page.ipynb"
    parameters = {
        **own, "corpus": corpus, "model": str(tiny_run_folder), "scale": "smoke",
        "results_dir": str(tmp_path / "runs"),
    }  # fmt: skip
    papermill.execute_notebook(NOTEBOOK, out, parameters, progress_bar=False)
    run = pu.find_run(pu.RunConfig(**parameters))
    label = run.config.label
    assert run.facts["task"]["scheme"] == scheme
    assert set(run.metrics["condition"]) == {"targeted", "random", "none", "head"}
    assert label in set(run.metrics["entity"])
    text = out.read_text(encoding="utf-8")
    assert corpus in text
    assert label in json.dumps(list(stored_charts(out)))
