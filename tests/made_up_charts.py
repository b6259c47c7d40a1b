"""Made-up tables for charts, and the picture of one: only the drawing is tested with them."""

import numpy as np
import pandas as pd
import vl_convert as vlc

from plasticity_utils.charts.theme import VEGALITE_VERSION
from plasticity_utils.experiment.presets import LARGE_DOSES, SURGICAL_DOSES

ENTITIES = ["LOC", "PER", "ORG", "MISC"]
DOSES = [*SURGICAL_DOSES, *LARGE_DOSES]
EPOCHS = [0, 0.125, 0.25, 0.5, 1, 2, 4]
CONDITIONS = ["targeted", "random", "none", "head"]


def svg_of(spec):
    """The picture that a page shows of a chart's specification."""
    return vlc.vegalite_to_svg(spec, vl_version=VEGALITE_VERSION)


def with_interval(rows, value="entity_f1", half=0.02):
    frame = pd.DataFrame(rows)
    frame[f"{value}_low"] = (frame[value] - half).clip(0)
    frame[f"{value}_high"] = (frame[value] + half).clip(upper=1)
    return frame


def curve_rows():
    rows = []
    for i, entity in enumerate(ENTITIES):
        base, hit = 0.95 - 0.06 * i, 60 if entity == "LOC" else 5
        common = {"entity": entity, "n_draws": 10}
        rows.append(
            {
                **common,
                "regime": "curve",
                "condition": "base",
                "dose": 0.0,
                "n_removed": 0,
                "entity_f1": base,
            }
        )
        for dose in DOSES:
            common |= {"regime": "curve", "dose": dose, "n_removed": round(2688 * dose)}
            rows.append(
                {**common, "condition": "targeted", "entity_f1": base / (1 + (hit * dose) ** 3)}
            )
            rows.append(
                {**common, "condition": "random", "entity_f1": base / (1 + (4 * dose) ** 4)}
            )
        common |= {"regime": "half", "dose": 0.5, "n_removed": 1344}
        rows.append({**common, "condition": "targeted", "entity_f1": 0.003})
        rows.append({**common, "condition": "random", "entity_f1": 0.04})
    return with_interval(rows, half=0.03)


def metrics_rows():
    start = {"targeted": 0.01, "head": 0.01, "random": 0.93, "none": 0.95}
    rows = [
        {
            "condition": condition, "epoch": epoch, "entity": entity,
            "entity_f1": 0.94 - 0.05 * i
            - (0.94 - start[condition]) * np.exp(-9 * epoch) * (i == 0),
        }
        for condition in CONDITIONS for epoch in EPOCHS for i, entity in enumerate(ENTITIES)
    ]  # fmt: skip
    return with_interval(rows)


def profile_rows():
    rows = []
    for condition in CONDITIONS:
        for stage in ("base", "removed", "end"):
            for layer in range(7):
                tilt = {"base": 0.02, "removed": 0.01, "end": 0.013}[stage]
                tilt += 0.003 * CONDITIONS.index(condition)
                rows.append(
                    {
                        "condition": condition, "stage": stage, "layer": layer,
                        "selectivity": 1 / 7 + tilt * (layer - 3),
                        "rank_saliency": 0.5 + tilt * (layer - 3),
                        "removal_only": 0.5 + 0.012 * (layer - 3),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def probe_rows():
    gap = {"base": 0, "removed": 0.08, "end": 0.03}
    rows = [
        {
            "condition": condition, "stage": stage, "layer": layer,
            "word_f1": 0.6 + 0.05 * layer - gap[stage] * (condition == "targeted"),
        }
        for condition in CONDITIONS[:3] for stage in gap for layer in range(7)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def gain_rows():
    rows = [
        {
            "condition": condition, "entity": entity, "layer": layer,
            "gain": 0.01 * layer * (entity == "LOC" and condition == "targeted") + 0.002 * i
            - 0.003,
        }
        for condition in CONDITIONS[:3] for i, entity in enumerate(ENTITIES) for layer in range(7)
    ]  # fmt: skip
    return with_interval(rows, "gain", 0.002)
