"""Forcings that differ in nothing but the seed, seen as one, and the answer that they give.

As `seeds.Seeds` for runs: means and 95 % intervals over seeds where there are several, differences
within each seed first. With one seed the intervals are over sentences (F1) and over neurons (the
rise), and say nothing of other seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from IPython.display import Markdown

from plasticity_utils import forced_tables
from plasticity_utils.errors import InputError
from plasticity_utils.forced_groups import ForcingConfig
from plasticity_utils.forcing import Forced, command, find_forced
from plasticity_utils.seeds import OVER_SENTENCES, over_seeds, within_unit

_F1 = ["f1_base", "f1_removed", "f1_end", "regained"]
_NEURON_KEYS = ["target", "dose", "n_neurons"]
OVER_NEURONS = "± 1.96 standard errors over the neurons of a group"


@dataclass(frozen=True)
class ForcedSeeds:
    """Forcings of one configuration under several seeds, at least one.

    Attributes
    ----------
    forced : tuple of Forced
        From `find_forced`.
    """

    forced: tuple[Forced, ...]

    def __post_init__(self) -> None:
        if not self.forced:
            raise InputError("no forcings; needed: at least one")

    @property
    def entities(self) -> tuple[str, str]:
        """Tags of the concept and of its host."""
        concept, host = self.forced[0].facts["entities"]
        return concept, host

    @property
    def numbers(self) -> list[int]:
        """The seeds."""
        return [forced.facts["settings"]["run"]["seed"] for forced in self.forced]

    @property
    def f1_interval(self) -> str:
        """What the intervals of `f1` are."""
        return OVER_SENTENCES if len(self.forced) == 1 else self._over

    @property
    def neuron_interval(self) -> str:
        """What the intervals of `carriers` are."""
        return OVER_NEURONS if len(self.forced) == 1 else self._over

    @property
    def _over(self) -> str:
        return f"mean and 95 % interval over {len(self.forced)} seeds"

    @cached_property
    def f1(self) -> pd.DataFrame:
        """As `forced_tables.f1_table`, with intervals over seeds where there are several."""
        if len(self.forced) == 1:
            return self.forced[0].f1
        stacked = pd.concat([forced.f1 for forced in self.forced], ignore_index=True)
        return within_unit(over_seeds(stacked, [*_NEURON_KEYS, "entity", "n"], _F1), _F1[:3])

    @cached_property
    def carriers(self) -> pd.DataFrame:
        """As `forced_tables.carrier_table`; numbers of neurons are then means over seeds."""
        tables = [forced.carriers for forced in self.forced]
        if len(tables) == 1:
            return tables[0]
        values = [
            name
            for name in tables[0]
            if name not in _NEURON_KEYS and not name.endswith(("_low", "_high"))
        ]
        return over_seeds(pd.concat(tables, ignore_index=True), _NEURON_KEYS, values)

    def beyond(self, control: str) -> pd.DataFrame:
        """As `forced_tables.beyond`, taken within each seed."""
        tables = [forced_tables.beyond(forced.carriers, control) for forced in self.forced]
        if len(tables) == 1:
            return tables[0]
        stacked = pd.concat(tables, ignore_index=True)
        return over_seeds(stacked, ["dose", "n_neurons"], [f"beyond_{control}"])


def or_command(config: ForcingConfig, show: Callable[[ForcedSeeds], Any]) -> Any:
    """Show something of the published forcings, or say which command makes them.

    Parameters
    ----------
    config : ForcingConfig
    show : callable
        Of `ForcedSeeds`; a text is shown as Markdown.
    """
    found = find_forced(config)
    if not found:
        return Markdown(
            f"> No result is published for these settings yet. `{command(config)}` makes it."
        )
    shown = show(ForcedSeeds(tuple(found)))
    return Markdown(shown) if isinstance(shown, str) else shown
