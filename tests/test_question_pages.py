"""The pages of questions 2 to 9: their words follow from the results, and they are short."""

import re
from pathlib import Path

import nbformat
import pytest

from plasticity_utils.analysis import forced, parts_tables, pooled, rules, sameness
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.results.groups import run_group
from plasticity_utils.results.published import find_run
from test_prose import outputs

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PAGES = ("same_concept", "subconcepts", "polysemanticity", "migration", "forced")
MOST_ROWS = 12


def said_on(page):
    return outputs(NOTEBOOKS / f"{page}.ipynb", "text/markdown")


def runs(**changes):
    wanted = {"model": "minilm", "scale": "full", "regime": "surgical", **changes}
    return pooled.groups_with_tables(**wanted)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_with_its_claim_and_prints_its_rules(page):
    said = said_on(page)
    assert re.fullmatch(r"\*\*[^*]+\.\*\*", said[0])
    printed = [text for text in said if text.startswith("> **The rule.**")]
    assert printed
    assert set(printed) <= {rule._repr_markdown_() for rule in rules.RULES.values()}


@pytest.mark.parametrize("page", [*PAGES, "status"])
def test_a_table_that_is_not_folded_is_short(page):
    cells = nbformat.read(NOTEBOOKS / f"{page}.ipynb", as_version=4).cells
    for cell in cells:
        for out in cell.get("outputs", []):
            rows = out.get("data", {}).get("text/html", "").count("<tr>") - 1
            assert rows <= MOST_ROWS or "hide-output" in cell.metadata["tags"]


def test_what_neurons_serve():
    new = pooled.functions(runs()).set_index("serves")
    assert pooled.new_functions_word(new.reset_index()) == rules.ONLY_REMOVED
    said = said_on("polysemanticity")
    assert said[0].startswith("**Few neurons that were left take on anything new, and most of")
    assert f"**{100 * new.loc['any concept', 'effect']:.1f}** more serve a concept" in said[1]
    alike = pooled.sharing(runs()).iloc[0]
    assert alike["verdict"] == rules.NOT_WITH_RULER
    assert any(text.startswith("**Not measurable with this ruler.**") for text in said)
    assert pooled.crowding_word(pooled.superposition_judged(runs())) == rules.NOT_WITH_INVENTORY
    assert any(text.startswith("**Not measurable with this inventory.**") for text in said)


def test_who_takes_the_concept_on():
    others = pooled.migration(runs()).set_index("role").loc[pooled.OTHER_TYPES]
    assert others["verdict"] == rules.NO
    assert pooled.priming(runs())["verdict"].tolist() == [rules.NO, rules.NO, rules.YES]
    said = said_on("migration")
    assert said[0] == "**The less selective a neuron was for the concept, the more it gained.**"
    assert said[1].startswith("**No: neurons of other entity types gain just their share.**")


def test_who_carries_the_parts():
    verdicts = parts_tables.taken_over(runs())["verdict"].tolist()
    assert verdicts == [rules.YES, rules.NO]
    assert rules.parts_taken_over(*verdicts) == rules.ONLY_REST
    assert "only the class “other” gains neurons" in said_on("subconcepts")[0]


def test_whether_it_is_the_same():
    found = sameness.same(runs())
    assert found["verdict"] == rules.KEPT
    said = said_on("same_concept")
    assert said[0].startswith("**Yes, as far as this test can tell")
    assert f"loses {100 * found['lost_kept']:.1f} points more" in said[1]


def test_whether_neurons_were_forced():
    run = find_run(ForcingConfig(scale="full", host="persons"))
    judged = forced.judged(run_group(run))
    assert judged["verdict"].tolist() == [rules.NOT_BACK, rules.OPEN, rules.NO]
    most, few = judged.iloc[-1]["n_neurons"], judged.iloc[1]["n_neurons"]
    said = said_on("forced")
    assert said[0] == f"**No with {most} neurons; not resolved with {few}.**"
