"""The page of one run: an executed notebook as HTML, in the look of the book.

Papermill leaves a notebook full of outputs. A reader wants a page: text, charts that answer to the
pointer, no progress bars, no need of a kernel or a network. This module builds a small book around
the one notebook, with the project's own configuration, style and method page, so that a run looks
exactly like the published pages. Caveat: the small book leaves out the API, the introduction and
the other notebooks, and so a link from the notebook to one of those leads nowhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jupytext
import yaml

from plasticity_utils import files
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.files import ROOT

# Pages that a reader of one run needs; they link to nothing beyond each other.
_COMPANIONS = ("book/method", "book/references")
_LOG_LINES = 25
_TIME_LIMIT = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_OWN_TRACEBACK = 'Traceback (most recent call last):\n  File "<string>"'
_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"


def project_root() -> Path:
    """Find the project's folder, in which the book's configuration lies.

    Returns
    -------
    Path
        The folder that holds ``_config.yml`` and this package.

    Raises
    ------
    InputError
        If the book's configuration, which travels with the package, is not there.
    """
    root = ROOT
    if not (root / "_config.yml").is_file():
        raise InputError(f"no _config.yml in {root}: the package is not whole, install it again")
    return root


def render_page(
    executed_notebook: Path, out_dir: Path, title: str | None = None, strict: bool = False
) -> Path:
    """Render one executed notebook as an HTML page in the book's look.

    Parameters
    ----------
    executed_notebook : Path
        A notebook with its outputs, usually written by papermill.
    out_dir : Path
        The folder of the page and all that it needs. What an earlier call left there is replaced,
        once the new page is complete.
    title : str, optional
        Name of the small book, shown beside the page and in the browser's tab. By default the
        book's own.
    strict : bool
        Whether a warning of the build is an error.

    Returns
    -------
    Path
        The page's file, which a browser can open as it is.

    Raises
    ------
    InputError
        If the notebook is missing, or ``out_dir`` holds something else than a page.
    RuntimeError
        If the build fails; the message ends with the last lines of its log.
    """
    executed_notebook, out_dir = Path(executed_notebook).resolve(), Path(out_dir).resolve()
    if not executed_notebook.is_file():
        raise InputError(f"executed_notebook: there is no file {executed_notebook}")
    _check_replaceable(out_dir)
    with tempfile.TemporaryDirectory(prefix="plasticity-page-") as folder:
        html = _build(_small_book(executed_notebook, Path(folder), title), strict)
        page = html / "notebooks" / f"{executed_notebook.stem}.html"
        if not page.is_file():
            raise RuntimeError(f"the build of {executed_notebook.name} left no page")
        _replace(out_dir, html)
    return out_dir / page.relative_to(html)


def _check_replaceable(out_dir: Path) -> None:
    """Refuse to replace a folder that this module did not write."""
    if out_dir.exists() and not (out_dir / "searchindex.js").is_file() and any(out_dir.iterdir()):
        raise InputError(f"out_dir: {out_dir} is not empty and holds no page; name another folder")


def _small_book(notebook: Path, folder: Path, title: str | None) -> Path:
    root = project_root()
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["title"] = title or config["title"]
    # The executed notebook is no file of the repository, so nothing may link to it there.
    config["html"] |= {"use_repository_button": False, "use_edit_page_button": False}
    config.pop("launch_buttons", None)
    contents = {
        "format": "jb-book",
        "root": f"notebooks/{notebook.stem}",
        "chapters": [{"file": page} for page in _COMPANIONS],
    }
    for name, content in (("_config.yml", config), ("_toc.yml", contents)):
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copytree(root / "book", folder / "book", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "notebooks").mkdir()
    shutil.copyfile(notebook, folder / "notebooks" / f"{notebook.stem}.ipynb")
    return folder


def _build(folder: Path, strict: bool) -> Path:
    command = [sys.executable, "-c", _JUPYTER_BOOK, "build", str(folder)]
    command += ["-W", "-n", "--keep-going"] if strict else []
    # The book's extension imports this package, which may not be installed beside the interpreter.
    search_path = os.pathsep.join(filter(None, [str(project_root()), os.environ.get("PYTHONPATH")]))
    try:
        build = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIME_LIMIT,
            env={**os.environ, "PYTHONPATH": search_path, "PYTHONUNBUFFERED": "1"},
        )
    except subprocess.TimeoutExpired as stopped:
        raise RuntimeError(f"rendering the page took over {_TIME_LIMIT} s") from stopped
    if build.returncode != 0:
        log = _telling_lines(build.stdout)
        raise RuntimeError(f"the page could not be rendered; the build's log ends with:\n{log}")
    return folder / "_build" / "html"


def _telling_lines(log: str) -> str:
    """Take from a log its warnings, wherever they stand, and its end."""
    # jupyter-book ends with a traceback of its own commands, below what Sphinx has to say.
    lines = _COLOURS.sub("", log).split(_OWN_TRACEBACK)[0].strip().splitlines()
    head, end = lines[:-_LOG_LINES], lines[-_LOG_LINES:]
    return "\n".join([line for line in head if "WARNING" in line or "ERROR" in line] + end)


def _replace(out_dir: Path, html: Path) -> None:
    """Put the finished pages in place: a reader finds the old ones or the new ones, never a mix."""
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(out_dir) as new:
        shutil.move(html, new)


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
