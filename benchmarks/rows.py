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
from scipy import stats

from benchmarks.measure import in_own_process
from benchmarks.sizes import Size
from benchmarks.whole import AUROC, peer_steps

AGREE_ACTIVATIONS = 1e-4
AGREE_SCORES = 1e-5  # NeuroX takes means in float32: a share of the greatest score
AGREE_F1 = 0.01
TIED = 1e-9
MEMORY_SHARE = 0.25
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
        f"Ours takes {share:.2f} of the peer's rise in memory (target {MEMORY_SHARE:g})."
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


def training(size: Size, folder: Path, repeats: int, model: str) -> list[Facts]:
    """Real tokens a second in fine-tuning, and F1; the repeats are seeds."""
    default, same_batch = [], []
    for seed in range(repeats):
        settings = {
            "model": model, "train": size.train, "epochs": size.epochs, "scored": size.scored,
            "seed": seed,
        }  # fmt: skip
        peer = in_own_process("training:peer", folder / "peer", **settings)
        ours = in_own_process("training:ours", folder / "ours", **settings)
        large = in_own_process("training:peer", folder / "large", **settings, our_batch=True)
        default.append((peer, ours))
        same_batch.append((large, ours))
        for name in ("peer", "ours", "large"):
            shutil.rmtree(folder / name)
    return [
        _training_row("fine-tuning, beside the Trainer's defaults", default, 5),
        _training_row("fine-tuning, beside the Trainer with our batch size", same_batch, 3),
    ]


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
    "activations": activations,
    "training": training,
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


def greatest_difference(one: Path, other: Path) -> float:
    """Greatest difference of two matrices in files, some rows at a time."""
    A, B = np.load(one, mmap_mode="r"), np.load(other, mmap_mode="r")
    if A.shape != B.shape:
        return float("inf")
    starts = range(0, len(A), 1000)
    return float(max(np.abs(A[i : i + 1000] - B[i : i + 1000]).max() for i in starts))


def same_words(top: dict[str, list[list[Any]]], table: pd.DataFrame) -> tuple[bool, str]:
    """Whether each neuron has the same scores in order, and the same words but for ties."""
    by_neuron = {n: rows for n, rows in table.groupby("neuron")}
    alike, worst = 0, 0.0
    for neuron, expected in top.items():
        rows = by_neuron.get(int(neuron), table.iloc[:0])
        alike += rows["word"].tolist() == [word for word, _ in expected]
        if len(rows) != len(expected):
            worst = np.inf
        elif expected:
            scores = np.array([score for _, score in expected])
            worst = max(worst, float(np.abs(rows["score"].to_numpy() - scores).max()))
    text = f"{alike:,} of {len(top):,} neurons with the same words in the same order, "
    return worst < TIED, f"{text}else ties; greatest difference of a score {worst:.1e}"


def same_scores(folder: Path, neurons: list[int]) -> tuple[bool, str]:
    """Whether probeless and selectivity have the same values."""
    peer, ours = (np.load(folder / path) for path in ("probeless/kept.npy", "ours/probeless.npy"))
    distance = float(np.abs(peer - ours).max() / peer.max())
    sigma = np.load(folder / "ours/selectivity.npy")[neurons]
    area = float(np.abs(np.load(folder / "auroc/kept.npy") - sigma).max())
    text = f"greatest difference: probeless {distance:.1e} of its maximum, selectivity {area:.1e}"
    return distance <= AGREE_SCORES and area <= TIED, text


def f1_difference(pairs: list[tuple[Facts, Facts]]) -> tuple[float, float, float]:
    """Mean of ours − peer over seeds, and its 95 % interval, paired by seed."""
    own = np.array([ours["f1"] - peer["f1"] for peer, ours in pairs])
    if own.size < 2:
        return float(own.mean()), float("nan"), float("nan")
    half = stats.t.ppf(0.975, own.size - 1) * own.std(ddof=1) / np.sqrt(own.size)
    return float(own.mean()), float(own.mean() - half), float(own.mean() + half)


def _training_row(work: str, pairs: list[tuple[Facts, Facts]], target: float) -> Facts:
    row = summary(work, pairs, target)
    mean, low, high = f1_difference(pairs)
    for side, facts in zip(("peer", "ours"), zip(*pairs, strict=True), strict=True):
        row[f"{side}_f1"] = [f["f1"] for f in facts]
        row[f"{side}_tokens_per_s"] = statistics.median(f["n_tokens"] / f["seconds"] for f in facts)
    row |= {"f1_difference": mean, "f1_difference_low": low, "f1_difference_high": high}
    row["agree"] = abs(mean) <= AGREE_F1
    row["agreement"] = f"F1 ours − peer {mean:+.4f} ({low:+.4f} to {high:+.4f}), paired by seed"
    row["met"] = row["ratio"] >= target and row["agree"]
    row["note"] = (
        f"Real tokens a second: peer {row['peer_tokens_per_s']:,.0f}, ours "
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
