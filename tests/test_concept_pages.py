"""The concepts' pages: made from one template, short, and as the committed results have it."""

import re
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
import pytest

from plasticity_utils import charts
from plasticity_utils.analysis import answers, rules
from plasticity_utils.book.pages import EXPLAINS, GUIDE, page_of, stored_charts, write_pages
from plasticity_utils.charts.theme import chart_title
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.record import Run
from plasticity_utils.names import OVERALL
from plasticity_utils.results.groups import beside, run_group
from test_prose import outputs

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
TEMPLATE = NOTEBOOKS / "concept.py"
PROSE = sorted((NOTEBOOKS / "prose").glob("*.md"))
CONCEPTS = ("locations", "persons", "organisations")
PAGES = [*(path.stem for path in PROSE), "concept"]
SHOWN = (answers.answer, answers.rises, answers.second_cut)
CELL = re.compile(r"<td .*?>(.*?)</td>")
MEASURED = re.compile(r"\d\.\d")
MOST_ROWS = 12

every_page = pytest.mark.parametrize("name", PAGES)


def cells(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells


def seeds(name):
    concept = "locations" if name == "concept" else name
    return run_group(Run(ROOT / "book" / "results" / f"{concept}-minilm-surgical-full-seed0"))


def said(name):
    return outputs(NOTEBOOKS / f"{name}.ipynb", "text/markdown")


def shown_tables(name):
    """Tables that are not folded, as HTML."""
    return [
        output["data"]["text/html"]
        for cell in cells(name)
        if "hide-output" not in cell.metadata.get("tags", [])
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]


@pytest.mark.parametrize("prose", PROSE, ids=lambda path: path.stem)
def test_a_committed_page_is_what_the_template_gives(prose):
    page = NOTEBOOKS / f"{prose.stem}.py"
    made = jupytext.writes(page_of(TEMPLATE, prose), fmt="py:percent")
    assert page.read_text(encoding="utf-8") == made
    own = prose.read_text(encoding="utf-8").split("---\n", 2)[2]
    assert 15 <= len(own.strip().splitlines()) <= 45


def test_making_pages_keeps_what_they_were_executed_with(tmp_path):
    (tmp_path / "notebooks" / "prose").mkdir(parents=True)
    for path in (TEMPLATE, NOTEBOOKS / "persons.ipynb", NOTEBOOKS / "prose" / "persons.md"):
        copied = tmp_path / path.relative_to(ROOT)
        copied.write_bytes(path.read_bytes())
    (page,) = write_pages(tmp_path)
    made, kept = (nbformat.read(path, as_version=4).cells for path in (page, NOTEBOOKS / page.name))
    assert [cell.source for cell in made] == [cell.source for cell in kept]
    assert [cell.get("outputs") for cell in made] == [cell.get("outputs") for cell in kept]


@pytest.mark.parametrize(
    "text", ["# No settings\n", "---\nscale: full\n---\n# x\n", "---\nconcept: persons\n---\n"]
)
def test_prose_without_settings_is_an_error(text, tmp_path):
    prose = tmp_path / "mine.md"
    prose.write_text(text)
    with pytest.raises(InputError, match=r"mine\.md: a concept's prose begins with its settings"):
        page_of(TEMPLATE, prose)


@every_page
def test_the_tables_of_a_page_are_short(name):
    assert len(shown_tables(name)) == len(SHOWN)
    assert sum(len(table(seeds(name))) for table in SHOWN) <= MOST_ROWS


@every_page
def test_what_explains_stands_on_one_page_and_the_others_say_where(name):
    explaining = [c.source for c in cells(name) if EXPLAINS in c.metadata.get("tags", [])]
    if name in (GUIDE, "concept"):
        assert len(explaining) > 5
    else:
        assert len(explaining) == 1
        assert f"[{GUIDE}]({GUIDE})" in explaining[0]


@every_page
def test_the_title_of_a_figure_says_what_was_found(name):
    titles = [chart_title(spec) for spec in stored_charts(NOTEBOOKS / f"{name}.ipynb")]
    # The last two are what one looks through the neurons with.
    assert all(MEASURED.search(title) or "layer " in title for title in titles[:-2]), titles


@every_page
def test_the_tables_are_those_of_the_results(name):
    for stored, make in zip(shown_tables(name), SHOWN, strict=True):
        made = charts.number_table(make(seeds(name))).to_html()
        assert CELL.findall(stored) == CELL.findall(made)
    assert any(f"**{answers.found(seeds(name))}**" in text for text in said(name))
    assert any(rules.reader_finds.says in text for text in said(name))


def test_what_is_said_to_be_particular_holds():
    found = {
        name: answers.answer(seeds(name)).set_index("step")
        for name in ("locations", "persons", "organisations")
    }
    for name in ("locations", "persons", "organisations"):
        assert answers.found(seeds(name)) == rules.FOUND
        beyond = found[name].loc[answers.BEYOND_LAST_LAYER]
        assert (beyond["targeted_low"] > 0) == (name == "organisations")
    before = {name: table.loc[answers.BEFORE, "targeted"] for name, table in found.items()}
    assert max(before, key=before.get) == "persons"
    rises = answers.rises(seeds("locations")).set_index("condition")
    assert rises.loc["targeted", "rise_low"] > 0 > rises.loc["head", "rise_high"]


def test_what_is_said_of_the_cuts_holds():
    lost = pd.concat(
        {
            group.config.concept: group.metrics.pivot_table(
                index=["condition", "entity"], columns="stage", values="entity_f1"
            ).eval("base - removed")
            for group in beside(seeds("locations"))
        }
    ).sort_index()
    taken = lost["persons", "targeted"].drop(["PER", OVERALL])
    assert abs(lost["locations", "targeted", "PER"]) < 0.01
    assert lost["locations", "targeted", "ORG"] > lost["locations", "random", "ORG"] > 0
    assert lost["persons", "random", "ORG"] > lost["persons", "targeted", "ORG"] > 0
    assert lost["organisations", "targeted", "MISC"] > 4 * lost["organisations", "targeted", "LOC"]
    doses = {name: [run.facts["dose"] for run in seeds(name).runs] for name in PAGES}
    assert len(set(doses["locations"])) == 1
    assert min(doses["persons"]) == min(doses["organisations"]) == doses["locations"][0]
    assert min(map(max, (doses["persons"], doses["organisations"]))) > doses["locations"][0]
    again = answers.second_cut(seeds("persons")).set_index("again")
    assert again.loc["new top", "others_lost"] > 3 * taken.mean()
    assert again.loc["random", "others_lost"] > 3 * taken.mean()
    worst = (
        answers.second_cut(seeds("organisations")).set_index("again").loc["new top", "most_lost"]
    )
    assert worst > 0.5


def test_the_last_layer_of_organisations_still_rises_at_the_last_snapshot():
    rows = seeds("organisations").metrics
    own = rows[(rows["condition"] == "head") & (rows["entity"] == "ORG") & (rows["epoch"] >= 0)]
    f1 = own.sort_values("epoch")["entity_f1"]
    assert f1.is_monotonic_increasing
    assert f1.iloc[-1] > f1.iloc[-2]
