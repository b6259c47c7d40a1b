"""How a concept may come back: what is in force, where training starts, what trains, what it sees.

Each answers what the others cannot. `targeted` is the question. `random` keeps the removal's
matched control in force, which has nothing to do with the concept. `none` removes nothing and shows
the drift that training alone causes. `head` trains only the linear classification head: what it
regains was never lost, only not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.models.load import head

IN_FORCE, STARTS = ("removal", "control", "nothing"), ("base", "pretrained")
# Adam moves a weight by at most the sum of its rates: at the whole model's rate a linear layer by
# itself has not converged when the training ends, and what it could have read would pass for
# relearned. The more so where the whole model's rate is low.
HEAD_RATE = 2e-3


def whole_model(model: PreTrainedModel) -> Iterable[nn.Parameter]:
    """All parameters, gains that may grow back included."""
    return model.parameters()


def only_head(model: PreTrainedModel) -> Iterable[nn.Parameter]:
    """The parameters of the linear classification head."""
    return head(model).parameters()


def all_sentences(corpus: Corpus, concept: str) -> Corpus:
    """Every sentence, as it is."""
    return corpus


@dataclass(frozen=True)
class Relearning:
    """A protocol of relearning; a run trains once under each of its protocols.

    Attributes
    ----------
    in_force : {"removal", "control", "nothing"}
        What is in force while it trains.
    start : {"base", "pretrained"}
        The fine-tuned model, or the one that never saw the task: a first-time learner.
    trains : callable
        For a model the parameters that train; all others are frozen.
    sees : callable
        For the training sentences and the concept's tag the sentences that are trained on.
    scored_on : callable
        For the scoring sentences and the concept's tag those on which F1 is reported.
    learning_rate : float or None
        Peak rate; None for the model's own.
    removed_again : bool
        Whether the concept is removed once more at the end, to see what the model relies on.
    """

    in_force: str = "removal"
    start: str = "base"
    trains: Callable[[PreTrainedModel], Iterable[nn.Parameter]] = whole_model
    sees: Callable[[Corpus, str], Corpus] = all_sentences
    scored_on: Callable[[Corpus, str], Corpus] = all_sentences
    learning_rate: float | None = None
    removed_again: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("in_force", IN_FORCE), ("start", STARTS)):
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} of a protocol is {getattr(self, name)!r}; allowed: "
                    f"{', '.join(allowed)}"
                )

    @property
    def measures_as_usual(self) -> bool:
        """Whether a model before its training is described as under most protocols."""
        return self.start == "base" and self.scored_on is all_sentences


TARGETED = Relearning("removal", removed_again=True)
RANDOM = Relearning("control")
NONE = Relearning("nothing", removed_again=True)
HEAD = Relearning("removal", trains=only_head, learning_rate=HEAD_RATE)
