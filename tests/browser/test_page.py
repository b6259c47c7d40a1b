"""The page of one run, rendered for real from a small notebook."""

import base64
import json

import altair as alt
import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from plasticity_utils.book.pages import render_page
from plasticity_utils.charts import theme
from plasticity_utils.errors import InputError

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def executed_notebook(tmp_path):
    frame = pd.DataFrame({"entity": ["LOC", "PER"], "f1": [0.25, 0.75]})
    chart = (
        alt.Chart(frame, title="A trial </script> chart")
        .mark_bar()
        .encode(x="entity", y="f1", color=alt.Color("entity", scale=theme.entity_scale()))
    )
    theme.enable()
    stored = chart._repr_mimebundle_()
    alt.renderers.enable("default")
    stored["image/png"] = base64.b64encode(stored["image/png"]).decode()
    bar = {WIDGET: {"model_id": "0", "version_major": 2, "version_minor": 0}}
    outputs = [
        new_output("stream", name="stderr", text="a warning of a library"),
        new_output("display_data", data={**bar, "text/plain": "100%|####| 3/3 [00:00<?, ?it/s]"}),
        new_output("display_data", data=stored),
    ]
    cells = [new_markdown_cell("# A trial"), new_code_cell("chart", outputs=outputs)]
    path = tmp_path / "my run.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.mark.slow
def test_a_run_has_a_page_with_its_chart_and_without_bars(executed_notebook, tmp_path):
    out = tmp_path / "out" / "page"
    out.mkdir(parents=True)
    for old in ("searchindex.js", "old.txt"):
        (out / old).touch()
    page = render_page(executed_notebook, out, strict=True)
    html = page.read_text(encoding="utf-8")
    assert page.is_relative_to(out)
    assert 'class="vl-chart"' in html
    assert (out / "_static" / "vega-bundle.js").stat().st_size > 100_000
    assert "Plasticity</title>" in html
    for unwanted in ("it/s", "a warning of a library", "cdn.", "unpkg"):
        assert unwanted not in html, unwanted
    # It replaces the page that was there, and leaves nothing beside it.
    assert (out / "searchindex.js").stat().st_size > 0
    assert not (out / "old.txt").exists()
    assert [path.name for path in out.parent.iterdir()] == ["page"]


@pytest.mark.slow
def test_a_failed_build_says_why_and_keeps_the_old_page(tmp_path):
    broken = tmp_path / "broken.ipynb"
    out = tmp_path / "page"
    out.mkdir()
    (out / "searchindex.js").touch()
    broken.write_text("{not json")
    with pytest.raises(InputError, match="is no notebook"):
        render_page(broken, out)
    cell = nbformat.v4.new_markdown_cell("# A page\n\n[to nowhere](nowhere.md)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), broken)
    with pytest.raises(RuntimeError, match=r"nowhere\.md"):
        render_page(broken, out, strict=True)
    assert (out / "searchindex.js").exists()


@pytest.mark.slow
def test_a_folder_of_other_things_is_not_replaced(executed_notebook, tmp_path):
    with pytest.raises(InputError, match="holds no page"):
        render_page(executed_notebook, tmp_path)
    assert executed_notebook.exists()


def test_a_missing_notebook_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.ipynb"):
        render_page(tmp_path / "nothing.ipynb", tmp_path / "page")


def test_a_chart_is_stored_in_three_forms():
    chart = alt.Chart(pd.DataFrame({"x": [1], "y": [2]}), title="Dose").mark_point()
    stored = theme._stored_forms(chart.encode(x="x", y="y").to_dict())
    assert set(stored) == {theme.MIME, "image/png", "text/plain"}
    assert stored["image/png"].startswith(b"\x89PNG")
    assert stored["text/plain"] == "[chart: Dose]"
    json.dumps(stored[theme.MIME])


def test_no_colour_means_two_things():
    colours = [*theme.CONDITION_COLOURS.values(), *theme.ENTITY_COLOURS.values()]
    assert len(set(colours)) == len(colours)
    assert list(theme.CONDITION_COLOURS) == list(theme.CONDITION_DASHES)
    assert list(theme.ENTITY_COLOURS) == list(theme.ENTITY_SHAPES)
