"""Can chosen neurons be forced to carry a second concept? The groups, their training, the tables.

The neurons of a concept are removed for good, and the model trains on with its plasticity confined
to a group of neurons (`confine`), more of them at every dose. If the host's neurons come to carry
both concepts, and F1 of both is there, they were forced; what random neurons of the same layers do
under the same training tells whether it mattered that a concept lived there.

A group is a set of neurons to which plasticity is confined. The *host*'s are those that serve
another concept best, among those that were not removed; *random* ones are as many of each layer;
*removed* are the concept's own, which may then grow back. Beside them stand the whole model (`all`)
and the classification head alone (`head`).

A neuron *carries both* where |σ| > τ for the concept and for its host, each within entity words.
Two types that are contrasted with each other share neurons by construction: what rises on persons
alone falls on locations. So neurons that carry both with the same sign, which no contrast can bring
about, are counted apart. The *rise* is the share of a group that carries both in the end, less the
share just after the removal. σ is free of scale: of removed neurons that grow back, gain and effect
tell how much they say.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.concepts import members
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.experiment.measure import score_tagged
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import save_tables
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import count_layers, load_model, width
from plasticity_utils.names import STAGES
from plasticity_utils.neurons.inventory import inventory, inventory_selectivity, thresholds
from plasticity_utils.neurons.scores import deviations, effect_sizes, layer_unit
from plasticity_utils.registry import label
from plasticity_utils.removal.gate import HeldNeurons
from plasticity_utils.removal.interface import InForce, draw_seed, in_force
from plasticity_utils.removal.neurons import layer_matched_draw
from plasticity_utils.training.confine import confine
from plasticity_utils.training.protocols import HEAD, TARGETED
from plasticity_utils.training.schedule import Schedule
from plasticity_utils.training.train import fine_tune, tag_sentences, train_only

# Groups that have no number of neurons, and the protocol of a run by which they train.
_PROTOCOLS = {"all": TARGETED, "head": HEAD}
# Of a mean over neurons, which stand in for a sample.
_STANDARD_ERRORS = 1.96


@dataclass(frozen=True)
class Target:
    """A group of neurons to which training is confined.

    Attributes
    ----------
    name : str
        `host`, `random`, `removed`, or one of `_PROTOCOLS`.
    dose : float
        Share of all neurons: 1 for `all`, 0 for `head`.
    neurons : int array, [n_neurons, 2]
        (layer, unit) pairs; empty for `all` and `head`.
    overlap : int
        How many random neurons are also the host's or removed (where a layer has too few others).
    """

    name: str
    dose: float
    neurons: np.ndarray
    overlap: int = 0


def choose_targets(
    config: ForcingConfig, plan: HeldNeurons, host_ranking: pd.DataFrame
) -> list[Target]:
    """Choose the groups of every dose, then `all` and `head`.

    `plan` has the concept's neurons, best first; `host_ranking` is `ranking.parquet` of the host,
    one row a neuron in flat order. `removed` is there only at doses that do not exceed what was
    removed; all of it where none fits. InputError if fewer neurons are left than the largest dose
    asks for.
    """
    n_neurons = len(host_ranking)
    n_layers = int(host_ranking["layer"].max()) + 1
    gone = {tuple(pair) for pair in plan.neurons.tolist()}
    places = host_ranking[["layer", "unit"]].to_numpy().tolist()
    kept = host_ranking[[tuple(place) not in gone for place in places]]
    counts = {dose: max(1, round(dose * n_neurons)) for dose in config.doses}
    if max(counts.values()) > len(kept):
        raise InputError(
            f"dose {max(config.doses)} of {n_neurons} neurons is {max(counts.values())}, but only "
            f"{len(kept)} were not removed; needed: a smaller dose"
        )
    own = {d: k for d, k in counts.items() if k <= len(gone)} or {len(gone) / n_neurons: len(gone)}
    column = f"rank_{label(config.preset.ranking)}"
    targets = []
    for dose, k in counts.items():
        host = kept.nsmallest(k, column)[["layer", "unit"]].to_numpy()
        seed = draw_seed(config.seed, 0)
        drawn = layer_matched_draw(
            host, n_layers, n_neurons // n_layers, seed, exclude=plan.neurons
        )
        barred = gone | {tuple(pair) for pair in host.tolist()}
        overlap = len(barred & {tuple(pair) for pair in drawn.neurons.tolist()})
        targets += [Target("host", dose, host), Target("random", dose, drawn.neurons, overlap)]
    targets += [Target("removed", dose, plan.neurons[:k]) for dose, k in own.items()]
    nobody = np.empty((0, 2), dtype=np.int64)
    return [*targets, Target("all", 1.0, nobody), Target("head", 0.0, nobody)]


@dataclass(frozen=True)
class ForcingStages(Stages):
    """The stages of a forcing, in the folder of the run's own and on top of them."""

    config: ForcingConfig

    def before(self, plan: HeldNeurons) -> Path:
        """Describe base and just removed: `metrics_*`, `neurons_*` and `tau.parquet`."""
        return self._cached("forced-before", self._shared(plan), partial(self._make_before, plan))

    def forced(self, target: Target, plan: HeldNeurons) -> Path:
        """Train on with plasticity confined to a target: `metrics` and `neurons`, at the end."""
        chosen = HeldNeurons(target.neurons, plan.rest, plan.positions)
        settings = {
            **self._shared(plan),
            "target": target.name if target.name in _PROTOCOLS else chosen.key(),
            "regrow": target.name == "removed",
            "head": self.config.head and target.name not in _PROTOCOLS,
            "share": self.config.share,
            "schedule": asdict(self._forced_schedule(target)),
        }
        make = partial(self._make_forced, target, plan)
        return self._cached(f"forced-{target.name}", settings, make)

    def _shared(self, plan: HeldNeurons) -> dict[str, Any]:
        sizes = self.config.sizes
        return {
            "base": self._base_settings,
            "removal": plan.key(),
            "entities": self.config.entities,
            "sentences": [sizes.measuring, sizes.scoring],
        }

    def _forced_schedule(self, target: Target) -> Schedule:
        schedule = replace(self._retraining(_PROTOCOLS.get(target.name, TARGETED)), epochs=1)
        factor = 1.0 if target.name in _PROTOCOLS else self.config.rate_factor
        return replace(schedule, learning_rate=factor * schedule.learning_rate)

    def _make_before(self, plan: HeldNeurons, part: Path) -> None:
        model, tokenizer = self._load_base()
        scoring = tag_sentences(model, tokenizer, self.sentences.scoring)
        measuring = self.sentences.measuring
        X = word_activations(model, tokenizer, measuring.sentences)
        types = inventory(measuring.word_labels())
        tau = pd.DataFrame({"entity": types.names, "tau": thresholds(X, types, self.config.seed)})
        deviation = deviations(X)
        found = {
            "tau": tau,
            "metrics_base": score_tagged(model, scoring),
            "neurons_base": self._describe(X, width(model), deviation).assign(deviation=deviation),
        }
        with in_force(model, plan):
            X = word_activations(model, tokenizer, measuring.sentences)
            found["metrics_removed"] = score_tagged(model, scoring)
        found["neurons_removed"] = self._describe(X, width(model), deviation)
        save_tables(found, part)

    def _make_forced(self, target: Target, plan: HeldNeurons, part: Path) -> None:
        base = pd.read_parquet(self.before(plan) / "neurons_base.parquet")
        finished = self._finished(target)
        if finished is None:
            model, tokenizer = self._load_base()
        else:
            model, tokenizer = load_model(str(finished / "model"))
        scoring = tag_sentences(model, tokenizer, self.sentences.scoring)
        with self._plastic(model, target, plan) as removal:
            if finished is None:
                self._train(model, tokenizer, target, removal, part)
            X = word_activations(model, tokenizer, self.sentences.measuring.sentences)
            metrics = score_tagged(model, scoring)
            gain = np.ones((count_layers(model), width(model)))
            gain[tuple(plan.neurons.T)] = 0
            if removal is not None:
                gain[tuple(target.neurons.T)] = removal.gains()
        neurons = self._describe(X, width(model), base["deviation"].to_numpy())
        neurons["gain"] = gain.ravel()
        save_tables({"metrics": metrics, "neurons": neurons}, part)
        shutil.rmtree(part / "checkpoints", ignore_errors=True)

    def _finished(self, target: Target) -> Path | None:
        """The run's own training under the target's protocol, where it is the same one."""
        same = self.config.share == 1 and self.config.retrain_epochs == 1
        for condition in self.config.conditions if same else ():
            if self._protocol(condition) == _PROTOCOLS.get(target.name):
                return self.retrained(condition)
        return None

    @contextmanager
    def _plastic(
        self, model: PreTrainedModel, target: Target, plan: HeldNeurons
    ) -> Iterator[InForce | None]:
        """Remove the concept's neurons and confine training; gives gains that may grow."""
        own = {tuple(pair) for pair in target.neurons.tolist()}
        regrown = target.name == "removed"
        gone = [pair for pair in plan.neurons.tolist() if not (regrown and tuple(pair) in own)]
        with ExitStack() as stack:
            if target.name in _PROTOCOLS:
                train_only(model, _PROTOCOLS[target.name].trains(model))
            else:
                stack.enter_context(confine(model, target.neurons, self.config.head))
            stay = replace(plan, neurons=np.array(gone, dtype=np.int64).reshape(-1, 2))
            stack.enter_context(in_force(model, stay))
            grow = replace(plan, neurons=target.neurons, regrow=True)
            yield stack.enter_context(in_force(model, grow)) if regrown else None

    def _train(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        target: Target,
        removal: InForce | None,
        part: Path,
    ) -> None:
        train = self.sentences.train
        train = train.first(max(1, round(self.config.share * len(train))))
        # A snapshot at the end, which nobody looks at, keeps what an interruption would lose.
        fine_tune(
            model, tag_sentences(model, tokenizer, train), self._forced_schedule(target),
            part / "checkpoints", snapshot_epochs=(1.0,),
            gates=removal.parameters() if removal else (),
        )  # fmt: skip

    def _describe(self, X: np.ndarray, d_model: int, deviation: np.ndarray) -> pd.DataFrame:
        """Selectivity within entity words, and effect, of every neuron for both concepts."""
        measuring = self.sentences.measuring
        types = inventory(measuring.word_labels())
        sigma = inventory_selectivity(X, types)
        table = pd.DataFrame(layer_unit(range(X.shape[1]), d_model), columns=["layer", "unit"])
        for role, entity in zip(("concept", "host"), self.config.entities, strict=True):
            table[f"sigma_{role}"] = sigma[:, types.names.index(entity)]
            table[f"effect_{role}"] = effect_sizes(X, members(measuring, entity), deviation)
        return table


def forcing_tables(config: ForcingConfig) -> tuple[Stages, dict[str, pd.DataFrame], dict[str, Any]]:
    """Force the groups of a configuration; gives its stages, its tables, and no further facts."""
    stages = ForcingStages(config)
    plan = stages.removal
    assert isinstance(plan, HeldNeurons)
    host = Stages(config.of_host).ranking()
    targets = choose_targets(config, plan, pd.read_parquet(host / "ranking.parquet"))
    before = stages.before(plan)
    made = [(target, stages.forced(target, plan)) for target in targets]
    tables = {
        "forced": f1_table(before, made),
        "carriers": carrier_table(before, made, config.entities),
    }
    return stages, tables, {}


def f1_table(before: Path, made: Sequence[tuple[Target, Path]]) -> pd.DataFrame:
    """F1 of every entity type, for every group: the table `forced`.

    `before` is the folder of `ForcingStages.before`, and `made` has each group with its folder.
    """
    base, removed = (_metrics(before / f"metrics_{name}.parquet") for name in STAGES[:2])
    n_neurons = len(pd.read_parquet(before / "neurons_base.parquet"))
    parts = []
    for target, folder in made:
        end = _metrics(folder / "metrics.parquet")
        lost = base["entity_f1"] - removed["entity_f1"]
        table = pd.DataFrame(
            {
                "target": target.name,
                "dose": target.dose,
                "n_neurons": n_neurons if target.name == "all" else len(target.neurons),
                "entity": end.index,
                "n_gold": end["n_gold"],
                "entity_f1_base": base["entity_f1"],
                "entity_f1_removed": removed["entity_f1"],
                "entity_f1_end": end["entity_f1"],
                "entity_f1_end_low": end["entity_f1_low"],
                "entity_f1_end_high": end["entity_f1_high"],
                "regained": ((end["entity_f1"] - removed["entity_f1"]) / lost).where(lost > 0),
            }
        )
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def carrier_table(
    before: Path, made: Sequence[tuple[Target, Path]], entities: tuple[str, str]
) -> pd.DataFrame:
    """How many neurons of each group carry both concepts, before and after: the table `carriers`.

    `all` is described at the neurons of the host, at every dose: what they come to carry where
    nothing is confined; `head` leaves neurons as they are, and is not here. `entities` are the tags
    of the concept and of its host.
    """
    tau = pd.read_parquet(before / "tau.parquet").set_index("entity")["tau"]
    limits = tuple(float(tau[entity]) for entity in entities)
    early = {name: pd.read_parquet(before / f"neurons_{name}.parquet") for name in STAGES[:2]}
    rows = []
    for target, folder in _with_all_at_the_hosts(made):
        snapshots = {**early, "end": pd.read_parquet(folder / "neurons.parquet")}
        own = {name: _of_group(table, target.neurons) for name, table in snapshots.items()}
        rows.append(
            {
                "target": target.name,
                "dose": target.dose,
                "n_neurons": len(target.neurons),
                "overlap": target.overlap,
                **_counts(own, limits),
                "gain": own["end"]["gain"].median(),
                "effect_concept": own["end"]["effect_concept"].abs().median(),
                "effect_host": own["end"]["effect_host"].abs().median(),
            }
        )
    return pd.DataFrame(rows)


def _metrics(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path).set_index("entity")


def _with_all_at_the_hosts(
    made: Sequence[tuple[Target, Path]],
) -> list[tuple[Target, Path]]:
    """Give the groups that have neurons, and `all` once for each of the host's."""
    whole = [folder for target, folder in made if target.name == "all"]
    hosts = [target for target, _ in made if target.name == "host"]
    groups = [(target, folder) for target, folder in made if len(target.neurons)]
    everywhere = [(Target("all", t.dose, t.neurons), folder) for folder in whole for t in hosts]
    return groups + everywhere


def _of_group(neurons: pd.DataFrame, group: np.ndarray) -> pd.DataFrame:
    return neurons.set_index(["layer", "unit"]).loc[[tuple(pair) for pair in group.tolist()]]


def _counts(own: dict[str, pd.DataFrame], limits: tuple[float, ...]) -> dict[str, int | float]:
    """Neurons that carry both at each snapshot, and the rise of their share."""
    counts: dict[str, int | float] = {}
    for name, value, same_sign in (("both", "rise", False), ("same", "rise_same", True)):
        carry = {snapshot: _carry_both(table, limits, same_sign) for snapshot, table in own.items()}
        counts |= {f"n_{name}_{snapshot}": int(found.sum()) for snapshot, found in carry.items()}
        change = carry["end"].astype(float) - carry["removed"].astype(float)
        error = float(change.sem()) if len(change) > 1 else float("nan")
        margin = _STANDARD_ERRORS * error
        rise = float(change.mean())
        counts |= {value: rise, f"{value}_low": rise - margin, f"{value}_high": rise + margin}
    return counts


def _carry_both(table: pd.DataFrame, limits: tuple[float, ...], same_sign: bool) -> pd.Series:
    concept, host = table["sigma_concept"], table["sigma_host"]
    both = (concept.abs() > limits[0]) & (host.abs() > limits[1])
    return both & (np.sign(concept) == np.sign(host)) if same_sign else both
