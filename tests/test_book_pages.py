"""A page for a concept, made from the template: it reads, it is in sync, it is listed once."""

import ast
import shutil
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

from plasticity_utils.book.pages import EXPLAINS, LINE_WIDTH, add_page
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig

ROOT = Path(__file__).parent.parent
DAYS = "words:Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday,Weihnacht,\u00e9t\u00e9"


@pytest.fixture
def project(tmp_path):
    """A copy of what pages are made from."""
    (tmp_path / "notebooks").mkdir()
    for name in ("notebooks/concept.py", "_toc.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def results(project):
    contents = yaml.safe_load((project / "_toc.yml").read_text())
    (part,) = [part for part in contents["parts"] if part["caption"] == "Results"]
    return [chapter["file"] for chapter in part["chapters"]]


def test_the_page_has_the_runs_parameters_and_the_templates_calls(project):
    config = RunConfig(concept=DAYS, scale="quick", seed=3)
    page = add_page(config, project)
    assert page == project / "notebooks" / f"{config.concept_info.name}.ipynb"
    found = papermill.inspect_notebook(str(page))
    values = {name: ast.literal_eval(entry["default"]) for name, entry in found.items()}
    assert RunConfig.from_parameters(values) == config
    cells = nbformat.read(page, as_version=4).cells
    template = nbformat.read(ROOT / "notebooks" / "concept.ipynb", as_version=4).cells
    own = {"own-particular", EXPLAINS}
    shared = [c.source for c in template[4:] if not own & {*c.metadata.get("tags", [])}]
    assert [c.source for c in cells[4:] if EXPLAINS not in c.metadata.get("tags", [])] == shared
    assert cells[0].source.startswith("# Monday, Tuesday, Wednesday, …\n\nThe same experiment")
    assert config.concept_info.name in cells[3].source
    assert "template" not in cells[0].source
    assert max(map(len, cells[2].source.splitlines())) <= LINE_WIDTH
    text = page.with_suffix(".py").read_text(encoding="utf-8")
    assert text.splitlines()[:5] == (ROOT / "notebooks/concept.py").read_text().splitlines()[:5]


def test_it_is_listed_once_and_a_page_that_is_there_is_left_alone(project):
    before = results(project)
    config = RunConfig(concept="miscellaneous")
    page = add_page(config, project)
    place = before.index("notebooks/compare.ipynb")
    wanted = [*before[:place], "notebooks/miscellaneous.ipynb", *before[place:]]
    assert results(project) == wanted
    page.write_text("rewritten")
    assert add_page(config, project) is None
    assert page.read_text() == "rewritten"
    assert results(project) == wanted


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("_toc.yml", "  - file: notebooks/compare.ipynb\n", r"_toc\.yml has no line"),
        (
            "notebooks/concept.py",
            'tags=["parameters", "hide-input"]',
            r"concept\.py has 0 cells with the tag",
        ),
    ],
)
def test_a_changed_template_or_contents_is_an_error_and_nothing_is_listed(
    name, line, message, project
):
    text = (project / name).read_text()
    assert line in text
    (project / name).write_text(text.replace(line, ""))
    before = results(project)
    with pytest.raises(InputError, match=message):
        add_page(RunConfig(concept="miscellaneous"), project)
    assert results(project) == before
    assert not list(project.glob("notebooks/misc*"))
