"""The card of a neuron and the map of neurons, used as a reader does, without a kernel.

On a small page of made-up neurons, one of whose words is markup, and on every page of the book
that holds a card.
"""

import base64
import re

import altair as alt
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from made_up_cards import HOSTILE, made_up_cards
from plasticity_utils import charts
from plasticity_utils.book.pages import render_page
from plasticity_utils.charts import theme as vega

from .conftest import DESKTOP, served
from .test_sentence import SECONDS, answered

LOADED = "performance.getEntriesByType('resource').map(each => each.name)"
IS_UNIT = "unit => document.querySelector('#sentence-unit').value === unit"
PHONE = {"width": 390, "height": 844}
MOST_BYTES = 3_000_000
CARD, MAP = "A card for each of the neurons", "Drag over layers"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def card_site(tmp_path_factory):
    """Address of a small book with one card and one map."""
    folder = tmp_path_factory.mktemp("card")
    vega.enable()
    cells = [new_markdown_cell("# Neurons")]
    for draw in (charts.neuron_card, charts.neuron_map):
        stored = draw(made_up_cards(), "LOC")._repr_mimebundle_()
        stored["image/png"] = base64.b64encode(stored["image/png"]).decode()
        cells.append(new_code_cell("chart", outputs=[new_output("display_data", data=stored)]))
    alt.renderers.enable("default")
    alt.theme.enable("default")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "neurons.ipynb"
    )
    render_page(folder / "neurons.ipynb", folder / "page", strict=True)
    with served(folder / "page") as address:
        yield address


@pytest.fixture(params=["made up", "book"])
def open_card(request, visit):
    """Return a function that opens a page with a card and gives the visit, the card, the map."""
    if request.param == "made up":
        base, path = request.getfixturevalue("card_site"), "notebooks/neurons.html"
    else:
        html = request.getfixturevalue("book_html")
        pages = [p for p in sorted((html / "notebooks").glob("*.html")) if CARD in p.read_text()]
        if not pages:
            pytest.skip("no page of the book holds a card yet")
        base, path = request.getfixturevalue("site"), f"notebooks/{pages[0].name}"

    def open_page(**how):
        seen = visit(path, base=base, **how)
        found = [seen.page.locator(".vl-chart", has_text=title).first for title in (CARD, MAP)]
        found[0].scroll_into_view_if_needed(timeout=8000)
        return (seen, *found)

    return open_page


def drawn(chart):
    """What a chart shows: the paths of its marks, and its texts."""
    marks = chart.locator("svg .mark-group.role-frame [class*='role-mark'] path")
    return marks.evaluate_all("all => all.map(path => path.outerHTML)"), texts(chart)


def texts(chart):
    return chart.locator("svg [class*='mark-text role-mark'] text").all_text_contents()


def close(lines, others):
    """Whether lines are the same up to a hundredth of a pixel, to which Vega rounds sums."""
    return all(
        line == pytest.approx(other, abs=0.01) for line, other in zip(lines, others, strict=True)
    )


def test_the_list_changes_the_neuron(open_card):
    seen, card, _ = open_card()
    bars, before = drawn(card)
    first = before[0]
    assert re.match(r"removed 1: layer \d+, unit \d+", first)
    choice = card.get_by_role("combobox", name="neuron")
    for option in ("newly salient 1", "polysemantic 1"):
        label = next(o for o in choice.locator("option").all_text_contents() if option in o)
        choice.select_option(label=label)
        assert card.locator("svg text", has_text=label).count() == 1
        assert card.locator("svg text", has_text=first).count() == 0
        assert drawn(card)[0] != bars
        assert drawn(card)[1] != before
        # In the book, where there is a page for a sentence of one's own, the card leads there.
        link = seen.page.locator(".sentence-fold a[href*='sentence.html']")
        pages = seen.page.locator("a[href$='book/sentence.html']")
        assert link.count() == min(pages.count(), 1)
        if link.count():
            layer, unit = re.search(r"layer (\d+), unit (\d+)", label).groups()
            assert link.get_attribute("href").endswith(f"#layer={layer}&unit={unit}")
    assert seen.troubles == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("concept", "viewport", "scheme"),
    [("locations", DESKTOP, "light"), ("persons", PHONE, "dark")],
)
def test_below_a_card_any_neuron_reads_a_sentence(visit, demonstration, concept, viewport, scheme):
    """The form of the page of a sentence, loaded when its fold is opened and not before."""
    seen = visit(f"notebooks/{concept}.html", viewport=viewport, scheme=scheme)
    page = seen.page

    def neuron():
        return tuple(int(page.input_value(f"#sentence-{part}")) for part in ("layer", "unit"))

    def chosen(label):
        return tuple(map(int, re.search(r"layer (\d+), unit (\d+)", label).groups()))

    choice = page.locator(".vl-chart", has_text=CARD).get_by_role("combobox", name="neuron")
    labels = choice.locator("option").all_text_contents()
    fold = page.locator(".sentence-fold")
    assert not any("_static/sentence/" in name for name in page.evaluate(LOADED))
    assert page.locator("#sentence-page").count() == 0
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    page.locator("#sentence-page[data-shown]").wait_for(timeout=SECONDS)
    assert neuron() == chosen(labels[0])
    assert page.locator("[name=concept]:checked").get_attribute("value") == concept
    shaded = page.locator("#sentence-words li[data-away]")
    first = shaded.evaluate_all("words => words.map(word => word.dataset.away)")
    assert len(first) == page.locator("#sentence-words li").count() > 0
    # The card's list leads, and any other neuron can be asked for.
    choice.select_option(label=labels[-1])
    page.wait_for_function(IS_UNIT, arg=str(chosen(labels[-1])[1]))
    assert neuron() == chosen(labels[-1])
    page.get_by_label("unit", exact=True).fill("17")
    page.get_by_label("Your sentence").fill("Rain fell in Bergen .")
    answered(page)
    assert shaded.count() == 5
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    inner = "form => form.scrollHeight - form.clientHeight"
    assert page.locator("#sentence-page").evaluate(inner) == 0
    assert seen.troubles == []


def test_a_fold_whose_form_did_not_come_or_went_brings_it_when_it_is_opened_again(
    visit, demonstration
):
    page = visit("notebooks/locations.html").page
    # As on a page with two cards.
    page.evaluate("""() => withSentence([...document.querySelectorAll(".vl-chart")].pop(),
      {view: {addSignalListener() {}}},
      {params: [{name: "neuron", value: 0, bind: {labels: ["layer 2, unit 17"]}}]})""")
    first, other = (page.locator(".sentence-fold").nth(number) for number in range(2))
    form = page.locator("#sentence-page")
    page.route("**/sentence/sentence.js", lambda route: route.abort())
    first.locator("summary").click()
    first.get_by_text("The model did not load: sentence.js was not reached").wait_for()
    assert form.count() == 0
    page.unroute("**/sentence/sentence.js")
    for fold in (first, other, first):
        if fold.get_attribute("open") is not None:
            fold.locator("summary").click()
        fold.locator("summary").click()
        fold.locator("#sentence-page[data-shown]").wait_for(timeout=SECONDS)
        assert form.count() == 1
        assert page.locator(".sentence-fold[open]").count() == 1
        assert fold.locator("summary", has_text="Try this neuron").count() == 1


def test_the_slider_changes_the_snapshot(open_card):
    seen, card, _ = open_card()
    slider = card.get_by_role("slider")
    bars = []
    for title in ("base model", "just after removal", "after retraining"):
        assert any(title in text for text in texts(card)), texts(card)[:3]
        bars.append(tuple(drawn(card)[0]))
        slider.press("ArrowRight")
    # Of a removed neuron, which is shown first, only the base has a spread.
    assert bars[0] != bars[1]
    assert seen.troubles == []


def test_the_keyboard_reaches_the_inputs_first(open_card):
    seen, card, _ = open_card()
    card.get_by_role("combobox", name="neuron").focus()
    before = texts(card)[0]
    seen.page.keyboard.press("ArrowDown")
    assert texts(card)[0] != before
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.type") == "range"
    inputs, drawing = card.locator(".vega-bindings"), card.locator("svg").first
    assert inputs.bounding_box()["y"] < drawing.bounding_box()["y"]


def test_brushed_layers_are_followed(open_card):
    seen, _, layers = open_card()
    layers.scroll_into_view_if_needed(timeout=8000)
    points = layers.locator("svg .mark-symbol.role-mark").first
    lines = layers.locator("svg .mark-line path[aria-roledescription='line mark']")

    def heights():
        paths = lines.evaluate_all("all => all.map(path => path.getAttribute('d'))")
        return [[float(number) for number in re.findall(r"[\d.]+", path)] for path in paths]

    before = heights()
    assert len(before) == 8
    box = points.bounding_box()
    middle = box["y"] + box["height"] / 2
    seen.page.mouse.move(box["x"] - 2, middle)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + box["width"] / 3, middle + 5, steps=8)
    seen.page.mouse.up()
    after = heights()
    assert len(after) == 8
    assert not close(after, before)
    seen.page.mouse.dblclick(box["x"] + box["width"] - 3, middle)
    assert close(heights(), before)
    assert seen.troubles == []


def test_the_map_shows_one_kind(open_card):
    seen, _, layers = open_card()
    points = layers.locator("svg .mark-symbol.role-mark").first.locator("path")
    everything = points.count()
    layers.get_by_role("combobox", name="neurons").select_option("newly salient")
    assert 0 < points.count() < everything
    assert seen.troubles == []


def test_words_are_text_and_never_markup(card_site, visit):
    seen = visit("notebooks/neurons.html", base=card_site)
    card = seen.page.locator(".vl-chart", has_text=CARD)
    word = card.locator("svg text", has_text="<img").first
    assert word.text_content().startswith(HOSTILE[:12])
    word.hover()
    tip = seen.page.locator("#vg-tooltip-element.visible")
    tip.wait_for(timeout=20_000)
    assert HOSTILE in tip.inner_text()
    assert seen.page.locator(".vl-chart img, #vg-tooltip-element img").count() == 0
    assert seen.troubles == []


def test_the_page_is_small(open_card, visit):
    seen, *_ = open_card()
    assert len(seen.page.content().encode()) < MOST_BYTES


def test_the_card_fits_a_phone(open_card):
    seen, card, layers = open_card(viewport=PHONE)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for chart in (card, layers):
        box = chart.locator("svg").first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
