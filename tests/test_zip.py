"""The book in one file: the command of `make zip`, and what the zip holds."""

import base64
import json
import re
import shlex
import zipfile
from pathlib import Path

import pytest

from plasticity_utils.book.archive import TOP, write_zip
from plasticity_utils.cli import main
from plasticity_utils.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
# Bytes of every value, as a model has them.
FETCHED = {
    "model.onnx": (bytes(range(256)), "application/octet-stream"),
    "ort.wasm": (b"\0asm", "application/wasm"),
    "worker.js": ("// −1 for [CLS]".encode(), "text/javascript"),
}
OWN = {"sentence.js": b"begin();", "form.js": b"form", "sentence.css": b"p {}"}


def recipe():
    """What `make zip` runs on the built book: the arguments of our command."""
    found = re.search(r"^zip: book .*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command, *arguments = shlex.split(found[1].replace("$(BIN)", "bin"))
    assert command == "bin/plasticity"
    return arguments


@pytest.fixture
def html(tmp_path):
    """A book of two pages and the files of the page of a sentence, where `make book` puts it."""
    folder = tmp_path / "_build" / "html"
    for name in ("index.html", "book/sentence.html"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    page = folder / "_static" / "sentence"
    page.mkdir(parents=True)
    for name, content in {**OWN, **{name: bytes_ for name, (bytes_, _) in FETCHED.items()}}.items():
        (page / name).write_bytes(content)
    return folder


def test_make_zip_packs_the_book_into_one_folder(html, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(recipe()) == 0
    with zipfile.ZipFile("_build/plasticity.zip") as archive:
        assert archive.testzip() is None
        names = {f"_static/sentence/{name}.js" for name in FETCHED}
        names |= {f"_static/sentence/{name}" for name in OWN}
        names |= {"index.html", "book/sentence.html"}
        assert set(archive.namelist()) == {f"{TOP}/{name}" for name in names}
        for name in ("index.html", "book/sentence.html"):
            assert archive.read(f"{TOP}/{name}").decode() == name
        # All may read what is unpacked, as they may what was packed.
        modes = {entry.external_attr >> 16 for entry in archive.infolist()}
        assert modes == {(html / "index.html").stat().st_mode}


def test_what_the_page_fetches_is_handed_over_by_scripts(html, tmp_path):
    with zipfile.ZipFile(write_zip(html, tmp_path / "book.zip")) as archive:
        own = archive.read(f"{TOP}/_static/sentence/sentence.js")
        assert own.endswith(b"begin();")
        named = re.match(rb"window.sentenceFiles = (.*);\n", own)
        assert set(json.loads(named[1])) == set(FETCHED)
        for name, (content, kind) in FETCHED.items():
            script = archive.read(f"{TOP}/_static/sentence/{name}.js").decode()
            found = re.fullmatch(r"window.sentenceFiles\[(.*?)\] = (.*);\n", script)
            assert json.loads(found[1]) == name
            start, data = json.loads(found[2]).split(",")
            assert start == f"data:{kind};base64"
            assert base64.b64decode(data) == content


def test_a_book_without_the_demonstration_is_packed_as_it_is(html, tmp_path):
    for path in (html / "_static" / "sentence").iterdir():
        path.unlink()
    with zipfile.ZipFile(write_zip(html, tmp_path / "book.zip")) as archive:
        assert set(archive.namelist()) == {f"{TOP}/index.html", f"{TOP}/book/sentence.html"}


def test_a_zip_in_the_books_own_folder_holds_neither_itself_nor_what_stands_beside(html, tmp_path):
    (html / "_static" / "drawing.pdf").touch()
    with zipfile.ZipFile(write_zip(html, tmp_path / "book.zip")) as archive:
        expected = archive.namelist()
    assert f"{TOP}/_static/drawing.pdf" in expected
    (html / "plasticity.pdf").touch()
    for name in ("plasticity.zip", "plasticity.zip", "_static/packed", "_static/packed"):
        with zipfile.ZipFile(write_zip(html, html / name)) as archive:
            assert archive.namelist() == expected


def test_a_folder_without_a_book_is_named_and_nothing_is_written(html, tmp_path):
    with pytest.raises(InputError, match="make book"):
        write_zip(tmp_path, tmp_path / "book.zip")
    with pytest.raises(InputError, match="is a folder"):
        write_zip(html, tmp_path)
    with pytest.raises(InputError, match=r"/nowhere/book\.zip' is in no folder"):
        write_zip(html, tmp_path / "nowhere" / "book.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["_build"]
