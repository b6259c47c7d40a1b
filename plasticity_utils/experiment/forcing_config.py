"""The settings of a forcing: a run that trains on with only chosen neurons plastic."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from plasticity_utils.data.concepts import Concept, of_type, parse_concept
from plasticity_utils.data.corpus import CONCEPTS
from plasticity_utils.errors import (
    InputError,
    check_fraction,
    check_kind,
    is_number,
    items_of,
    shown,
)
from plasticity_utils.experiment.config import RunConfig

# Shares of all neurons that may change, and times the model's rate. As for the head alone: Adam
# moves a weight by at most the sum of its rates, and at the whole model's rate a few neurons have
# not converged when the training ends.
DOSES = (0.001, 0.005, 0.025)
RATE_FACTOR = 10.0


@dataclass(frozen=True)
class ForcingConfig(RunConfig):
    """Settings of a forcing, checked on construction: those of a run, and its own.

    The concept, whose neurons are removed, is a type of the task's tags, under the regime
    `surgical`.

    Attributes
    ----------
    host : str
        Another type of the same tags, whose neurons are to carry both.
    doses : tuple of float
        Shares of all neurons that may change, ascending, in (0, 1).
    share : float
        Of the training sentences, in (0, 1]: the first of the run's own order, one pass.
    rate_factor : float
        Times the model's rate, in groups of neurons; `all` and `head` have the run's own rates.
    head : bool
        Whether the head's columns at chosen neurons of the last layer train too.

    Raises
    ------
    InputError
        For a value that is not allowed.
    """

    command: ClassVar[str] = "force"
    tables: ClassVar[tuple[str, ...]] = ("forced", "carriers")

    host: str = ""
    doses: tuple[float, ...] = DOSES
    share: float = 0.5
    rate_factor: float = RATE_FACTOR
    head: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kind(self.host, str, "host must be a text")
        for role, concept in (("concept", self.concept_info), ("host", self.host_info)):
            if not concept.is_entity:
                raise InputError(
                    f"{role} {concept.text!r} is no type of the tags of {self.corpus} "
                    f"({self.tags}); only those can be forced"
                )
        if self.host_info.label == self.label:
            raise InputError(f"host {self.host!r} is the concept itself; allowed: another one")
        if self.regime != "surgical" or self.removal or self.regrow:
            raise InputError(
                f"regime {self.regime!r}, removal {self.removal!r}, regrow {self.regrow}; allowed: "
                "'surgical', '', False"
            )
        doses = items_of(self.doses)
        if not doses:
            raise InputError(f"doses {shown(self.doses)}; needed: ascending shares between 0 and 1")
        for dose in doses:
            check_fraction(dose, "doses must be shares")
        if not all(low < high for low, high in itertools.pairwise(doses)):
            raise InputError(f"doses {self.doses}; needed: ascending shares between 0 and 1")
        object.__setattr__(self, "doses", tuple(map(float, doses)))
        if not is_number(self.share) or not 0 < self.share <= 1:
            raise InputError(f"share must be above 0 and at most 1, not {shown(self.share)}")
        if not is_number(self.rate_factor) or not 0 < self.rate_factor < math.inf:
            raise InputError(
                f"rate_factor must be above 0 and finite, not {shown(self.rate_factor)}"
            )
        check_kind(self.head, bool, "head must be True or False")

    @classmethod
    def recorded(cls, settings: Mapping[str, Any], info: Mapping[str, str]) -> ForcingConfig:
        """As `RunConfig.recorded`; a file knows no tuples."""
        found = super().recorded({**settings, "doses": tuple(settings["doses"])}, info)
        assert isinstance(found, cls)
        # Known by its name: the corpus may be gone.
        found.__dict__["host_info"] = of_type(found.host, CONCEPTS.get(found.host, found.host))
        return found

    @cached_property
    def host_info(self) -> Concept:
        """The host, read from its setting once."""
        return parse_concept(self.host, self.task)

    @property
    def reports_on(self) -> tuple[str, ...]:
        """Tags that are reported on whatever their number."""
        return self.entities

    @property
    def entities(self) -> tuple[str, str]:
        """Tags of the concept and of its host."""
        return self.label, self.host_info.label

    @property
    def own_parts(self) -> list[str]:
        """`force`, the host, and what is not as usual."""
        usual = {each.name: each.default for each in dataclasses.fields(self)}
        names = ("share", "rate_factor", "head")
        own = {name: getattr(self, name) for name in names if getattr(self, name) != usual[name]}
        settings = [f"{name.removesuffix('_factor')}{value:g}" for name, value in own.items()]
        return [self.command, self.host_info.name, *settings]

    @property
    def of_host(self) -> RunConfig:
        """The run of the host as the concept, whose ranking tells which neurons are the host's."""
        own = {each.name: getattr(self, each.name) for each in dataclasses.fields(RunConfig)}
        return RunConfig(**{**own, "concept": self.host})
