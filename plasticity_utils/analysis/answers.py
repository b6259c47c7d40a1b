"""The nine questions of the book, each with the word of its rule and how sure it is."""

from __future__ import annotations

import pandas as pd

from plasticity_utils.analysis import forced, parts_tables, pooled, relearning, rules, sameness
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.names import READ_AGAIN
from plasticity_utils.results.groups import RunGroup, choose, run_group
from plasticity_utils.results.published import find_run

QUESTIONS = {
    "1 small cut": "Is what comes back relearned? After a small cut",
    "1 half": "After half of all neurons",
    "1 erased": "After an erasure",
    "2": "Do neurons take on new functions?",
    "3": "Do other neurons carry the parts of the concept?",
    "4": "Is it the same concept in the end?",
    "5": "Are concepts that share a neuron alike?",
    "6": "Are concepts more in superposition?",
    "7": "Do neurons of other concepts take it over?",
    "8": "Can neurons be forced to carry two?",
    "9": "Are neurons that take over primed?",
}


def answers(published: list[RunGroup]) -> pd.DataFrame:
    """A row a question: question, answer (the word of its rule), strength.

    Of MiniLM at full size. What the strengths rest on stands here: that the last layer of a second
    model agrees about the small cut, and which rules were set or changed after numbers were seen.
    """
    full = choose(published, model="minilm", scale="full")
    cuts = {
        "1 small cut": choose(full, regime="surgical", variant=""),
        "1 half": choose(full, regime="half", variant=""),
        "1 erased": choose(full, variant="indicator=outside"),
    }
    decoder = choose(published, model="smollm2", scale="full", regime="surgical", variant="")
    heads = relearning.by_run(decoder)["by_head"]
    rows = []
    for number, groups in cuts.items():
        by_run = relearning.by_run(groups)
        found = relearning.summary(by_run)
        of = "" if found["came_back"] == rules.READ else f", of {found['cut']}"
        read = by_run.dropna(subset="beyond").groupby("concept")["seed"].nunique().min()
        agrees = found["came_back"] == rules.READ and bool((heads >= READ_AGAIN).all())
        rows.append((number, found["came_back"] + of, int(read), True, agrees, False))
    settings = {"model": "minilm", "scale": "full", "regime": "surgical"}
    with_tables = pooled.groups_with_tables(**settings)
    seeds = min(len(group.runs) for group in with_tables)
    parts = parts_tables.with_parts(with_tables)
    by_parts = parts_tables.taken_over(parts).set_index("parts")["verdict"]
    moved = pooled.migration(with_tables).set_index("role")["verdict"]
    near = pooled.priming(with_tables).set_index("predictor")["verdict"]
    forcings = run_group(find_run(ForcingConfig(scale="full", host="persons")))
    named = [pooled.TERMS[measure, "similarity"][0] for measure in ("profile", "words")]
    rows += [
        ("2", pooled.new_functions_word(pooled.functions(with_tables)), seeds, True, False, True),
        (
            "3",
            rules.parts_taken_over(by_parts[parts_tables.EVERY], by_parts[parts_tables.NAMED]),
            min(len(group.runs) for group in parts),
            True,
            False,
            True,
        ),
        ("4", sameness.same(with_tables)["verdict"], seeds, False, False, True),
        ("5", pooled.sharing(with_tables)["verdict"].iloc[0], seeds, True, False, True),
        (
            "6",
            pooled.crowding_word(pooled.superposition_judged(with_tables)),
            seeds,
            True,
            False,
            True,
        ),
        ("7", moved[pooled.OTHER_TYPES], seeds, True, False, False),
        ("8", forced.judged(forcings)["verdict"].iloc[-1], len(forcings.runs), True, False, True),
        ("9", rules.together([near[name] for name in named]), seeds, True, False, False),
    ]
    return pd.DataFrame(
        [
            {
                "question": f"{number.split()[0]}. {QUESTIONS[number]}",
                "answer": word,
                "strength": rules.strength(_is_answered(word), n, controlled, agree, post_hoc),
            }
            for number, word, n, controlled, agree, post_hoc in rows
        ]
    )


def _is_answered(word: str) -> bool:
    return word != rules.OPEN and not word.startswith("not measurable")
