"""A page of the book for a concept: made from the template, and added to the table of contents.

The page makes the same calls as every other; only its title, its first lines and its parameters
differ. It is written without outputs: executing the notebook fills it (`make notebooks`). What is
there already is left as it is, so a page that somebody has rewritten is safe.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import jupytext

from plasticity_utils.config import RunConfig
from plasticity_utils.errors import InputError
from plasticity_utils.page import project_root

TEMPLATE = "concept.py"
TOC = "_toc.yml"
BEFORE = "  - file: notebooks/compare.ipynb\n"
PARAMETERS = ("concept", "model", "scale", "seed", "regime")
COLUMNS = 76
_ABOUT = """\
# The same experiment as on the page of [locations](locations), with the same
# data in the same order; only the concept differs.
"""


def add_page(config: RunConfig, root: Path | None = None) -> Path | None:
    """Make the page of a run's concept and list it, where there is none yet.

    Parameters
    ----------
    config : RunConfig
        Of a finished run; its values become the page's parameters.
    root : Path, optional
        The project's folder; by default this one.

    Returns
    -------
    Path or None
        The new notebook, with its text beside it; None if the concept has a page.

    Raises
    ------
    InputError
        If the template or the table of contents lacks a line that is needed; nothing is written.
    """
    folder = root or project_root()
    page = folder / "notebooks" / f"{config.about.name}.ipynb"
    contents = _listed(folder / TOC, f"notebooks/{page.name}")
    made = None if page.is_file() else page
    if made:
        text = page.with_suffix(".py")
        text.write_text(_filled(folder / "notebooks" / TEMPLATE, config), encoding="utf-8")
        jupytext.write(jupytext.read(text), page, fmt="ipynb")
    (folder / TOC).write_text(contents, encoding="utf-8")
    return made


def _listed(contents: Path, page: str) -> str:
    """Return the table of contents with the page in it, before the page that compares concepts."""
    text = contents.read_text(encoding="utf-8")
    if f"- file: {page}\n" in text:
        return text
    if BEFORE not in text:
        raise InputError(f"{contents} has no line {BEFORE.strip()!r}, before which the page goes")
    return text.replace(BEFORE, f"  - file: {page}\n{BEFORE}")


def _filled(template: Path, config: RunConfig) -> str:
    """Give the template's text a title, first lines and parameters of its own."""
    text, title = template.read_text(encoding="utf-8"), config.about.title
    text = _replaced(text, r"^# # .*\n", f"# # {title[:1].upper()}{title[1:]}\n", template)
    text = _replaced(text, r"^# This page is the template(?:.*\n)+?(?=\n)", _ABOUT, template)
    for name in PARAMETERS:
        text = _replaced(
            text, rf"^{name} = .*\n", _assignment(name, getattr(config, name)), template
        )
    return text


def _replaced(text: str, pattern: str, new: str, place: Path) -> str:
    found, n = re.subn(pattern, lambda _: new, text, count=1, flags=re.MULTILINE)
    if not n:
        raise InputError(f"{place} has nothing that matches {pattern!r}, so it is no template")
    return found


def _assignment(name: str, value: str | int) -> str:
    """Write a parameter in lines that fit the page."""
    line = f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
    if len(line) <= COLUMNS or not isinstance(value, str):
        return line
    size = COLUMNS // 2  # a sign may take two places when it is escaped
    pieces = [value[start : start + size] for start in range(0, len(value), size)]
    lines = [f"    {json.dumps(piece, ensure_ascii=False)}\n" for piece in pieces]
    return f"{name} = (\n{''.join(lines)})\n"
