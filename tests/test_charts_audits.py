"""The charts of audits: lines by step, points by reader."""

import pandas as pd
import pytest

from plasticity_utils import charts
from plasticity_utils.errors import InputError


def curves():
    steps, concepts = (0, 4, 16, 64), ("locations", "persons")
    return pd.DataFrame(
        [
            {
                "concept": concept,
                "condition": condition,
                "step": step,
                "entity_f1": rise * step / 64,
            }
            for concept in concepts
            for condition, rise in (("targeted", 0.9), ("random", 0.9), ("masked", 0.7))
            for step in steps
        ]
    )


def read():
    return pd.DataFrame(
        [
            {"body": body, "reader": reader, "place": "last layer", "seed": seed,
             "entity_f1": 0.8 + 0.01 * seed}
            for body in ("base", "removed", "pretrained")
            for reader in ("own_head", "linear")
            for seed in (0, 1)
        ]
    )  # fmt: skip


CASES_AUDITS = {
    "returns": (curves, charts.returns),
    "readings": (read, charts.readings),
}


def test_there_is_a_panel_a_concept_and_a_line_to_reach():
    goal = pd.Series({"locations": 0.8, "persons": 0.7})
    spec = charts.returns(curves(), goal).to_dict()
    assert [panel["title"]["text"] for panel in spec["vconcat"]] == ["locations", "persons"]
    rules = [layer["mark"]["type"] for panel in spec["vconcat"] for layer in panel["layer"]]
    assert rules.count("rule") == 2


def test_there_is_a_panel_a_body_and_a_point_a_seed():
    spec = charts.readings(read()).to_dict()
    titles = [panel["title"]["text"] for panel in spec["vconcat"]]
    assert titles == ["base model", "after the removal", "pretrained, never taught"]
    assert len(next(iter(spec["datasets"].values()))) == 4


@pytest.mark.parametrize("draw", [charts.returns, charts.readings])
def test_a_table_without_its_columns_is_named(draw):
    with pytest.raises(InputError, match="no column"):
        draw(pd.DataFrame({"step": [0]}))
