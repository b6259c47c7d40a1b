"""Every number that the front page states is re-derived from the committed results."""

from pathlib import Path

import pytest

from plasticity_utils import verdicts
from plasticity_utils.run import Run

BOOK = Path(__file__).parent.parent / "book"
RESULTS = sorted(path for path in (BOOK / "results").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", RESULTS, ids=lambda path: path.name)
def test_results_say_what_made_them(folder):
    facts = Run(folder).facts
    assert facts["settings"]["seed"] >= 0
    assert facts["code"]["version"]
    assert {"torch", "transformers", "neurox", "numpy"} <= set(facts["libraries"])
    assert facts["machine"]["device"]
    assert sum(facts["seconds"].values()) > 0
    assert facts["settings"]["scale"] != "smoke"


def test_the_front_page_says_what_the_results_say():
    locations = next(path for path in RESULTS if path.name.startswith("locations-minilm-surgical"))
    assert verdicts.front(Run(locations)) in (BOOK / "intro.md").read_text(encoding="utf-8")
