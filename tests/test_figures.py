"""Figures as files, from a notebook that was really executed."""

import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from plasticity_utils import cli
from plasticity_utils.book.pages import export_figures, stored_charts
from plasticity_utils.charts.theme import chart_title
from plasticity_utils.errors import InputError

ROOT = Path(__file__).parent.parent
LOCATIONS = ROOT / "notebooks" / "locations.ipynb"


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    return export_figures(LOCATIONS, tmp_path_factory.mktemp("figures"))


@pytest.mark.slow
def test_every_chart_of_the_committed_notebook_is_written_twice(figures):
    charts = list(stored_charts(LOCATIONS))
    assert len(charts) >= 6
    assert [path.suffix for path in figures] == [".svg", ".png"] * len(charts)
    for number, (chart, svg) in enumerate(zip(charts, figures[::2], strict=True), start=1):
        assert re.fullmatch(rf"locations-{number:02}-[a-z0-9-]+", svg.stem), svg.name
        word = re.findall(r"[a-z0-9]+", chart_title(chart).lower())[0]
        assert svg.stem.split("-")[2] == word
        assert svg.with_suffix(".png") in figures


@pytest.mark.slow
def test_the_files_are_pictures_with_marks(figures):
    for path in figures[::2]:
        drawing = ElementTree.parse(path).getroot()
        marks = [e for e in drawing.iter() if "role-mark" in e.get("class", "")]
        assert any(len(list(mark)) for mark in marks), path.name
        # 12 pixels in a PNG of twice the size of the SVG would not be read on a slide.
        width, height = struct.unpack(">II", path.with_suffix(".png").read_bytes()[16:24])
        assert width >= 1000
        assert width == pytest.approx(2 * float(drawing.get("width")), abs=2)
        assert height == pytest.approx(2 * float(drawing.get("height")), abs=2)


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    notebook = nbformat.read(LOCATIONS, as_version=4)
    with_chart = [cell for cell in notebook.cells if "vegalite" in str(cell.get("outputs"))]
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    nbformat.write(new_notebook(cells=with_chart[:1]), notebooks / "short.ipynb")
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), notebooks / "none.ipynb")
    assert cli.main(["figures", str(notebooks), str(tmp_path / "out")]) == 0
    assert "2 files" in capsys.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_what_holds_no_chart_is_named(tmp_path):
    with pytest.raises(InputError, match="nothing"):
        export_figures(tmp_path / "nothing.ipynb", tmp_path / "out")
    (tmp_path / "broken.ipynb").write_text("{not json")
    with pytest.raises(InputError, match=r"broken\.ipynb"):
        export_figures(tmp_path / "broken.ipynb", tmp_path / "out")
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), tmp_path / "bare.ipynb")
    with pytest.raises(InputError, match="no chart is stored"):
        export_figures(tmp_path / "bare.ipynb", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_makefile_has_the_target():
    recipe = re.search(r"^figures:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    assert recipe[1].split("/plasticity ")[1] == "figures notebooks _build/figures"
