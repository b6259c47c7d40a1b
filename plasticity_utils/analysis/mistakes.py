"""The public code's mistakes, made on purpose, to see what each of them changes.

Eight mistakes in the public code of Lo, Cohen & Barez (2024) change conclusions (the paper's
chapter lists them with their commits). Here is each as a plan (mistake 4: as a removal) that goes
wrong in that one way and is right otherwise. `measure_mistakes` makes them on a finished run.

Mistakes 5 and 8 are settings of a run: `removal="layernorm", regrow=True` lets zeroed gains train
on, and `epochs=8, restarts=4` makes four schedules out of one (`setting_changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
from transformers import PreTrainedModel

from plasticity_utils.experiment.measure import score_tagged
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.replay import model_at
from plasticity_utils.experiment.run_names import shared_settings
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.models.layers import is_causal
from plasticity_utils.models.load import count_layers, width
from plasticity_utils.neurons.scores import layer_unit, removal_only_profile
from plasticity_utils.registry import label
from plasticity_utils.removal.interface import in_force
from plasticity_utils.removal.layernorm import zero_mlp_gains
from plasticity_utils.removal.neurons import NeuronRemoval, RemovedNeurons
from plasticity_utils.results import tables
from plasticity_utils.results.derived import MISTAKES, derived
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.stack import group_means, mean_interval
from plasticity_utils.training.train import tag_sentences


def wrong_end(ranking: pd.DataFrame, removal: NeuronRemoval, dose: float) -> RemovedNeurons:
    """Mistake 1: the tail of a decreasing ranking, the least salient neurons."""
    column = f"rank_{label(removal.ranking)}"
    turned = ranking.assign(**{column: len(ranking) - 1 - ranking[column]})
    return removal.at(turned, dose)


def first_ids(plan: RemovedNeurons, d_model: int) -> RemovedNeurons:
    """Mistake 2: a "random" removal that is always the ids 0 … n − 1."""
    return replace(plan, neurons=layer_unit(range(len(plan.neurons)), d_model))


def shifted_layer(plan: RemovedNeurons, n_layers: int) -> RemovedNeurons:
    """Mistake 3: `layer[layer_id − 1]`, which sends neurons of layer 0 to the last layer."""
    layers, units = plan.neurons.T
    sent = np.stack([np.where(layers == 0, n_layers - 1, layers), units], axis=1)
    return replace(plan, neurons=np.unique(sent, axis=0))


@contextmanager
def mlp_unread(model: PreTrainedModel, plan: RemovedNeurons) -> Iterator[None]:
    """Mistake 4: the MLP of its block no longer reads a neuron's unit; the neuron stays.

    Neurons of the embedding layer, which no block writes, are removed as they should be.
    """
    embedded = plan.neurons[:, 0] == 0
    with (
        in_force(model, replace(plan, neurons=plan.neurons[embedded])),
        zero_mlp_gains(model, plan.neurons[~embedded]),
    ):
        yield


def six_layers(ranking: pd.DataFrame, removal: NeuronRemoval, dose: float) -> RemovedNeurons:
    """Mistake 6: the embedding layer is not counted, so a share is one of fewer neurons."""
    n_layers = int(ranking["layer"].max()) + 1
    return removal.at(ranking, dose * (n_layers - 1) / n_layers)


def removal_mistakes(
    model: PreTrainedModel,
    ranking: pd.DataFrame,
    removal: NeuronRemoval,
    dose: float,
    draw: RemovedNeurons,
    score: Callable[[], pd.DataFrame],
) -> pd.DataFrame:
    """F1 just after a removal that is right, and after one that makes one mistake.

    Mistake 2 is compared with `draw`, the layer-matched random removal. Mistake 4 is made on
    decoders, the models that have what it confuses; it leaves the neurons that it plans to remove.
    The model is as before afterwards.
    """
    n_layers, d_model = count_layers(model), width(model)
    right = removal.at(ranking, dose)
    wrong = {
        1: wrong_end(ranking, removal, dose),
        2: first_ids(draw, d_model),
        3: shifted_layer(right, n_layers),
        6: six_layers(ranking, removal, dose),
    }

    def scored(plan: RemovedNeurons, remove: Callable = in_force) -> pd.DataFrame:
        with remove(model, plan):
            scores = score()
        share = float((plan.neurons[:, 0] == 0).mean())
        return scores.assign(n_removed=len(plan.neurons), first_layer_share=share)

    made = {mistake: scored(plan) for mistake, plan in wrong.items()}
    if is_causal(model):
        made[4] = scored(right, mlp_unread)
    as_meant, as_drawn = scored(right), scored(draw)
    rows = []
    for mistake in sorted(made):
        meant = as_drawn if mistake == 2 else as_meant
        rows += [
            meant.assign(mistake=mistake, made=False),
            made[mistake].assign(mistake=mistake, made=True),
        ]
    return pd.concat(rows, ignore_index=True)


def unequal_averaging(neurons: pd.DataFrame) -> pd.DataFrame:
    """Mistake 7: neurons without a value count as 0 in the base and are dropped afterwards.

    A removed neuron says the same of every word, so its words cannot be told (0/0). The public code
    takes such a neuron for 0 in one mean and leaves it out of the other.
    """
    own = neurons[neurons["condition"] == "targeted"]
    base, end = (own[own["stage"] == stage] for stage in ("base", "end"))
    gone = end.set_index(["layer", "unit"])["removed"]
    at = base.set_index(["layer", "unit"])["rank_saliency"]
    after = end.set_index(["layer", "unit"])["rank_saliency"]
    return pd.DataFrame(
        {
            "rise": (after - at).groupby("layer").mean(),
            "rise_unequal": after[~gone].groupby("layer").mean()
            - at.where(~gone, 0.0).groupby("layer").mean(),
            "dropped": gone.groupby("layer").mean(),
        }
    ).reset_index()


def shift_of_mistake_3(ranking: pd.DataFrame, removal: NeuronRemoval, dose: float) -> pd.DataFrame:
    """Layer profiles that removal alone predicts, for the removal meant and the one made."""
    n_layers = int(ranking["layer"].max()) + 1
    d_model = len(ranking) // n_layers
    order = np.argsort(ranking[f"rank_{label(removal.ranking)}"].to_numpy(), kind="stable")
    right = removal.at(ranking, dose)
    profiles = {
        name: removal_only_profile(
            order, plan.neurons[:, 0] * d_model + plan.neurons[:, 1], n_layers
        )
        for name, plan in (("meant", right), ("made", shifted_layer(right, n_layers)))
    }
    return pd.DataFrame({"layer": range(n_layers), **profiles})


# The setting, its right value, and that of the public code.
_SETTINGS = {5: ("regrow", False, True), 8: ("restarts", 1, 4)}


def measure_mistakes(run: Run) -> dict[str, pd.DataFrame]:
    """Make the mistakes on the base model of a finished run, and on its tables.

    A run that erases removes no neurons, so none of these mistakes can be made in it; of a concept
    of one's own no tag has an F1: both give nothing.
    """
    stages = Stages(run.config, only_finished=True)
    dose = run.facts["dose"]
    removal, draw = run.config.chosen.make(dose), stages.control
    if not (isinstance(removal, NeuronRemoval) and isinstance(draw, RemovedNeurons)):
        return {}
    if not run.config.concept_info.is_entity:
        return {}
    with model_at(run, "targeted", "base") as (model, tokenizer):
        data = tag_sentences(model, tokenizer, stages.sentences.scoring)
        made = removal_mistakes(
            model, run.ranking, removal, dose, draw, lambda: score_tagged(model, data)
        )
    return {
        "mistakes_removal": made,
        "mistakes_profile": shift_of_mistake_3(run.ranking, removal, dose),
        "mistakes_averaging": unequal_averaging(run.neurons),
    }


def mistake_changes(run: Run) -> pd.DataFrame:
    """One row a mistake and quantity: as it should be, and with the mistake made.

    Gives mistake (number), quantity, right, made, difference. Quantities are F1 of the concept just
    after the removal, neurons removed, the share of removed neurons that lie in the embedding
    layer, the centre (in layers) of the profile that removal alone predicts, and the mean rise of
    rank saliency over the layers.
    """
    removal, profile, averaging = (run.table(name) for name in MISTAKES)
    own = removal[removal["entity"] == run.config.label]
    wide = own.pivot_table(
        index="mistake", columns="made", values=["entity_f1", "n_removed", "first_layer_share"]
    )
    centres = [tables.centroid(profile, way) for way in ("meant", "made")]
    rows = [(m, "F1 of the concept, just removed", *wide.loc[m, "entity_f1"]) for m in wide.index]
    rows += [
        (2, "share in the embedding layer", *wide.loc[2, "first_layer_share"]),
        (3, "share in the embedding layer", *wide.loc[3, "first_layer_share"]),
        (3, "predicted centre (layers)", *centres),
        (6, "neurons removed", *wide.loc[6, "n_removed"]),
        (7, "mean rise of rank saliency", *averaging[["rise", "rise_unequal"]].mean()),
    ]
    table = pd.DataFrame(rows, columns=["mistake", "quantity", "right", "made"])
    table["difference"] = table["made"] - table["right"]
    return table.sort_values("mistake", kind="stable", ignore_index=True)


def changes_over(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """`mistake_changes` of each concept, averaged over the seeds that have it.

    Groups without these tables are left out. Right, made and difference have `_low` and `_high`.
    """

    def changes(run: Run) -> pd.DataFrame | None:
        return mistake_changes(run) if run.holds(MISTAKES) else None

    return group_means(groups, changes, ["mistake", "quantity"])


def changes_by_concept(changes: pd.DataFrame) -> pd.DataFrame:
    """What the mistakes change in one regime: a row a mistake and quantity, a column a concept."""
    if changes.empty:
        return changes
    wide = changes.pivot_table(
        index=["mistake", "quantity"],
        columns="concept",
        values="difference",
        sort=False,
    )
    return wide.rename_axis(columns=None).reset_index()


def setting_changes(groups: Iterable[RunGroup]) -> pd.DataFrame:
    """What mistakes 5 and 8 change, each made alone, by runs that differ in that one setting.

    As `changes_over`; a group without its counterpart is left out. Quantities are of the condition
    `targeted`: F1 after an epoch and at the end, F1 with the removed neurons removed again (on the
    few sentences of `Run.reliance`), and the median gain of the removed neurons.
    """
    with_settings = [(shared_settings(group.config), group) for group in groups]
    usual = {setting: right for setting, right, _ in _SETTINGS.values()}
    parts = []
    for mistake, (setting, _, wrong) in _SETTINGS.items():
        for settings, right in with_settings:
            if settings != settings | usual:
                continue
            for others, made in with_settings:
                if others == settings | {setting: wrong}:
                    table = _paired_by_seed(right, made).assign(mistake=mistake)
                    table.insert(0, "concept", right.config.concept_info.title)
                    table.insert(1, "scale", right.config.scale)
                    parts.append(table)
    columns = ["concept", "scale", "mistake", "quantity"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _paired_by_seed(right: RunGroup, made: RunGroup) -> pd.DataFrame:
    by_seed = {run.config.seed: _ends(run) for run in right.runs}
    rows = [
        (quantity, by_seed[run.config.seed][quantity], value)
        for run in made.runs
        if run.config.seed in by_seed
        for quantity, value in _ends(run).items()
    ]
    table = pd.DataFrame(rows, columns=["quantity", "right", "made"])
    table["difference"] = table["made"] - table["right"]
    return mean_interval(table, ["quantity"], ["right", "made", "difference"])


def _ends(run: Run) -> dict[str, float]:
    """Where retraining under `targeted` leads."""
    label = run.config.label
    own = run.metrics[run.metrics["condition"].eq("targeted") & run.metrics["entity"].eq(label)]
    f1 = own.set_index("epoch")["entity_f1"]
    again = tables.reliance_table(run.reliance).set_index(["condition", "again", "entity"])[
        "entity_f1"
    ]
    gains = derived(run, "regrowth")
    gains = gains[gains["condition"] == "targeted"].set_index("epoch")["gain"]
    return {
        "F1 of the concept after one epoch": f1[1.0],
        "F1 of the concept at the end": f1[f1.index.max()],
        "F1 at the end, neurons removed again": again["targeted", "same", label],
        "gain of its neurons at the end": gains[gains.index.max()],
    }
