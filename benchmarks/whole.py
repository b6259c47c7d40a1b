"""The whole quick run by the standard recipe, assembled from the peers.

Most of that recipe is the same step many times over, whose cost does not depend on what it finds:
an epoch of training, the extraction of the same sentences, the top words of all neurons. So each
kind of step is measured once, at the run's own sizes, and counted as often as our run takes it
(`step_counts`). In it: fine-tuning, retraining under four conditions, tags for every F1 (the dose
curve with its random draws among them), extraction to JSON and loading, probeless, AUROC neuron by
neuron, and top words at every snapshot. Left out, because there is no peer, it is the same code on
both sides, or it is small: the ranking by NeuroX's linear probe and the single-neuron baselines,
the probe of each layer, effects, the removal itself, tables, and reading and saving models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measure import in_own_process
from plasticity_utils.concepts import ENTITIES
from plasticity_utils.config import LARGE_DOSES, SURGICAL_DOSES, RunConfig
from plasticity_utils.measuring import load_sentences
from plasticity_utils.run import RELIANCE_CONDITIONS

TRAINED_CONDITIONS = 3  # all but `head`
AUROC = "auroc"


def step_counts(config: RunConfig) -> dict[str, float]:
    """How often a run takes each kind of step.

    Returns
    -------
    dict
        epochs (of all weights), head_epochs, tagged (sentences), extracted (sentences), probeless,
        auroc and top_words (times, on the words of one half, all entity types).
    """
    sizes, parts = config.sizes, load_sentences(config)
    n_doses = len({*SURGICAL_DOSES, *LARGE_DOSES}) + 1  # and the paper's half
    # The base, the two removals, and each trained condition at each snapshot after the first.
    measured = TRAINED_CONDITIONS * len(config.snapshots)
    dose, curve, scoring = len(parts.dose), len(parts.curve), len(parts.scoring)
    tagged = (
        len(parts.validation) + len(parts.test)
        + (n_doses + 1) * (dose + curve) + n_doses * sizes.draws * curve
        + (measured + len(config.snapshots) - 1) * scoring
        + len(RELIANCE_CONDITIONS) * (3 + sizes.draws) * curve
    )  # fmt: skip
    ranked = 1 + len(RELIANCE_CONDITIONS)
    halves = len(parts.ranking) + len(parts.measuring)
    return {
        "epochs": sizes.base_epochs + TRAINED_CONDITIONS * config.retrain_epochs,
        "head_epochs": config.retrain_epochs,
        "tagged": tagged,
        "extracted": measured * halves + ranked * len(parts.ranking),
        "probeless": measured + ranked / len(ENTITIES),
        AUROC: 2 * measured + ranked / len(ENTITIES),
        "top_words": measured,
    }


def peer_steps(folder: Path, scale: str, auroc_neurons: int | None, model: str) -> dict[str, Any]:
    """Measure each kind of step once; seconds of each, its count, and the product."""
    config = RunConfig(model=model, scale=scale)
    counts, parts = step_counts(config), load_sentences(config)
    train, n_words = len(parts.train), parts.measuring.n_words
    shared = folder / "shared"
    in_own_process("inputs:activations", shared, words=n_words, model=model)
    on_words = {"shared": str(shared), "words": n_words}
    calls: dict[str, tuple[str, dict[str, Any], float]] = {
        "epochs": ("training:peer", {"train": train, "epochs": 1, "scored": 40, "seed": 0}, 1),
        "head_epochs": (
            "training:peer",
            {"train": train, "epochs": 1, "scored": 40, "seed": 0, "only_head": True},
            1,
        ),
        "tagged": ("training:peer_tags", {"scored": len(parts.scoring)}, len(parts.scoring)),
        "extracted": ("peers:activations", {"sentences": len(parts.ranking)}, len(parts.ranking)),
        "probeless": ("peers:probeless", {**on_words, "concepts": len(ENTITIES)}, 1),
        AUROC: (
            "peers:auroc",
            {**on_words, "concepts": len(ENTITIES), "neurons": auroc_neurons},
            1,
        ),
        "top_words": ("peers:top_words", {**on_words, "neurons": None}, 1),
    }
    steps = {}
    for name, (target, settings, units) in calls.items():
        if target.startswith("training") or name == "extracted":
            settings = {**settings, "model": model}
        facts = in_own_process(target, folder / name, **settings)
        seconds = facts["seconds"] * facts.get("scale", 1) / units
        steps[name] = {
            "seconds_each": seconds,
            "count": counts[name],
            "seconds": seconds * counts[name],
            "peak_mb": facts["peak_mb"],
            "rise_mb": facts["rise_mb"],
        }
    return steps
