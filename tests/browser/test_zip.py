"""The book in one file, unpacked and opened as a reader does: by a double click, no server."""

import re
import zipfile

import pytest

from plasticity_utils.cli import main
from test_zip import recipe

from .conftest import open_window
from .test_book import chart_pages
from .test_sentence import PATH, PHONE, SECONDS, answered, types_of

pytestmark = [pytest.mark.slow, pytest.mark.browser]

CARD = "A card for each of the neurons"


@pytest.fixture(scope="module")
def unpacked(demonstration, tmp_path_factory):
    """Folder of the book, packed by the command that `make zip` runs, and unpacked."""
    folder = tmp_path_factory.mktemp("zip")
    verb, *_ = recipe()
    assert main([verb, str(demonstration), str(folder / "book.zip")]) == 0
    with zipfile.ZipFile(folder / "book.zip") as archive:
        archive.extractall(folder)
    (top,) = [path for path in folder.iterdir() if path.is_dir()]
    return top


@pytest.fixture
def opened(visit, unpacked):
    """Return a function that opens a page of the zip; what asks for any other place is trouble."""
    return lambda path, **how: visit(path, base=unpacked.as_uri(), **how)


def form_shown(page):
    page.locator("#sentence-page[data-shown]").wait_for(timeout=SECONDS)


def test_the_front_page_leads_to_the_sentence_which_is_read_cut_and_read_again(opened):
    seen = opened("index.html")
    page = seen.page
    page.locator(f"a[href$='{PATH}']").first.evaluate("link => link.click()")
    form_shown(page)
    assert page.url.startswith("file:")
    # The worker has the files; the page keeps their names alone.
    kept = page.evaluate("window.sentenceFiles")
    assert "model.onnx" in kept
    assert set(kept.values()) == {None}
    page.get_by_label("Your sentence").fill("Bill Clinton met Boris Yeltsin in Helsinki .")
    answered(page)
    names = {"Bill": "PER", "Clinton": "PER", "Boris": "PER", "Yeltsin": "PER"}
    assert types_of(page) == {**names, "Helsinki": "LOC"}
    page.locator("#sentence-dose").fill("7")
    answered(page)
    assert "LOC" not in types_of(page).values()
    page.get_by_label("erase it").check()
    answered(page)
    assert "LOC" not in types_of(page).values()
    page.get_by_label("its neurons").check()
    page.locator("#sentence-dose").fill("4")
    page.locator("#sentence-train").click()
    answered(page)
    assert page.locator("#sentence-train").get_attribute("aria-pressed") == "true"
    assert types_of(page)["Helsinki"] == "LOC"
    assert seen.troubles == []


def test_a_card_of_the_zip_holds_the_same_form_on_a_phone(opened, unpacked):
    path = next(path for path in chart_pages(unpacked) if CARD in (unpacked / path).read_text())
    seen = opened(path, viewport=PHONE)
    page = seen.page
    page.locator(".sentence-fold > summary").click()
    form_shown(page)
    assert page.locator("#sentence-words li[data-away]").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert seen.troubles == []


def test_charts_are_drawn_and_tables_sort(opened, unpacked):
    pages = chart_pages(unpacked)
    path = next(path for path in pages if "dataframe" in (unpacked / path).read_text())
    seen = opened(path)
    page = seen.page
    charts = page.locator(".vl-chart")
    assert charts.count() == page.locator(".vl-chart svg.marks").count() > 0
    menu = page.locator(".vega-actions", has_text="Save as CSV").first
    with page.expect_download() as taken:
        menu.locator("a", has_text="CSV").evaluate("link => link.click()")
    assert taken.value.suggested_filename.endswith("figure-1.csv")
    assert taken.value.path().read_text(encoding="utf-8").count("\n") > 1
    heading = page.locator("table.dataframe th:has(button)").first
    heading.locator("button").evaluate("button => button.click()")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert seen.troubles == []


def test_formulas_are_set(opened):
    seen = opened("book/method_measures.html")
    seen.page.locator("mjx-container svg").first.wait_for(state="attached", timeout=SECONDS)
    assert seen.troubles == []


def test_a_search_finds_pages(opened):
    seen = opened("search.html?q=neuron")
    results = seen.page.locator("#search-results ul.search li a")
    results.first.wait_for(timeout=SECONDS)
    seen.page.locator("#search-results .search-summary", has_text=re.compile(r"\d")).wait_for()
    assert results.count() > 3
    assert seen.troubles == []


def test_a_file_that_the_zip_lacks_is_named(browser, unpacked):
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/vocabulary.txt.js", lambda route: route.abort())
        page.goto(f"{unpacked.as_uri()}/{PATH}")
        said = "The model did not load: vocabulary.txt is not there"
        page.locator("#sentence-status", has_text=said).wait_for()


def test_the_book_that_was_not_zipped_says_what_it_wants(browser, book_html, unpacked):
    seen = open_window(browser, book_html.as_uri())
    seen.page.goto(f"{book_html.as_uri()}/{PATH}")
    assert "http.server" in seen.page.inner_text("#sentence-status")
    assert seen.troubles == []
    seen.page.context.close()
