"""The answers in short: of the nine questions of the book, and of one concept's page.

Of a concept: what was lost and came back, what rose, what a second cut takes. Each of these takes
the runs of one concept under several seeds, and names columns after the conditions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from plasticity_utils.analysis import (
    audits,
    forced,
    parts_tables,
    pooled,
    relearning,
    rules,
    sameness,
)
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.names import OVERALL, READ_AGAIN
from plasticity_utils.results import tables
from plasticity_utils.results.groups import RunGroup, choose, run_group
from plasticity_utils.results.published import find_run, published_audits
from plasticity_utils.results.stack import SHARE_BOUNDS, Estimate, mean_interval

QUESTIONS = {
    "1a": "After a small cut, is what comes back relearned?",
    "1b": "After half of all neurons were cut?",
    "1c": "After the concept alone was erased?",
    "1d": "After an erasure that takes the task along?",
    "2": "Do neurons take on new functions?",
    "3": "Do other neurons carry the parts of the concept?",
    "4": "Is it the same concept in the end?",
    "5": "Are concepts that share a neuron alike?",
    "6": "Do concepts crowd each other more (superposition)?",
    "7": "Do neurons of other concepts take it over?",
    "8": "Can neurons be forced to carry two concepts?",
    "9": "Is a neuron near the concept more likely to take it on (primed)?",
}
# Where each is answered.
PAGES = {
    "1a": "relearning",
    "1b": "relearning",
    "1c": "erasure",
    "1d": "erasure",
    "2": "polysemanticity",
    "3": "subconcepts",
    "4": "same_concept",
    "5": "polysemanticity",
    "6": "polysemanticity",
    "7": "migration",
    "8": "forced",
    "9": "migration",
}
_PARTS = [parts_tables.EVERY, parts_tables.NAMED]
BEFORE, CUT = "before the cut", "after the cut"
LAST_LAYER = "then the last layer alone is trained"
WHOLE = "or the whole model is trained"
BEYOND_LAST_LAYER = "whole model minus last layer"
PROBE = "probe of the last layer, after the cut"


@dataclass(frozen=True)
class JudgedAnswer:
    """What a rule says to a question, and the numbers that it was given.

    Attributes
    ----------
    number : str
        Of `QUESTIONS`.
    rule : Rule
        What gave the answer.
    word : str
        The answer.
    n_seeds : int
        The fewest of any concept.
    effect, beyond_control : Estimate
        The number that decides, and the same less its control; nothing where there is none.
    has_control, another_model_agrees, is_post_hoc : bool
        What its strength rests on, beside the seeds: whether a control was subtracted, a second
        model says the same, and the rule was set or changed after numbers were seen.
    """

    number: str
    rule: rules.Rule[...]
    word: str
    n_seeds: int
    effect: Estimate
    beyond_control: Estimate
    has_control: bool = True
    another_model_agrees: bool = False
    is_post_hoc: bool = False

    @property
    def question(self) -> str:
        """The question, with its number."""
        return f"{self.number}. {QUESTIONS[self.number]}"

    @property
    def strength(self) -> str:
        """How sure it is, by `rules.strength`."""
        is_answered = not self.word.startswith((rules.OPEN, "not measurable"))
        return rules.strength(
            is_answered,
            self.n_seeds,
            self.has_control,
            self.another_model_agrees,
            self.is_post_hoc,
        )


def by_question(published: list[RunGroup]) -> pd.DataFrame:
    """A row a question: question, answer (the word of its rule), strength, page (its notebook)."""
    return pd.DataFrame(
        [
            {
                "question": one.question,
                "answer": one.word,
                "strength": one.strength,
                "page": PAGES[one.number],
            }
            for one in judged_answers(published)
        ]
    )


def evidence(published: list[RunGroup]) -> pd.DataFrame:
    """What each answer rests on, a row a question.

    Columns: question, answer, n_seeds; effect and beyond_control, with intervals; set_in (commits).
    """
    rows = []
    for one in judged_answers(published):
        row: dict[str, Any] = {"question": one.question, "answer": one.word}
        row["n_seeds"] = one.n_seeds
        for name in ("effect", "beyond_control"):
            found: Estimate = getattr(one, name)
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        rows.append({**row, "set_in": one.rule.set_in})
    return pd.DataFrame(rows)


def judged_answers(published: list[RunGroup]) -> list[JudgedAnswer]:
    """The answers of MiniLM at full size, in the order of `QUESTIONS`.

    What the strengths rest on stands here: that the last layer of a second model agrees about the
    small cut, and which rules were set or changed after numbers were seen.
    """
    small, half, whole_task = _after_cuts(published)
    return [small, half, _after_erasing(), whole_task, *_of_neurons()]


def _after_cuts(published: list[RunGroup]) -> list[JudgedAnswer]:
    """Question 1: was what came back after each way of cutting relearned?"""
    full = choose(published, model="minilm", scale="full")
    cuts = {
        "1a": choose(full, regime="surgical", variant=""),
        "1b": choose(full, regime="half", variant=""),
        "1d": choose(full, variant="indicator=outside"),
    }
    decoder = choose(published, model="smollm2", scale="full", regime="surgical", variant="")
    heads = relearning.by_run(decoder)["by_head"]
    found = []
    for number, groups in cuts.items():
        by_run = relearning.by_run(groups)
        row = relearning.summary(by_run)
        of = "" if row["came_back"] == rules.READ else f", of {row['cut']}"
        read = by_run.dropna(subset="beyond").groupby("concept")["seed"].nunique().min()
        agrees = row["came_back"] == rules.READ and bool((heads >= READ_AGAIN).all())
        effect, beyond_control = _both(row, "beyond")
        word = row["came_back"] + of
        found.append(
            JudgedAnswer(
                number,
                rules.came_back,
                word,
                int(read),
                effect,
                beyond_control,
                another_model_agrees=agrees,
                # That a random cut is subtracted decides this word, and was added after all runs.
                is_post_hoc=row["came_back"] == rules.BEYOND,
            )
        )
    return found


def _after_erasing() -> JudgedAnswer:
    """Question 1 where the concept alone was erased, beside models that never knew it."""
    row = audits.over_concepts(published_audits(scale="full", removal="leace"))
    words = row["came_back"], row["sooner"]
    word = rules.OPEN if rules.OPEN in words else "{}, and {} than if never known".format(*words)
    # Both its rules are older than every audit of it.
    return JudgedAnswer("1c", rules.came_back, word, int(row["n_seeds"]), *_both(row, "beyond"))


def _of_neurons() -> list[JudgedAnswer]:
    """Questions 2 to 9: what do neurons carry, and whose do they become?"""
    with_tables = pooled.groups_with_tables(model="minilm", scale="full", regime="surgical")
    seeds = min(len(group.runs) for group in with_tables)
    functions = pooled.functions(with_tables)
    parts = parts_tables.with_parts(with_tables)
    by_parts = parts_tables.taken_over(parts).set_index("parts")
    word = rules.parts_taken_over(*by_parts.loc[_PARTS, "verdict"].tolist())
    same = sameness.same(with_tables)
    test = sameness.control(sameness.other_bases(published_audits(scale="full")))
    alike = pooled.sharing(with_tables).iloc[0]
    crowded = pooled.superposition_judged(with_tables)
    moved = pooled.migration(with_tables).set_index("role").loc[pooled.OTHER_TYPES]
    near = pooled.priming(with_tables).set_index("predictor")
    named = [pooled.TERMS[measure, "similarity"][0] for measure in ("profile", "words")]
    forcings = run_group(find_run(ForcingConfig(scale="full", host="persons")))
    hosts = forced.judged(forcings).iloc[-1]
    return [
        JudgedAnswer(
            "2",
            rules.new_functions,
            pooled.new_functions_word(functions),
            seeds,
            *_both(functions.set_index("serves").loc[pooled.TAKEN_ON["took_on_else"]]),
            is_post_hoc=True,
        ),
        JudgedAnswer(
            "3",
            rules.parts_taken_over,
            word,
            min(len(group.runs) for group in parts),
            *_both(by_parts.loc[parts_tables.NAMED], "beyond_none", "beyond_random"),
            is_post_hoc=True,
        ),
        JudgedAnswer(
            "4",
            rules.representation,
            rules.NO_PROBE if test == rules.CANNOT_FAIL else same["verdict"],
            seeds,
            *_both(same, "lost_kept", ""),
            has_control=test == rules.CAN_FAIL,
            is_post_hoc=True,
        ),
        JudgedAnswer(
            "5",
            rules.likeness,
            alike["verdict"],
            seeds,
            *_both(alike, "difference", ""),
            is_post_hoc=True,
        ),
        JudgedAnswer(
            "6",
            rules.crowding,
            pooled.crowding_word(crowded),
            seeds,
            *_both(crowded.iloc[0]),
            is_post_hoc=True,
        ),
        JudgedAnswer("7", rules.decide, moved["verdict"], seeds, *_both(moved)),
        JudgedAnswer(
            "8",
            rules.forced,
            hosts["verdict"],
            len(forcings.runs),
            *_both(hosts, "rise", "beyond_random"),
            is_post_hoc=True,
        ),
        JudgedAnswer(
            "9",
            rules.together,
            rules.together(near.loc[named, "verdict"].tolist()),
            seeds,
            *_both(near.loc[named[0]]),
        ),
    ]


def _both(
    row: pd.Series, effect: str = "effect", beyond_control: str = "beyond_control"
) -> tuple[Estimate, Estimate]:
    """The number that decides, and the same less its control."""
    nothing = Estimate(float("nan"))
    return Estimate.of(row, effect), Estimate.of(row, beyond_control) if beyond_control else nothing


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


def told_best(group: RunGroup) -> pd.Series:
    """Layer in which kept neurons tell the concept best under `targeted`: at the base, the end."""
    rows = group.layers[group.layers["condition"] == "targeted"]
    own = rows[rows["entity"] == group.config.label].set_index("layer")
    return own.groupby("stage")["selectivity"].idxmax()


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
