"""How a page speaks of what was done to the concept: neurons removed, or the concept erased.

The experiment is the same under every regime and so are its sentences; these are the words in them
that are not.
"""

from __future__ import annotations

from dataclasses import dataclass

from plasticity_utils.experiment.config import RunConfig


@dataclass(frozen=True)
class Wording:
    """Words of a regime; `again_*` begin with a capital or not as they stand in their sentence."""

    done: str
    doing: str
    act: str
    random_short: str
    random_long: str
    front: str
    front_random: str
    new: str
    new_short: str
    same_short: str
    random_again: str
    again_new: str
    again_same: str
    still: str


NEURONS = Wording(
    done="removed",
    doing="Removing",
    act="removal",
    random_short="as many random ones",
    random_long="As many random neurons of the same layers",
    front="Cutting out {share} of {n_neurons:,}",
    front_random="as many random neurons",
    new="new top",
    new_short="new top neurons",
    same_short="the same neurons",
    random_again="random ones",
    again_new="Removing as many of the model's new top neurons leaves",
    again_same="removing the same neurons again",
    still="which are still held",
)
ERASERS = Wording(
    done="erased",
    doing="Erasing with",
    act="erasure",
    random_short="erasers of shuffled labels",
    random_long="Erasers of shuffled labels",
    front="Erasing it ({share})",
    front_random="erasing shuffled labels",
    new="refitted",
    new_short="erasers fitted anew",
    same_short="the same erasers",
    random_again="those of shuffled labels",
    again_new="Erasing with erasers fitted anew leaves",
    again_same="erasing with the same ones again",
    still="which are still in force",
)


def wording(config: RunConfig) -> Wording:
    """Words for the regime of a run."""
    return ERASERS if not config.chosen.takes_neurons else NEURONS


def eraser_share(ranks: list[int], n_units: int) -> str:
    """Write how much of every level erasers take.

    Parameters
    ----------
    ranks : list of int
        Dimensions erased at each level, of one run or several.
    n_units : int
        Width of a level.
    """
    low, high = min(ranks), max(ranks)
    count = f"{low}" if low == high else f"{low} to {high}"
    return f"linear erasers of {count} of {n_units:,} dimensions at every level"
