"""The built book as one zip whose pages all open from a file, the page of a sentence among them.

A browser that reads a page from a file lets it fetch nothing and start no worker from beside it,
but it runs scripts. So each file that this page fetches stands in the zip as a script that hands it
over as a data: address, a third larger before it is compressed; the book that is served stays
without these.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import zipfile
from pathlib import Path

from plasticity_utils import files
from plasticity_utils.errors import InputError
from plasticity_utils.progress import bar

TOP = "plasticity"
_PAGE = "_static/sentence"
# On the page of a sentence, what its script fetches; a style and the script itself are never.
_SCRIPT = f"{_PAGE}/sentence.js"
_NEVER_FETCHED = {_SCRIPT, f"{_PAGE}/form.js", f"{_PAGE}/sentence.css"}
# Systems differ in what they call these two; a browser runs and compiles them by these names only.
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm"}
# Where the book is published, itself in one file stands beside its front page.
_BESIDE = {".pdf", ".zip"}


def write_zip(html: Path, out: Path) -> Path:
    """Pack a built book into one zip, in a folder of its own, to be read without a server.

    Left out are `out` and every PDF and zip beside the front page.

    Parameters
    ----------
    html : Path
        Folder of the built book.
    out : Path
        The file; an older one is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If no book is built there, or `out` is a folder or in none that exists.
    """
    if not (html / "index.html").is_file():
        raise InputError(f"{str(html)!r} holds no book; `make book` builds it")
    files.check_place(out)
    paths = {
        path.relative_to(html).as_posix(): path
        for path in html.rglob("*")
        if path.is_file()
        and path.resolve() != out.resolve()
        and not (path.parent == html and path.suffix in _BESIDE)
    }
    fetched = {
        name: Path(name).name
        for name in sorted(paths)
        if Path(name).parent.as_posix() == _PAGE and name not in _NEVER_FETCHED
    }
    with files.whole(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in bar(sorted(paths), "files"):
            entry = zipfile.ZipInfo.from_file(paths[name], f"{TOP}/{name}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            content = paths[name].read_bytes()
            if name in fetched:
                entry.filename += ".js"
                content = _as_script(paths[name].name, content)
            elif name == _SCRIPT:
                names = json.dumps(dict.fromkeys(fetched.values()))
                content = f"window.sentenceFiles = {names};\n".encode() + content
            archive.writestr(entry, content)
    return out


def _as_script(name: str, content: bytes) -> bytes:
    kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    address = f"data:{kind or 'application/octet-stream'};base64,"
    address += base64.b64encode(content).decode()
    return f"window.sentenceFiles[{json.dumps(name)}] = {json.dumps(address)};\n".encode()
