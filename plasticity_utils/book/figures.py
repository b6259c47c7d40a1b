"""Every figure of an executed notebook as a file of its own, for slides and papers.

The charts that a notebook stores are drawn once more, by the same Vega-Lite that draws them in the
book: as SVG, which can be edited and scaled without loss, and as PNG. What the reader of a page
has chosen in a list or with a slider is not known here: a file shows the chart as it opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
import vl_convert as vlc

from plasticity_utils import files
from plasticity_utils.charts.theme import MIME, VEGALITE_VERSION, chart_title, picture
from plasticity_utils.errors import InputError

_PNG_SCALE = 2.0
_WORDS_IN_NAME = 8


def export_figures(notebooks: Path, out: Path) -> list[Path]:
    """Write every chart of an executed notebook, or of a folder of them, as SVG and PNG.

    The files are `<notebook>-<number>-<title>.svg` and `.png`, in the order of the charts. In a
    folder, a notebook without charts is passed over; InputError if there is none that has any.
    """
    notebooks, out = Path(notebooks), Path(out)
    found = sorted(notebooks.glob("*.ipynb")) if notebooks.is_dir() else [notebooks]
    written = [path for notebook in found for path in _export(notebook, out)]
    if not written:
        raise InputError(f"no chart is stored in {str(notebooks)!r}; execute the notebook first")
    return written


def stored_charts(notebook: Path) -> Iterator[dict[str, Any]]:
    """Give the Vega-Lite specifications that a notebook stores, in its order."""
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise InputError(f"{str(notebook)!r} is no notebook: {error}") from error
    for cell in cells:
        for output in cell.get("outputs", []):
            if MIME in output.get("data", {}):
                yield output["data"][MIME]


def write_bundle(path: Path) -> Path:
    """Write the one script with which the book draws its charts; its folder must exist.

    Vega, Vega-Lite and vega-embed are taken from vl-convert, so that the book draws with the
    versions that drew the pictures. A script of the same versions that is already there is kept.
    """
    mark = f"/* Vega-Lite {VEGALITE_VERSION}, vl-convert {version('vl-convert-python')} */\n"
    if path.exists():
        with path.open(encoding="utf-8") as existing:
            if existing.readline() == mark:
                return path
    bundle = vlc.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGALITE_VERSION)
    # The bundle's names are bare constants: without a function around them they leak into the page.
    script = f"{mark}(function(){{{bundle}\n}})();\n"
    # Two builds may run at once: the last one wins.
    with files.whole(path) as file:
        file.write_text(script, encoding="utf-8")
    return path


def _export(notebook: Path, out: Path) -> list[Path]:
    written = []
    for number, spec in enumerate(stored_charts(notebook), start=1):
        out.mkdir(parents=True, exist_ok=True)
        stem = f"{notebook.stem}-{number:02}-{_slug(chart_title(spec))}"
        svg, png = out / f"{stem}.svg", out / f"{stem}.png"
        drawn = vlc.vegalite_to_svg(spec, vl_version=VEGALITE_VERSION)
        svg.write_text(drawn, encoding="utf-8")
        png.write_bytes(picture(spec, _PNG_SCALE))
        written += [svg, png]
    return written


def _slug(title: str) -> str:
    words = re.findall(r"[a-z0-9]+", title.lower())
    return "-".join(words[:_WORDS_IN_NAME]) or "chart"
