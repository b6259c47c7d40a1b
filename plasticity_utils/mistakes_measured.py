"""What each of the public code's mistakes changes, measured on a run by making it alone.

Mistakes 1, 2, 3 and 6 choose other neurons and mistake 4, made on decoders, removes something else,
so F1 just after the removal is measured again with each of them made. Mistakes 3 and 7 change how
the tables of a run are read; no model is needed. Mistakes 5 and 8 are settings of a run, so runs
are compared that differ in that setting alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from plasticity_utils import across, tables
from plasticity_utils.findings import finding
from plasticity_utils.measuring import score
from plasticity_utils.mistakes import removal_mistakes, shift_of_mistake_3, unequal_averaging
from plasticity_utils.plans import ErasurePlan
from plasticity_utils.replay import model_at
from plasticity_utils.run import Run, choose_neurons, shared_settings
from plasticity_utils.seeds import Seeds, over_seeds
from plasticity_utils.stages import Stages
from plasticity_utils.training import tag_sentences

DIFFERENCE = ["difference", "difference_low", "difference_high"]
TABLES = ("mistakes_removal", "mistakes_profile", "mistakes_averaging")
# The setting, its right value, and that of the public code.
SETTINGS = {5: ("regrow", False, True), 8: ("restarts", 1, 4)}


def measure_mistakes(run: Run) -> dict[str, pd.DataFrame]:
    """Make the mistakes on the base model of a finished run, and on its tables.

    Parameters
    ----------
    run : Run
        Its stages must still be in `run.config.results`. A run that erases removes no neurons, so
        none of these mistakes can be made in it; of a concept of one's own no tag has an F1.

    Returns
    -------
    dict of DataFrame
        `mistakes_removal` (see `removal_mistakes`, on the scoring half), `mistakes_profile`
        (`shift_of_mistake_3`), `mistakes_averaging` (`unequal_averaging`); empty for those two.
    """
    stages = Stages(run.config, only_finished=True)
    draw = choose_neurons(stages).random
    if isinstance(draw, ErasurePlan) or not run.config.about.is_entity:
        return {}
    regime, dose = run.config.removal, run.facts["dose"]
    with model_at(run, "concept", "base") as (model, tokenizer):
        data = tag_sentences(model, tokenizer, stages.sentences.scoring)
        made = removal_mistakes(model, run.ranking, regime, dose, draw, lambda: score(model, data))
    return {
        "mistakes_removal": made,
        "mistakes_profile": shift_of_mistake_3(run.ranking, regime, dose),
        "mistakes_averaging": unequal_averaging(run.neurons),
    }


def has_mistakes(run: Run) -> bool:
    """Tell whether a published run has these tables; the first runs were made without."""
    return run.holds(TABLES)


def mistake_changes(run: Run) -> pd.DataFrame:
    """One row a mistake and quantity: as it should be, and with the mistake made.

    Parameters
    ----------
    run : Run
        With its tables of mistakes (`has_mistakes`).

    Returns
    -------
    DataFrame
        mistake (number), quantity, right, made, difference. Quantities are F1 of the concept just
        after the removal, neurons removed, the share of removed neurons that lie in the embedding
        layer, the centre (in layers) of the profile that removal alone predicts, and the mean rise
        of rank saliency over the layers.
    """
    removal, profile, averaging = (pd.read_parquet(run.path / f"{t}.parquet") for t in TABLES)
    own = removal[removal["entity"] == run.config.label]
    wide = own.pivot_table(
        index="mistake", columns="made", values=["f1", "n_removed", "first_layer_share"]
    )
    centres = [tables.centroid(profile, way) for way in ("meant", "made")]
    rows = [(m, "F1 of the concept, just removed", *wide.loc[m, "f1"]) for m in wide.index]
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


def changes_over(groups: Iterable[Seeds]) -> pd.DataFrame:
    """`mistake_changes` of each concept, averaged over the seeds that have it.

    Parameters
    ----------
    groups : iterable of Seeds
        From `grouping.choose`; series without these tables are left out.

    Returns
    -------
    DataFrame
        The columns of `across.SERIES`, mistake, quantity, n_seeds; right, made and difference, each
        with `_low` and `_high`.
    """
    measured = [tuple(filter(has_mistakes, seeds.runs)) for seeds in groups]
    return across.each(
        [Seeds(runs) for runs in measured if runs],
        lambda seeds: seeds.paired(mistake_changes, ["mistake", "quantity"]),
    )


def by_concept(changes: pd.DataFrame) -> pd.DataFrame:
    """Lay out what the mistakes change, a row a mistake and quantity, a column a concept.

    Parameters
    ----------
    changes : DataFrame
        From `changes_over`, of one regime.

    Returns
    -------
    DataFrame
        mistake, quantity, and a column a concept with the difference that the mistake makes; with
        `_low` and `_high` where the concept has several seeds. Without changes, nothing.
    """
    if changes.empty:
        return changes
    wide = changes.pivot_table(
        index=["mistake", "quantity"],
        columns="concept",
        values=DIFFERENCE,
        sort=False,
    )
    wide.columns = [f"{concept}{name.removeprefix('difference')}" for name, concept in wide]
    return wide.reset_index()


def setting_changes(groups: Iterable[Seeds]) -> pd.DataFrame:
    """What mistakes 5 and 8 change, each made alone, by runs that differ in that one setting.

    Parameters
    ----------
    groups : iterable of Seeds
        From `grouping.choose`; a series without its counterpart is left out.

    Returns
    -------
    DataFrame
        concept, scale, mistake, quantity, n_seeds; right, made and difference, each with `_low` and
        `_high`. Quantities are of the condition `concept`: F1 after an epoch and at the end, F1
        with the removed neurons removed again (on the few sentences of `Run.reliance`), and the
        median gain of the removed neurons.
    """
    series = [(shared_settings(seeds.config), seeds) for seeds in groups]
    usual = {setting: right for setting, right, _ in SETTINGS.values()}
    parts = []
    for mistake, (setting, _, wrong) in SETTINGS.items():
        for settings, right in series:
            if settings != settings | usual:
                continue
            for others, made in series:
                if others == settings | {setting: wrong}:
                    table = _paired_by_seed(right, made).assign(mistake=mistake)
                    table.insert(0, "concept", right.config.about.title)
                    table.insert(1, "scale", right.config.scale)
                    parts.append(table)
    columns = ["concept", "scale", "mistake", "quantity"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _paired_by_seed(right: Seeds, made: Seeds) -> pd.DataFrame:
    by_seed = {run.config.seed: _ends(run) for run in right.runs}
    rows = [
        (quantity, by_seed[run.config.seed][quantity], value)
        for run in made.runs
        if run.config.seed in by_seed
        for quantity, value in _ends(run).items()
    ]
    table = pd.DataFrame(rows, columns=["quantity", "right", "made"])
    table["difference"] = table["made"] - table["right"]
    return over_seeds(table, ["quantity"], ["right", "made", "difference"])


def _ends(run: Run) -> dict[str, float]:
    """Where retraining under `concept` leads."""
    label = run.config.label
    own = run.metrics[run.metrics["condition"].eq("concept") & run.metrics["entity"].eq(label)]
    f1 = own.set_index("epoch")["f1"]
    again = tables.reliance_table(run.reliance).set_index(["condition", "again", "entity"])["f1"]
    gains = finding(run, "regrowth")
    gains = gains[gains["condition"] == "concept"].set_index("epoch")["gain"]
    return {
        "F1 of the concept after one epoch": f1[1.0],
        "F1 of the concept at the end": f1[f1.index.max()],
        "F1 at the end, neurons removed again": again["concept", "same", label],
        "gain of its neurons at the end": gains[gains.index.max()],
    }
