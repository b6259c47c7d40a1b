"""How a concept may come back: what is in force, where training starts, what trains, what it sees.

Each answers what the others cannot. `targeted` is the question. `random` keeps the removal's
matched control in force, which has nothing to do with the concept. `none` removes nothing and shows
the drift that training alone causes. `head` and `bias` train only the linear classification head,
or its biases alone: what they regain was never lost, only not read. `last_block` and `lora` train
little of the body: its last block, or small matrices beside its weights. `masked` starts from a
model that was taught the task with the concept's tags set to O, `first_time` from the pretrained
weights: neither ever knew the concept, so what `targeted` is sooner at was kept, and what it is not
was learned. `few_shot_8` … show it that many sentences, `without_concept` none that has the
concept, `other_names` one half of the concept's names, with the other half to be found. `tweets`
shows it tweets in place of the news in which it is scored. Those that end in `_masked` show the
same to a model that never knew the concept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from torch import nn
from transformers import PreTrainedModel

from plasticity_utils.data.concepts import members
from plasticity_utils.data.corpus import WNUT16, Corpus, load_corpus
from plasticity_utils.data.schemes import OUTSIDE
from plasticity_utils.errors import InputError, check_fraction, check_kind
from plasticity_utils.models.layers import layers_of
from plasticity_utils.models.load import head
from plasticity_utils.names import HEAD_RATE
from plasticity_utils.training.lora import LORA_RATE, adapters, merge_adapters
from plasticity_utils.training.train import train_only

IN_FORCE = ("removal", "control", "nothing")
STARTS = ("base", "pretrained", "masked")
# A few sentences are a single batch: they are shown again until there are so many.
FEW_SHOT_SHOWN = 2048
# What the types of tweets are called in news; others have no counterpart there.
NEWS_TYPES = {"person": "PER", "geo-loc": "LOC", "company": "ORG", "sportsteam": "ORG"}


def whole_model(model: PreTrainedModel) -> Iterable[nn.Parameter]:
    """All parameters, gains that may grow back included."""
    return model.parameters()


def only_head(model: PreTrainedModel) -> Iterable[nn.Parameter]:
    """The parameters of the linear classification head."""
    return head(model).parameters()


def only_bias(model: PreTrainedModel) -> Iterable[nn.Parameter]:
    """The biases of the linear classification head: was only a threshold moved?"""
    bias = head(model).bias
    if bias is None:
        raise InputError("the head of this model has no biases, so they cannot train alone")
    return [bias]


def last_block(model: PreTrainedModel) -> Iterable[nn.Parameter]:
    """The last block, any norm after it, and the head."""
    layers = layers_of(model)
    blocks = [module for module in layers if any(True for _ in module.children())]
    found = [*layers[layers.index(blocks[-1]) :], head(model)]
    return [parameter for module in found for parameter in module.parameters()]


def all_sentences(corpus: Corpus, concept: str) -> Corpus:
    """Every sentence, as it is."""
    return corpus


def without_concept(corpus: Corpus, concept: str) -> Corpus:
    """Sentences with no word of the concept."""
    return _where(corpus, concept, lambda names: not names)


def with_names_of_one_half(corpus: Corpus, concept: str) -> Corpus:
    """Sentences without a name of list B."""
    return _where(corpus, concept, lambda names: not any(map(_is_in_list_b, names)))


def with_names_of_other_half(corpus: Corpus, concept: str) -> Corpus:
    """Sentences without a name of list A."""
    return _where(corpus, concept, lambda names: all(map(_is_in_list_b, names)))


def tweets(corpus: Corpus, concept: str) -> Corpus:
    """Tweets in place of news, with the types that both have; InputError for another concept."""
    if concept not in NEWS_TYPES.values() or concept not in corpus.types():
        raise InputError(
            f"there are no tweets of {concept!r} to train on; allowed: the news types "
            f"{', '.join(dict.fromkeys(NEWS_TYPES.values()))}"
        )
    found = load_corpus(WNUT16)
    tags = [[_in_news(tag) for tag in sentence] for sentence in found.labels["entity"]]
    return replace(found, labels={"entity": tags}, reported=corpus.reported)


def _in_news(tag: str) -> str:
    mark, _, kind = tag.partition("-")
    return f"{mark}-{NEWS_TYPES[kind]}" if kind in NEWS_TYPES else OUTSIDE


@dataclass(frozen=True)
class FewSentences:
    """The first k sentences, in a run's own order, that hold the concept, over and over."""

    k: int

    def __call__(self, corpus: Corpus, concept: str) -> Corpus:
        """Choose them; fewer than k are an InputError."""
        found = _where(corpus, concept, bool)
        if len(found) < self.k:
            raise InputError(
                f"few_shot_{self.k} needs {self.k} training sentences with {concept}; there are "
                f"{len(found)}"
            )
        return found.select([*range(self.k)] * (FEW_SHOT_SHOWN // self.k))


def _where(corpus: Corpus, concept: str, wanted: Callable[[list[str]], bool]) -> Corpus:
    """The sentences whose names of the concept are as wanted."""
    inside = iter(members(corpus, concept).tolist())
    chosen = []
    for number, sentence in enumerate(corpus.sentences):
        flags = [next(inside) for _ in sentence]
        names = [
            " ".join(word for word, _ in group)
            for is_name, group in groupby(zip(sentence, flags, strict=True), key=lambda w: w[1])
            if is_name
        ]
        if wanted(names):
            chosen.append(number)
    return corpus.select(chosen)


def _is_in_list_b(name: str) -> bool:
    """Deal names out by their form, whatever its case: half of all forms are in list B."""
    return hashlib.sha256(name.lower().encode()).digest()[0] % 2 == 1


@dataclass(frozen=True)
class Relearning:
    """A protocol of relearning; a run trains once under each of its protocols.

    Attributes
    ----------
    in_force : {"removal", "control", "nothing"}
        What is in force while it trains.
    start : {"base", "pretrained", "masked"}
        The fine-tuned model; the one that never saw the task; or one that was fine-tuned with the
        concept's tags set to O. The latter two learn the concept for the first time.
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
        if self.learning_rate is not None:
            check_fraction(self.learning_rate, "learning_rate of a protocol must be")
        for name in ("trains", "sees", "scored_on"):
            # What a class defines under the name of a field is never asked.
            usual, own = getattr(Relearning, name), getattr(type(self), name)
            if not callable(getattr(self, name)) or (
                own is not usual and getattr(self, name) is usual
            ):
                raise InputError(
                    f"{name} of a protocol must be a function that it is made with: "
                    f"Relearning({name}=…), not a method"
                )

    @property
    def measures_as_usual(self) -> bool:
        """Whether a model before its training is described as under most protocols."""
        return self.start == "base" and self.scored_on is all_sentences

    @property
    def trains_head(self) -> bool:
        """Whether the linear head trains, all of it and nothing else."""
        return self.trains is only_head

    @property
    def only_reads(self) -> bool:
        """Whether nothing below the head trains: what comes back then was only not read."""
        return self.trains_head or self.trains is only_bias

    @property
    def knows_concept(self) -> bool:
        """Whether what it is depends on the concept, beside what is in force."""
        chosen = {self.sees, self.scored_on}
        return self.start == "masked" or chosen != {all_sentences}


def chosen(what: str, protocol: Relearning, corpus: Corpus, concept: str) -> Corpus:
    """What `sees` or `scored_on` of a protocol leaves of sentences; InputError if nothing."""
    found: Corpus = getattr(protocol, what)(corpus, concept)
    check_kind(found, Corpus, f"{what} of a protocol must give a Corpus")
    if len(corpus) and not len(found):
        raise InputError(f"{what} of a protocol gives no sentences; needed: at least one")
    return found


def check_protocol(
    name: str, protocol: Relearning, model: PreTrainedModel, sentences: Mapping[str, Corpus],
    concept: str,
) -> None:  # fmt: skip
    """Refuse a protocol that trains, sees or is scored on nothing, before anything trains.

    `sentences` has those for training as `sees`, those for scoring as `scored_on`.
    """
    try:
        for what, corpus in sentences.items():
            chosen(what, protocol, corpus, concept)
        train_only(model, protocol.trains(model))
    except InputError as error:
        raise InputError(f"protocol {name!r}: {error}") from error
    finally:
        merge_adapters(model)


TARGETED = Relearning("removal", removed_again=True)
RANDOM = Relearning("control")
NONE = Relearning("nothing", removed_again=True)
HEAD = Relearning("removal", trains=only_head, learning_rate=HEAD_RATE)
BIAS = Relearning("removal", trains=only_bias, learning_rate=HEAD_RATE)
LAST_BLOCK = Relearning("removal", trains=last_block)
LORA = Relearning("removal", trains=adapters, learning_rate=LORA_RATE)
FIRST_TIME = Relearning("removal", start="pretrained")
MASKED = Relearning("removal", start="masked")
WITHOUT_CONCEPT = Relearning("removal", sees=without_concept)
OTHER_NAMES = Relearning("removal", sees=with_names_of_one_half, scored_on=with_names_of_other_half)
OTHER_NAMES_MASKED = replace(OTHER_NAMES, start="masked")
FEW_SHOT_32_MASKED = Relearning("removal", start="masked", sees=FewSentences(32))
TWEETS = Relearning("removal", sees=tweets)
TWEETS_MASKED = Relearning("removal", start="masked", sees=tweets)
FEW_SHOT_8, FEW_SHOT_32, FEW_SHOT_128, FEW_SHOT_512 = (
    Relearning("removal", sees=FewSentences(k)) for k in (8, 32, 128, 512)
)
