"""Pages: a concept's from the one template, and any executed notebook as HTML in the book's look.

A concept's page is the template `notebooks/concept.py` with the concept's own prose
(`notebooks/prose/NAME.md`) in the cells that are tagged for it. The HTML of one run is a small book
around its notebook, with the project's configuration, style and method page: links from it to other
pages of the book lead nowhere.

Every chart that a notebook stores can be a file of its own, for slides and papers: drawn once more
by the same Vega-Lite as in the book, as SVG and PNG, as it opens, before its reader chose anything.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import jupytext
import vl_convert as vlc
import yaml
from jupytext.combine import combine_inputs_with_outputs
from nbformat import NotebookNode

from plasticity_utils import files
from plasticity_utils.charts.theme import MIME, VEGALITE_VERSION, chart_title, picture
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.files import ROOT
from plasticity_utils.results.cells import grid_results

# Pages that a reader of one run needs; they link to nothing beyond each other.
_METHOD = ("method", "method_training", "method_removals", "method_measures")
_COMPANIONS = tuple(f"book/{name}" for name in (*_METHOD, "glossary", "references"))
_NOT_ITS_OWN = shutil.ignore_patterns("__pycache__", "sentence")
_LOG_LINES = 25
_TIME_LIMIT = 300
_PNG_SCALE = 2.0
_WORDS_IN_NAME = 8
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_OWN_TRACEBACK = 'Traceback (most recent call last):\n  File "<string>"'
_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"


def project_root() -> Path:
    """The folder of the book's configuration; InputError where the package came without it."""
    if not (ROOT / "_config.yml").is_file():
        raise InputError(f"no _config.yml in {ROOT}: the package is not whole, install it again")
    return ROOT


def render_page(executed_notebook: Path, out_dir: Path, strict: bool = False) -> Path:
    """Render one executed notebook as an HTML page in the book's look; returns the page's file.

    `out_dir` is replaced once the new page is complete. InputError if the notebook is missing or
    `out_dir` holds something else than a page; RuntimeError, with the log's end, if the build fails
    (`strict`: at a warning too).
    """
    executed_notebook, out_dir = Path(executed_notebook).resolve(), Path(out_dir).resolve()
    if not executed_notebook.is_file():
        raise InputError(f"executed_notebook: there is no file {executed_notebook}")
    files.read_notebook(executed_notebook)
    _check_replaceable(out_dir)
    with tempfile.TemporaryDirectory(prefix="plasticity-page-") as folder:
        small = _small_book(executed_notebook, Path(folder))
        return _put_in_place(small, executed_notebook, out_dir, strict)


def render_grid(results: Path, out_dir: Path) -> Path:
    """Make a book of a grid: an index that compares its cells, and the page of each cell.

    `results` is the folder of a batch, finished or not. `out_dir` is replaced once the new book is
    complete; returns its index. InputError where no cell is done, and as `render_page`.
    """
    import papermill

    results, out_dir = Path(results).resolve(), Path(out_dir).resolve()
    finished = grid_results(results).query("status == 'done'")["cell"].unique()
    pages = {cell: results / "batch" / cell / "page.ipynb" for cell in finished}
    pages = {cell: page for cell, page in pages.items() if page.is_file()}
    if not pages:
        raise InputError(f"no cell of the grid in {str(results)!r} is done, so there is no page")
    _check_replaceable(out_dir)
    with tempfile.TemporaryDirectory(prefix="plasticity-book-") as folder:
        index = Path(folder) / "grid.ipynb"
        jupytext.write(jupytext.read(project_root() / "notebooks" / GRID_PAGE), index)
        papermill.execute_notebook(
            str(index), str(index), {"folder": str(results)}, cwd=str(results), progress_bar=False
        )
        small = _small_book(index, Path(folder) / "book", pages)
        return _put_in_place(small, index, out_dir, strict=False)


def _put_in_place(small: Path, notebook: Path, out_dir: Path, strict: bool) -> Path:
    """Build a small book in place of an older one; returns the page of the notebook."""
    html = _build(small, strict)
    page = html / "notebooks" / f"{notebook.stem}.html"
    if not page.is_file():
        raise RuntimeError(f"the build of {notebook.name} left no page")
    _replace(out_dir, html)
    return out_dir / page.relative_to(html)


def _check_replaceable(out_dir: Path) -> None:
    """Refuse to replace a folder that this module did not write."""
    if out_dir.exists() and not (out_dir / "searchindex.js").is_file() and any(out_dir.iterdir()):
        raise InputError(f"out_dir: {out_dir} is not empty and holds no page; name another folder")


def _small_book(notebook: Path, folder: Path, others: Mapping[str, Path] | None = None) -> Path:
    """Lay out a book around a notebook, with others by the names that its contents give them."""
    root, others = project_root(), others or {}
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    # The executed notebook is no file of the repository, so nothing may link to it there.
    buttons = ("use_repository_button", "use_edit_page_button", "use_issues_button")
    config["html"] |= dict.fromkeys(buttons, False)
    config.pop("launch_buttons", None)
    contents = {
        "format": "jb-book",
        "root": f"notebooks/{notebook.stem}",
        "chapters": [
            *({"file": f"notebooks/{name}", "title": name} for name in others),
            *({"file": page} for page in _COMPANIONS),
        ],
    }
    folder.mkdir(exist_ok=True)
    for name, content in (("_config.yml", config), ("_toc.yml", contents)):
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copytree(root / "book", folder / "book", ignore=_NOT_ITS_OWN)
    (folder / "notebooks").mkdir()
    for name, page in {notebook.stem: notebook, **others}.items():
        shutil.copyfile(page, folder / "notebooks" / f"{name}.ipynb")
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


TEMPLATE, GRID_PAGE = "concept.py", "templates/grid.py"
PROSE = "prose"
TOC = "_toc.yml"
_BEFORE = "  - file: notebooks/compare.ipynb\n"
PARAMETERS = ("concept", "model", "scale", "seed", "regime", "corpus", "tags")
LINE_WIDTH = 76
# How figures are read is said once, on the page of the template's own concept.
EXPLAINS, GUIDE = "explains", "locations"
_SEE_GUIDE = (
    f"The page of [{GUIDE}]({GUIDE}) says how each table and figure is read, and what they do\n"
    "not show."
)
# Cells of the template, by tag, that a concept's page has in its own words.
OPENING, PARTICULAR, HOME, _VALUES = "own-opening", "own-particular", "own-home", "parameters"
_NEW_PROSE = """\
# {title}

The same experiment as on the page of [locations](locations), on the same data
in the same order; only the concept differs.
"""


def write_pages(root: Path | None = None) -> list[Path]:
    """Make the page of every concept that has prose of its own, from the one template.

    What a page was executed with stays in it where its cells stay the same.
    """
    notebooks = (root or project_root()) / "notebooks"
    return [_write(notebooks, prose) for prose in sorted((notebooks / PROSE).glob("*.md"))]


def page_of(template: Path, prose: Path) -> NotebookNode:
    """Fill the template with a concept's own prose and the settings that the prose is about.

    The prose opens with the settings between two lines `---`. What stands before its first heading
    of the second level opens the page; that heading and all below it become a section. Every page
    but `GUIDE` names it once in place of the cells that explain.
    """
    values, opening, particular = _parts(prose)
    config = RunConfig.from_parameters(values)
    lines = [_assignment(name, getattr(config, name)) for name in (*PARAMETERS, "results_dir")]
    new = {
        OPENING: opening,
        PARTICULAR: particular,
        _VALUES: "".join(lines).strip(),
        HOME: _home(config),
    }
    notebook = jupytext.read(template)
    for tag, source in new.items():
        found = [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
        if len(found) != 1:
            raise InputError(
                f"{template} has {len(found)} cells with the tag {tag!r}; a template has one"
            )
        found[0].source = source
    if config.concept_info.name != GUIDE:
        explaining = (c for c in notebook.cells if EXPLAINS in c.metadata.get("tags", []))
        for cell, source in zip(explaining, chain([_SEE_GUIDE], repeat("")), strict=False):
            cell.source = source
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def add_page(config: RunConfig, root: Path | None = None) -> Path | None:
    """Make the page of a finished run's concept and list it; None where the concept has a page.

    Raises InputError if the template or the table of contents lacks what is needed; then nothing is
    written.
    """
    folder = root or project_root()
    name = "-".join(filter(None, [config.concept_info.name, config.task.name]))
    page = folder / "notebooks" / f"{name}.ipynb"
    contents = _listed(folder / TOC, f"notebooks/{page.name}")
    made = None if page.is_file() else page
    if made:
        with tempfile.TemporaryDirectory() as trial:
            prose = Path(trial) / f"{name}.md"
            values = {key: getattr(config, key) for key in PARAMETERS}
            title = config.concept_info.title[:1].upper() + config.concept_info.title[1:]
            front = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
            prose.write_text(
                f"---\n{front}---\n\n{_NEW_PROSE.format(title=title)}", encoding="utf-8"
            )
            page_of(folder / "notebooks" / TEMPLATE, prose)
            own = folder / "notebooks" / PROSE / prose.name
            own.parent.mkdir(exist_ok=True)
            shutil.copyfile(prose, own)
        _write(folder / "notebooks", own)
    (folder / TOC).write_text(contents, encoding="utf-8")
    return made


def _write(notebooks: Path, prose: Path) -> Path:
    """Write a page as text and as a notebook, with the outputs that it has."""
    notebook, page = page_of(notebooks / TEMPLATE, prose), notebooks / f"{prose.stem}.ipynb"
    jupytext.write(notebook, page.with_suffix(".py"), fmt="py:percent")
    if page.is_file():
        executed = files.read_notebook(page)
        notebook = combine_inputs_with_outputs(notebook, executed, fmt="py:percent")
    jupytext.write(notebook, page, fmt="ipynb")
    return page


def _parts(prose: Path) -> tuple[dict[str, object], str, str]:
    """Split a concept's prose into its settings, its opening and its section."""
    text = prose.read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2) if text.startswith("---\n") else ("", "", "")
    values = yaml.safe_load(front)
    if not isinstance(values, dict) or "concept" not in values or not body.strip():
        raise InputError(
            f"{prose}: a concept's prose begins with its settings (concept: …) between two lines "
            "'---', and then says something"
        )
    opening, heading, section = body.strip().partition("\n## ")
    return values, opening.strip(), (heading + section).strip()


def _listed(contents: Path, page: str) -> str:
    """Return the table of contents with the page in it, before the page that compares concepts."""
    text = contents.read_text(encoding="utf-8")
    if f"- file: {page}\n" in text:
        return text
    if _BEFORE not in text:
        raise InputError(f"{contents} has no line {_BEFORE.strip()!r}, before which the page goes")
    return text.replace(_BEFORE, f"  - file: {page}\n{_BEFORE}")


def _home(config: RunConfig) -> str:
    """Write down what a page's prose is about, for the banner of a page executed otherwise."""
    values = {"concept": config.concept_info.name, "model": config.model}
    values |= {name: getattr(config, name) for name in ("scale", "regime", "corpus", "tags")}
    lines = (f"    {json.dumps(name)}: {json.dumps(value)},\n" for name, value in values.items())
    return f"_home = {{\n{''.join(lines)}}}"


def _assignment(name: str, value: str | int) -> str:
    """Write a parameter in lines that fit the page."""
    line = f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
    if len(line) <= LINE_WIDTH or not isinstance(value, str):
        return line
    size = LINE_WIDTH // 2  # a sign may take two places when it is escaped
    pieces = [value[start : start + size] for start in range(0, len(value), size)]
    lines = [f"    {json.dumps(piece, ensure_ascii=False)}\n" for piece in pieces]
    return f"{name} = (\n{''.join(lines)})\n"


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
    for cell in files.read_notebook(notebook).cells:
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
