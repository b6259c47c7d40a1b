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
from benchmarks.step_counts import StepCounts, step_counts
from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.experiment.config import RunConfig

AUROC = "auroc"


def times_each(counts: StepCounts) -> dict[str, float]:
    """How often a run takes each step that `peer_steps` measures.

    Neurons are ranked for one entity type and measured for all of them, and their selectivity is
    taken on both parts.
    """
    ranked = counts.ranked / len(ENTITIES)
    return {
        "epochs": counts.base_epochs + counts.epochs,
        "head_epochs": counts.head_epochs,
        "tagged": counts.tagged,
        "extracted": counts.extracted,
        "probeless": counts.measured + ranked,
        AUROC: 2 * counts.measured + ranked,
        "top_words": counts.measured,
    }


def peer_steps(folder: Path, scale: str, auroc_neurons: int | None, model: str) -> dict[str, Any]:
    """Measure each kind of step once; seconds of each, its count, and the product."""
    parts = step_counts(RunConfig(model=model, scale=scale))
    counts, train, n_words = times_each(parts), parts.train, parts.n_words
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
        "tagged": ("training:peer_tags", {"scored": parts.scoring}, parts.scoring),
        "extracted": ("peers:activations", {"sentences": parts.ranking}, parts.ranking),
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
