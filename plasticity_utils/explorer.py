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

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from plasticity_utils import neuron_html, neuron_views
from plasticity_utils.errors import InputError
from plasticity_utils.explorer_controls import (
    COLUMN,
    LayerMap,
    NeuronControls,
    NeuronList,
    dropdown,
    wrapped,
)
from plasticity_utils.explorer_data import RunData, Selected
from plasticity_utils.explorer_panels import Comparison, NeuronCard, SentencePanel
from plasticity_utils.explorer_style import MAP_STYLE, STYLE
from plasticity_utils.run import Run
from plasticity_utils.seeds import seeds_of

VIEWS = ("Neuron", "Sentence", "Compare")
FIRST_CONDITION, FIRST_STAGE = "concept", "end"


def explore(run: Run) -> widgets.VBox:
    """Look at the neurons of a finished run, live.

    Parameters
    ----------
    run : Run
        From `run_experiment` or `load_run`. Other seeds of the same settings are found beside it.
        Where the run's models are kept too, activations of the words are computed once (seconds to
        a minute a stage) and kept beside the run; where not, the tables are shown.

    Returns
    -------
    Explorer
        Shows itself at the end of a notebook's cell. A run without its table of all neurons, as the
        published ones, gives a widget that says so.
    """
    try:
        data = RunData(run)
    except InputError as error:
        said = neuron_html.message(f"There are no neurons to look at: {error}")
        message = widgets.VBox([widgets.HTML(STYLE + said)])
        message.add_class("pu-explorer")
        return message
    return Explorer(data)


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
        self._runs = {run.config.seed: run for run in seeds_of(data.run).runs}
        first = _most_selective(data)
        self.seed = dropdown("seed", sorted(self._runs), data.run.config.seed)
        self.seed.observe(self._guarded(self._change_seed), "value")
        self.controls = NeuronControls(data.n_layers, first, self._guarded(self._show))
        self.choices = NeuronList(_orders(data), self._guarded(self._show_layer), self._pick)
        self.layer_map = LayerMap(self._pick)
        self.status = widgets.HTML()
        self.card = NeuronCard()
        self.sentence = SentencePanel(self._guarded(self._show_view))
        before = Selected(first.condition, "base", first.layer, first.unit)
        self.comparison = Comparison(data.n_layers, before, self._guarded(self._show_view))
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
        self._show_view()
        self._show_layer()

    def _show_layer(self) -> None:
        at = self.controls.selected
        layer, order = self.data.layer(at), self.choices.order.value
        activation = self.data.concept_activation(at) if order == "activation" else None
        self.choices.show(neuron_views.in_order(layer, order, activation), at.unit)
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
            self.data.load_activations(condition)
            self._say("")

    def _say(self, text: str) -> None:
        self.status.value = neuron_html.message(text)


def _orders(data: RunData) -> list[str]:
    return [name for name in neuron_views.ORDERS if name != "activation" or not data.missing]


def _most_selective(data: RunData) -> Selected:
    """Begin with the neuron that is most selective at the end."""
    rows = data.tables[FIRST_CONDITION]
    best = rows[rows["stage"] == FIRST_STAGE].sort_values("rank").iloc[0]
    return Selected(FIRST_CONDITION, FIRST_STAGE, int(best["layer"]), int(best["unit"]))
