"""The rows of the table: what is compared, its target, and whether both sides agree.

A row's peer and ours run in turn, each time in processes of their own. `ratio` is the median of the
ratios of neighbours, with the least and the greatest beside it.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.agreement import (
    AGREE_ACTIVATIONS,
    AGREE_F1,
    f1_difference,
    greatest_difference,
    same_readings,
    same_scores,
    same_words,
)
from benchmarks.measure import in_own_process
from benchmarks.sizes import Size
from benchmarks.whole import AUROC, peer_steps
from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.formats import signed
from plasticity_utils.models.load import load_model, width

MEMORY_SHARE = 0.25
# After an epoch, in which rounding adds up; weights are of the order of 0.1.
AGREE_WEIGHTS = 1e-3
STARTED, START_SECONDS = ("papermill", "plasticity_utils"), 1.5
Facts = dict[str, Any]


def activations(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """Word activations of all layers, ready for analysis."""
    pairs, worst = [], 0.0
    for repeat in range(repeats):
        settings = {"sentences": size.sentences, "model": model}
        peer = in_own_process("peers:activations", folder / "peer", **settings)
        ours = in_own_process("ours:activations", folder / "ours", **settings)
        if repeat == 0:
            worst = greatest_difference(folder / "peer/kept.npy", folder / "ours/kept.npy")
        pairs.append((peer, ours))
    row = summary(f"word activations of all layers, {size.sentences:,} sentences", pairs, 20)
    share = row["ours_rise_mb"] / row["peer_rise_mb"]
    row["agree"] = worst <= AGREE_ACTIVATIONS
    row["agreement"] = f"greatest difference {worst:.1e}"
    row["memory_share"] = share
    row["met"] = row["ratio"] >= row["target"] and row["agree"] and share <= MEMORY_SHARE
    row["note"] = (
        f"NeuroX: extract_representations to JSON ({pairs[0][0]['file_mb']:,.0f} MB) and "
        f"load_activations. Ours: written to a file ({pairs[0][1]['file_mb']:,.0f} MB) as it goes. "
        f"Ours takes {share:.2f} of the peer's rise in memory (target {MEMORY_SHARE:g}); "
        f"{pairs[0][1]['weights_mb']:.0f} MB of it are the model's weights, which both hold."
    )
    return [row]


def top_words(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """Highest-activating words of all neurons."""
    shared = _shared(folder, size, model)
    pairs = []
    for _ in range(repeats):
        peer = in_own_process("peers:top_words", folder / "peer", **shared, neurons=size.neurons)
        ours = in_own_process("ours:top_words", folder / "ours", **shared)
        pairs.append((_scaled(peer), ours))
    table = pd.read_parquet(folder / "ours/kept.parquet")
    agree, agreement = same_words(pairs[-1][0]["top"], table)
    row = summary(f"highest-activating words of all neurons, {size.words:,} words", pairs, 100)
    row |= {"agree": agree, "agreement": agreement}
    row["met"] = row["ratio"] >= row["target"] and agree
    row["note"] = _measured_on(pairs[0][0]) + " NeuroX: get_top_words, ten words."
    return [row]


def scores(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """Probeless and selectivity of all neurons."""
    shared = {**_shared(folder, size, model), "concepts": size.concepts}
    pairs = []
    for _ in range(repeats):
        distance = in_own_process("peers:probeless", folder / "probeless", **shared)
        area = in_own_process("peers:auroc", folder / "auroc", **shared, neurons=size.auroc_neurons)
        ours = in_own_process("ours:scores", folder / "ours", **shared)
        peer = {
            "seconds": distance["seconds"] + area["seconds"] * area["scale"],
            "peak_mb": max(distance["peak_mb"], area["peak_mb"]),
            "rise_mb": max(distance["rise_mb"], area["rise_mb"]),
        }
        pairs.append((peer, ours))
    agree, agreement = same_scores(folder, area["neurons"])
    title = f"probeless and selectivity of all neurons, {size.concepts} concepts"
    row = summary(f"{title}, {size.words:,} words", pairs, 50)
    row |= {"agree": agree, "agreement": agreement}
    row["met"] = row["ratio"] >= row["target"] and agree
    row["note"] = (
        f"Probeless in full ({distance['seconds']:.1f} s); roc_auc_score on {len(area['neurons'])} "
        f"neurons drawn with a fixed seed ({area['seconds']:.1f} s), times {area['scale']:.1f}."
    )
    return [row]


def probes(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """Linear probes of the entity types on every layer."""
    units = width(load_model(model)[0])
    shared = {**_shared(folder, size, model), "concepts": len(ENTITIES), "units": units}
    pairs = []
    for _ in range(repeats):
        peer = in_own_process("peers:probes", folder / "peer", **shared)
        pairs.append((peer, in_own_process("ours:probes", folder / "ours", **shared)))
    agree, agreement = same_readings(folder / "peer/kept.npy", folder / "ours/kept.npy")
    title = f"linear probes of {len(ENTITIES)} entity types on every layer"
    row = summary(f"{title}, {size.words:,} words", pairs, 3)
    row |= {"agree": agree, "agreement": agreement}
    row["met"] = row["ratio"] >= row["target"] and agree
    row["note"] = (
        "scikit-learn: LinearDiscriminantAnalysis with the shrinkage of ledoit_wolf, which is "
        "worked out once a layer; fitted on the words and read off them."
    )
    return [row]


def training(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """Real tokens a second in an epoch of fine-tuning; the repeats are seeds."""
    pairs: dict[str, list[tuple[Facts, Facts]]] = {"peer": [], "large": []}
    for seed in range(repeats):
        settings = {"model": model, "train": size.train, "epochs": 1, "scored": 20, "seed": seed}
        sides = {side: _trained(side, folder, **settings) for side in ("peer", "ours", "large")}
        for peer, own in pairs.items():
            own.append((sides[peer], sides["ours"]))
    works = {
        "peer": ("fine-tuning, beside the Trainer's defaults", 5),
        "large": ("fine-tuning, beside the Trainer with our batch size", 3),
    }
    return [_training_row(side, *works[side], own) for side, own in pairs.items()]


def time_to_f1(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """Ours until the F1 that the Trainer's defaults end with; the repeats are seeds."""
    pairs = []
    for seed in range(repeats):
        settings = {
            "model": model, "train": size.train, "epochs": size.epochs, "scored": size.scored,
            "seed": seed,
        }  # fmt: skip
        peer = _trained("peer", folder, **settings)
        ours = in_own_process("saved:until_f1", folder / "ours", **settings, goal=peer["f1"])
        shutil.rmtree(folder / "ours")
        pairs.append((peer, {**ours, "seconds": ours["seconds_to_goal"]}))
    row = summary("training to the F1 that the Trainer ends with", pairs, 4)
    row |= {"agree": None, "agreement": "by what is measured"}
    row["met"] = row["ratio"] >= row["target"]
    goals = ", ".join(f"{peer['f1']:.3f}" for peer, _ in pairs)
    row["note"] = (
        f"F1 after {size.epochs} epochs of the Trainer: {goals}; it is timed to their end, though "
        "it may pass that F1 before. Ours is looked at every quarter of an epoch of its own "
        "schedule, and timed until it has it for the first time. The repeats are seeds."
    )
    return [row]


def dose(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """The dose–response of one concept, with and without states that are kept."""
    settings = {"scale": size.scale, "model": model}
    in_own_process("saved:base", folder / "base", **settings)
    settings["shared"] = str(folder / "base")
    pairs = []
    for _ in range(repeats):
        whole = in_own_process("saved:dose", folder / "whole", **settings, whole=True)
        pairs.append((whole, in_own_process("saved:dose", folder / "below", **settings)))
    row = summary(f"dose–response of one concept, {size.scale}", pairs, 4)
    tables = [pd.read_parquet(folder / side / "kept.parquet") for side in ("whole", "below")]
    row["agree"] = tables[0].equals(tables[1])
    row["agreement"] = "the same numbers, bit for bit" if row["agree"] else "other numbers"
    row["met"] = row["ratio"] >= row["target"] and row["agree"]
    row["note"] = "Peer: ours, with the whole model run under every cut."
    return [row]


def rows_in_use(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """An epoch of training on the rows of the word embeddings in use, and on all of them."""
    settings, pairs, worst = {"model": model, "train": size.train}, [], 0.0
    for seed in range(repeats):
        sides = [
            in_own_process(
                "saved:rows_in_use", folder / side, **settings, seed=seed, all_rows=side == "all"
            )
            for side in ("all", "used")
        ]
        worst = max(worst, greatest_difference(folder / "all/kept.npy", folder / "used/kept.npy"))
        pairs.append((sides[0], sides[1]))
        for side in ("all", "used"):
            shutil.rmtree(folder / side)
    row = summary("an epoch of training, embeddings in use alone", pairs, 1)
    row |= {"agree": worst <= AGREE_WEIGHTS, "agreement": f"greatest difference {worst:.1e}"}
    row["met"] = row["ratio"] >= row["target"] and row["agree"]
    row["note"] = "Peer: ours, with all rows trained. The repeats are seeds."
    return [row]


def frozen_head(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """The head alone, to convergence on kept states, beside epochs of the Trainer."""
    settings = {"model": model, "train": size.train, "scored": size.scored}
    pairs = []
    for seed in range(repeats):
        peer = _trained("peer", folder, **settings, epochs=size.epochs, seed=seed, only_head=True)
        ours = in_own_process("saved:frozen_head", folder / "ours", **settings, seed=seed)
        pairs.append((peer, ours))
    row = summary("the last layer alone, trained", pairs, 4)
    worst = min(ours["f1"] - peer["f1"] for peer, ours in pairs)
    row |= {
        "agree": worst >= -AGREE_F1,
        "agreement": f"F1 beyond the peer's, at worst {signed(worst, 3)}",
    }
    row["met"] = row["ratio"] >= row["target"] and row["agree"]
    row["note"] = (
        f"Peer: {size.epochs} epochs of the Trainer with the body frozen. Ours: from two starts at "
        "two rates until it converges. The repeats are seeds."
    )
    return [row]


def start(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """The help of the command line, beside papermill's."""
    pairs = []
    for _ in range(repeats):
        peer, ours = (in_own_process("saved:start", folder, module=name) for name in STARTED)
        pairs.append((peer, ours))
    row = summary("the command line's help", pairs, 1)
    row |= {"agree": None, "agreement": "–", "met": row["ours_s"] <= START_SECONDS}
    row["note"] = f"Peer: papermill --help. The target is {START_SECONDS:g} s."
    return [row]


def f1(size: Size, folder: Path, repeats: int, model: str) -> dict[str, list[float]]:
    """F1 after whole trainings of both sides, for several seeds; no clock, so it may run any time.

    A training that is done is not done again.
    """
    found: dict[str, list[float]] = {side: [] for side in ("peer", "ours", "large")}
    for seed in range(repeats):
        for side, values in found.items():
            kept = folder / f"{size.name}-{side}-{seed}.json"
            if not kept.is_file():
                facts = _trained(
                    side, folder, model=model, train=size.train, epochs=size.epochs,
                    scored=size.scored, seed=seed,
                )  # fmt: skip
                kept.write_text(json.dumps(facts))
            values.append(json.loads(kept.read_text())["f1"])
    return found


def with_f1(rows: list[Facts], found: dict[str, list[float]]) -> list[Facts]:
    """Rows of `training` with the F1 that `f1` found: agreement, and whether the target is met."""
    return [_at_equal_f1(row, found) if "side" in row else row for row in rows]


def _at_equal_f1(row: Facts, found: dict[str, list[float]]) -> Facts:
    peer, ours = found[row["side"]], found["ours"]
    mean, low, high = f1_difference(peer, ours)
    agree = abs(mean) <= AGREE_F1
    text = (
        f"F1 {np.mean(ours):.3f}, peer {np.mean(peer):.3f}; difference {signed(mean, 4)} "
        f"({signed(low, 4)} to {signed(high, 4)}), paired by {len(ours)} seeds"
    )
    return {
        **row,
        "peer_f1": peer,
        "ours_f1": ours,
        "f1_difference": mean,
        "f1_difference_low": low,
        "f1_difference_high": high,
        "agree": agree,
        "agreement": text,
        "met": row["ratio"] >= row["target"] and agree,
    }


def whole_run(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """The whole locations run."""
    kept = folder / f"peer-{size.name}.json"
    if kept.is_file():  # a run of ours that was cut off does not measure the peer again
        steps = json.loads(kept.read_text())
    else:
        steps = peer_steps(folder / "peer", size.scale, size.auroc_neurons, model)
        kept.write_text(json.dumps(steps))
    peer = {
        "seconds": sum(step["seconds"] for step in steps.values()),
        "peak_mb": max(step["peak_mb"] for step in steps.values()),
        "rise_mb": max(step["rise_mb"] for step in steps.values()),
    }
    runs = []
    for _ in range(repeats):
        shutil.rmtree(folder / "ours", ignore_errors=True)
        runs.append(
            in_own_process("ours:whole_run", folder / "ours", scale=size.scale, model=model)
        )
    row = summary(f"the whole {size.scale} locations run", [(peer, run) for run in runs], 8)
    without = peer["seconds"] - steps[AUROC]["seconds"]
    row["ratio_without_auroc"] = without / row["ours_s"]
    row |= {"steps": steps, "stages": runs[-1]["stages"], "f1_end": runs[-1]["f1_end"]}
    row |= {"agree": None, "agreement": "by the rows above"}
    row["met"] = row["ratio"] >= row["target"]
    row["note"] = (
        "Peer: each kind of step measured once, in full but for AUROC, and counted as often as our "
        f"run takes it. Without AUROC neuron by neuron the ratio is "
        f"{row['ratio_without_auroc']:.1f}."
    )
    return [row]


ROWS: dict[str, Callable[[Size, Path, int, str], list[Facts]]] = {
    "scores": scores,
    "top-words": top_words,
    "probes": probes,
    "activations": activations,
    "training": training,
    "time-to-f1": time_to_f1,
    "dose": dose,
    "rows-in-use": rows_in_use,
    "frozen-head": frozen_head,
    "start": start,
    "run": whole_run,
}


def summary(work: str, pairs: list[tuple[Facts, Facts]], target: float) -> Facts:
    """Medians of seconds and memory, and the ratio with its range over repeats."""
    ratios = [peer["seconds"] / ours["seconds"] for peer, ours in pairs]
    sides = dict(zip(("peer", "ours"), zip(*pairs, strict=True), strict=True))
    row: Facts = {
        "work": work,
        "target": target,
        "repeats": len(pairs),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }
    for side, facts in sides.items():
        row[f"{side}_s"] = statistics.median(f["seconds"] for f in facts)
        row[f"{side}_all_s"] = [f["seconds"] for f in facts]
        for name in ("peak_mb", "rise_mb"):
            row[f"{side}_{name}"] = max(f[name] for f in facts)
    return row


def _trained(side: str, folder: Path, **settings: Any) -> Facts:
    """Train one side in a process of its own: `peer`, `large` (our batch size) or `ours`."""
    target = "training:ours" if side == "ours" else "training:peer"
    extra = {"our_batch": True} if side == "large" else {}
    facts = in_own_process(target, folder / side, **settings, **extra)
    shutil.rmtree(folder / side)  # its checkpoints
    return facts


def _training_row(side: str, work: str, target: float, pairs: list[tuple[Facts, Facts]]) -> Facts:
    row = summary(work, pairs, target)
    for name, facts in zip(("peer", "ours"), zip(*pairs, strict=True), strict=True):
        row[f"{name}_tokens_per_s"] = statistics.median(f["n_tokens"] / f["seconds"] for f in facts)
    row |= {"side": side, "agree": None, "agreement": "F1 is not compared yet", "met": False}
    row["note"] = (
        f"An epoch. Real tokens a second: peer {row['peer_tokens_per_s']:,.0f}, ours "
        f"{row['ours_tokens_per_s']:,.0f}; the peer's batch is {pairs[0][0]['batch']} sentences. "
        "The repeats are seeds."
    )
    return row


def _shared(folder: Path, size: Size, model: str) -> dict[str, Any]:
    shared = folder.parent / f"words-{size.words}"
    if not (shared / "activations.npy").is_file():
        in_own_process("inputs:activations", shared, words=size.words, model=model)
    return {"shared": str(shared), "words": size.words}


def _scaled(facts: Facts) -> Facts:
    return {**facts, "seconds": facts["seconds"] * facts["scale"]}


def _measured_on(facts: Facts) -> str:
    if facts["scale"] == 1:
        return "Peer measured on all neurons."
    return f"Peer measured on {facts['n_neurons']} neurons, times {facts['scale']:.1f}."
