"""The tiers of the tests, and what they share.

A test that trains, or loads a packaged model, is `slow`; one that opens a page is `browser`. Both
follow from the fixtures that it asks for where they can, and a test that trains without being
marked fails. The process that only deals out tests to others loads no library.
"""

import gc
import os
import shutil
from functools import cache, wraps
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from filelock import FileLock

# What is imported and collected stays: it is not looked through for garbage on the way.
gc.disable()

# Workers take whole files, in this order: a long file that begins last is waited for by all.
LONGEST = (
    "test_places.py",
    "test_resume.py",
    "test_custom_concepts.py",
    "test_book.py",
    "test_kills.py",
    "test_run.py",
    "test_forcing.py",
    "test_benchmarks.py",
    "test_processes.py",
    "test_custom_pages.py",
    "test_explorer.py",
    "test_erasure.py",
    "test_lab.py",
    "test_models.py",
    "test_published.py",
    "test_training.py",
    "test_pruning.py",
)
# Whoever asks for one of these gets a run, or a page in a browser.
SLOW = {"run", "explorer", "make_run", "real_run", "forced", "book_html"}
BROWSER = {"browser", "lab"}
_now: dict[str, pytest.Item] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    rank = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))
    for item in items:
        for tier, fixtures in (("slow", SLOW), ("browser", BROWSER)):
            if fixtures & set(item.fixturenames):
                item.add_marker(tier)


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


def pytest_unconfigure():
    # A process that ends gives all back at once.
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    _now["item"] = item


def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: a slow test often waits for what it has started."""
    return (os.cpu_count() or 1) + ("not slow" not in config.option.markexpr)


def only_slow(function, is_work=lambda *arguments: True):
    """Let a function be called by tests marked `slow` alone."""

    def checked(*arguments, **options):
        unmarked = "item" in _now and not _now["item"].get_closest_marker("slow")
        if unmarked and is_work(*arguments):
            pytest.fail("a test that trains or loads a packaged model is marked slow")
        return function(*arguments, **options)

    return checked


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    if config.getoption("dist", "no") != "no":
        return
    # After jaxtyping's hook, which checks what is imported from then on.
    global runs, tiny, toy
    import hypothesis
    from transformers import Trainer

    from plasticity_utils.data import corpus

    # The same examples every time: a test then tells of a change, and not of chance.
    hypothesis.settings.register_profile("same", derandomize=True)
    hypothesis.settings.load_profile("same")

    # Most of a small test's time would be the corpus, which no test changes; before others take it.
    read, read_once = corpus.load_corpus, cache(corpus.load_corpus)

    @wraps(read)
    def load_corpus(source, split="train", **options):
        packaged = isinstance(source, str) and source in ("conll2003", "wnut16")
        return (read_once if packaged else read)(source, split, **options)

    corpus.load_corpus = load_corpus
    from plasticity_utils.models import load, locate

    Trainer.train = only_slow(Trainer.train)
    load._load_weights = only_slow(load._load_weights, lambda name, *_: name in locate.PACKAGED)
    import runs
    import tiny
    import toy


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory):
    """One folder for all workers of a session."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def once(session_folder):
    """Return a function: once(name, make) → a folder, filled by the first worker that asks."""

    def made(name, make) -> Path:
        folder = session_folder / name
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                part = session_folder / f"{name}.part"
                make(part)
                part.rename(folder)
        return folder

    return made


# Runs that files and workers share; their own locks see to it that each is made once.


@pytest.fixture(scope="session")
def tiny_run_folder(once):
    """A tiny model for runs, with the scale `tiny` added for as long as the session lasts."""
    folder = once("tiny-model", runs.make_folder)
    with pytest.MonkeyPatch.context() as patch:
        runs.add_tiny(folder, patch.setitem)
        yield folder


@pytest.fixture(scope="session")
def make_run(tiny_run_folder, session_folder):
    """Return a function: make_run(**settings) → the tiny run with these settings."""
    from plasticity_utils import run_experiment

    def made(results=None, **settings):
        results = results or session_folder / "tiny-runs"
        return run_experiment(runs.tiny_config(tiny_run_folder, results, **settings))

    return made


@pytest.fixture(scope="session")
def tiny_run(make_run):
    return make_run()


@pytest.fixture(scope="session")
def two_runs(tiny_run, make_run, once):
    """The tiny run, and one under another seed beside it, apart from where it is alone."""
    results = once("two-runs", lambda copy: runs.copy_finished(tiny_run.config.results, copy))
    return [make_run(results, seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="session")
def published_once(two_runs, tmp_path_factory):
    from plasticity_utils import publish

    folder = tmp_path_factory.mktemp("published")
    for run in two_runs:
        publish(run, folder)
    return folder


@pytest.fixture
def shelf(published_once, tmp_path, monkeypatch):
    """A folder of published runs, with both of them in it."""
    from plasticity_utils.results import published

    folder = shutil.copytree(published_once, tmp_path / "results")
    monkeypatch.setattr(published, "PUBLISHED", folder)
    return folder


@pytest.fixture(scope="session")
def erased_run(make_run):
    return make_run(regime="erase", dose=None)


@pytest.fixture(scope="session")
def file_concept(once):
    folder = once("pair", runs.write_pair)
    return f"file:{folder / 'words.txt'},{folder / 'labels.txt'}#SEM:article"


@pytest.fixture(scope="session")
def custom_runs(make_run, file_concept):
    """Runs about a word list and about a label."""
    return {
        "words": make_run(concept="words:of,in", dose=None),
        "file": make_run(concept=file_concept),
    }


@pytest.fixture(params=["words", "file"])
def custom_run(custom_runs, request):
    return custom_runs[request.param]


@pytest.fixture(scope="session")
def real_run(session_folder):
    """The smoke run of MiniLM: one that is there already, as in `.ci/run`, or a new one."""
    from plasticity_utils import RunConfig, run_experiment

    made = os.environ.get("PLASTICITY_RUNS")
    results = Path(made).resolve() if made else session_folder / "real-runs"
    return run_experiment(RunConfig(scale="smoke", results_dir=str(results)))


@pytest.fixture(scope="module")
def theme():
    """Charts in the book's look, for as long as a file's tests last."""
    from plasticity_utils.charts import theme

    theme.enable()
    yield
    theme.alt.theme.enable("default")
    theme.alt.renderers.enable("default")


@pytest.fixture
def tiny_model():
    """Return a factory: tiny_model("bert", seed=0, **config changes) → model in eval mode."""
    return tiny.make_tiny_model


@pytest.fixture
def tiny_tokenizer():
    """Return a factory: tiny_tokenizer(words) → word-piece tokenizer, ids 0, 1, 2 special."""
    return tiny.make_tiny_tokenizer


@pytest.fixture
def tokenizer():
    """Of the toy sentences."""
    return toy.toy_tokenizer()


@pytest.fixture
def tiny_batch():
    """Two sentences of ids, the second padded; 1 opens and 2 closes, 0 pads."""
    return tiny.make_tiny_batch()


@pytest.fixture
def as_for_users():
    """Switch the tests' shape checker off, which would speak before our own checks do."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def tiny_folder(tmp_path):
    """A tiny BERT in the Hub's format, without a classification head's labels of its own."""
    words = ["london", "calls", "berlin", "paris", "rain", "in", "the"]
    folder = tmp_path / "tiny"
    tiny.save_tiny(folder, words)
    return folder
