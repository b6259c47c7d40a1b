"""The built book in a real browser: nothing asked of other hosts, every chart drawn, no error.

``PLASTICITY_BOOK_HTML`` names the folder of a book that is built already.
"""

import functools
import os
import re
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
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SOURCES = ["_config.yml", "_toc.yml", "book", "notebooks"]

pytestmark = pytest.mark.browser


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@dataclass
class Visit:
    """One page in a window of its own, and all that went wrong on it."""

    page: object
    troubles: list = field(default_factory=list)


@pytest.fixture(scope="session")
def book_html(tmp_path_factory) -> Path:
    if built := os.environ.get("PLASTICITY_BOOK_HTML"):
        assert (Path(built) / "index.html").is_file(), f"there is no book in {built}"
        return Path(built).resolve()
    source = tmp_path_factory.mktemp("book")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(source), "-W", "-n", "--keep-going"]
    build = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert build.returncode == 0, build.stdout[-3000:] + build.stderr[-3000:]
    return source / "_build" / "html"


@pytest.fixture(scope="session")
def site(book_html) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(book_html))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


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


@pytest.fixture
def visit(browser, site):
    contexts = []

    def open_page(path, viewport=DESKTOP, scheme="light", base=None):
        base = site if base is None else base
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        seen = Visit(context.new_page())

        def only_here(route):
            url = route.request.url
            if url.startswith((base, "data:", "blob:")):
                route.continue_()
            else:
                seen.troubles.append(f"outside request: {url}")
                route.abort()

        def answered(response):
            if response.status >= 400:
                seen.troubles.append(f"{response.status}: {response.url}")

        def said(message):
            if message.type == "error":
                seen.troubles.append(f"console: {message.text}")

        context.route("**/*", only_here)
        seen.page.on("response", answered)
        seen.page.on("console", said)
        seen.page.on("pageerror", lambda error: seen.troubles.append(f"script: {error}"))
        seen.page.on("requestfailed", lambda r: seen.troubles.append(f"failed: {r.url}"))
        seen.page.goto(f"{base}/{path}", wait_until="load")
        for chart in seen.page.locator(".vl-chart .vl-view").all():
            chart.locator("svg, :text('could not be drawn')").first.wait_for(timeout=20_000)
        seen.page.wait_for_load_state("networkidle")
        return seen

    yield open_page
    for context in contexts:
        context.close()


def pages_of(book_html: Path) -> list[str]:
    found = [p for part in ("book", "notebooks") for p in (book_html / part).glob("*.html")]
    return sorted(str(p.relative_to(book_html)) for p in found)


def chart_pages(book_html: Path) -> list[str]:
    return [p for p in pages_of(book_html) if 'class="vl-chart"' in (book_html / p).read_text()]


def test_every_page_is_quiet_and_asks_no_other_host(book_html, visit):
    pages = [*pages_of(book_html), "index.html", "search.html", "genindex.html"]
    assert len(pages) > 5
    for path in pages:
        assert visit(path).troubles == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_drawn(book_html, visit, scheme):
    assert chart_pages(book_html), "no page of the book holds a chart"
    for path in chart_pages(book_html):
        seen = visit(path, scheme=scheme)
        charts = seen.page.locator(".vl-chart")
        for chart in charts.all():
            marks = chart.locator("svg .mark-group.role-frame [class*='role-mark'] path, svg image")
            assert marks.count() > 0, f"{path}: {chart.inner_text()[:200]}"
        assert seen.troubles == []
        assert seen.page.evaluate("document.documentElement.dataset.theme") == scheme


def test_chart_texts_can_be_read_in_the_dark(book_html, visit):
    seen = visit(chart_pages(book_html)[0], scheme="dark")
    colour = seen.page.locator(".vl-chart svg .role-axis-label text").first.evaluate(
        "label => getComputedStyle(label).fill"
    )
    assert min(int(part) for part in re.findall(r"\d+", colour)[:3]) > 150, colour
    ground = seen.page.locator(".vl-chart svg .background").first.get_attribute("fill")
    assert ground in (None, "transparent"), ground


def test_no_page_is_wider_than_a_phone(book_html, visit):
    for path in pages_of(book_html):
        page = visit(path, viewport=PHONE).page
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], f"{path} is {width} px wide"


def test_formulas_are_set(visit):
    page = visit("book/method.html").page
    page.locator("mjx-container svg").first.wait_for(timeout=20_000)
    assert page.locator("mjx-merror").count() == 0


def test_search_finds_surgical(visit):
    seen = visit("search.html?q=surgical")
    seen.page.locator("#search-results li a").first.wait_for(timeout=20_000)
    assert "method" in " ".join(seen.page.locator("#search-results li a").all_inner_texts()).lower()
    assert seen.troubles == []


def test_the_page_works_without_a_server(book_html, visit):
    for path in chart_pages(book_html)[:1]:
        seen = visit(path, base=book_html.as_uri())
        assert seen.page.locator(".vl-chart svg").count() > 0
        assert seen.troubles == []
