"""Train a concept away: what unlearning does to language models, here to a tagger.

All of these train the model on for some steps, with a loss that asks for two things: that the tags
of the concept's words are forgotten, and that those of all other words are kept. `Relabel` teaches
that the concept's words are no names (tags set to O). `GradientDifference` climbs the loss of the
concept's tags and descends that of the rest (Liu, Liu & Stone 2022, "Continual Learning and Private
Unlearning"; a baseline of TOFU, Maini et al. 2024). `Npo` takes the concept's tags for answers that
are not preferred to those of the model before (Zhang et al. 2024, "Negative Preference
Optimization", with their term for what is to be retained).

The dose is a number of steps: the smallest of `STEPS_TRIED` at which the concept is lost on the
dose part (`dose.pick`). Nothing else bounds the climb of `GradientDifference`: it is stopped. Kept
is the difference of the weights. The control trains as many steps to forget as many random words
that carry a tag and are not of the concept; where there are fewer of those, all of them.

Caveat: tables of embeddings do not train, since the difference would have to hold every word's row.
Dropout is off, the rate is fixed, and nothing decays. The rates were set on one concept
(locations), one model (MiniLM) and one seed (0) at the scale `quick`: there the concept is lost
within the steps, and the others keep most of their F1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from plasticity_utils.data.schemes import OUTSIDE
from plasticity_utils.errors import InputError
from plasticity_utils.hardware import autocast
from plasticity_utils.models.activations import inference_batches, inputs, training_batches
from plasticity_utils.models.load import encode_for, label_ids, label_position
from plasticity_utils.names import OVERALL
from plasticity_utils.progress import bar
from plasticity_utils.removal.changed import ChangedWeights
from plasticity_utils.removal.dose import enough, is_settled, losses, pick
from plasticity_utils.removal.interface import Intervention, Material, Removal
from plasticity_utils.removal.leace import carries_label

STEPS_TRIED = (4, 8, 16, 32, 64, 128, 256)
_BATCH_TOKENS = 1000
# Of the gradient: a longer one is cut to it, as in the training of the base.
LONGEST_GRADIENT = 1.0
# Gives the loss of some sentences, by their numbers.
Objective = Callable[[list[int]], Tensor]


class TrainedRemoval(Removal):
    """A removal that trains the model on; inherit, and say by which loss."""

    by_tags: ClassVar[bool] = True
    makes: ClassVar[type[Intervention]] = ChangedWeights
    learning_rate: float

    def objective(self, on: Material, forget: Bool[np.ndarray, " word"]) -> Objective:
        """Give the loss by which these words are forgotten and all others kept."""
        raise NotImplementedError

    def trained(self, model: PreTrainedModel) -> dict[str, nn.Parameter]:
        """Give the weights that train, by their names: all but tables of embeddings."""
        tables = [m for m in model.modules() if isinstance(m, nn.Embedding)]
        fixed = {id(parameter) for table in tables for parameter in table.parameters()}
        return {name: p for name, p in model.named_parameters() if id(p) not in fixed}

    def fit(self, on: Material) -> ChangedWeights:
        """Train until the concept is lost."""
        parameters, base = self.trained(on.model), _f1(on)
        with _training(on.model, parameters) as before:
            loss_of = self.objective(on, on.is_concept)
            f1: dict[int, pd.Series] = {}
            for step in self._steps(on, loss_of, parameters):
                if step in STEPS_TRIED:
                    f1[step] = _f1(on)
                    table = losses(pd.DataFrame(f1).T.rename_axis("dose"), base, on.concept)
                    if is_settled(table) or step == STEPS_TRIED[-1]:
                        break
            chosen = int(pick(table))
            if chosen != step:
                _put(parameters, before)
                self._train(on, loss_of, parameters, chosen)
            is_lost = chosen in enough(table)["dose"].tolist()
            return ChangedWeights.between(before, parameters, steps=chosen, is_lost=is_lost)

    def control(self, fitted: Intervention, on: Material) -> ChangedWeights:
        """Train as many steps to forget as many random words that are of other types."""
        assert isinstance(fitted, ChangedWeights)
        tags = np.array(on.corpus.word_labels())
        others = np.flatnonzero((tags != OUTSIDE) & ~on.is_concept)
        if not len(others):
            raise InputError(f"all tagged words are {on.concept}, so none is left for a control")
        n_words = min(len(others), int(on.is_concept.sum()))
        forget = np.zeros(len(tags), dtype=bool)
        forget[np.random.default_rng(on.seed).choice(others, n_words, replace=False)] = True
        parameters = self.trained(on.model)
        with _training(on.model, parameters) as before:
            self._train(on, self.objective(on, forget), parameters, fitted.steps)
            return ChangedWeights.between(
                before, parameters, steps=fitted.steps, is_lost=fitted.is_lost
            )

    def _train(
        self, on: Material, loss_of: Objective, parameters: dict[str, nn.Parameter], steps: int
    ) -> None:
        for step in self._steps(on, loss_of, parameters):
            if step == steps:
                return

    def _steps(
        self, on: Material, loss_of: Objective, parameters: dict[str, nn.Parameter]
    ) -> Iterator[int]:
        """Train step by step without end; yields how many there were."""
        weights = list(parameters.values())
        optimizer = torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=0.0)
        encoded = encode_for(on.model, on.tokenizer, on.corpus.sentences)
        lengths = [len(sentence.ids) for sentence in encoded]
        epochs = (training_batches(lengths, _BATCH_TOKENS, 1, on.seed + i)[0] for i in range(10**9))
        with bar(desc="unlearning", total=STEPS_TRIED[-1]) as shown:
            for step, batch in enumerate(chain.from_iterable(epochs), start=1):
                optimizer.zero_grad()
                loss_of(batch).backward()
                nn.utils.clip_grad_norm_(weights, LONGEST_GRADIENT)
                optimizer.step()
                shown.update()
                yield step


@dataclass(frozen=True)
class Relabel(TrainedRemoval):
    """Teach that the concept's words are no names: their tags are O; see this module.

    Attributes
    ----------
    learning_rate : float
    """

    learning_rate: float = 2e-5

    def check(self, model: PreTrainedModel) -> None:
        """Refuse a task in which every word has a tag: what would the concept's be?"""
        if OUTSIDE not in label_ids(model):
            raise InputError(
                f"relabel sets a concept's tags to {OUTSIDE}, which is no tag of this task; "
                "allowed: gradient_difference, npo"
            )

    def objective(self, on: Material, forget: np.ndarray) -> Objective:
        """Cross-entropy of all words, those to be forgotten with the tag O."""
        self.check(on.model)
        words, outside = Words(on, forget), label_ids(on.model)[OUTSIDE]

        def loss(batch: list[int]) -> Tensor:
            told = words.told(batch)
            return nn.functional.nll_loss(told.scores, told.tags.masked_fill(told.forget, outside))

        return loss


@dataclass(frozen=True)
class GradientDifference(TrainedRemoval):
    """Climb the loss of the concept's tags, descend that of the rest; see this module.

    Attributes
    ----------
    learning_rate : float
    """

    learning_rate: float = 2e-5

    def objective(self, on: Material, forget: np.ndarray) -> Objective:
        """Cross-entropy of the words to be kept, less that of those to be forgotten."""
        words = Words(on, forget)

        def loss(batch: list[int]) -> Tensor:
            told = words.told(batch)
            return told.kept + mean_of(told.own, told.forget)

        return loss


@dataclass(frozen=True)
class Npo(TrainedRemoval):
    """Take the concept's tags for answers that are not preferred; see this module.

    Attributes
    ----------
    learning_rate : float
    beta : float
        How soon a word counts as forgotten: the loss of a word is flat where its tag is less likely
        than before by more than some multiples of 1 / beta, in logarithms. Their 0.1 is for whole
        answers; with one tag a word it makes this `GradientDifference`.
    """

    learning_rate: float = 2e-5
    beta: float = 1.0

    def objective(self, on: Material, forget: np.ndarray) -> Objective:
        """2 / β · log(1 + (π / π before)^β) of words to be forgotten; else cross-entropy."""
        words = Words(on, forget)
        before = words.own()

        def loss(batch: list[int]) -> Tensor:
            told = words.told(batch)
            ratio = told.own - torch.cat([before[i] for i in batch])
            return told.kept + mean_of(
                2 / self.beta * nn.functional.softplus(self.beta * ratio), told.forget
            )

        return loss


@dataclass(frozen=True)
class Answers:
    """What a model says of the words of some sentences.

    Attributes
    ----------
    scores : float Tensor, [n_words, n_tags]
        Logarithms of probabilities.
    tags : int Tensor, [n_words]
    forget : bool Tensor, [n_words]
    """

    scores: Float[Tensor, "word tag"]
    tags: Int[Tensor, " word"]
    forget: Bool[Tensor, " word"]

    @property
    def own(self) -> Float[Tensor, " word"]:
        """Logarithm of the probability of each word's tag."""
        return self.scores.gather(1, self.tags[:, None])[:, 0]

    @property
    def kept(self) -> Tensor:
        """Cross-entropy of the words that are not to be forgotten."""
        return -mean_of(self.own, ~self.forget)


class Words:
    """Sentences for a model: the token, the tag, and what is to become of each word."""

    def __init__(self, on: Material, forget: Bool[np.ndarray, " word"]):
        self.model = on.model
        self.encoded = encode_for(on.model, on.tokenizer, on.corpus.sentences)
        last, ids = label_position(on.model) == "last", label_ids(on.model)
        owners = [np.array(sentence.word_of_token) for sentence in self.encoded]
        self.places = [
            torch.from_numpy(np.flatnonzero((own >= 0) & carries_label(own, last)))
            for own in owners
        ]
        lengths = [len(places) for places in self.places]
        tags = torch.tensor([ids[tag] for tag in on.corpus.word_labels()])
        self.tags, self.forget = tags.split(lengths), torch.from_numpy(forget).split(lengths)

    def at_words(self, batch: list[int], states: Tensor) -> Tensor:
        """Of values by sentence and token those of the words, in order."""
        return torch.cat([row[self.places[i]] for row, i in zip(states, batch, strict=True)])

    def told(self, batch: list[int]) -> Answers:
        """Run some sentences through the model as it is."""
        with autocast(self.model.device, self.model.config.model_type):
            logits = self.model(**inputs(self.model, [self.encoded[i] for i in batch])).logits
        scores = self.at_words(batch, logits.float().log_softmax(-1))
        tags, forget = (
            torch.cat([each[i] for i in batch]).to(scores.device)
            for each in (self.tags, self.forget)
        )
        return Answers(scores, tags, forget)

    @torch.no_grad()
    def own(self) -> list[Tensor]:
        """Of each sentence, the logarithms of the probabilities of its words' tags."""
        found: list[Tensor] = [torch.empty(0)] * len(self.encoded)
        for batch in inference_batches([len(each.ids) for each in self.encoded], _BATCH_TOKENS):
            lengths = [len(self.places[i]) for i in batch]
            for i, own in zip(batch, self.told(batch).own.split(lengths), strict=True):
                found[i] = own
        return found


def mean_of(values: Float[Tensor, " word"], chosen: Bool[Tensor, " word"]) -> Tensor:
    """Mean of the chosen values; 0 where none is."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


def _f1(on: Material) -> pd.Series:
    """F1 of each type on the dose part, of the model as it is."""
    f1: pd.Series = on.score().set_index("entity")["entity_f1"].drop(OVERALL, errors="ignore")
    return f1


@contextmanager
def _training(
    model: PreTrainedModel, parameters: dict[str, nn.Parameter]
) -> Iterator[dict[str, Tensor]]:
    """Let these weights train, with dropout off; gives the weights that come back at the end."""
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    was_training = model.training
    model.eval().requires_grad_(False)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    try:
        yield before
    finally:
        _put(parameters, before)
        for parameter, was_required in required:
            parameter.requires_grad_(was_required)
            parameter.grad = None
        model.train(was_training)


@torch.no_grad()
def _put(parameters: dict[str, nn.Parameter], values: dict[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])
