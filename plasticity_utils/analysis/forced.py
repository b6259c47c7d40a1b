"""The answer to "can chosen neurons be forced to carry two concepts?", in sentences.

It is read at the smallest dose at which the host's neurons bring the concept back. *Yes* takes
three things there: the share of them that carries both has risen, its interval above zero; the
concept is back; the host's F1 is kept. Beside it always stand the controls: random neurons of the
same layers, and the same neurons where nothing was confined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from IPython.display import Markdown

from plasticity_utils.errors import InputError
from plasticity_utils.experiment import forced_tables
from plasticity_utils.experiment.forcing import ForcingConfig
from plasticity_utils.formats import percent, signed, with_interval
from plasticity_utils.names import OVER_SENTENCES
from plasticity_utils.results.forced import Forced, command, find_forced
from plasticity_utils.results.stack import UNIT, mean_interval

# Share of the lost F1, F1, a share of neurons, and the share of F1 that a removal must take.
REGAINED, KEPT, FEW, LOST = 0.9, 0.02, 0.05, 0.5
YES, NO, OPEN = "yes", "no", "not resolved"


def answer(seeds: ForcedSeeds) -> str:
    """Return `yes`, `no` or `not resolved`."""
    dose = _enough(seeds)
    if not _was_lost(seeds):
        return OPEN
    if dose is None:
        return NO
    rise = _carriers(seeds, "host", dose)
    if rise["rise_high"] < FEW or _price(seeds, dose) > KEPT:
        return NO
    return YES if rise["rise_low"] > 0 else OPEN


def verdict(seeds: ForcedSeeds) -> str:
    """Return the answer in a sentence, and the controls in another (Markdown)."""
    said, dose = answer(seeds), _enough(seeds)
    one = " (one seed; nothing is said of others)" if len(seeds.forced) == 1 else ""
    opening = f"**{said.capitalize()}{one}.**"
    if not _was_lost(seeds):
        return f"{opening} {_little_lost(seeds)}"
    if dose is None:
        return f"{opening} {_never(seeds)}"
    said = f"{opening} {_sentence(seeds, dose)} {_controls(seeds, dose)}"
    return said + _at_the_largest(seeds, dose)


def price_sentence(seeds: ForcedSeeds) -> str:
    """Say what the largest dose costs every entity type but the concept (Markdown)."""
    label, _ = seeds.entities
    rows = _of(seeds, "host")
    rows = rows[(rows["dose"] == rows["dose"].max()) & ~rows["entity"].isin([label, "overall"])]
    parts = [
        f"{row.entity} {row.entity_f1_base:.3f} in the base, {row.entity_f1_removed:.3f} just "
        f"after the removal, "
        f"{row.entity_f1_end:.3f} in the end"
        for row in rows.itertuples()
    ]
    return f"At the largest dose ({percent(rows['dose'].iloc[0])}): {'; '.join(parts)}."


def change_of_mind(seeds: ForcedSeeds) -> str:
    """Say which result would have given another answer (Markdown)."""
    concept, host = seeds.entities
    one = ": with one, the intervals are over neurons and sentences"
    return (
        f"- {concept} not coming back to {percent(REGAINED)} of its loss at any dose, or {host} "
        f"losing more than {KEPT:g} F1 for it: then the neurons cannot carry both.\n"
        f"- {concept} coming back without a rise in the share of neurons that carry both (less "
        f"than {percent(FEW)}): then the confined weights bring it back without the neurons' "
        "response to it, and nothing was forced on them.\n"
        "- Random neurons of the same layers rising as much"
        f"{_so_here(seeds)}: then it is plasticity that makes "
        f"carriers, not a home of {host}. The same neurons rising as much with nothing confined: "
        "then nothing had to be forced.\n"
        f"- Another sign under more seeds{one if len(seeds.forced) == 1 else ''}."
    )


def _enough(seeds: ForcedSeeds) -> float | None:
    """The smallest dose at which the host's neurons bring the concept back."""
    rows = _of(seeds, "host")
    back = rows[(rows["entity"] == seeds.entities[0]) & (rows["regained"] >= REGAINED)]
    return None if back.empty else float(back["dose"].min())


def _was_lost(seeds: ForcedSeeds) -> bool:
    row = _of(seeds, "host").set_index("entity").loc[[seeds.entities[0]]].iloc[0]
    return bool(row["entity_f1_removed"] < (1 - LOST) * row["entity_f1_base"])


def _little_lost(seeds: ForcedSeeds) -> str:
    concept, _ = seeds.entities
    row = _of(seeds, "host").set_index("entity").loc[[concept]].iloc[0]
    return (
        f"The removal takes {concept} only from {row['entity_f1_base']:.3f} to "
        f"{row['entity_f1_removed']:.3f}, "
        "too little to see it come back."
    )


def _price(seeds: ForcedSeeds, dose: float) -> float:
    row = _f1(seeds, "host", dose, seeds.entities[1])
    return float(row["entity_f1_removed"] - row["entity_f1_end"])


def _never(seeds: ForcedSeeds) -> str:
    concept, host = seeds.entities
    rows = _of(seeds, "host")
    best = rows.loc[rows[rows["entity"] == concept]["regained"].idxmax()]
    random = _f1(seeds, "random", best["dose"], concept)
    return (
        f"Confined to the neurons of {host}, training brings {concept} from "
        f"{best['entity_f1_removed']:.3f} to {best['entity_f1_end']:.3f} at best "
        f"({int(best['n_neurons'])} "
        f"neurons, {percent(best['dose'])}), {percent(best['regained'])} of the loss; as many "
        f"random neurons of the same layers bring it to {random['entity_f1_end']:.3f}."
    )


def _sentence(seeds: ForcedSeeds, dose: float) -> str:
    concept, host = seeds.entities
    own, kept = _f1(seeds, "host", dose, concept), _f1(seeds, "host", dose, host)
    rise = _carriers(seeds, "host", dose)
    return (
        f"With plasticity confined to {int(own['n_neurons'])} neurons of {host} "
        f"({percent(dose)}), {concept} goes from {own['entity_f1_removed']:.3f} to "
        f"{own['entity_f1_end']:.3f} "
        f"(base {own['entity_f1_base']:.3f}) and {host} from {kept['entity_f1_removed']:.3f} to "
        f"{kept['entity_f1_end']:.3f}; of these neurons {rise['n_both_removed']:.3g} carried both "
        f"just "
        f"after the removal and {rise['n_both_end']:.3g} do in the end{_on_average(seeds)} (with "
        f"the same sign {rise['n_same_removed']:.3g} and {rise['n_same_end']:.3g}): their share "
        f"changes by {with_interval(rise, 'rise')}."
    )


def _on_average(seeds: ForcedSeeds) -> str:
    return ", on average over seeds" if len(seeds.forced) > 1 else ""


def _at_the_largest(seeds: ForcedSeeds, dose: float) -> str:
    """Say the same of the largest dose, where that is another."""
    rows = _of(seeds, "host")
    largest = float(rows["dose"].max())
    if largest == dose:
        return ""
    table = seeds.beyond("random")
    beyond = table[table["dose"] == largest].iloc[0]
    n_neurons = int(rows[rows["dose"] == largest]["n_neurons"].iloc[0])
    return (
        f" At the largest dose ({n_neurons} neurons) the share changes by "
        f"{with_interval(_carriers(seeds, 'host', largest), 'rise')}, a difference from random "
        f"neurons of {with_interval(beyond, 'beyond_random')}."
    )


def _so_here(seeds: ForcedSeeds) -> str:
    dose = _enough(seeds)
    if dose is None:
        return ""
    host, random = (_carriers(seeds, target, dose)["rise"] for target in ("host", "random"))
    return " (as here)" if random >= host else ""


def _controls(seeds: ForcedSeeds, dose: float) -> str:
    concept, _ = seeds.entities
    parts = []
    for control, named in (
        ("random", "as many random neurons of the same layers"),
        ("all", "the same neurons where nothing is confined"),
    ):
        rise, table = _carriers(seeds, control, dose), seeds.beyond(control)
        row = table[table["dose"] == dose].iloc[0]
        parts.append(
            f"{named}: {signed(rise['rise'])}, a difference of "
            f"{with_interval(row, f'beyond_{control}')}"
        )
    random = _f1(seeds, "random", dose, concept)
    return (
        f"The same of the controls: {'; '.join(parts)}. The random neurons bring {concept} to "
        f"{random['entity_f1_end']:.3f}."
    )


def _of(seeds: ForcedSeeds, target: str) -> pd.DataFrame:
    return seeds.f1[seeds.f1["target"] == target]


def _f1(seeds: ForcedSeeds, target: str, dose: float, entity: str) -> pd.Series:
    rows = _of(seeds, target)
    return rows[(rows["dose"] == dose) & (rows["entity"] == entity)].iloc[0]


def _carriers(seeds: ForcedSeeds, target: str, dose: float) -> pd.Series:
    rows = seeds.carriers
    return rows[(rows["target"] == target) & (rows["dose"] == dose)].iloc[0]


_F1 = ["entity_f1_base", "entity_f1_removed", "entity_f1_end", "regained"]
_NEURON_KEYS = ["target", "dose", "n_neurons"]
FORCED_OVER_NEURONS = "± 1.96 standard errors over the neurons of a group"


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
        """What the intervals of `entity_f1` are."""
        return OVER_SENTENCES if len(self.forced) == 1 else self._over

    @property
    def neuron_interval(self) -> str:
        """What the intervals of `carriers` are."""
        return FORCED_OVER_NEURONS if len(self.forced) == 1 else self._over

    @property
    def _over(self) -> str:
        return f"mean and 95 % interval over {len(self.forced)} seeds"

    @cached_property
    def f1(self) -> pd.DataFrame:
        """As `forced_tables.f1_table`, with intervals over seeds where there are several."""
        if len(self.forced) == 1:
            return self.forced[0].f1
        stacked = pd.concat([forced.f1 for forced in self.forced], ignore_index=True)
        bounds = dict.fromkeys(_F1[:3], UNIT)
        return mean_interval(stacked, [*_NEURON_KEYS, "entity", "n_gold"], _F1, bounds=bounds)

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
        return mean_interval(pd.concat(tables, ignore_index=True), _NEURON_KEYS, values)

    def beyond(self, control: str) -> pd.DataFrame:
        """As `forced_tables.beyond`, taken within each seed."""
        tables = [forced_tables.beyond(forced.carriers, control) for forced in self.forced]
        if len(tables) == 1:
            return tables[0]
        stacked = pd.concat(tables, ignore_index=True)
        return mean_interval(stacked, ["dose", "n_neurons"], [f"beyond_{control}"])


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
