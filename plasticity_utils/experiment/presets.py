"""What a scale and a regime stand for: sizes, and a removal with its settings."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plasticity_utils.errors import InputError, shown
from plasticity_utils.registry import removals

if TYPE_CHECKING:
    from plasticity_utils.removal.interface import Removal

SURGICAL_DOSES = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15)
LARGE_DOSES = (0.2, 0.3, 0.5)
# Settings that stand over the scale's, and what the scale calls them.
SIZES = {
    "train_sentences": "train",
    "ranking_sentences": "ranking",
    "measuring_sentences": "measuring",
    "dose_sentences": "dose",
    "scoring_sentences": "scoring",
    "curve_sentences": "curve",
    "validation_sentences": "validation",
    "base_epochs": "base_epochs",
    "batch_tokens": "batch_tokens",
    "draws": "draws",
}


@dataclass(frozen=True)
class Scale:
    """How much data and time a run takes; None stands for all sentences.

    Attributes
    ----------
    train, ranking, measuring, dose, scoring : int or None
        Sentences that train the model, rank its neurons, describe them, pick the dose, and give F1
        through retraining.
    curve : int or None
        Sentences of the scoring part on which the dose–response and reliance, with their many
        random draws, are scored.
    validation : int or None
        Sentences of the validation and of the test split on which the base model is scored.
    base_epochs, retrain_epochs : int
    batch_tokens : int
        Sub-words in a training batch.
    snapshots : tuple of float
        Epochs of retraining after which the model is measured; 0 is just after removal.
    draws : int
        Layer-matched random draws at every dose.
    """

    train: int | None
    ranking: int | None
    measuring: int | None
    dose: int | None
    scoring: int | None
    curve: int | None
    validation: int | None
    base_epochs: int
    retrain_epochs: int
    batch_tokens: int
    snapshots: tuple[float, ...]
    draws: int = 10


SCALES = {
    "smoke": Scale(200, 60, 60, 60, 60, 40, 200, 6, 1, 400, (0.0, 0.5, 1.0), draws=2),
    "quick": Scale(
        1800, 300, 300, 350, 500, 120, None, 5, 2, 1000, (0.0, 0.125, 0.25, 0.5, 1.0, 2.0)
    ),
    # For a decoder without an accelerator: its blocks cost thirty times those of the encoder.
    "medium": Scale(2000, 400, 400, 400, 600, 80, 1000, 3, 1, 800, (0.0, 0.125, 0.25, 0.5, 1.0)),
    "full": Scale(None, 1000, 1000, 500, None, 200, None, 3, 1, 1500, (0.0, 0.125, 0.25, 0.5, 1.0)),
}


@dataclass(frozen=True)
class Preset:
    """What a regime stands for: a removal and its settings.

    Attributes
    ----------
    removal : str
        A name of the registry `removals`.
    ranking, rest, positions : str
        Settings of removals that take neurons.
    dose : float or None
        Share of all neurons; None where it is picked on the dose–response.
    has_curve : bool
        Whether the dose–response is drawn of this removal; else of the surgical one.
    """

    removal: str
    ranking: str
    rest: str
    positions: str
    dose: float | None = None
    has_curve: bool = False


REGIMES = {
    "surgical": Preset("gate", "selectivity", "mean", "words", has_curve=True),
    "half": Preset("gate", "probeless", "zero", "all", 0.5),
    "erase": Preset("leace", "selectivity", "mean", "words"),
}


@dataclass(frozen=True)
class ChosenRemoval:
    """A removal by its name, and what it is to be made with."""

    name: str
    settings: Mapping[str, Any]

    @property
    def takes_neurons(self) -> bool:
        """Whether it takes single neurons: as many of a ranking as a dose says."""
        return {"ranking", "dose"} <= set(removals.settings(self.name))

    def make(self, dose: float) -> Removal:
        """Make it; a removal that takes neurons is given the dose."""
        settings = {**self.settings, **({"dose": dose} if self.takes_neurons else {})}
        kind = removals.get(self.name)
        signature = inspect.signature(kind)
        try:
            signature.bind(**settings)
        except TypeError as error:
            raise InputError(
                f"removal {self.name!r} cannot be made with {settings or 'no settings'}: {error}"
            ) from None
        for name, value in settings.items():
            usual = signature.parameters[name].default
            if isinstance(usual, int | float) and not isinstance(value, int | float):
                raise InputError(
                    f"removal {self.name!r}: {name} must be a number, not {shown(value)}"
                )
        made: Removal = kind(**settings)
        if not hasattr(made.makes, "load"):
            raise InputError(
                f"removal {self.name!r} makes {shown(made.makes)}; needed: the class of its "
                "interventions"
            )
        return made

    def key(self) -> list[Any]:
        """What stands for it in a stage's key."""
        return [removals.key(self.name), dict(self.settings)]


def chosen_of(preset: Preset) -> ChosenRemoval:
    """The removal of a preset as it is, with the settings that it has."""
    values = dataclasses.asdict(preset)
    own = [each for each in removals.settings(preset.removal) if values.get(each) is not None]
    return ChosenRemoval(preset.removal, {each: values[each] for each in own})
