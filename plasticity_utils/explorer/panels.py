"""The explorer's views: a neuron's card, two of them, a sentence of one's own, the corpus searched.

Each view is filled anew by `show`; what is wrong with what was typed is said in the view.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np

from plasticity_utils.errors import InputError
from plasticity_utils.explorer import draw, figures, tables
from plasticity_utils.explorer.controls import (
    COLUMN,
    DESCRIBED,
    FIELD,
    NeuronControls,
    Quiet,
    dropdown,
    wrapped,
)
from plasticity_utils.explorer.data import Opened, Selected

EXAMPLE = "Peter Blackburn flew from Brussels to meet the European Commission."
MOST_CHARACTERS = 2000
MOST_FACTOR = 10
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
        self.heading, self.words, self.charts, self.sentences, self.profile, self.foot = (
            widgets.HTML() for _ in range(6)
        )
        self._parts = [self.heading, self.words, self.charts, self.sentences, self.profile]
        layout = {"flex": "1 1 18rem", "max_width": "27rem", "min_width": "0"} if short else {}
        self.widget = widgets.VBox([*self._parts, self.foot], layout=layout)

    def show(self, data: Opened, at: Selected, beside: Selected | None = None) -> None:
        """Fill the card; where activations are not kept, with what the tables hold.

        Its histograms have the heights of those of the neuron beside it, and where that is the same
        at another stage, their range, too.
        """
        history, profile = data.history(at), data.profile(at)
        charts = []
        self.heading.value = draw.heading(data, at)
        self.profile.value = draw.profile_table(profile, history)
        if data.missing:
            row = history[history["stage"] == at.stage].iloc[-1]
            self.words.value = draw.listed_words(row["words"], row["words_low"])
        else:
            activations = data.activations(at)
            self.words.value = draw.word_lists(tables.both_ends(activations, data.words, k=8))
            if not self._short:
                shown = tables.words_in_sentences(activations, data.corpus, k=3)
                self.sentences.value = draw.sentences(shown, draw.type_colours(data.types))
            compared = [activations] if beside is None else [activations, data.activations(beside)]
            is_same = beside is not None and (at.layer, at.unit) == (beside.layer, beside.unit)
            names = [*data.types, tables.OTHER]
            histograms = [
                tables.activation_histogram(
                    each, data.classes, names, np.concatenate(compared) if is_same else each
                )
                for each in compared
            ]
            tallest = max(float(each["share"].max()) for each in histograms)
            charts.append(figures.activation_spread(histograms[0], tallest))
        if not self._short and not profile.empty and len(history) > 1:
            charts.append(figures.selectivity_course(profile))
        drawn = "".join(f"<div>{chart}</div>" for chart in charts)
        self.charts.value = f'<div class="pu-row">{drawn}</div>'
        if not self._short:
            name = f"layer{at.layer}-unit{at.unit}-{at.condition}-{at.stage}".replace(" ", "-")
            self.foot.value = draw.save_link(self.page(at, data.line(at)), name)

    def asked(self, data: Opened, at: Selected) -> dict[str, Any]:
        """Nothing has to be asked of `explore` to open this view."""
        return {}

    def page(self, at: Selected, code: str) -> str:
        """Return the card as a page of its own."""
        return draw.card_page(at, code, [part.value for part in self._parts])


class Comparison:
    """A second neuron, or the same at another stage, beside the one that is looked at.

    Parameters
    ----------
    data : Opened
    chosen : Selected
        The second neuron at first.
    changed : callable
        Called when the user chooses another.
    """

    def __init__(self, data: Opened, chosen: Selected, changed: Callable[[], None]) -> None:
        self.controls = NeuronControls(data, chosen, changed)
        self.left, self.right = NeuronCard(short=True), NeuronCard(short=True)
        note = widgets.HTML("<p>Left: the neuron chosen beside. Right: the one chosen here.</p>")
        self.together = widgets.HTML()
        fields = [widgets.VBox([field], layout=COLUMN) for field in self.controls.fields]
        cards = wrapped([self.left.widget, self.right.widget])
        self.widget = widgets.VBox([note, wrapped(fields), self.together, cards])

    def show(self, data: Opened, at: Selected) -> None:
        """Fill both cards, and say how far the two go together."""
        other = self.controls.selected
        data.check(other)
        self.left.show(data, at, other)
        self.right.show(data, other, at)
        if not data.missing:
            pair = data.activations(at), data.activations(other)
            alike, shared = tables.agreement(*pair), tables.shared_words(*pair, data.words, k=8)
            self.together.value = draw.go_together(alike, len(data.words), shared)

    def asked(self, data: Opened, at: Selected) -> dict[str, Any]:
        """What `explore` is asked for to open this view."""
        first, other = data.place(at), data.place(self.controls.selected)
        return {"beside": {name: v for name, v in other.items() if v != first[name]}}


class SentencePanel(Quiet):
    """A sentence of one's own: what the neuron does on each word, and what becomes of the tags.

    Parameters
    ----------
    changed : callable
        Called when the user has typed another sentence, scales the neuron, or asks again.
    open_neuron : callable of int, int
        Called with layer and unit of a neuron that is chosen for a word.
    text : str
        The sentence at first.
    factor : float
        What the neuron is scaled by at first.
    word : int, optional
        Place of the word that is chosen at first; by default where the neuron goes highest.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        open_neuron: Callable[[int, int], None],
        text: str,
        factor: float,
        word: int | None,
    ) -> None:
        self._open_neuron = open_neuron
        self._wanted = word
        self.text = _line("sentence", text)
        self.ask = widgets.Button(description="See the response")
        self.answer = widgets.HTML()
        self.factor = widgets.FloatSlider(
            value=factor, min=0, max=MOST_FACTOR, step=0.5, description="scale it by",
            continuous_update=False, readout_format=".1f", style=DESCRIBED,
            layout={**FIELD, "width": "24rem", "max_width": "100%"},
        )  # fmt: skip
        self.reads = widgets.HTML()
        self.word = dropdown("word", [""], "")
        self.strongest = widgets.Select(
            options=[], rows=8, description="neurons", layout=FIELD, style=DESCRIBED
        )
        for control in (self.text, self.factor, self.word):
            control.observe(lambda _: None if self.quiet else changed(), "value")
        self.ask.on_click(lambda _: changed())
        self.strongest.observe(self._on_choice, "value")
        scaling = widgets.HTML("<h4>Switch the neuron off, or scale it</h4>"
                               "<p>0 holds it at its mean, 1 leaves it as it is.</p>")  # fmt: skip
        firing = widgets.HTML("<h4>From a word to the neurons that fire on it</h4>")
        asked = widgets.VBox([self.word, self.strongest], layout={"width": "min(100%, 24rem)"})
        self.widget = widgets.VBox(
            [self.text, self.ask, self.answer, scaling, self.factor,
             widgets.HTML("<h4>What the head reads from it</h4>"), self.reads, firing, asked]
        )  # fmt: skip

    def show(self, data: Opened, at: Selected) -> None:
        """Fill the answers, or say why there are none."""
        wanted, self._wanted = self._wanted, None
        try:
            words = words_of(self.text.value)
            shown = data.respond(at, words, self.factor.value)
        except InputError as error:
            # Nothing of an earlier sentence stands under the message.
            with self.silent():
                self.word.options, self.word.value = [""], ""
                self.strongest.options = []
            self.answer.value, self.reads.value = draw.message(str(error)), ""
            return
        self.answer.value = draw.responses(shown, draw.type_colours(data.types), self.factor.value)
        self.reads.value = draw.head_table(
            data.head_reads(at), data.n_layers - 1, data.has_tags(at)
        )
        options = [(word, place) for place, word in enumerate(words)]
        with self.silent():
            if options != list(self.word.options):
                highest = int(shown.loc[shown["stage"] == at.stage, "z"].argmax())
                self.word.options = options
                self.word.value = highest if wanted is None else wanted
            found = data.strongest(at, words, self.word.value)
            self.strongest.options = [_neuron_option(row) for row in found.itertuples()]
            chosen = at.layer, at.unit
            known = [value for _, value in self.strongest.options]
            self.strongest.value = chosen if chosen in known else None

    def asked(self, data: Opened, at: Selected) -> dict[str, Any]:
        """What `explore` is asked for to open this view."""
        view = {"sentence": self.text.value, "factor": self.factor.value, "word": self.word.value}
        # A sentence that the model cannot read has no word to choose.
        usual = {"factor": 1, "word": ""}
        return {name: value for name, value in view.items() if value != usual.get(name)}

    def _on_choice(self, change: dict) -> None:
        if not self.quiet and change["new"] is not None:
            self._open_neuron(*change["new"])


class SearchPanel:
    """The sentences of the corpus in which some words stand.

    Parameters
    ----------
    changed : callable
        Called when the user looks for something else.
    text : str
        What is looked for at first.
    """

    def __init__(self, changed: Callable[[], None], text: str) -> None:
        self.text = _line("find", text)
        self.answer = widgets.HTML()
        self.text.observe(lambda _: changed(), "value")
        self.widget = widgets.VBox([self.text, self.answer])

    def show(self, data: Opened, at: Selected) -> None:
        """Fill the answer, or say why there is none."""
        if not self.text.value.strip():
            self.answer.value = draw.SEARCHED.format(
                n_sentences=len(data.corpus), most=tables.MOST_FOUND
            )
            return
        try:
            phrase = words_of(self.text.value)
            found = tables.found_in_sentences(data.activations(at), data.corpus, phrase)
            if found.empty:
                raise InputError(f"none of {len(data.corpus):,} sentences has {' '.join(phrase)!r}")
            self.answer.value = draw.sentences(found, draw.type_colours(data.types))
        except InputError as error:
            self.answer.value = draw.message(str(error))

    def asked(self, data: Opened, at: Selected) -> dict[str, Any]:
        """What `explore` is asked for to open this view."""
        return {"find": self.text.value}


def _line(name: str, text: str) -> widgets.Text:
    return widgets.Text(
        value=text, description=name, continuous_update=False,
        layout={**FIELD, "max_width": "44rem"}, style=DESCRIBED,
    )  # fmt: skip


def _neuron_option(row: Any) -> tuple[str, tuple[int, int]]:
    place = f"layer {row.layer}, unit {row.unit}"
    return f"{place}: z = {draw.short(row.z, True)}", (int(row.layer), int(row.unit))


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
