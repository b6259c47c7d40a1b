"""The answers in short: of the nine questions of the book, and of one concept's page.

Of a concept: what was lost and came back, what rose, what a second cut takes. Each of these takes
the runs of one concept under several seeds, and names columns after the conditions.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from plasticity_utils.analysis import forced, parts_tables, pooled, relearning, rules, sameness
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.names import OVERALL, READ_AGAIN
from plasticity_utils.results import tables
from plasticity_utils.results.groups import RunGroup, choose, run_group
from plasticity_utils.results.published import find_run
from plasticity_utils.results.stack import SHARE_BOUNDS, mean_interval

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
BEFORE, CUT = "before the cut", "after the cut"
LAST_LAYER = "then the last layer alone is trained"
WHOLE = "or the whole model is trained"
BEYOND_LAST_LAYER = "whole model minus last layer"
PROBE = "probe of the last layer, after the cut"


def by_question(published: list[RunGroup]) -> pd.DataFrame:
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


def answer(group: RunGroup) -> pd.DataFrame:
    """F1 of the concept before the cut, after it, and after either training, beside the controls.

    Columns: step; targeted (its own neurons cut, with the interval), and every other condition
    under which more than the last layer trains. Of the difference, none holds what training brings
    where nothing was cut. The probe is fitted anew on the last layer and scored over words.
    """
    config, recovery = group.config, group.recovery.set_index("condition")
    others = [n for n in config.conditions if n not in ("targeted", *config.only_reading)]
    targeted, beside = recovery.loc["targeted"], recovery.loc[others]
    rows = [
        _row(BEFORE, targeted, "base", beside["base"].to_dict()),
        _row(CUT, targeted, "removed", beside["removed"].to_dict()),
    ]
    if config.last_layer:
        rows.append(_row(LAST_LAYER, recovery.loc[config.last_layer], "end", {}))
    rows.append(_row(WHOLE, targeted, "end", beside["end"].to_dict()))
    if config.last_layer:
        drift = (beside["end"] - beside["base"]).filter(["none"]).to_dict()
        rows.append(_row(BEYOND_LAST_LAYER, targeted, "beyond_head", drift))
    probes = _probes(group, "removed")
    read = probes.loc[others, "word_f1"].to_dict()
    rows.append(_row(PROBE, probes.loc["targeted"], "word_f1", read))
    return pd.DataFrame(rows)[list(rows[0])]


def found(group: RunGroup) -> str:
    """Say by `rules.reader_finds` what was still there to be read in the cut model.

    By the last layer; of a concept that no tag of the model's names, by the probe fitted anew.
    """
    if group.config.concept_info.is_entity and group.config.last_layer:
        head = group.recovery.set_index("condition").loc[group.config.last_layer]
        return rules.reader_finds(head["base"] - head["removed"], head["end"] - head["removed"])
    base, cut = (_probes(group, at).loc["targeted", "word_f1"] for at in ("base", "removed"))
    return rules.reader_finds(base, cut)


def second_cut(group: RunGroup) -> pd.DataFrame:
    """F1 when neurons are cut once more at the end, and what that takes from the other types.

    Columns: again; f1 of the concept, with its interval; others_lost (mean over types and seeds)
    and most_lost (of one type under one seed). What was cut before changes nothing when cut again,
    and stands here only where it may have grown back.
    """
    own = group.reliance
    own = own[(own["condition"] == "targeted") & (own["entity"] == group.config.label)]
    lost = pd.concat([_others_lost(tables.reliance_table(run.reliance), group.config.label)
                      for run in group.runs])  # fmt: skip
    found = lost.groupby("again", sort=False).agg(others_lost=("lost", "mean"),
                                                  most_lost=("lost", "max"))  # fmt: skip
    table = own[["again", "entity_f1", "entity_f1_low", "entity_f1_high"]].merge(
        found.reset_index(), on="again"
    )
    return table if group.config.regrow else table[table["again"] != "same"]


def rises(group: RunGroup) -> pd.DataFrame:
    """By how much |σ| of kept neurons of the last layer rises from the base to the end.

    Columns: condition (targeted, that of the last layer, none, and others but random); rise for the
    concept, with its interval, and other_types, their mean.
    """
    rows = group.kept_gain
    rows = rows[rows["layer"] == rows["layer"].max()]
    is_own = rows["entity"] == group.config.label
    others = rows[~is_own].groupby("condition")["gain"].mean().rename("other_types")
    own = rows[is_own].set_index("condition")[["gain", "gain_low", "gain_high"]]
    first = ("targeted", group.config.last_layer, "none")
    names = [name for name in (*first, *own.index) if name in own.index]
    shown = [name for name in dict.fromkeys(names) if name != "random"]
    table = own.join(others).loc[shown].reset_index()
    return table.rename(columns=lambda name: name.replace("gain", "rise"))


def _row(step: str, own: pd.Series, value: str, beside: dict[Any, float]) -> dict[str, object]:
    ends = {
        f"targeted{end}": own.get(f"{value}{end}", float("nan")) for end in ("", "_low", "_high")
    }
    return {"step": step, **ends, **beside}


def _probes(group: RunGroup, stage: str) -> pd.DataFrame:
    """F1 of the last layer's probe at a stage, by condition."""
    label = group.config.label
    parts = []
    for run in group.runs:
        rows = run.layers[(run.layers["entity"] == label) & (run.layers["stage"] == stage)]
        parts.append(rows[rows["layer"] == rows["layer"].max()])
    rows = pd.concat(parts, ignore_index=True)
    found = mean_interval(rows, ["condition"], ["word_f1"], bounds={"word_f1": SHARE_BOUNDS})
    return found.set_index("condition")


def _others_lost(reliance: pd.DataFrame, label: str) -> pd.DataFrame:
    rows = reliance[(reliance["condition"] == "targeted")]
    rows = rows[~rows["entity"].isin([label, OVERALL])]
    whole = rows[rows["again"] == "nothing"].set_index("entity")["entity_f1"]
    return rows.assign(lost=rows["entity"].map(whole) - rows["entity_f1"])[["again", "lost"]]
