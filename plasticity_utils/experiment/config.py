"""The settings of one run: what a notebook's parameters become.

A `RunConfig` is checked when it is made, so a wrong value ends a run in its first second and not
after its training. Scales trade certainty for time; regimes say how many neurons are removed and
how they are chosen (see the method page).
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from plasticity_utils.data.concepts import Concept, parse_concept
from plasticity_utils.data.tasks import CONLL2003, ENTITY, Task
from plasticity_utils.errors import (
    InputError,
    check_fraction,
    check_kind,
    check_seed,
    check_whole,
    shown,
)
from plasticity_utils.experiment.presets import (
    REGIMES,
    SCALES,
    SIZES,
    ChosenRemoval,
    Preset,
    Scale,
    chosen_of,
)
from plasticity_utils.files import path_of, results_root
from plasticity_utils.models.locate import check_model
from plasticity_utils.names import CONDITIONS, INDICATORS, POSITIONS, RESTS
from plasticity_utils.registry import label, protocols, rankings, removals
from plasticity_utils.training.schedule import Schedule

# Settings that a removal may have; which it has, it says itself.
REMOVAL_SETTINGS = ("ranking", "rest", "positions", "dose", "regrow", "indicator")
TEXTS = (
    "concept", "model", "scale", "regime", "results_dir", "removal", "protocols", "corpus", "tags",
    "ranking", "rest", "positions", "indicator", "removal_settings",
)  # fmt: skip
MAY_BE_NONE = ("ranking", "rest", "positions")
LEARNING_RATES = {"minilm": 2e-4, "e5": 2e-4, "smollm2": 5e-5}
DEFAULT_LEARNING_RATE = 5e-5
# The names of columns and conditions have changed so often: what was made before is made again.
TABLE_NAMES = 2
# What finished runs do not name: that they are found again, these are named where they are set.
CAME_LATER = ("corpus", "tags", "learning_rate", "removal_settings", *SIZES)


@dataclass(frozen=True)
class RunConfig:
    """Settings of one run, checked on construction.

    Attributes
    ----------
    concept : str
        A type of the task's tags (of names in news: `locations`, `persons`, `organisations`,
        `miscellaneous`) or a concept of one's own: see `parse_concept`.
    model : str
        `minilm`, `smollm2`, a local folder or a name on the Hub.
    scale : {"smoke", "quick", "medium", "full"}
    seed : int
        Of the head's first weights, the data order, dropout and the random draws; at least 0.
    regime : {"surgical", "half", "erase"}
        A named removal with its settings; each of them can be overridden.
    results_dir : str
        Folder for runs and their stages; empty for `runs` in the project, or, where the package is
        installed without its project, in the current folder.
    removal : str
        A name of the registry `removals`, or `FILE.py:NAME`; empty for the regime's own.
    protocols : str
        Names of the registry `protocols`, or `FILE.py:NAME`, with commas between them; empty for
        `targeted, random, none, head`.
    ranking, rest, positions : str or None
        Override the regime: a name of the registry `rankings`; `mean` or `zero`; `words` or `all`.
    dose : float or None
        Share of all neurons to remove, in (0, 1), instead of the regime's own.
    regrow : bool
        Whether removed neurons may grow back while training.
    epochs : int or None
        Epochs of retraining instead of the scale's.
    restarts : int
        How many schedules of equal length make up the retraining: 1, or 4 for the paper's four
        blocks of two epochs, each with a warm-up and a decay of its own.
    indicator : {"concept", "bio", "types", "outside"}
        What `leace` makes unreadable: see `indicator_of`.
    removal_settings : str
        What the removal alone knows, as `beta=0.5, learning_rate=1e-4`.
    corpus : str
        What the model learns to tag: `conll2003`, a folder of column files, or `hf:NAME`; see
        `load_corpus`.
    tags : str
        A column of the corpus, by name or number: of `conll2003` `entity`, `pos` or `chunk`.
    learning_rate : float or None
        Peak rate of fine-tuning and retraining; by default that of the model, or 5e-5 for a model
        for which none is known.
    train_sentences, ranking_sentences, measuring_sentences, dose_sentences, scoring_sentences,
    curve_sentences, validation_sentences, base_epochs, batch_tokens, draws : int or None
        Stand over the scale's: see `Scale`.

    Raises
    ------
    InputError
        For a value that is not allowed; the message names it and what is.
    """

    # The command that makes such a run, and the tables of it that are published.
    command: ClassVar[str] = "run"
    tables: ClassVar[tuple[str, ...]] = ("base", "dose", "layers", "metrics", "reliance")

    concept: str = "locations"
    model: str = "minilm"
    scale: str = "quick"
    seed: int = 0
    regime: str = "surgical"
    results_dir: str = ""
    removal: str = ""
    protocols: str = ""
    ranking: str | None = None
    rest: str | None = None
    positions: str | None = None
    dose: float | None = None
    regrow: bool = False
    epochs: int | None = None
    restarts: int = 1
    indicator: str = "concept"
    removal_settings: str = ""
    corpus: str = CONLL2003
    tags: str = ENTITY
    learning_rate: float | None = None
    train_sentences: int | None = None
    ranking_sentences: int | None = None
    measuring_sentences: int | None = None
    dose_sentences: int | None = None
    scoring_sentences: int | None = None
    curve_sentences: int | None = None
    validation_sentences: int | None = None
    base_epochs: int | None = None
    batch_tokens: int | None = None
    draws: int | None = None

    def __post_init__(self) -> None:
        for name in TEXTS:
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in MAY_BE_NONE):
                raise InputError(f"{name} must be a text, not {shown(value)}")
        _ = self.concept_info, self.results
        _one_of("scale", self.scale, SCALES)
        _one_of("regime", self.regime, REGIMES)
        if self.ranking is not None:
            rankings.check(self.ranking)
        if self.rest is not None:
            _one_of("rest", self.rest, RESTS)
        if self.positions is not None:
            _one_of("positions", self.positions, POSITIONS)
        if self.dose is not None:
            check_fraction(self.dose, "dose must be a fraction")
        check_kind(self.regrow, bool, "regrow must be True or False")
        if self.learning_rate is not None:
            check_fraction(self.learning_rate, "learning_rate must be")
        check_seed(self.seed)
        for name in ("epochs", "restarts", *SIZES):
            value = getattr(self, name)
            if value is not None or name == "restarts":
                check_whole(value, name, least=1)
        self._make_plain()
        if self.retrain_epochs % self.restarts:
            raise InputError(
                f"{self.retrain_epochs} epochs cannot be cut into {self.restarts} schedules of "
                "whole epochs"
            )
        _one_of("indicator", self.indicator, INDICATORS)
        removals.check(self.chosen.name)
        self._check_settings_of_removal()
        self._check_protocols()
        check_model(self.model)

    def _make_plain(self) -> None:
        """Keep a number of numpy's as one of Python's: files of settings know no others."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Real) and not isinstance(value, int | float):
                plain = int(value) if isinstance(value, Integral) else float(value)
                object.__setattr__(self, field.name, plain)

    def _check_settings_of_removal(self) -> None:
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        allowed = removals.settings(self.chosen.name)
        for name in REMOVAL_SETTINGS:
            if name not in allowed and getattr(self, name) != usual[name]:
                raise InputError(
                    f"removal {self.chosen.name!r} has no {name}, so {name} cannot be "
                    f"{getattr(self, name)!r}; allowed: {usual[name]!r}"
                )
        own = [name for name in allowed if name not in REMOVAL_SETTINGS]
        for name in _named_values(self.removal_settings):
            if name not in own:
                raise InputError(
                    f"removal {self.chosen.name!r} has no setting {name!r} of its own; allowed: "
                    f"{', '.join(own) or 'none'}"
                )

    def _check_protocols(self) -> None:
        names = self._protocol_names
        for name in names:
            protocols.check(name)
        if len(self.conditions) < len(names):
            raise InputError(f"protocols {self.protocols!r}; each must be there once")

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> RunConfig:
        """Make a configuration from named values; an unknown name is an InputError."""
        allowed = [field.name for field in dataclasses.fields(cls)]
        for name in parameters:
            if name not in allowed:
                raise InputError(f"unknown parameter {name!r}; allowed: {', '.join(allowed)}")
        return cls(**parameters)

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> RunConfig:
        """Make a configuration from a notebook's `globals()`, in the cell after its parameters.

        Every name of data that stands there is a parameter: papermill only warns of one that the
        notebook does not know and runs with the defaults; here it is an error. Modules, functions,
        classes, what this package made, constants (names in capitals) and names that begin with an
        underscore are none.
        """
        settings = [field.name for field in dataclasses.fields(cls)]
        found = {
            name: value
            for name, value in namespace.items()
            if name.lower() in settings or _may_be_parameter(name, value)
        }
        unknown = sorted(found.keys() - set(settings))
        if unknown:
            raise InputError(
                f"unknown parameter {unknown[0]!r}; allowed: {', '.join(settings)}; names of other "
                "things begin with an underscore, or come after this cell: then begin anew"
            )
        return cls(**found)

    @classmethod
    def recorded(cls, settings: Mapping[str, Any], concept_info: Mapping[str, str]) -> RunConfig:
        """Settings of a finished run, as its `config.json` has them.

        They were checked when the run was made; its model, and the files that a concept of one's
        own was about, may lie elsewhere now.
        """
        config = object.__new__(cls)
        for name, value in settings.items():
            object.__setattr__(config, name, value)
        config.__dict__["concept_info"] = Concept(**concept_info)
        return config

    @cached_property
    def concept_info(self) -> Concept:
        """The concept, read from its setting once."""
        return parse_concept(self.concept, self.task)

    @property
    def task(self) -> Task:
        """What the model learns to tag."""
        return Task(self.corpus, self.tags)

    @property
    def is_usual(self) -> bool:
        """Whether it is about names in news, of which no file need be read to know the types."""
        return self.concept_info.is_entity and self.task.is_usual

    def settings(self) -> dict[str, Any]:
        """All settings but those that came later and are as they were before there was a choice."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        values = {name: getattr(self, name) for name in usual}
        return {n: v for n, v in values.items() if n not in CAME_LATER or v != usual[n]}

    @property
    def own_parts(self) -> list[str]:
        """What a kind of run beside the usual one adds to the name of its folder."""
        return []

    @property
    def label(self) -> str:
        """Tag of the concept in tables and charts: an entity type such as `LOC`, or one's own."""
        return self.concept_info.label

    @property
    def reports_on(self) -> tuple[str, ...]:
        """Tags that are reported on whatever their number."""
        return (self.label,)

    @property
    def sizes(self) -> Scale:
        """Numbers behind the scale's name, with this configuration's overrides."""
        own = {inside: getattr(self, name) for name, inside in SIZES.items()}
        set_here = {name: value for name, value in own.items() if value is not None}
        return dataclasses.replace(SCALES[self.scale], **set_here)

    @property
    def preset(self) -> Preset:
        """The regime with this configuration's overrides."""
        own = {
            name: getattr(self, name)
            for name in ("removal", "ranking", "rest", "positions", "dose")
            if getattr(self, name) not in (None, "")
        }
        return dataclasses.replace(REGIMES[self.regime], **own)

    @property
    def chosen(self) -> ChosenRemoval:
        """The removal, and the settings that it has."""
        name = self.preset.removal
        values = {**dataclasses.asdict(self), **dataclasses.asdict(self.preset)}
        own = [each for each in removals.settings(name) if each in REMOVAL_SETTINGS]
        settings = {each: values[each] for each in own if values[each] is not None}
        settings |= _named_values(self.removal_settings)
        return ChosenRemoval(name, settings)

    @property
    def curve(self) -> ChosenRemoval:
        """The removal of neurons whose dose–response is drawn."""
        if self.preset.has_curve and self.chosen.takes_neurons:
            settings = {k: v for k, v in self.chosen.settings.items() if k != "regrow"}
            return ChosenRemoval(self.chosen.name, settings)
        return chosen_of(REGIMES["surgical"])

    @property
    def rankings(self) -> list[str]:
        """The rankings of the base model: this package's, and the run's own."""
        return list(dict.fromkeys([*rankings.own, self.preset.ranking]))

    @property
    def conditions(self) -> dict[str, str]:
        """What tables call each protocol, and its name in the registry."""
        return {label(name): name for name in self._protocol_names}

    @property
    def only_reading(self) -> list[str]:
        """Conditions under which nothing below the head trains."""
        return [name for name, each in self.conditions.items() if protocols.get(each).only_reads]

    @property
    def last_layer(self) -> str:
        """The condition under which the linear head alone trains; empty where there is none."""
        named = self.conditions.items()
        return next((name for name, each in named if protocols.get(each).trains_head), "")

    @property
    def _protocol_names(self) -> tuple[str, ...]:
        given = tuple(name.strip() for name in self.protocols.split(",") if name.strip())
        return given or CONDITIONS

    @property
    def retrain_epochs(self) -> int:
        """Epochs of retraining."""
        return self.epochs or self.sizes.retrain_epochs

    @property
    def snapshots(self) -> tuple[float, ...]:
        """Epochs of retraining after which the model is measured."""
        if self.epochs is None:
            return self.sizes.snapshots
        early = [epoch for epoch in self.sizes.snapshots if epoch < min(1, self.epochs)]
        doubled = [float(2**power) for power in range(self.epochs.bit_length())]
        blocks = self.epochs // self.restarts
        ends = [float(blocks * block) for block in range(1, self.restarts + 1)]
        return tuple(sorted({*early, *(e for e in doubled if e <= self.epochs), *ends}))

    @property
    def rate(self) -> float:
        """Peak rate of fine-tuning and retraining."""
        return self.learning_rate or LEARNING_RATES.get(self.model, DEFAULT_LEARNING_RATE)

    @property
    def rate_is_known(self) -> bool:
        """Whether the rate was set, or tried with this model."""
        return self.learning_rate is not None or self.model in LEARNING_RATES

    def schedule(self, epochs: int) -> Schedule:
        """How one trains for so many epochs."""
        return Schedule(epochs, self.rate, self.sizes.batch_tokens, self.seed)

    @property
    def teaching(self) -> dict[str, Any]:
        """What the base model depends on, beside the pretrained model and the machine."""
        return {
            "train": self.sizes.train,
            "validation": self.sizes.validation,
            "schedule": dataclasses.asdict(self.schedule(self.sizes.base_epochs)),
            "tables": TABLE_NAMES,
            **self.task.key(),
        }

    @property
    def results(self) -> Path:
        """Folder in which runs and their stages are kept."""
        return results_of(self.results_dir)


def results_of(results_dir: str) -> Path:
    """The folder that a setting `results_dir` means."""
    if not results_dir:
        return results_root()
    if "://" in results_dir:
        raise InputError(
            f"results_dir {shown(results_dir)} is an address; allowed: a folder "
            "(`plasticity batch --results` takes addresses)"
        )
    return path_of(results_dir, "results_dir")


def _named_values(text: str) -> dict[str, Any]:
    """Read the text of `removal_settings`: numbers, True, False and None, and else texts."""
    found: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = map(str.strip, part.partition("="))
        if not name.isidentifier() or not value or name in found:
            raise InputError(
                f"removal_settings {shown(text)}: {part!r} is there twice, or no NAME=VALUE; "
                "allowed: beta=0.5, layer=2"
            )
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def _may_be_parameter(name: str, value: object) -> bool:
    is_code = isinstance(value, ModuleType) or callable(value)
    is_made_here = type(value).__module__.startswith(f"{__package__.partition('.')[0]}.")
    is_of_ipython = name in ("In", "Out") or name.startswith("_")
    return not (name.isupper() or is_code or is_made_here or is_of_ipython)


def _one_of(name: str, value: object, allowed: Mapping[str, Any] | tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"unknown {name} {shown(value)}; allowed: {', '.join(allowed)}")
