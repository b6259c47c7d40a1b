"""Tables that are worked out of a finished run: each has a name and a maker.

Most are worked out when a run is published, since its models are then still there; some are added
later, by a command of their own. Makers of other packages are named and not imported, so that
opening a published table imports no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.record import Run
from plasticity_utils.registry import users_errors
from plasticity_utils.results import tables

N_REMOVED, N_NEWLY_SALIENT = 8, 12


@dataclass(frozen=True)
class Maker:
    """What works a table out, or several that it gives by name.

    Attributes
    ----------
    function : callable, or str
        Or its place in this package.
    of_snapshots : bool
        Whether it is given the run's models at their snapshots (`RunSnapshots`), and not the run.
        Only runs of an entity type have these tables.
    given : callable
        Gives the arguments, of the run or of its snapshots.
    command : str
        What makes the table of a published run; empty for one that publishing makes.
    """

    function: Callable[[Any], Any] | str
    of_snapshots: bool = False
    given: Callable[[Any], tuple[Any, ...]] = lambda source: (source,)
    command: str = ""

    def __call__(self, source: Any) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """Work the table out, or the tables."""
        function = _of_package(self.function) if isinstance(self.function, str) else self.function
        return function(*self.given(source))


def _of_neurons(name: str, *further: Callable[[Run], Any]) -> Maker:
    """A maker that is given the table of all neurons, and what else it is told of the run."""
    return Maker(
        f"results.neurons.{name}",
        given=lambda run: (run.neurons, *(each(run) for each in further)),
    )


CARDS = ("card_neurons", "card_stages", "card_words", "card_histograms")
MISTAKES = ("mistakes_removal", "mistakes_profile", "mistakes_averaging")
MAKERS = {
    "kept_gain": _of_neurons("kept_gain_table"),
    "turnover": _of_neurons("turnover", lambda run: run.facts["dose"]),
    "neuron_changes": _of_neurons("selectivity_change", lambda run: N_NEWLY_SALIENT),
    "regrowth": _of_neurons("regrowth"),
    "removed_neurons": _of_neurons("removed_neurons", lambda run: N_REMOVED),
    "newly_salient": _of_neurons("newly_salient", lambda run: N_NEWLY_SALIENT),
    "method_overlap": Maker(lambda run: tables.method_overlap(run.ranking, run.facts["dose"])),
    **dict.fromkeys(CARDS, Maker("results.neurons.neuron_cards")),
    "representation": Maker("analysis.representation.representation_table", of_snapshots=True),
    "transfer": Maker("analysis.representation.transfer", of_snapshots=True),
    "subconcepts": Maker("analysis.parts.subconcepts", of_snapshots=True),
    "subconcept_parts": Maker("analysis.parts.subconcept_parts", of_snapshots=True),
    "subconcept_neurons": Maker("analysis.parts.subconcept_neurons", of_snapshots=True),
    "polysemanticity": Maker("analysis.polysemanticity.polysemanticity_table", of_snapshots=True),
    "sharing": Maker("analysis.polysemanticity.sharing_table", of_snapshots=True),
    "superposition": Maker("analysis.polysemanticity.superposition_table", of_snapshots=True),
    "migration": Maker("analysis.takeover.migration_table", of_snapshots=True),
    "priming": Maker("analysis.takeover.priming_table", of_snapshots=True),
    **dict.fromkeys(MISTAKES, Maker("analysis.mistakes.measure_mistakes")),
    "indicators": Maker("analysis.reading.compare_indicators", command="plasticity indicators"),
    "readers": Maker("analysis.reading.read_anew", command="plasticity readers"),
}
OF_SNAPSHOTS = tuple(name for name, maker in MAKERS.items() if maker.of_snapshots)
BY_COMMAND = tuple(name for name, maker in MAKERS.items() if maker.command)


def derived(run: Run, name: str) -> pd.DataFrame:
    """Return one of a run's derived tables: read where it was kept, else worked out.

    InputError for a name that is not of `MAKERS`, a table that is added and was not, one that this
    run cannot have, or if it is to be worked out and the run's models are gone.
    """
    if name not in MAKERS:
        raise InputError(f"unknown derived table {name!r}; allowed: {', '.join(MAKERS)}")
    if MAKERS[name].command and not run.holds([name]):
        raise InputError(
            f"table {name!r} was not added to {run.path.name!r}; `{MAKERS[name].command}` does it"
        )
    found = derive(run, [name])
    if name not in found:
        raise InputError(f"{run.path.name!r} can have no table {name!r}")
    return found[name]


@users_errors()
def derive(run: Run, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Return several derived tables of a run, which share what they have in common.

    What the run cannot have is left out.
    """
    found: dict[str, pd.DataFrame] = {}
    snapshots = None
    for name in names:
        if run.holds([name]):
            found[name] = run.table(name)
        elif name not in found:
            maker = MAKERS[name]
            if maker.of_snapshots and snapshots is None:
                snapshots = _of_package("analysis.snapshots.RunSnapshots")(run)
            made = maker(snapshots if maker.of_snapshots else run)
            found |= made if isinstance(made, Mapping) else {name: made}
    return {name: found[name] for name in names if name in found}


def when_published(run: Run) -> list[str]:
    """Names of the tables that are worked out when a run is published."""
    if not run.holds(["neurons"]):
        return []
    own = [name for name, maker in MAKERS.items() if not maker.command]
    return own if run.config.is_usual else [n for n in own if n not in OF_SNAPSHOTS]


def _of_package(place: str) -> Callable[[Any], Any]:
    module, name = place.rsplit(".", 1)
    return getattr(import_module(f"plasticity_utils.{module}"), name)
