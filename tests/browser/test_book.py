"""The built book in a real browser: nothing asked of other hosts, every chart drawn, no error.

``PLASTICITY_BOOK_HTML`` names the folder of a book that is built already.
"""

import csv
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlparse

import pypdf
import pytest
import yaml

from plasticity_utils.book.pdf import write_pdf
from plasticity_utils.errors import InputError

from .conftest import go_to, open_window

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.browser


def pages_of(book_html: Path) -> list[str]:
    found = [p for part in ("book", "notebooks") for p in (book_html / part).glob("*.html")]
    return sorted(str(p.relative_to(book_html)) for p in found)


def chart_pages(book_html: Path) -> list[str]:
    return [p for p in pages_of(book_html) if 'class="vl-chart"' in (book_html / p).read_text()]


# Each page is opened once a width, in the first of these schemes, and then turned to the other; all
# that the tests ask of it is noted then. One window goes through all pages, as a reader's does: the
# browser then reads the book's scripts once.
SCHEMES = {1280: ("light", "dark"), 390: ("dark", "light")}
IS_IN = "scheme => document.documentElement.dataset.theme === scheme"
LOOK = """() => {
  const overlaps = chart => {
    const boxes = [...chart.querySelectorAll("svg text")]
      .filter(text => text.textContent.trim() && getComputedStyle(text).opacity !== "0")
      .map(text => [text.textContent, text.getBoundingClientRect()]);
    const cut = 2;  // a text's box holds room above and below its letters
    return boxes.flatMap(([a, p], i) => boxes.slice(i + 1)
      .filter(([b, q]) => p.left + cut < q.right && q.left + cut < p.right
                       && p.top + cut < q.bottom && q.top + cut < p.bottom)
      .map(([b]) => `${a} | ${b}`));
  };
  const marks = ".mark-group.role-frame [class*='role-mark'] path";
  return {
    theme: document.documentElement.dataset.theme,
    figures: document.querySelectorAll("article :is(.vl-chart, img)").length,
    // Of each table the rows that one sees, but for the index of names.
    rows: [...document.querySelectorAll("article table:not(.indextable)")].map(table =>
      [...table.querySelectorAll("tbody tr")].filter(row => row.checkVisibility()).length),
    width: document.documentElement.scrollWidth,
    charts: [...document.querySelectorAll(".vl-chart")].map(chart => ({
      text: chart.innerText.slice(0, 200),
      marks: chart.querySelectorAll(`svg ${marks}, svg image`).length,
      overlaps: overlaps(chart),
      shown: [...chart.querySelectorAll("svg.marks")].map(
        svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width),
      alternative: chart.querySelector("[role=graphics-document]")?.ariaLabel ?? "",
    })),
  };
}"""


@pytest.fixture(scope="module")
def looks(browser, site, book_html):
    """Return a function: looks(width, scheme) → what stands on each page, by its path."""

    @cache
    def looked(width):
        found = {scheme: {} for scheme in SCHEMES[width]}
        seen = open_window(browser, site, {"width": width, "height": 900})
        for path in [*pages_of(book_html), "index.html", "search.html", "genindex.html"]:
            seen.troubles.clear()
            seen.page.emulate_media(color_scheme=SCHEMES[width][0])
            go_to(seen, f"{site}/{path}")
            for scheme, pages in found.items():
                seen.page.emulate_media(color_scheme=scheme)
                seen.page.wait_for_function(IS_IN, arg=scheme, timeout=20_000)
                pages[path] = {**seen.page.evaluate(LOOK), "troubles": [*seen.troubles]}
        seen.page.context.close()
        return found

    return lambda width=1280, scheme="light": looked(width)[scheme]


@pytest.mark.parametrize("width", SCHEMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_quiet_and_every_chart_is_drawn(looks, width, scheme):
    pages = looks(width, scheme)
    assert len(pages) > 5
    assert any(page["charts"] for page in pages.values()), "no page of the book holds a chart"
    for path, page in pages.items():
        assert page["troubles"] == [], path
        assert page["theme"] == scheme
        for chart in page["charts"]:
            assert chart["marks"] > 0, f"{path}: {chart['text']}"


def test_chart_texts_can_be_read_in_the_dark(book_html, visit):
    seen = visit(chart_pages(book_html)[0], scheme="dark")
    colour = seen.page.locator(".vl-chart svg .role-axis-label text").first.evaluate(
        "label => getComputedStyle(label).fill"
    )
    assert min(int(part) for part in re.findall(r"\d+", colour)[:3]) > 150, colour
    ground = seen.page.locator(".vl-chart svg .background").first.get_attribute("fill")
    assert ground in (None, "transparent"), ground


def test_no_page_is_wider_than_a_phone(looks):
    for path, page in looks(390).items():
        assert page["width"] <= 390, f"{path} is {page['width']} px wide"


@pytest.mark.parametrize("width", SCHEMES)
def test_no_page_has_a_long_table_or_many_figures(looks, width):
    pages = looks(width, SCHEMES[width][0])
    for path, page in pages.items():
        assert max(page["rows"], default=0) <= 12, path
        assert page["figures"] <= 6, path
    assert max(max(page["rows"], default=0) for page in pages.values()) == 12


@pytest.mark.parametrize("width", [390, 1280])
def test_no_text_of_a_chart_hides_another(looks, width):
    for path, page in looks(width).items():
        for chart in page["charts"]:
            assert chart["overlaps"] == [], path


def test_a_chart_is_laid_out_anew_for_a_phone_and_not_shrunk(looks):
    for path, page in looks(390).items():
        for chart in page["charts"]:
            assert chart["shown"], path
            assert min(chart["shown"]) > 0.9, path


def test_every_chart_has_a_text_alternative(looks):
    for path, page in looks().items():
        for chart in page["charts"]:
            assert len(chart["alternative"]) > 60, path


def test_a_picture_stands_in_for_a_chart_without_scripts(book_html):
    for path in chart_pages(book_html):
        html = (book_html / path).read_text(encoding="utf-8")
        assert html.count("<noscript>") >= html.count('class="vl-chart"')


def test_no_page_has_an_id_twice(book_html):
    for path in pages_of(book_html):
        html = (book_html / path).read_text(encoding="utf-8")
        counts = Counter(re.findall(r"<[^<>]*\sid=\"([^\"]+)\"", html))
        assert [name for name, count in counts.items() if count > 1] == [], path


def taken(page, click):
    with page.expect_download() as waited:
        click()
    path = waited.value.path()
    return waited.value.suggested_filename, list(csv.reader(open(path, encoding="utf-8-sig")))


def test_a_table_is_sorted_folded_and_taken_away(visit):
    page = visit("notebooks/compare.html").page
    tables = page.locator(".cell_output table.dataframe")
    rows = tables.evaluate_all("tables => tables.map(table => table.tBodies[0].rows.length)")
    long = tables.nth(next(i for i, n in enumerate(rows) if n > 12))
    shown = "rows => rows.filter(row => !row.hidden).length"
    bar = long.locator("xpath=following-sibling::p[1]")
    assert long.locator("tbody tr").evaluate_all(shown) == 12
    name, table = taken(page, lambda: bar.get_by_text("CSV").evaluate("b => b.click()"))
    assert re.fullmatch(r"compare-table-\d+\.csv", name)
    assert len(table) == long.locator("tbody tr").count() + 1
    bar.locator("button").first.evaluate("b => b.click()")
    assert long.locator("tbody tr").evaluate_all(shown) == len(table) - 1
    first = long.locator("thead button").first
    texts = "cells => cells.map(cell => cell.textContent.trim())"
    for order in ("ascending", "descending"):
        first.evaluate("b => b.click()")
        assert long.locator("thead th").first.get_attribute("aria-sort") == order
        found = long.locator("tbody tr td:first-child").evaluate_all(texts)
        assert found == sorted(found, reverse=order == "descending")


def test_a_long_table_of_a_manual_is_folded_too_and_a_short_one_stays_plain(visit):
    page = visit("book/errors_grids.html").page
    tables = page.locator("article .pst-scrollable-table-container")
    rows = tables.locator("tbody tr").count()
    long, short = tables.nth(0), tables.nth(1)
    assert tables.count() == 2
    bar = long.locator("xpath=following-sibling::*[1]")
    texts = "rows => rows.filter(row => row.checkVisibility()).map(row => row.innerText.trim())"
    assert len(long.locator("tbody tr").evaluate_all(texts)) == 12
    long.locator("thead button").first.click()
    found = long.locator("tbody td:first-child").evaluate_all(texts)
    assert len(found) == 12
    assert found == sorted(found, key=str.lower)
    name, table = taken(page, bar.get_by_text("CSV").click)
    assert re.fullmatch(r"errors_grids-table-\d+\.csv", name)
    assert table[0] == ["what is wrong", "what is said"]
    bar.locator("button").first.click()
    assert len(long.locator("tbody tr").evaluate_all(texts)) == len(table) - 1
    assert len(table) - 1 + short.locator("tbody tr").count() == rows
    assert short.locator("button").count() == 0
    assert short.locator("xpath=following-sibling::*[1]").locator("button").count() == 0


def test_a_chart_is_taken_away_as_a_picture_and_as_a_table(visit):
    page = visit("notebooks/relearning.html").page
    menu = page.locator(".vl-chart .vega-actions").first
    assert menu.locator("a").all_text_contents() == ["Save as SVG", "Save as PNG", "Save as CSV"]
    link = menu.get_by_text("Save as CSV")
    name, table = taken(page, lambda: link.evaluate("link => link.click()"))
    assert name == "relearning-figure-1.csv"
    assert {"concept", "share"} <= set(table[0])
    assert len(table) > 20


def test_the_book_is_printed_with_links_that_stay_inside(book_html, tmp_path):
    # The last is not for paper, with all that is below it.
    chapters = [
        {"file": "notebooks/erasure.ipynb", "sections": [{"file": "book/errors_grids"}]},
        {"file": "book/glossary"},
        {"file": "book/api", "sections": [{"file": "book/columns"}]},
    ]
    contents = {"root": "notebooks/intro.ipynb", "parts": [{"chapters": chapters}]}
    printed = pypdf.PdfReader(write_pdf(book_html, contents, tmp_path / "book.pdf"))
    titles = [entry["/Title"] for entry in printed.outline]
    assert titles == [
        "Cut out, or only unread?",
        "Erased, and written again",
        "Errors: a grid, a disk, other processes",
        "Glossary",
    ]
    links = [a.get_object() for page in printed.pages for a in page.get("/Annots", [])]
    assert not [link for link in links if "file:" in str(link.get("/A", ""))]
    second = printed.get_destination_page_number(printed.outline[1])
    assert any(
        "/Dest" in link and printed.get_page_number(link["/Dest"][0].get_object()) == second
        for link in links
    )
    text = " ".join(" ".join(page.extract_text() for page in printed.pages).split())
    assert "Nine questions and their answers" in text
    # Nothing stands there to be unfolded; of an exercise the answer is there, and folded prose.
    assert "Half of all neurons, any half, breaks the model." in text
    assert "Show code cell" not in text
    # On paper a table that is folded on a screen is whole.
    assert "a scheduler that does not answer" in text
    assert text.count("others lost") == 2
    with pytest.raises(InputError, match="book/nowhere"):
        write_pdf(book_html, {**contents, "root": "book/nowhere"}, tmp_path / "book.pdf")
    with pytest.raises(InputError, match="is a folder"):
        write_pdf(book_html, contents, tmp_path)


def test_a_link_to_a_file_of_the_book_finds_one(book_html):
    # In what a cell says, too: there a link was once left as it is written in the notebook.
    pages = [page for page in book_html.rglob("*.html") if "_static" not in page.parts]
    dead = {
        (page.relative_to(book_html).as_posix(), address)
        for page in pages
        for address in re.findall(r'href="(?![a-z]+:)([^"#?]+)', page.read_text(encoding="utf-8"))
        if not (page.parent / unquote(address)).exists()
    }
    assert len(pages) > 20
    assert dead == set()


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


def repository():
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]


@pytest.mark.parametrize("path", ["notebooks/locations.html", "book/method.html"])
def test_the_links_that_readers_expect_lead_somewhere(visit, path):
    page = visit(path).page
    links = page.locator("header.bd-header a, .bd-header-article a, .article-header-buttons a")
    hrefs = [link.get_attribute("href") for link in links.all()]
    address, branch = repository()["url"], repository()["branch"]
    source = {"notebooks/locations.html": "notebooks/locations.ipynb"}.get(path, "book/method.md")
    assert (ROOT / source).is_file()
    assert address in hrefs
    assert f"{address}/edit/{branch}/{source}" in hrefs
    assert any(href.startswith(f"{address}/issues/new?") for href in hrefs)
    assert re.search(r"Edition \d.*\d{4}", page.locator("footer.bd-footer-content").inner_text())
    downloads = [h for h in hrefs if "_sources/" in h]
    assert [Path(h).suffix for h in downloads] == [Path(source).suffix]
    if source.endswith(".ipynb"):
        name = urlparse(address).path.strip("/")
        assert f"https://mybinder.org/v2/gh/{name}/{branch}?urlpath=lab/tree/{source}" in hrefs
        assert f"https://colab.research.google.com/github/{name}/blob/{branch}/{source}" in hrefs


def test_the_notebook_can_be_downloaded(visit, site):
    page = visit("notebooks/locations.html").page
    href = page.locator("a[href*='_sources/']").first.get_attribute("href")
    answer = page.request.get(f"{site}/notebooks/{href}")
    assert answer.ok
    assert json.loads(answer.body())["nbformat"] == 4
