"""What the explorer shows: a neuron's card, two cards side by side, a sentence of one's own.

Each panel is a widget with a `show` that fills it. A panel holds no state but what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import ipywidgets as widgets

from plasticity_utils import charts_neuron, neuron_html, neuron_views
from plasticity_utils.errors import InputError
from plasticity_utils.explorer_controls import COLUMN, DESCRIBED, FIELD, NeuronControls, wrapped
from plasticity_utils.explorer_data import RunData, Selected

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
        self.heading.value = neuron_html.heading(at, history, data.run.config.label, data.n_neurons)
        self.profile.value = neuron_html.profile_table(profile, history)
        if data.missing:
            row = history[history["stage"] == at.stage].iloc[-1]
            self.words.value = neuron_html.listed_words(row["words"], row["words_low"])
        else:
            activations = data.activations(at)
            ends = neuron_views.both_ends(activations, data.words, k=8 if self._short else 10)
            self.words.value = neuron_html.word_lists(ends)
            if not self._short:
                shown = neuron_views.words_in_sentences(activations, data.corpus)
                self.sentences.value = neuron_html.sentences(shown)
            histogram = neuron_views.activation_histogram(activations, data.classes)
            charts.append(charts_neuron.activation_spread(histogram))
        if not self._short:
            charts.append(charts_neuron.selectivity_course(profile))
        drawn = "".join(f"<div>{chart}</div>" for chart in charts)
        self.charts.value = f'<div class="pu-row">{drawn}</div>'


class Comparison:
    """A second neuron, or the same at another stage, beside the one that is looked at.

    Parameters
    ----------
    n_layers : int
    chosen : Selected
        The second neuron at first.
    changed : callable
        Called when the user chooses another.
    """

    def __init__(self, n_layers: int, chosen: Selected, changed: Callable[[], None]) -> None:
        self.controls = NeuronControls(n_layers, chosen, changed)
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
            self.answer.value = neuron_html.responses(data.respond(at, words))
        except InputError as error:
            self.answer.value = neuron_html.message(str(error))


def words_of(text: str) -> tuple[str, ...]:
    """Cut a typed text into words and marks, much as CoNLL-2003 does.

    Raises
    ------
    InputError
        If there is no word in it, or it is longer than 2,000 characters.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"the sentence has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read here"
        )
    # Half of a surrogate pair cannot be encoded, and no tokenizer takes it.
    words = tuple(_WORDS.findall(text.encode("utf-8", "replace").decode("utf-8")))
    if not words:
        raise InputError("the sentence has no words; type some")
    return words
