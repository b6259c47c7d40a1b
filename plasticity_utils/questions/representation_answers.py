"""Is it the same concept? CKA and probe transfer of a run, each condition against the base.

Training on changes a representation whether or not neurons were removed, so what counts is how much
further from the base `concept` ends than `none` does. Just after removal the removed neurons are
constant: they add nothing to a layer's geometry, so CKA over all units then shows what was taken
out and what that does to the layers above. Over the units that were kept it shows the latter alone
(in the embedding, which nothing feeds, it is 1).
"""

from __future__ import annotations

import pandas as pd

from plasticity_utils.corpus import in_first_half
from plasticity_utils.questions.moments import BASE, Moment, Moments
from plasticity_utils.questions.representation import cka_by_layer, probe_transfer

COMPARED: tuple[Moment, ...] = (
    ("concept", "removed"),
    ("concept", "end"),
    ("random", "end"),
    ("none", "end"),
)


def representation(moments: Moments) -> pd.DataFrame:
    """Linear CKA of the concept's words, base against each moment, layer by layer.

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition, stage (`removed`, `end`), units (`all`, or `kept`: those that neither `concept`
        nor the condition removed), layer, cka, cka_debiased, n (words). From `cka_by_layer`.
    """
    own = moments.is_concept
    base = moments.activations(BASE)[own]
    parts = []
    for condition, stage in COMPARED:
        X = moments.activations((condition, stage))[own]
        # A unit that is 0 throughout adds nothing to the products of words that CKA is made of.
        for units, weight in (("all", 1), ("kept", moments.kept(condition))):
            table = cka_by_layer(base * weight, X * weight, moments.d_model)
            parts.append(_named(table, condition, stage, units=units))
    return pd.concat(parts, ignore_index=True)


def transfer(moments: Moments) -> pd.DataFrame:
    """How well a probe of the base reads the concept at each moment, layer by layer.

    Probe and alignment are fitted on one half of the measuring sentences and scored on the other. A
    probe of all units must fail where it read removed ones; one of the kept units need not.

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition, stage (`removed`, `end`), units (`all`, `kept`), layer, alignment (`base`,
        `none`, `procrustes`, `shuffled`), f1, balanced_accuracy, n (words). From `probe_transfer`.
    """
    fits, base = in_first_half(moments.measuring), moments.activations(BASE)
    parts = []
    for condition, stage in COMPARED:
        X = moments.activations((condition, stage))
        for units, weight in (("all", 1), ("kept", moments.kept(condition))):
            table = probe_transfer(
                base * weight,
                X * weight,
                moments.is_concept,
                fits,
                moments.d_model,
                moments.run.config.seed,
            )
            parts.append(_named(table, condition, stage, units=units))
    return pd.concat(parts, ignore_index=True)


def _named(table: pd.DataFrame, condition: str, stage: str, **more: str) -> pd.DataFrame:
    names = {"condition": condition, "stage": stage, **more}
    return table.assign(**names)[[*names, *table.columns]]
