"""The built book as one PDF: the browser that draws its charts prints each page, in their order."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

from plasticity_utils import files
from plasticity_utils.errors import InputError
from plasticity_utils.optional import needed
from plasticity_utils.progress import bar

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Time that the page's own clock may run before it is printed; charts are drawn in it.
_DRAWING_MS = 15_000
# Looked up on a screen, and not read on paper.
_NOT_PRINTED = (
    "book/columns",
    "book/errors",
    "book/api",
    "notebooks/status",
    "notebooks/cost",
)
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]


def write_pdf(html: Path, contents: Mapping[str, Any], out: Path) -> Path:
    """Print a built book into one file, with an entry a page and links that lead inside it.

    Left out is what one looks up: the pages of `_NOT_PRINTED`, and long tables that are folded.

    Parameters
    ----------
    html : Path
        Folder of the built book.
    contents : mapping
        What `_toc.yml` holds: the order of the pages.
    out : Path
        The file; an older one is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If a page is not built, there is no browser to print it, or `out` is a folder or in none
        that exists.
    """
    files.check_place(out)
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise InputError(
            f"a PDF is printed by a browser, one of {', '.join(_BROWSERS)}; none is here"
        )
    pdf = needed("pypdf", "a PDF")
    pages = [html.resolve() / f"{name}.html" for name in _order(contents)]
    for page in pages:
        if not page.is_file():
            raise InputError(f"{str(page)!r} is not there; `make book` builds the book")
    whole, starts = pdf.PdfWriter(), {}
    with tempfile.TemporaryDirectory() as folder:
        for page in bar(pages, "pages"):
            printed = Path(folder) / "page.pdf"
            command = [browser, *_FLAGS, f"--virtual-time-budget={_DRAWING_MS}"]
            command += [f"--print-to-pdf={printed}", page.as_uri()]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            starts[page.as_uri()] = len(whole.pages)
            reader = pdf.PdfReader(printed)
            title = str(reader.metadata.title).partition(" — ")[0]
            whole.append(reader, outline_item=title, import_outline=False)
        _lead_inside(whole, starts, pdf.generic)
        whole.add_metadata({"/Title": str(whole.outline[0]["/Title"])})
    with files.whole(out) as part:
        whole.write(part)
    return out


def _order(contents: Mapping[str, Any]) -> Iterator[Path]:
    """The pages for paper: a chapter and its sections, or neither."""
    yield Path(contents["root"]).with_suffix("")
    for chapter in (chapter for part in contents["parts"] for chapter in part["chapters"]):
        first, *sections = (
            Path(page["file"]).with_suffix("") for page in (chapter, *chapter.get("sections", []))
        )
        if first.as_posix() not in _NOT_PRINTED:
            yield from (first, *sections)


def _lead_inside(whole: Any, starts: Mapping[str, int], generic: Any) -> None:
    """Turn links to the book's own files into links to their pages here; drop what is not here."""
    for page in whole.pages:
        kept = []
        for annotation in page.get("/Annots", []):
            link = annotation.get_object()
            address = str(link.get("/A", {}).get("/URI", ""))
            if address.startswith("file:"):
                start = starts.get(urldefrag(address).url)
                if start is None:
                    continue
                del link["/A"]
                link[generic.NameObject("/Dest")] = generic.ArrayObject(
                    [whole.pages[start].indirect_reference, generic.NameObject("/Fit")]
                )
            kept.append(annotation)
        if "/Annots" in page:
            page[generic.NameObject("/Annots")] = generic.ArrayObject(kept)
