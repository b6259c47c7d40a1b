"""What a way of taking a concept out must offer, and what comes of it.

A `Removal` is fitted on a model and its words and gives an `Intervention`: plain arrays that can be
put in force on a model, undone, kept on disk and loaded. Its *control* is matched to it: the same
kind of intervention, as large, which has nothing to do with the concept. Only what the removal
takes beyond its control says something about the concept.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.concepts import members
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError, shown
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import count_layers, width
from plasticity_utils.neurons.inputs import as_pairs

# Controls that are fitted anew take minutes and not seconds a draw.
CONTROLS_FITTED = 3
NO_NEURONS = np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class Material:
    """What a removal is fitted on.

    Attributes
    ----------
    model, tokenizer
        From `load_model`, with whatever is removed already.
    corpus : Corpus
        Training sentences.
    concept : str
        The concept's tag, for instance `LOC`.
    seed : int
        Of everything that is drawn.
    rank : callable
        For the name of a ranking the model's neurons, one row each in flat order: layer, unit,
        `rank_<name>` (0 = best) and mean (activation over all words of the ranking part).
    gone : int array, [n_gone, 2]
        (layer, unit) pairs that are removed already.
    score : callable
        Scores the model, as it is at the call, on the dose part, which is there for nothing but to
        find how much to take: entity, precision, recall, entity_f1, … for each type.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    corpus: Corpus
    concept: str
    seed: int
    rank: Callable[[str], pd.DataFrame]
    gone: Int[np.ndarray, "gone 2"]
    score: Callable[[], pd.DataFrame]

    @property
    def is_concept(self) -> Bool[np.ndarray, " word"]:
        """Tell which words of the corpus are of the concept."""
        return members(self.corpus, self.concept)

    @cached_property
    def activations(self) -> Float[np.ndarray, "word layer unit"]:
        """Activations of the model on the words of the corpus, at every layer."""
        X = word_activations(self.model, self.tokenizer, self.corpus.sentences)
        return X.reshape(len(X), -1, width(self.model))

    def drawn(self, draw: int) -> Material:
        """Return the same with the seed of the n-th random draw."""
        return replace(self, seed=draw_seed(self.seed, draw))


@runtime_checkable
class Intervention(Protocol):
    """What a removal made, ready to be put in force; inherit, in a dataclass.

    Its fields are arrays, texts, numbers, True or False: they are kept on disk and loaded.
    """

    # Units that are removed, (layer, unit) pairs [n_removed, 2]; a field where there are any.
    neurons: np.ndarray = NO_NEURONS

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Else a dataclass takes the array here, which can change, for the field's default.
        if "neurons" in inspect.get_annotations(cls) and "neurons" not in vars(cls):
            cls.neurons = field()

    def applied(self, model: PreTrainedModel) -> AbstractContextManager[Any]:
        """Put it in force on a model until the context ends; then the model is as before.

        The context's value may be an `InForce`, where gains of removed units can train.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """Return what a run's `config.json` says of it beside the number of neurons, as JSON."""
        return {}

    def key(self) -> dict[str, Any]:
        """Return what stands for it in the key of a stage, as JSON values."""
        return {name: _key(value) for name, value in self._parts().items()}

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        parts = {name: np.asarray(value) for name, value in self._parts().items()}
        np.savez(folder / "intervention.npz", **parts)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path) -> Any:
        """Read what `save` wrote."""
        with np.load(folder / "intervention.npz", allow_pickle=False) as found:
            parts = {name: found[name] for name in found.files}
        return cls(**{name: part if part.ndim else part.item() for name, part in parts.items()})

    def _parts(self) -> dict[str, Any]:
        own: Any = self
        return {part.name: getattr(self, part.name) for part in fields(own)}


@runtime_checkable
class Removal(Protocol):
    """A way of taking a concept out; inherit. Its settings are the parameters it is made with."""

    makes: ClassVar[type[Intervention]]
    # Whether it is fitted by tags and by `Material.score`: then the concept must be a tag.
    by_tags: ClassVar[bool] = False

    def check(self, model: PreTrainedModel) -> None:
        """Raise InputError for a kind of model that it is not for; here none."""

    def fit(self, on: Material) -> Intervention:
        """Find out what to take."""
        ...

    def control(self, fitted: Intervention, on: Material) -> Intervention:
        """Make the matched counterpart of what was fitted, drawn under `on.seed`."""
        ...

    def again(
        self, fitted: Intervention, on: Material, draws: int
    ) -> Iterator[tuple[str, int, Intervention]]:
        """Yield what is taken once more at the end of a retraining: (name, draw, intervention).

        Here the same, one fitted on the model as it is now, and that one's controls, each made only
        when it is asked for.
        """
        yield "same", 0, fitted
        anew = self.fit(on)
        yield "refitted", 0, anew
        for draw in range(min(CONTROLS_FITTED, draws)):
            yield "random", draw, self.control(anew, on.drawn(draw))


@runtime_checkable
class InForce(Protocol):
    """An intervention in force whose removed units have gains, which training may raise."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the gains that train at a rate of their own."""
        ...

    def gains(self) -> Float[np.ndarray, "removed"]:
        """Return the gains of the removed units, in their order; 0 is removed."""
        ...

    def set_gains(self, values: Float[np.ndarray, "removed"]) -> None:
        """Give units that grew back the gains with which their training ended."""
        ...


class _Fixed:
    """In force where gains stay as they are."""

    def __init__(self, n_removed: int):
        self.n_removed = n_removed

    def parameters(self) -> Iterator[nn.Parameter]:
        yield from ()

    def gains(self) -> np.ndarray:
        return np.zeros(self.n_removed, dtype=np.float32)

    def set_gains(self, values: np.ndarray) -> None:
        pass


def check_made(made: Any, model: PreTrainedModel) -> None:
    """Raise InputError for what a removal gives that cannot be put in force, kept and loaded."""
    if not isinstance(made, Intervention) or not is_dataclass(made):
        raise InputError(
            f"the removal gives {shown(made)}; needed: an Intervention that is a dataclass"
        )
    kind = type(made).__name__
    for part in fields(made):
        value = getattr(made, part.name)
        if _is_kept(value):
            continue
        raise InputError(
            f"{part.name} of {kind} is {shown(value)}; needed: an array, a text, a number, True or "
            "False"
        )
    if np.shape(made.neurons)[1:] != (2,):
        raise InputError(
            f"neurons of {kind} are {shown(made.neurons)}; needed: (layer, unit) pairs, an array "
            "[n_removed, 2]"
        )
    if len(made.neurons):
        as_pairs(made.neurons, count_layers(model), width(model))
    facts = made.facts()
    try:
        json.dumps(facts)
    except (TypeError, ValueError) as error:
        raise InputError(f"facts of {kind} are {shown(facts)}, no JSON: {error}") from None
    if not isinstance(facts, dict):
        raise InputError(f"facts of {kind} are {shown(facts)}; needed: a dictionary")


def _is_kept(value: Any) -> bool:
    """Whether `save` can write a value so that `load` can read it."""
    try:
        return not np.asarray(value).dtype.hasobject
    except ValueError:
        return False


def given_again(given: Any, model: PreTrainedModel) -> Iterator[tuple[str, int, Intervention]]:
    """Yield what `again` of a removal gives; InputError for what cannot be taken once more."""
    if not isinstance(given, Iterable):
        raise InputError(
            f"`again` of the removal gives {shown(given)}; needed: what it takes again"
        )
    for each in given:
        match each:
            case (str() as name, int() as draw, made):
                check_made(made, model)
                yield name, draw, made
            case _:
                raise InputError(
                    f"`again` of the removal yields {shown(each)}; needed: (name, draw, "
                    "intervention)"
                )


@contextmanager
def in_force(model: PreTrainedModel, intervention: Intervention | None) -> Iterator[InForce]:
    """Keep an intervention, or nothing, in force on a model while the context lasts."""
    if intervention is None:
        yield _Fixed(0)
        return
    check_made(intervention, model)
    applied = intervention.applied(model)
    if not isinstance(applied, AbstractContextManager):
        raise InputError(
            f"`applied` of {type(intervention).__name__} gives {shown(applied)}; needed: a context"
        )
    with applied as held:
        yield held if isinstance(held, InForce) else _Fixed(len(intervention.neurons))


def draw_seed(seed: int, draw: int) -> int:
    """Seed of the n-th random draw of a run; draw 0 is the control that is retrained."""
    return int(np.random.SeedSequence([seed, draw]).generate_state(1)[0])


def _key(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    whole = f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    return hashlib.sha256(whole).hexdigest()[:12]
