"""A real browser, the built book served to it, and an eye on all that goes wrong on a page."""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-gpu-compositing",
    "--disable-software-rasterizer",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    # No other host is found: what asks for one fails, and is told of.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
DESKTOP = {"width": 1280, "height": 900}
DRAWN_OR_SAID_WHY = """() => [...document.querySelectorAll(".vl-chart .vl-view")]
  .every(view => view.querySelector("svg") || view.textContent)"""
SOURCES = ["_config.yml", "_toc.yml", "CHANGELOG.md", "book", "notebooks"]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@dataclass
class Visit:
    """One page in a window of its own, and all that went wrong on it."""

    page: object
    troubles: list = field(default_factory=list)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="session")
def book_html(once) -> Path:
    """Folder of the book: ``PLASTICITY_BOOK_HTML`` if it is built already, else a new one."""
    if built := os.environ.get("PLASTICITY_BOOK_HTML"):
        assert (Path(built) / "index.html").is_file(), f"there is no book in {built}"
        return Path(built).resolve()
    return once("book", build_book) / "_build" / "html"


@pytest.fixture(scope="session")
def demonstration(book_html) -> Path:
    """Folder of the book, whose page of a sentence has its model."""
    if not (book_html / "_static" / "sentence" / "ort.js").is_file():
        pytest.skip("the book was built without npm: it holds no demonstration")
    return book_html


def build_book(source: Path) -> None:
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(source), "-W", "-n", "--keep-going"]
    build = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert build.returncode == 0, build.stdout[-3000:] + build.stderr[-3000:]


@pytest.fixture(scope="session")
def site(book_html) -> Iterator[str]:
    with served(book_html) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is missing: install Debian's chromium to run the browser tests")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is missing: pip install -r requirements.txt"
    )
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def open_page(browser, base, path, viewport=DESKTOP, scheme="light") -> Visit:
    """Open a page in a window of its own, and wait until it is drawn."""
    seen = open_window(browser, base, viewport, scheme)
    go_to(seen, f"{base}/{path}")
    return seen


def open_window(browser, base, viewport=DESKTOP, scheme="light") -> Visit:
    """Open a window without a page, in which all that asks for anything but `base` is noted."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    seen = Visit(context.new_page())

    def asked(request):
        if not request.url.startswith((base, "data:", "blob:")):
            seen.troubles.append(f"outside request: {request.url}")

    def answered(response):
        if response.status >= 400:
            seen.troubles.append(f"{response.status}: {response.url}")

    def said(message):
        if message.type == "error":
            seen.troubles.append(f"console: {message.text}")

    seen.page.on("request", asked)
    seen.page.on("response", answered)
    seen.page.on("console", said)
    seen.page.on("pageerror", lambda error: seen.troubles.append(f"script: {error}"))
    seen.page.on("requestfailed", lambda r: seen.troubles.append(f"failed: {r.url}"))
    seen.page.on("dialog", lambda d: (seen.troubles.append(f"dialog: {d.message}"), d.accept()))
    return seen


def go_to(seen, address) -> None:
    seen.page.goto(address, wait_until="load")
    seen.page.wait_for_function(DRAWN_OR_SAID_WHY, timeout=20_000)
    seen.page.wait_for_load_state("networkidle")


@pytest.fixture
def visit(browser, request):
    """Return a function that opens a page; of the book, unless `base` is another address."""
    contexts = []

    def visited(path, viewport=DESKTOP, scheme="light", base=None):
        base = request.getfixturevalue("site") if base is None else base
        seen = open_page(browser, base, path, viewport, scheme)
        contexts.append(seen.page.context)
        return seen

    yield visited
    for context in contexts:
        context.close()
