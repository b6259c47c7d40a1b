"""Cards of neurons that never were: for tests of drawing, with words that try to be markup."""

import numpy as np
import pandas as pd

from plasticity_utils.names import KINDS
from plasticity_utils.names import STAGES as SNAPSHOTS

HOSTILE = "<img/src=x/onerror=alert(1)>"
ENTITIES, BINS = ("LOC", "PER", "ORG", "MISC"), 20
EPOCHS = [-1.0, 0.0, 0.125, 0.5, 1.0]
STAGES = ["base", "removed", "retraining", "retraining", "end"]


def made_up_cards(n_neurons=12, entities=ENTITIES):
    """The tables of `cards.neuron_cards`; no two neurons are alike."""
    rng = np.random.default_rng(0)
    places = [(i % 4, 7 * i % 19) for i in range(n_neurons)]
    neurons = pd.DataFrame(places, columns=["layer", "unit"])
    neurons["kind"] = [KINDS[i % 3] for i in range(n_neurons)]
    neurons["place"] = neurons.groupby("kind").cumcount() + 1
    neurons["n_types"] = rng.integers(0, 4, n_neurons)
    neurons["low"], neurons["high"] = -1.0 - rng.random(n_neurons), 1.0 + rng.random(n_neurons)
    stages, words, histograms = [], [], []
    for i, (layer, unit) in enumerate(places):
        place = {"layer": layer, "unit": unit}
        removed = neurons["kind"][i] == "removed"
        for condition in ("targeted", "none"):
            for epoch, stage in zip(EPOCHS, STAGES, strict=True):
                gone = removed and condition == "targeted" and stage != "base"
                sigma = (
                    np.zeros(len(entities)) if gone else rng.uniform(-1, 1, len(entities)).round(3)
                )
                named = {f"selectivity_{e}": s for e, s in zip(entities, sigma, strict=True)}
                snapshot = {"condition": condition, "stage": stage, "epoch": epoch}
                stages.append({**snapshot, **place, "gain": 0.0 if gone else 1.0, **named})
        for stage in SNAPSHOTS:
            gone = removed and stage != "base"
            high = [HOSTILE, *(f"{stage}{i}high{k}" for k in range(4))]
            low = [f"{stage}{i}low{k}" for k in range(5)]
            lists = {"words": "" if gone else " · ".join(high), "words_low": " · ".join(low)}
            words.append({"stage": stage, **place, **lists})
            for entity in (*entities, "other"):
                share = np.eye(BINS)[BINS // 2] if gone else rng.dirichlet(np.ones(BINS))
                row = {"stage": stage, **place, "entity": entity, "n_words": 50}
                histograms.append({**row, "share": np.float32(share.round(4))})
    return {
        "card_neurons": neurons,
        "card_stages": pd.DataFrame(stages),
        "card_words": pd.DataFrame(words),
        "card_histograms": pd.DataFrame(histograms),
    }
