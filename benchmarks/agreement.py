"""Whether both sides came to the same result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

AGREE_ACTIVATIONS = 1e-4
AGREE_SCORES = 1e-5  # NeuroX takes means in float32: a share of the greatest score
AGREE_F1 = 0.01
AGREE_READ = 1e-3  # share of words that probes in another precision may read otherwise
TIED = 1e-9


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


def same_readings(one: Path, other: Path) -> tuple[bool, str]:
    """Whether the probes of both sides read the same words as the same concepts."""
    peer, ours = np.load(one), np.load(other)
    share = float((peer != ours).mean())
    # Two sides that read no word as anything would agree, too.
    agree = bool(peer.any()) and share <= AGREE_READ
    return agree, f"{100 * share:.2g} % of the words read otherwise"


def f1_difference(peer: list[float], ours: list[float]) -> tuple[float, float, float]:
    """Mean of ours − peer over seeds, and its 95 % interval, paired by seed."""
    own = np.array(ours) - np.array(peer)
    if own.size < 2:
        return float(own.mean()), float("nan"), float("nan")
    half = stats.t.ppf(0.975, own.size - 1) * own.std(ddof=1) / np.sqrt(own.size)
    return float(own.mean()), float(own.mean() - half), float(own.mean() + half)
