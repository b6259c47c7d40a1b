"""Look inside a finished run: a live view of any of its neurons, for whoever has a kernel.

People understand a neuron by looking at it. For one neuron this shows which words excite and which
silence it, its activation by class of word, whole sentences shaded by it, its σ for every concept
through the run, and its gain; beside it a second neuron, or the same at another stage. Type a
sentence, and see the neuron answer in the base model, just after the removal and after retraining.

It is made of core ipywidgets alone, so it works in JupyterLab, Notebook 7 and VS Code without any
extension. Everything shown is put into widgets that observers fill anew: no cell is run again, and
what goes wrong is said in the widget. A page without a kernel has the static figures instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.presets import SCALES
from plasticity_utils.experiment.run import Run, check_run, finished_run
from plasticity_utils.explorer import data as views
from plasticity_utils.explorer import draw
from plasticity_utils.explorer.controls import (
    COLUMN,
    DESCRIBED,
    FIELD,
    MAP_STYLE,
    STYLE,
    LayerMap,
    NeuronControls,
    NeuronList,
    dropdown,
    wrapped,
)
from plasticity_utils.explorer.data import RunData, Selected
from plasticity_utils.results.groups import run_group

VIEWS = ("Neuron", "Sentence", "Compare")
FIRST_STAGE = "end"
# The style of what stands there until what was asked for is read.
WAITING = "pu-waiting"


def explore(run: Run) -> widgets.VBox:
    """Look at the neurons of a finished run, live.

    Parameters
    ----------
    run : Run
        From `run_experiment` or `load_run`. Other seeds of the same settings are found beside it.
        Where the run's models are kept too, activations of the words are computed once (seconds to
        a minute a stage) and kept beside the run; where not, the tables are shown. A published run
        has no table of all neurons; in its place your own run of another scale is shown, if there
        is a finished one.

    Returns
    -------
    Explorer
        Shows itself at the end of a notebook's cell; where there is nothing to look at, a widget
        that says so.
    """
    check_run(run)
    try:
        return Explorer(RunData(run))
    except InputError as error:
        said = f"There are no neurons to look at: {error}"
    own = _own_run(run)
    shown: list[widgets.Widget] = []
    if own is not None:
        said = f"The run asked for has no table of all neurons. Shown: your own, {own.path.name}."
        shown = [Explorer(RunData(own))]
    message = widgets.VBox([widgets.HTML(STYLE + draw.message(said)), *shown])
    message.add_class("pu-explorer")
    return message


def _own_run(run: Run) -> Run | None:
    """Find an own finished run of the same settings at any scale, the largest first."""
    if not run.config.is_usual:
        return None
    # A published run lies in the book; one's own lie where runs are kept.
    own = replace(run.config, results_dir="")
    found = (finished_run(replace(own, scale=scale)) for scale in reversed(list(SCALES)))
    return next((finished for finished in found if finished is not None), None)


class Explorer(widgets.VBox):
    """The live view of a run.

    Parameters
    ----------
    data : RunData
        The run that is shown first.

    Attributes
    ----------
    data : RunData
        The run of the chosen seed.
    seed : ipywidgets.Dropdown
    controls : NeuronControls
        Condition, stage, layer and unit.
    choices : NeuronList
    layer_map : LayerMap
    status : ipywidgets.HTML
        What went wrong, or what is waited for.
    views : ipywidgets.Tab
        `card`, `sentence` and `comparison`; only the one in front is filled.
    """

    def __init__(self, data: RunData) -> None:
        super().__init__()
        self.data = data
        self._opened = {data.run.config.seed: data}
        self._runs = {run.config.seed: run for run in run_group(data.run).runs}
        first = _most_selective(data)
        self.seed = dropdown("seed", sorted(self._runs), data.run.config.seed)
        self.seed.observe(self._guarded(self._change_seed), "value")
        self.controls = NeuronControls(data, first, self._guarded(self._show))
        self.choices = NeuronList(_orders(data), self._guarded(self._show_layer), self._pick)
        self.layer_map = LayerMap(self._pick)
        self.status = widgets.HTML()
        self.card = NeuronCard()
        self.sentence = SentencePanel(self._guarded(self._show_view))
        before = Selected(first.condition, "base", first.layer, first.unit)
        self.comparison = Comparison(data, before, self._guarded(self._show_view))
        panels = [self.card.widget, self.sentence.widget, self.comparison.widget]
        self.views = widgets.Tab(panels, titles=VIEWS, selected_index=0)
        self.views.observe(self._guarded(self._show_view), "selected_index")
        self.add_class("pu-explorer")
        style = widgets.HTML(STYLE + MAP_STYLE)
        self.children = (style, self._controls(), self.status, self.views)
        self._guarded(self._show)()

    def _controls(self) -> widgets.Widget:
        condition, *rest = self.controls.fields
        fields = [condition, self.seed, *rest, self.choices.order, self.choices.units]
        folding = widgets.Accordion([self.layer_map.widget], titles=("Map of the layer",))
        folding.selected_index = 0
        return wrapped([widgets.VBox(fields, layout=COLUMN), folding])

    def _guarded(self, act: Callable[[], None]) -> Callable[..., None]:
        """Make an observer that says what goes wrong instead of raising it."""

        def observer(*_: Any) -> None:
            self._say(self.data.missing)
            try:
                act()
            except (InputError, OSError) as error:
                self._say(str(error))

        return observer

    def _pick(self, unit: int) -> None:
        self.controls.unit.value = unit

    def _change_seed(self) -> None:
        seed = self.seed.value
        if seed not in self._opened:
            self._say(f"Opening the run with seed {seed}.")
            self._opened[seed] = RunData(self._runs[seed])
        self.data = self._opened[seed]
        self._say(self.data.missing)
        self._show()

    def _show(self) -> None:
        # The map first: it needs no activations, and a condition that was never read takes seconds.
        self._show_layer()
        self._show_view()

    def _show_layer(self) -> None:
        at = self.controls.selected
        layer, order = self.data.layer(at), self.choices.order.value
        activation = self.data.concept_activation(at) if order == "activation" else None
        self.choices.show(views.sorted_neurons(layer, order, activation), at.unit)
        self.layer_map.show(layer, at.stage, self.data.run.config.label, at.unit)

    def _show_view(self) -> None:
        at = self.controls.selected
        self.data.history(at)  # a unit that there is not is an InputError
        self._open(at.condition)
        if self.views.selected_index == VIEWS.index("Compare"):
            self._open(self.comparison.controls.selected.condition)
            self.comparison.show(self.data, at)
        elif self.views.selected_index == VIEWS.index("Sentence"):
            if not self.data.missing and not self.data.has_models(at.condition):
                self._say("Loading the three models; this takes a few seconds.")
            self.sentence.show(self.data, at)
            self._say(self.data.missing)
        else:
            self.card.show(self.data, at)

    def _open(self, condition: str) -> None:
        if not self.data.missing and not self.data.is_open(condition):
            self._say("Reading what the neurons do on every word; the first time it takes longer.")
            self.views.add_class(WAITING)
            try:
                self.data.load_activations(condition)
            finally:
                self.views.remove_class(WAITING)
            self._say("")

    def _say(self, text: str) -> None:
        self.status.value = draw.message(text)


def _orders(data: RunData) -> list[str]:
    return [name for name in views.ORDERS if name != "activation" or not data.missing]


def _most_selective(data: RunData) -> Selected:
    """Begin with the neuron that the concept's words excite most selectively at the end."""
    condition = next(iter(data.tables))
    rows = data.tables[condition]
    best = rows[rows["stage"] == FIRST_STAGE].sort_values("selectivity").iloc[-1]
    return Selected(condition, FIRST_STAGE, int(best["layer"]), int(best["unit"]))


EXAMPLE = "Peter Blackburn flew from Brussels to meet the European Commission."
MOST_CHARACTERS = 2000
_WORDS = re.compile(r"(?:[A-Z]\.){2,}|\w+(?:[-'’.]\w+)*|[^\w\s]")


class NeuronCard:
    """Everything about one neuron at one stage.

    Parameters
    ----------
    short : bool
        Without sentences and without the course of σ, to stand beside another card.
    """

    def __init__(self, short: bool = False) -> None:
        self._short = short
        self.heading, self.words, self.charts, self.sentences, self.profile = (
            widgets.HTML() for _ in range(5)
        )
        parts = [self.heading, self.words, self.charts, self.sentences, self.profile]
        layout = {"width": "min(100%, 27rem)"} if short else {}
        self.widget = widgets.VBox(parts, layout=layout)

    def show(self, data: RunData, at: Selected) -> None:
        """Fill the card; where activations are not kept, with what the tables hold."""
        history, profile = data.history(at), data.profile(at)
        charts = []
        self.heading.value = draw.heading(at, history, data.run.config.label, data.n_neurons)
        self.profile.value = draw.profile_table(profile, history)
        if data.missing:
            row = history[history["stage"] == at.stage].iloc[-1]
            self.words.value = draw.listed_words(row["words"], row["words_low"])
        else:
            activations = data.activations(at)
            ends = views.both_ends(activations, data.words, k=8 if self._short else 10)
            self.words.value = draw.word_lists(ends)
            if not self._short:
                shown = views.words_in_sentences(activations, data.corpus)
                self.sentences.value = draw.sentences(shown)
            histogram = views.activation_histogram(activations, data.classes)
            charts.append(draw.activation_spread(histogram))
        if not self._short:
            charts.append(draw.selectivity_course(profile))
        drawn = "".join(f"<div>{chart}</div>" for chart in charts)
        self.charts.value = f'<div class="pu-row">{drawn}</div>'


class Comparison:
    """A second neuron, or the same at another stage, beside the one that is looked at.

    Parameters
    ----------
    data : RunData
    chosen : Selected
        The second neuron at first.
    changed : callable
        Called when the user chooses another.
    """

    def __init__(self, data: RunData, chosen: Selected, changed: Callable[[], None]) -> None:
        self.controls = NeuronControls(data, chosen, changed)
        self.left, self.right = NeuronCard(short=True), NeuronCard(short=True)
        note = widgets.HTML("<p>Left: the neuron chosen above. Right: the one chosen here.</p>")
        fields = [widgets.VBox([field], layout=COLUMN) for field in self.controls.fields]
        cards = wrapped([self.left.widget, self.right.widget])
        self.widget = widgets.VBox([note, wrapped(fields), cards])

    def show(self, data: RunData, at: Selected) -> None:
        """Fill both cards."""
        self.left.show(data, at)
        self.right.show(data, self.controls.selected)


class SentencePanel:
    """A sentence of one's own, and what the neuron does on each of its words in three models.

    Parameters
    ----------
    changed : callable
        Called when the user has typed another sentence, or asks again.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.text = widgets.Text(
            value=EXAMPLE, description="sentence", continuous_update=False,
            layout={**FIELD, "max_width": "44rem"}, style=DESCRIBED,
        )  # fmt: skip
        self.ask = widgets.Button(description="See the response")
        self.answer = widgets.HTML()
        self.text.observe(lambda _: changed(), "value")
        self.ask.on_click(lambda _: changed())
        self.widget = widgets.VBox([self.text, self.ask, self.answer])

    def show(self, data: RunData, at: Selected) -> None:
        """Fill the answer, or say why there is none."""
        try:
            words = words_of(self.text.value)
            self.answer.value = draw.responses(data.respond(at, words))
        except InputError as error:
            self.answer.value = draw.message(str(error))


def words_of(text: str) -> tuple[str, ...]:
    """Cut a typed text into words and marks, much as CoNLL-2003 does; 2,000 characters at most."""
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"the sentence has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read here"
        )
    # Half of a surrogate pair cannot be encoded, and no tokenizer takes it.
    words = tuple(_WORDS.findall(text.encode("utf-8", "replace").decode("utf-8")))
    if not words:
        raise InputError("the sentence has no words; type some")
    return words
