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
             "entity_f1": 0.8 + 0.01 * seed,
             "control_f1": None if reader == "own_head" else 0.2}
            for body in ("base", "removed", "pretrained")
            for reader in ("own_head", "linear")
            for seed in (0, 1)
        ]
    )  # fmt: skip


def by_dose():
    return pd.DataFrame(
        [
            {"cut": cut, "dose": dose, "reader": reader, "entity_f1": 0.9 - dose}
            for cut in ("its own", "random")
            for dose in (0.0, 0.05, 0.5)
            for reader in ("own_head", "head", "perceptron", "whole_model")
        ]
    )


def draw_by_dose(table):
    return charts.found_by_dose(table, "What is found", "A note.", 0.7)


CASES_AUDITS = {
    "found_by_dose": (by_dose, draw_by_dose),
    "returns": (curves, charts.returns),
    "readings": (read, charts.readings),
}


def test_there_is_a_panel_a_concept_and_a_line_to_reach():
    goal = pd.Series({"locations": 0.8, "persons": 0.7})
    spec = charts.returns(curves(), goal).to_dict()
    assert [panel["title"]["text"] for panel in spec["vconcat"]] == ["locations", "persons"]
    rules = [layer["mark"]["type"] for panel in spec["vconcat"] for layer in panel["layer"]]
    assert rules.count("rule") == 2


def test_there_is_a_panel_a_cut_and_a_line_a_reader():
    spec = draw_by_dose(by_dose()).to_dict()
    titles = [panel["title"]["text"] for panel in spec["vconcat"]]
    assert titles == ["its own neurons", "random neurons"]
    assert len(spec["title"]["subtitle"]) == 2
    colour = spec["vconcat"][0]["layer"][1]["encoding"]["color"]
    assert colour["scale"]["domain"][-1] == "whole model"


def test_there_is_a_panel_a_body_and_a_point_a_seed():
    spec = charts.readings(read()).to_dict()
    titles = [panel["title"]["text"] for panel in spec["vconcat"]]
    assert titles == ["base model", "after the removal", "pretrained, never taught"]
    sizes = [len(rows) for rows in spec["datasets"].values()]
    # The model as it is is no reader, and has no control task.
    assert sorted(sizes) == [2, 4]


@pytest.mark.parametrize("draw", [charts.returns, charts.readings, draw_by_dose])
def test_a_table_without_its_columns_is_named(draw):
    with pytest.raises(InputError, match="no column"):
        draw(pd.DataFrame({"step": [0]}))
