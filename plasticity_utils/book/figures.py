"""Every figure of an executed notebook as a file of its own, for slides and papers.

The charts that a notebook stores are drawn once more, by the same Vega-Lite that draws them in the
book: as SVG, which can be edited and scaled without loss, and as PNG. What the reader of a page
has chosen in a list or with a slider is not known here: a file shows the chart as it opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import vl_convert as vlc

from plasticity_utils.charts.theme import MIME, VEGALITE_VERSION, chart_title, picture
from plasticity_utils.errors import InputError

PNG_SCALE = 2.0
_WORDS_IN_NAME = 8


def export_figures(notebooks: Path, out: Path) -> list[Path]:
    """Write every chart of executed notebooks as SVG and PNG.

    Parameters
    ----------
    notebooks : Path
        An executed notebook, or a folder of them. In a folder, a notebook without charts is passed
        over.
    out : Path
        Folder of the figures; files of the same names are replaced.

    Returns
    -------
    list of Path
        ``<notebook>-<number>-<title>.svg`` and ``.png``, in the order of the charts.

    Raises
    ------
    InputError
        If there is no such notebook, a file is none, or none of them holds a chart.
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


def _export(notebook: Path, out: Path) -> list[Path]:
    written = []
    for number, spec in enumerate(stored_charts(notebook), start=1):
        out.mkdir(parents=True, exist_ok=True)
        stem = f"{notebook.stem}-{number:02}-{_slug(chart_title(spec))}"
        svg, png = out / f"{stem}.svg", out / f"{stem}.png"
        drawn = vlc.vegalite_to_svg(spec, vl_version=VEGALITE_VERSION)
        svg.write_text(drawn, encoding="utf-8")
        png.write_bytes(picture(spec, PNG_SCALE))
        written += [svg, png]
    return written


def _slug(title: str) -> str:
    words = re.findall(r"[a-z0-9]+", title.lower())
    return "-".join(words[:_WORDS_IN_NAME]) or "chart"
