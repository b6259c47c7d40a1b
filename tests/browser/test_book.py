"""The built book in a real browser: nothing asked of other hosts, every chart drawn, no error.

``PLASTICITY_BOOK_HTML`` names the folder of a book that is built already.
"""

import json
import re
from pathlib import Path
from urllib.parse import urlparse

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.browser


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


OVERLAPS = """chart => {
  const boxes = [...chart.querySelectorAll("svg text")]
    .filter(text => text.textContent.trim() && getComputedStyle(text).opacity !== "0")
    .map(text => [text.textContent, text.getBoundingClientRect()]);
  const cut = 2;  // a text's box holds room above and below its letters
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1)
    .filter(([b, q]) => p.left + cut < q.right && q.left + cut < p.right
                     && p.top + cut < q.bottom && q.top + cut < p.bottom)
    .map(([b]) => `${a} | ${b}`));
}"""


@pytest.mark.parametrize("width", [390, 1280])
def test_no_text_of_a_chart_hides_another(book_html, visit, width):
    for path in chart_pages(book_html):
        page = visit(path, viewport={"width": width, "height": 900}).page
        for chart in page.locator(".vl-chart").all():
            assert chart.evaluate(OVERLAPS) == [], path


def test_a_chart_is_laid_out_anew_for_a_phone_and_not_shrunk(book_html, visit):
    for path in chart_pages(book_html):
        page = visit(path, viewport=PHONE).page
        for drawing in page.locator(".vl-chart svg.marks").all():
            shown = drawing.evaluate(
                "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
            )
            assert shown > 0.9, path


def test_every_chart_has_a_text_alternative(book_html, visit):
    for path in chart_pages(book_html):
        page = visit(path).page
        for chart in page.locator(".vl-chart .vl-view").all():
            assert len(chart.get_attribute("aria-label") or "") > 60, path


def test_a_picture_stands_in_for_a_chart_without_scripts(book_html):
    for path in chart_pages(book_html):
        html = (book_html / path).read_text(encoding="utf-8")
        assert html.count("<noscript>") >= html.count('class="vl-chart"')


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
