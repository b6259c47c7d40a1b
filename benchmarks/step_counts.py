"""How often a run takes each kind of step, counted from its settings.

Costs are estimated from this: a step's cost does not depend on what it finds, so a run is its steps
times their counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.presets import LARGE_DOSES, SURGICAL_DOSES
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.registry import protocols

TRAINED_CONDITIONS = 3  # all but `head`


@dataclass(frozen=True)
class StepCounts:
    """Steps of one run.

    Attributes
    ----------
    train, ranking, measuring, scoring : int
        Sentences of these parts.
    n_words : int
        Words of the measuring part.
    base_epochs, epochs, head_epochs : int
        Of the base model; of all weights under the three conditions together; of the head alone.
    tagged : int
        Sentences whose tags are predicted: every F1, the dose curve and its random draws.
    extracted : int
        Sentences whose activations are extracted.
    measured, ranked : int
        How often the neurons are measured for all entity types, and ranked for the one.
    """

    train: int
    ranking: int
    measuring: int
    scoring: int
    n_words: int
    base_epochs: int
    epochs: int
    head_epochs: int
    tagged: int
    extracted: int
    measured: int
    ranked: int


def step_counts(config: RunConfig) -> StepCounts:
    """Count the steps of a run about an entity type, under `surgical` or `half`.

    Parameters
    ----------
    config : RunConfig
    """
    sizes, parts = config.sizes, load_sentences(config)
    n_doses = len({*SURGICAL_DOSES, *LARGE_DOSES}) + 1  # and the paper's half
    # The base, the two removals, and each trained condition at each snapshot after the first.
    measured = TRAINED_CONDITIONS * len(config.snapshots)
    dose, curve, scoring = len(parts.dose), len(parts.curve), len(parts.scoring)
    of_base = len(parts.validation) + len(parts.test)
    of_curve = (n_doses + 1) * (dose + curve) + n_doses * sizes.draws * curve
    of_snapshots = (measured + len(config.snapshots) - 1) * scoring
    again = sum(protocols.get(name).removed_again for name in config.conditions.values())
    of_reliance = again * (3 + sizes.draws) * curve
    ranked = 1 + again
    return StepCounts(
        train=len(parts.train),
        ranking=len(parts.ranking),
        measuring=len(parts.measuring),
        scoring=scoring,
        n_words=parts.measuring.n_words,
        base_epochs=sizes.base_epochs,
        epochs=TRAINED_CONDITIONS * config.retrain_epochs,
        head_epochs=config.retrain_epochs,
        tagged=of_base + of_curve + of_snapshots + of_reliance,
        extracted=measured * (len(parts.ranking) + len(parts.measuring))
        + ranked * len(parts.ranking),
        measured=measured,
        ranked=ranked,
    )
