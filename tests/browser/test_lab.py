"""The live explorer in a real JupyterLab and Notebook 7: run the notebook, and see it answer.

One server and one kernel serve all tests but that of Notebook 7's own start.

``PLASTICITY_LAB_RESULTS`` names the folder of finished runs (default: ``runs/``). A run at quick
scale is taken where there is one, else one at smoke scale; nothing is trained here.
"""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlparse

import nbformat
import pytest

from plasticity_utils import InputError, Run
from plasticity_utils.experiment import record
from plasticity_utils.explorer.app import NO_WIDGETS
from plasticity_utils.explorer.data import RunData

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(os.environ.get("PLASTICITY_LAB_RESULTS") or ROOT / "runs").resolve()
SCALES = ("quick", "smoke")
MINUTE = 60_000
WIDGETS = "@jupyter-widgets/jupyterlab-manager"
IDLE = ".jp-Notebook-ExecutionIndicator[data-status=idle]"

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass
class Served:
    """A server, and the folder that it serves."""

    base: str
    token: str
    folder: Path

    def api(self, path: str, body: dict | None = None):
        """Ask the server for something, or give it something."""
        request = urllib.request.Request(
            f"{self.base}/api/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def page_config(self, path: str) -> dict:
        """What the server tells a page of itself."""
        with urllib.request.urlopen(f"{self.base}/{path}?token={self.token}", timeout=10) as page:
            found = re.search(
                r'id="jupyter-config-data"[^>]*>(.*?)</script>', page.read().decode(), re.S
            )
        return json.loads(found[1])


@dataclass
class Lab:
    """A browser with one notebook open, and all that went wrong in it."""

    page: object
    served: Served
    troubles: list = field(default_factory=list)


def finished_run() -> Run:
    """Find a run of `locations` whose models are kept, as today's code would name it."""
    runs = [Run(path.parent) for path in sorted(RESULTS.glob("locations-*/config.json"))]
    found = {
        run.config.scale: run for run in runs if record.finished_run(run.config) and has_models(run)
    }
    for scale in SCALES:
        if scale in found:
            return found[scale]
    pytest.skip(f"no finished run of locations with its models in {RESULTS}: make run SCALE=smoke")


def has_models(run: Run) -> bool:
    try:
        return not RunData(run).missing
    except InputError:
        return False


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Path:
    """A copy of the notebook whose parameters name the finished run, without outputs."""
    config = finished_run().config
    names = ("concept", "model", "scale", "seed", "regime")
    values = {**{name: getattr(config, name) for name in names}, "results_dir": str(RESULTS)}
    copy = nbformat.read(ROOT / "notebooks" / "locations.ipynb", as_version=4)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    path = tmp_path_factory.mktemp("lab") / "locations.ipynb"
    nbformat.write(copy, path)
    return path


@contextmanager
def server(folder: Path, app: str = "jupyterlab") -> Iterator[Served]:
    """Serve a folder with JupyterLab and Notebook 7; in the end, server and kernels end too.

    `app`: which of the two is started; it brings the other along.
    """
    token, home = secrets.token_hex(16), folder / ".home"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    places = {"HOME": home, "JUPYTER_CONFIG_DIR": home / "config", "IPYTHONDIR": home / "ipython",
              "JUPYTER_RUNTIME_DIR": home / "runtime", "JUPYTERLAB_SETTINGS_DIR": home / "settings",
              "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces"}  # fmt: skip
    env = {**os.environ, **{name: str(path) for name, path in places.items()}}
    env |= {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    asked = home / "settings" / "@jupyterlab" / "apputils-extension"
    asked.mkdir(parents=True)
    (asked / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    options = [
        "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with (folder / "lab.log").open("w") as log:
        lab = subprocess.Popen(
            [sys.executable, "-m", app, *options],
            env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            base = f"http://127.0.0.1:{port}"
            _wait_for(f"{base}/api/status?token={token}", lab, folder / "lab.log")
            yield Served(base, token, folder)
        finally:
            os.killpg(lab.pid, signal.SIGTERM)
            try:
                lab.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(lab.pid, signal.SIGKILL)
                lab.wait(10)


def give_widgets(folder: Path, given: bool) -> None:
    """Without them it is as where ipywidgets is installed beside the kernel alone.

    The server reads this again for every page.
    """
    config = folder / ".home" / "config" / "labconfig"
    config.mkdir(parents=True, exist_ok=True)
    disabled = json.dumps({"disabledExtensions": {WIDGETS: not given}})
    (config / "page_config.json").write_text(disabled)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(180):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not start: {log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def lab(browser, notebook) -> Iterator[Lab]:
    """JupyterLab with the notebook open, all cells run, and the explorer in view."""
    with server(notebook.parent) as served:
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        seen = Lab(context.new_page(), served)
        watch(context, seen, served.base)
        seen.page.goto(
            f"{served.base}/lab/tree/{notebook.name}?token={served.token}", timeout=2 * MINUTE
        )
        run_all(seen)
        scroll_to_explorer(seen.page)
        yield seen
        context.close()


def watch(context, seen: Lab, base: str) -> None:
    """Let nothing but the server be asked, and note every error."""

    def only_here(route):
        if route.request.url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            seen.troubles.append(f"outside request: {route.request.url}")
            route.abort()

    def said(message):
        if message.type == "error":
            seen.troubles.append(f"console: {message.text[:300]}")

    context.route("**/*", only_here)
    seen.page.on("console", said)
    seen.page.on("pageerror", lambda error: seen.troubles.append(f"script: {error}"[:300]))
    seen.page.on("dialog", lambda dialog: (seen.troubles.append("dialog"), dialog.dismiss()))


def run_all(seen: Lab, pages: int = 1) -> None:
    """Wait until the kernel has so many pages, then Run > Run All Cells, and wait for the last."""
    page = seen.page
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=2 * MINUTE)

    def is_ready():
        try:
            kernels = seen.served.api("kernels")
        except OSError:  # while a kernel starts, the list of them may fail
            return False
        return any(k["connections"] >= pages and k["execution_state"] == "idle" for k in kernels)

    until(page, is_ready, "the kernel did not start", 120)
    page.wait_for_selector(IDLE, timeout=MINUTE)
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
    page.wait_for_timeout(1500)
    page.wait_for_selector(IDLE, timeout=5 * MINUTE)


def scroll_to_explorer(page) -> None:
    """Lab draws only the cells in view, so go down until the explorer is there."""
    page.locator(".jp-NotebookPanel .jp-WindowedPanel-outer").hover()
    for _ in range(120):
        if page.locator(".pu-explorer h4").count():
            break
        page.mouse.wheel(0, 700)
        page.wait_for_timeout(150)
    page.locator(".pu-explorer").scroll_into_view_if_needed(timeout=MINUTE)


def heading(page) -> str:
    return page.locator(".pu-explorer h4").first.inner_text()


def drawn(page) -> str:
    """The histogram and the course of σ, as they are drawn now."""
    return "".join(page.locator(".pu-explorer svg[role=img]").evaluate_all(
        "all => all.map(svg => svg.outerHTML)"
    ))  # fmt: skip


def until(page, holds, what: str, most: float = 30) -> float:
    """Seconds until something holds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < most, what
        page.wait_for_timeout(20)
    return time.monotonic() - began


def labelled(page, name: str):
    return page.locator(".pu-explorer").get_by_label(name, exact=True)


def in_view(page, view: str) -> None:
    page.locator(".pu-explorer .lm-TabBar-tab", has_text=view).click()


def ask(page, name: str, text: str) -> None:
    labelled(page, name).fill(text)
    labelled(page, name).press("Enter")


def line(page) -> str:
    """The line of Python under the view."""
    return page.locator(".pu-explorer code:visible").inner_text()


def test_a_typed_neuron_changes_the_figures(lab, record_property):
    page = lab.page
    before, figures = heading(page), drawn(page)
    assert figures.count("<svg") == 2, figures[:300]
    unit = "7" if "unit 7," not in before else "8"
    labelled(page, "neuron (unit)").first.fill(unit)
    labelled(page, "neuron (unit)").first.press("Enter")
    seconds = until(page, lambda: f"unit {unit}," in heading(page), "the heading stayed")
    until(page, lambda: drawn(page) != figures, "the figures stayed")
    record_property("seconds_to_another_neuron", round(seconds, 3))
    assert drawn(page).count("<svg") == 2
    assert lab.troubles == []


def test_a_point_of_the_map_can_be_clicked(lab):
    page, point = lab.page, lab.page.locator(".pu-explorer .pu-map button").nth(20)
    figures, unit = drawn(page), point.get_attribute("title").split(":")[0]
    point.dispatch_event("click")
    until(page, lambda: f"unit {unit}," in heading(page), "the heading stayed")
    until(page, lambda: drawn(page) != figures, "the figures stayed")
    assert labelled(page, "neuron (unit)").first.input_value() == unit
    assert lab.troubles == []


def test_stage_and_list_change_the_view(lab):
    page = lab.page
    labelled(page, "stage").first.select_option("base model")
    until(page, lambda: "base model" in heading(page), "the stage stayed")
    # The list is sorted anew after the heading: what is chosen before that is another neuron.
    page.wait_for_timeout(500)
    page.wait_for_selector(IDLE, timeout=MINUTE)
    chosen = labelled(page, "neurons").first
    unit = chosen.locator("option").nth(5).inner_text().split(":")[0]
    chosen.select_option(index=5)
    until(page, lambda: f"unit {unit}," in heading(page), "the list chose nothing")
    assert lab.troubles == []


def test_a_typed_sentence_is_answered_and_is_text(lab, record_property):
    page = lab.page
    in_view(page, "Sentence")
    answer = page.locator(".pu-explorer .pu-sentence:visible")
    until(page, lambda: answer.count() == 3, "no answer to the example")
    ask(page, "sentence", "Ann <img src=x onerror=alert(1)> left Oslo")
    seconds = until(page, lambda: "Oslo" in answer.first.inner_text(), "no answer")
    record_property("seconds_to_a_typed_sentence", round(seconds, 3))
    assert "< img src = x onerror" in " ".join(answer.first.inner_text().split())
    assert page.locator(".pu-explorer img").count() == 0
    ask(page, "sentence", "   ")
    said = page.locator(".pu-explorer .pu-message:visible")
    until(page, lambda: said.count() == 1, "an empty sentence is not named")
    assert "no words" in said.inner_text()
    assert lab.troubles == []


def test_a_condition_that_was_never_read_says_so_at_once(lab):
    page = lab.page
    in_view(page, "Neuron")
    page.wait_for_selector(IDLE, timeout=MINUTE)
    assert page.locator(".pu-explorer .pu-waiting").count() == 0
    # What is waited for is kept beside the run, so a second test run finds it: look at each step.
    page.evaluate("""() => { window.steps = [];
      new MutationObserver(() => window.steps.push(
        [...document.querySelectorAll(".pu-explorer .pu-message")].map(m => m.textContent).join()
        + "|" + document.querySelectorAll(".pu-explorer .pu-waiting").length))
        .observe(document.body, {subtree: true, childList: true, attributes: true}) }""")
    labelled(page, "condition").first.select_option("random")
    until(page, lambda: "condition random" in heading(page), "the condition stayed", 120)
    page.wait_for_selector(IDLE, timeout=MINUTE)
    steps = page.evaluate("window.steps")
    assert any(step.startswith("Reading") and step.endswith("|1") for step in steps), steps[-5:]
    assert page.locator(".pu-explorer .pu-waiting, .pu-explorer .pu-message:visible").count() == 0
    assert lab.troubles == []


def test_the_explorer_is_wide_not_tall_and_its_card_is_saved(lab, tmp_path):
    page = lab.page
    in_view(page, "Neuron")
    page.wait_for_selector(IDLE, timeout=MINUTE)
    box = page.locator(".pu-explorer").bounding_box()
    assert box["height"] < 1300, box
    card = page.locator(".pu-sides > :last-child").bounding_box()
    assert card["width"] > 0.6 * box["width"], (card, box)
    with page.expect_download() as download:
        page.locator(".pu-explorer a[download]").first.click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert heading(page) in saved.read_text(encoding="utf-8")
    assert lab.troubles == []


def look_at_the_model_alone(page) -> None:
    """The second explorer on the page: a point for each neuron, and two neurons compared."""
    alone = page.locator(".pu-explorer").last
    alone.scroll_into_view_if_needed(timeout=MINUTE)
    points = alone.locator(".pu-map button")
    assert points.count() == 384
    unit = points.nth(20).get_attribute("title").split(":")[0]
    points.nth(20).dispatch_event("click")
    named = alone.locator("h4").first
    until(page, lambda: named.inner_text().endswith(f"unit {unit}"), "the heading stayed")
    alone.locator(".lm-TabBar-tab", has_text="Compare").click()
    alone.get_by_text("correlate at r").wait_for(timeout=MINUTE)


def test_a_neuron_switched_off_changes_the_tags(lab):
    page = lab.page
    in_view(page, "Sentence")
    answer = page.locator(".pu-explorer .pu-sentence:visible")
    ask(page, "sentence", "Anna flew from Oslo to Geneva .")
    until(page, lambda: "Geneva" in answer.last.inner_text(), "no answer")
    slider = page.locator(".pu-explorer [role=slider]:visible")
    assert float(slider.get_attribute("aria-valuenow")) == 1
    assert "→" not in answer.last.inner_text()
    tags = {}
    for key, factor in (("Home", "0"), ("End", "10")):
        slider.press(key)
        until(page, lambda f=factor: f"factor={f}.0" in line(page), "it was not scaled", 60)
        tags[factor] = answer.last.inner_text()
        assert "→" in tags[factor]
    assert tags["0"] != tags["10"]
    assert "sentence='Anna flew from Oslo to Geneva .'" in line(page)
    assert lab.troubles == []


def test_a_word_leads_to_the_neurons_that_fire_on_it(lab):
    page = lab.page
    in_view(page, "Sentence")
    ask(page, "sentence", "Anna flew from Oslo to Geneva .")
    until(page, lambda: labelled(page, "word").locator("option").count() == 7, "no words")
    neurons = labelled(page, "neurons").last
    listed = {}
    for place, word in ((0, "Anna"), (5, "Geneva")):
        labelled(page, "word").select_option(label=word)
        until(page, lambda p=place: f"word={p}" in line(page), "the word stayed")
        listed[word] = neurons.inner_text()
        assert neurons.locator("option").count() == 20
    assert listed["Anna"] != listed["Geneva"]
    option = neurons.locator("option").nth(1).inner_text()
    layer, unit = re.match(r"layer\s(\d+),\sunit\s(\d+):\sz\s=\s\+", option).groups()
    neurons.select_option(index=1)
    until(page, lambda: labelled(page, "neuron (unit)").first.input_value() == unit, "not chosen")
    assert labelled(page, "layer").first.input_value() == layer
    in_view(page, "Neuron")
    until(page, lambda: f"Layer {layer}, unit {unit}," in heading(page), "the card stayed")
    assert lab.troubles == []


def test_the_corpus_is_searched(lab):
    page = lab.page
    in_view(page, "Corpus")
    found = page.locator(".pu-explorer .pu-sentence:visible")
    ask(page, "find", "the")
    until(page, lambda: 1 <= found.count() <= 8, "nothing was found")
    peaks = page.locator(".pu-explorer .pu-sentence:visible .pu-peak").all_inner_texts()
    assert {peak.lower() for peak in peaks} == {"the"}
    ask(page, "find", "<b> nowhere")
    said = page.locator(".pu-explorer .pu-message:visible")
    until(page, lambda: said.count() == 1, "what is not found is not named")
    assert "sentences has '< b > nowhere'" in said.inner_text()
    assert "find='<b> nowhere'" in line(page)
    assert lab.troubles == []


@pytest.mark.parametrize("with_widgets", [True, False])
def test_notebook_7_has_the_widgets_of_its_server_or_says_so(browser, lab, with_widgets):
    code = [
        f"import plasticity_utils as pu\npu.explore(pu.load_run({str(finished_run().path)!r}))",
        "pu.explore(model='minilm', sentences=['Anna flew from Oslo.', 'Oslo is cold.'])",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in code])
    book.metadata.kernelspec = {"name": "python3", "display_name": "x", "language": "python"}
    served, name = lab.served, f"widgets-{with_widgets}.ipynb"
    nbformat.write(book, served.folder / name)
    give_widgets(served.folder, with_widgets)
    kernel = served.api("kernels")[0]["id"]
    session = {"path": name, "name": name, "type": "notebook", "kernel": {"id": kernel}}
    served.api("sessions", session)
    with browser.new_context(viewport={"width": 1400, "height": 1000}) as context:
        seen = Lab(context.new_page(), served)
        watch(context, seen, served.base)
        # jupyter-server refuses a file to the second app if the first has one of the same name.
        own = files("notebook") / "static"
        context.route(
            "**/static/notebook/*.woff2",
            lambda route: route.fulfill(path=own / urlparse(route.request.url).path.split("/")[-1]),
        )
        seen.page.goto(f"{served.base}/notebooks/{name}?token={served.token}", timeout=2 * MINUTE)
        seen.page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=2 * MINUTE)
        # Notebook 7 complains of itself while it starts.
        seen.troubles.clear()
        run_all(seen, pages=2)
        page = seen.page
        page.wait_for_selector(".pu-explorer h4", timeout=MINUTE)
        if with_widgets:
            unit = "7" if "unit 7," not in heading(page) else "8"
            labelled(page, "neuron (unit)").first.fill(unit)
            labelled(page, "neuron (unit)").first.press("Enter")
            until(page, lambda: f"unit {unit}," in heading(page), "the heading stayed")
            look_at_the_model_alone(page)
            assert seen.troubles == []
        else:
            assert page.locator(".pu-explorer select").count() == 0
            assert NO_WIDGETS in page.locator(".pu-explorer .pu-message").first.inner_text()
            assert page.locator(".pu-explorer").first.locator("svg[role=img]").count() == 2


def test_notebook_7_starts_by_itself_with_the_widgets(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "one.ipynb")
    with server(tmp_path, "notebook") as served:
        for path in ("tree", "notebooks/one.ipynb"):
            config = served.page_config(path)
            assert (config["appName"], config["notebookPage"]) == (
                "Jupyter Notebook",
                path.split("/")[0],
            )
            assert WIDGETS in [each["name"] for each in config["federated_extensions"]]
