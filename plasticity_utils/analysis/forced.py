"""Can chosen neurons be forced to carry two concepts? The numbers of several seeds, and the word.

Judged is each number of neurons with which the concept comes back. Beside the host's neurons stand
the controls: random neurons of the same layers, and the same neurons where nothing was confined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.errors import InputError
from plasticity_utils.experiment import forced_tables
from plasticity_utils.experiment.forcing import ForcingConfig
from plasticity_utils.results.forced import Forced, command, find_forced
from plasticity_utils.results.stack import mean_interval

_F1 = ["entity_f1_base", "entity_f1_removed", "entity_f1_end", "regained"]
_KEYS = ["target", "dose", "n_neurons"]
# Bounds of a rise of a share, and of the difference of two.
_RISE, _DIFFERENCE = (-1.0, 1.0), (-2.0, 2.0)
# The groups whose carriers are compared: what a row calls them, and whose sign it has.
COMPARED = {
    "host": ("the host's neurons", "targeted"),
    "random": ("random neurons", "random"),
    "all": ("the host's, nothing confined", "none"),
}


@dataclass(frozen=True)
class ForcedSeeds:
    """Forcings of one configuration under several seeds, at least one.

    Attributes
    ----------
    forced : tuple of Forced
        From `find_forced`.
    """

    forced: tuple[Forced, ...]

    @property
    def entities(self) -> tuple[str, str]:
        """Tags of the concept and of its host."""
        concept, host = self.forced[0].facts["entities"]
        return concept, host

    @property
    def numbers(self) -> list[int]:
        """The seeds."""
        return [forced.facts["settings"]["run"]["seed"] for forced in self.forced]

    @cached_property
    def f1_by_seed(self) -> pd.DataFrame:
        """`forced_tables.f1_table` of every seed, with a column seed."""
        return self._stacked("f1")

    @cached_property
    def f1(self) -> pd.DataFrame:
        """The means of `f1_by_seed`: entity_f1_base, entity_f1_removed, entity_f1_end, regained."""
        keys = [*_KEYS, "entity"]
        return self.f1_by_seed.groupby(keys, sort=False)[_F1].mean().reset_index()

    @cached_property
    def rises(self) -> pd.DataFrame:
        """Rise of the share of each group of `COMPARED` that carries both, seed by seed.

        Gives seed, target, dose, n_neurons, group (its name), condition (whose sign it has),
        n_both_removed (just after the removal), n_both_end, rise.
        """
        rows = self._stacked("carriers")
        rows = rows[rows["target"].isin(COMPARED)]
        groups, signs = zip(*rows["target"].map(COMPARED), strict=True)
        columns = ["seed", *_KEYS, "group", "condition", "n_both_removed", "n_both_end", "rise"]
        return rows.assign(group=groups, condition=signs)[columns]

    @cached_property
    def judged(self) -> pd.DataFrame:
        """One row for each number of the host's neurons, with its verdict.

        regained (share of the loss), entity_f1_end of the concept; price (F1 that the host lost);
        rise, beyond_random and beyond_all (less those of the controls), each with `_low` and
        `_high`.
        """
        concept, host = self.entities
        rows = self.f1[self.f1["target"] == "host"].set_index("entity")
        own, hosts = rows.loc[[concept]], rows.loc[[host]]
        price = (hosts["entity_f1_removed"] - hosts["entity_f1_end"]).to_numpy()
        table = own[
            [
                "dose",
                "n_neurons",
                "entity_f1_base",
                "entity_f1_removed",
                "entity_f1_end",
                "regained",
            ]
        ]
        table = table.assign(price=price).reset_index(drop=True)
        rises = self.rises[self.rises["target"] == "host"]
        over = mean_interval(rises, ["dose"], ["rise"], bounds={"rise": _RISE})
        table = table.merge(over, on="dose")
        for control in ("random", "all"):
            parts = [forced_tables.beyond(forced.carriers, control) for forced in self.forced]
            name = f"beyond_{control}"
            found = mean_interval(pd.concat(parts), ["dose"], [name], bounds={name: _DIFFERENCE})
            table = table.merge(found.drop(columns="n_seeds"), on="dose")
        verdicts = [
            rules.forced(
                lost=1 - row["entity_f1_removed"] / row["entity_f1_base"],
                regained=row["regained"],
                price=row["price"],
                rise=rules.of(row, "rise"),
                beyond_random=rules.of(row, "beyond_random"),
            )
            for _, row in table.iterrows()
        ]
        return table.assign(verdict=verdicts)

    def _stacked(self, name: str) -> pd.DataFrame:
        pairs = zip(self.forced, self.numbers, strict=True)
        parts = [getattr(forced, name).assign(seed=seed) for forced, seed in pairs]
        return pd.concat(parts, ignore_index=True)


def forced_seeds(config: ForcingConfig) -> ForcedSeeds:
    """Published forcings of these settings; InputError, with the command, if there are none."""
    found = find_forced(config)
    if not found:
        raise InputError(f"no result is published for these settings; `{command(config)}` makes it")
    return ForcedSeeds(tuple(found))
