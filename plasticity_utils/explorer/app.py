"""Look inside a finished run, or any model: a live view of its neurons, for whoever has a kernel.

People understand a neuron by looking at it. For one neuron this shows which words excite and which
silence it, its activation by class of word, whole sentences shaded by it, its σ for every concept
through the run, and its gain; beside it a second neuron, or the same at another stage. Type a
sentence, and see the neuron answer and the model tag it, with the neuron as it is, off or scaled.

It is made of core ipywidgets alone, so it works in JupyterLab, Notebook 7 and VS Code without any
extension but that of ipywidgets. Everything shown is put into widgets that observers fill anew: no
cell is run again, and what goes wrong is said in the widget. Where a front end has no widgets, the
first card stands there as it is, and what is missing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from plasticity_utils import files
from plasticity_utils.errors import InputError, check_kind, check_whole, is_number, shown
from plasticity_utils.experiment.presets import SCALES
from plasticity_utils.experiment.record import Run, check_run, finished_run
from plasticity_utils.explorer import draw, tables
from plasticity_utils.explorer.controls import (
    COLUMN,
    LayerMap,
    NeuronControls,
    NeuronList,
    choice,
    map_of_peaks,
    map_of_stages,
)
from plasticity_utils.explorer.data import Opened, RunData, Selected
from plasticity_utils.explorer.opening import open_model
from plasticity_utils.explorer.panels import (
    EXAMPLE,
    MOST_FACTOR,
    Comparison,
    NeuronCard,
    SearchPanel,
    SentencePanel,
    words_of,
)
from plasticity_utils.explorer.style import MAP_STYLE, STYLE

# The views, and by which argument of `explore` each is opened.
OPENED_BY = {"Neuron": "", "Sentence": "sentence", "Corpus": "find", "Compare": "beside"}
VIEWS = tuple(OPENED_BY)
# The style of what stands there until what was asked for is read.
WAITING = "pu-waiting"
NO_WIDGETS = (
    "This program shows no widgets, so this card does not change. ipywidgets must be installed "
    "beside the program that shows the notebook (the server), too; then open the page anew."
)


def explore(
    run: Run | None = None,
    *,
    model: Any = None,
    sentences: Any = None,
    tags: str = "",
    concept: str = "",
    condition: str = "",
    stage: str = "",
    layer: int | None = None,
    unit: int | None = None,
    order: str = "",
    sentence: str | None = None,
    factor: float = 1.0,
    word: int | None = None,
    find: str | None = None,
    beside: Mapping[str, Any] | None = None,
) -> widgets.VBox:
    """Look at the neurons of a finished run, or of any model, live.

    Parameters
    ----------
    run : Run, optional
        From `run_experiment` or `load_run`. Other seeds of the same settings are found beside it.
        Where the run's models are kept too, activations of the words are computed once (seconds to
        a minute a stage) and kept beside the run; where not, the tables are shown. A published run
        has no table of all neurons; in its place your own run of another scale is shown, if there
        is a finished one.
    model : str, Path or pair, optional
        In place of a run: a name for `load_model`, or a model and its tokenizer, such as
        `run.model("end")`. What is removed from it is in force.
    sentences : Corpus or sequence, optional
        With `model`: texts, sentences of words, or a corpus of `load_corpus`, whose types then have
        σ; by default 500 sentences of `conll2003`.
    tags : str
        With `model`: the column of the corpus whose tags are its types; by default `entity`, or
        else the first.
    concept : str
        With `model`: the type that is looked for, or `words:Monday,Tuesday`; by default the most
        frequent type. Without types and words there is no σ.
    condition, stage : str
        Of a run, what is shown first; by default the first condition, at the end.
    layer, unit : int, optional
        The neuron that is shown first; by default the one that tells the concept best.
    order : str
        What the list of neurons is sorted by at first, as it is named there.
    sentence : str, optional
        Open the view of this sentence.
    factor : float
        With `sentence`: the neuron's distance from its mean is multiplied by this, from 0 (switched
        off) to 10.
    word : int, optional
        With `sentence`: the place, from 0, of the word whose neurons are listed.
    find : str, optional
        Open the view of the corpus, and find these words in it.
    beside : mapping, optional
        Open the view that compares two neurons; `condition`, `stage`, `layer` and `unit` of the
        second, where they are not the first's.

    Returns
    -------
    Explorer
        Shows itself at the end of a notebook's cell; where there is nothing to look at, a widget
        that says so.

    Raises
    ------
    InputError
        Neither a run nor a model, or both; two views at once; a condition, stage, neuron, order or
        word that there is not; and what `load_model` and `word_activations` refuse.
    """
    view: dict[str, Any] = {"condition": condition, "stage": stage, "layer": layer, "unit": unit}
    view |= {"order": order, "sentence": sentence, "factor": factor, "word": word}
    view |= {"find": find, "beside": beside}
    if model is not None:
        if run is not None:
            raise InputError("explore takes a run or a model, not both")
        return Explorer(open_model(model, sentences, tags, concept), **view)
    check_run(run)
    if sentences is not None or tags or concept:
        raise InputError("sentences, tags and concept are of model=…; a run has its own")
    return _explore_run(run, view)  # type: ignore[arg-type]


def _explore_run(run: Run, view: dict[str, Any]) -> widgets.VBox:
    """Look into a run, or into one's own in its place, or say that there is nothing to see."""
    try:
        data = RunData(run)
    except InputError as error:
        said = f"There are no neurons to look at: {error}. A model alone: pu.explore(model=…)."
    else:
        return Explorer(data, **view)
    own = _own_run(run)
    if own is None:
        return _Shown([widgets.HTML(STYLE + draw.message(said))], said)
    said = f"The run asked for has no table of all neurons. Shown: your own, {own.path.name}."
    explorer = Explorer(RunData(own), **view)
    return _Shown([widgets.HTML(STYLE + draw.message(said)), explorer], said)


def _own_run(run: Run) -> Run | None:
    """Find an own finished run of the same settings at any scale, the largest first."""
    for scale in reversed(list(SCALES)):
        try:
            # A published run lies in the book; one's own lie where runs are kept.
            own = finished_run(replace(run.config, results_dir="", scale=scale))
        except InputError:
            # Its model or its files are not here.
            return None
        if own is not None:
            return own
    return None


class _Shown(widgets.VBox):
    """Widgets with a text for where there are none."""

    def __init__(self, children: list[widgets.Widget], text: str) -> None:
        super().__init__(children)
        self._text = text
        self.add_class("pu-explorer")

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        text, html = self._without_widgets()
        data.update({"text/plain": text, "text/html": html})
        return bundle

    def _without_widgets(self) -> tuple[str, str]:
        """What stands where a front end has no widgets, as text and as HTML."""
        inside = [child for child in self.children if isinstance(child, _Shown)]
        texts, pages = zip(
            (self._text, STYLE + draw.message(self._text)),
            *(child._without_widgets() for child in inside),
            strict=True,
        )
        return "\n".join(texts), f'<div class="pu-explorer">{"".join(pages)}</div>'


class Explorer(_Shown):
    """The live view of a run or a model.

    Parameters
    ----------
    data : Opened
        What is shown first.
    condition, stage, layer, unit, order, sentence, factor, word, find, beside
        See `explore`.

    Attributes
    ----------
    data : Opened
        The run of the chosen seed, or the model.
    seed : ipywidgets.Dropdown
    controls : NeuronControls
        Condition, stage, layer and unit.
    choices : NeuronList
    layer_map : LayerMap
    status : ipywidgets.HTML
        What went wrong, or what is waited for.
    views : ipywidgets.Tab
        `card`, `sentence`, `search` and `comparison`; only the one in front is filled.
    line : ipywidgets.HTML
        The line of Python that opens this view again.
    """

    def __init__(
        self,
        data: Opened,
        condition: str = "",
        stage: str = "",
        layer: int | None = None,
        unit: int | None = None,
        order: str = "",
        sentence: str | None = None,
        factor: float = 1.0,
        word: int | None = None,
        find: str | None = None,
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__([], NO_WIDGETS)
        self.data = data
        front = _in_front({"sentence": sentence, "find": find, "beside": beside})
        _check_sentence(sentence, factor, word)
        asked = {"condition": condition, "stage": stage, "layer": layer, "unit": unit}
        first = _asked(data, data.first(), asked)
        other = _beside(data, first, beside)
        self._opened = {seed: data for seed in data.runs if data.runs[seed] is _run_of(data)}
        seeds = sorted(data.runs) or [0]
        self.seed = choice("seed", seeds, next(iter(self._opened), 0))
        self.seed.observe(self._guarded(self._change_seed), "value")
        self.controls = NeuronControls(data, first, self._guarded(self._show))
        orders = _orders(data)
        if order != "" and order not in orders:
            raise InputError(f"unknown order {shown(order)}; allowed: {', '.join(orders)}")
        self.choices = NeuronList(orders, order, self._guarded(self._show_layer), self._pick)
        self.layer_map = LayerMap(self._pick, crossed=len(data.stages) > 1)
        self.status = widgets.HTML()
        self.card = NeuronCard()
        again = self._guarded(self._show_view)
        typed = EXAMPLE if sentence is None else sentence
        self.sentence = SentencePanel(again, self._open_neuron, typed, factor, word)
        self.search = SearchPanel(again, find or "")
        self.comparison = Comparison(data, other, again)
        self.line = widgets.HTML()
        self._panels = (self.card, self.sentence, self.search, self.comparison)
        views = [panel.widget for panel in self._panels]
        self.views = widgets.Tab(views, titles=VIEWS, selected_index=front)
        self.views.observe(again, "selected_index")
        sides = widgets.Box([self._side(), widgets.VBox([self.status, self.views, self.line])])
        sides.add_class("pu-sides")
        self.children = (widgets.HTML(STYLE + MAP_STYLE), sides)
        self._guarded(self._show)()

    def save_card(self, path: str | Path) -> Path:
        """Write the card of the neuron that is chosen as a page that needs nothing beside it."""
        at, place = self.controls.selected, files.path_of(path, "path")
        files.check_place(place, "path")
        self.card.show(self.data, at)
        with files.whole(place) as page:
            page.write_text(self.card.page(at, self.data.line(at)), encoding="utf-8")
        return place

    def _without_widgets(self) -> tuple[str, str]:
        at = self.controls.selected
        if not self.card.heading.value:
            # Another view is in front.
            self.card.show(self.data, at)
        page = "".join(part.value for part in self.card.widget.children[:-1])
        html = STYLE + draw.message(NO_WIDGETS) + page
        text = "\n".join([NO_WIDGETS, draw.title(at), self._code()])
        return text, f'<div class="pu-explorer">{html}</div>'

    def _side(self) -> widgets.Widget:
        condition, *rest = self.controls.fields
        fields = [condition, self.seed, *rest, self.choices.order, self.choices.units]
        folding = widgets.Accordion([self.layer_map.widget], titles=("Map of the layer",))
        folding.selected_index = 0
        return widgets.VBox([widgets.VBox(fields, layout=COLUMN), folding])

    def _guarded(self, act: Callable[[], None]) -> Callable[..., None]:
        """Make an observer that says what goes wrong instead of raising it."""

        def observer(*_: Any) -> None:
            self._say(self.data.missing)
            try:
                act()
            except (InputError, OSError) as error:
                self._say(str(error))
                self.line.value = ""
            else:
                self.line.value = draw.code_line(self._code())

        return observer

    def _code(self) -> str:
        """Write the line that opens what is in front, as it is now."""
        at = self.controls.selected
        view = self._panels[self.views.selected_index].asked(self.data, at)
        order = self.choices.order
        if order.value != order.options[0]:
            view = {"order": order.value, **view}
        return self.data.line(at, **view)

    def _pick(self, unit: int) -> None:
        self.controls.unit.value = unit

    def _open_neuron(self, layer: int, unit: int) -> None:
        # One change, not two: the neuron of this unit in the old layer is not wanted.
        with self.controls.silent():
            self.controls.layer.value = layer
            self.controls.unit.value = unit
        self._guarded(self._show)()

    def _change_seed(self) -> None:
        seed = self.seed.value
        if seed not in self._opened:
            self._say(f"Opening the run with seed {seed}.")
            self._opened[seed] = RunData(self.data.runs[seed])
        self.data = self._opened[seed]
        self._say(self.data.missing)
        self._show()

    def _show(self) -> None:
        # The map first: it needs no activations, and a condition that was never read takes seconds.
        at = self.controls.selected
        if self.choices.order.value in tables.COMPUTED:
            self._open(at.condition)
        self._show_layer()
        self._show_view()

    def _show_layer(self) -> None:
        at = self.controls.selected
        layer, order = self.data.layer(at), self.choices.order.value
        computed = self.data.computed(order, at) if order in tables.COMPUTED else None
        self.choices.show(tables.sorted_neurons(layer, order, computed), at.unit, order)
        if len(self.data.stages) > 1:
            shown = map_of_stages(layer, at.stage, self.data.label)
        else:
            shown = map_of_peaks(layer, self.data.computed("peak z", at), self.data.label)
        self.layer_map.show(shown, at.unit)

    def _show_view(self) -> None:
        at = self.controls.selected
        self.data.check(at)
        self._open(at.condition)
        panel = self._panels[self.views.selected_index]
        if panel is self.comparison:
            self._open(self.comparison.controls.selected.condition)
        is_new = panel is self.sentence and not self.data.has_models(at.condition)
        if is_new and not self.data.missing:
            self._say("Loading the models; this takes a few seconds.")
        panel.show(self.data, at)
        self._say(self.data.missing)

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


def _run_of(data: Opened) -> Run | None:
    return data.run if isinstance(data, RunData) else None


def _in_front(asked: Mapping[str, Any]) -> int:
    """Place of the view that was asked for among `VIEWS`."""
    wanted = [name for name, value in asked.items() if value is not None]
    for name in wanted:
        kind, called = (Mapping, "a mapping") if name == "beside" else (str, "a text")
        check_kind(asked[name], kind, f"{name} must be {called}")
    if len(wanted) > 1:
        raise InputError(f"{' and '.join(wanted)} each open a view of its own; give one of them")
    return list(OPENED_BY.values()).index(wanted[0] if wanted else "")


def _check_sentence(sentence: Any, factor: Any, word: Any) -> None:
    if not is_number(factor) or not 0 <= factor <= MOST_FACTOR:
        raise InputError(f"factor must be from 0 to {MOST_FACTOR}, not {shown(factor)}")
    given = [f"factor={shown(factor)}"] if factor != 1 else []
    given += [f"word={shown(word)}"] if word is not None else []
    if sentence is None and given:
        raise InputError(f"{' and '.join(given)} without a sentence; needed: sentence=…")
    if word is not None:
        check_whole(word, "word")
        words = words_of(sentence)
        if word >= len(words):
            raise InputError(f"no word {word}; the sentence has words 0 to {len(words) - 1}")


def _asked(data: Opened, first: Selected, asked: Mapping[str, Any]) -> Selected:
    """The neuron that was asked for; what was not said is as `first` has it."""
    given = {name: value for name, value in asked.items() if value is not None and value != ""}
    found = replace(first, **given)
    for name in ("layer", "unit"):
        check_whole(getattr(found, name), name)
    data.check(found)
    return found


def _beside(data: Opened, first: Selected, asked: Mapping[str, Any] | None) -> Selected:
    """What a neuron is compared with; by default itself before, or the next best of its layer."""
    if asked is not None:
        names = list(asdict(first))
        if unknown := [shown(name) for name in asked if name not in names]:
            raise InputError(f"beside: unknown {', '.join(unknown)}; allowed: {', '.join(names)}")
        try:
            return _asked(data, first, asked)
        except InputError as error:
            raise InputError(f"beside: {error}") from None
    if len(data.stages) > 1:
        return replace(first, stage=data.stages[0])
    order = _orders(data)[0]
    computed = data.computed(order, first) if order in tables.COMPUTED else None
    units = tables.sorted_neurons(data.layer(first), order, computed)["unit"]
    others = units[units != first.unit]
    return first if others.empty else replace(first, unit=int(others.iloc[0]))


def _orders(data: Opened) -> list[str]:
    """Orders of a layer's neurons that can be had."""
    orders = list(tables.ORDERS)
    if data.missing:
        orders = [name for name in orders if name not in tables.COMPUTED]
    if not data.label:
        orders = ["peak z", "unit"]
    elif len(data.stages) == 1:
        orders.remove("rise of |σ|")
    return orders
