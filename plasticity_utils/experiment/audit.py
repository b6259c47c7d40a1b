"""The audit of a removal: did it take the concept, or hide it?

A run of the whole experiment measures every neuron; an audit asks one question and spends its time
on that. What did the removal take from the concept, and what from the others? What do readers of
the frozen model still find, beside the same readers on the base model and on the pretrained body,
which was never taught the task? And how soon does the concept come back under each protocol, beside
a model that never knew it?

Stages are shared with runs: an audit of settings that were run trains no base model again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import PreTrainedModel

from plasticity_utils import files
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.presets import REGIMES
from plasticity_utils.experiment.readings import (
    BODIES,
    CONTROLLED,
    CUT_AGAIN,
    FURTHER_BODIES,
    ReadingStages,
    model_scores,
)
from plasticity_utils.experiment.record import Audit
from plasticity_utils.experiment.run_names import audit_name, with_protocols
from plasticity_utils.experiment.store import add_table, made_now, save_tables, with_other_readers
from plasticity_utils.registry import FILE_SIGN, rankings, readers, users_errors
from plasticity_utils.removal.interface import Intervention, in_force
from plasticity_utils.training.protocols import Relearning
from plasticity_utils.training.readers import ALIKE, check_readers
from plasticity_utils.training.train import (
    TaggedSentences,
    fine_tune,
    steps_until,
    tag_sentences,
    train_only,
)

# Just after the removal, then often while things happen fast; the end is the schedule's own.
STEPS, EPOCHS = (0, 4, 8, 16, 32, 64, 128), (0.25, 0.5, 1.0)


def audit(concept: str = "locations", removal: str = "", **settings: Any) -> Audit:
    """Ask of a removal whether it took a concept or hid it, or do what is left of that.

    Parameters
    ----------
    concept : str
        An entity type.
    removal : str
        A name of the registry `removals`, or `FILE.py:NAME`; empty for the regime's own.
    **settings
        Further settings of `RunConfig`: model, scale, seed, dose, protocols …

    Returns
    -------
    Audit
        With its tables on disk. An audit that was interrupted and is repeated gives the same.

    Raises
    ------
    InputError
        For a setting that is not allowed, and a concept that is no entity type.
    """
    named = {"concept": concept, "removal": removal, **settings}
    return run_audit(RunConfig.from_parameters(named))


@users_errors()
def run_audit(config: RunConfig) -> Audit:
    """Make the audit of a configuration, or what is left of it."""
    config = with_protocols(config)
    if not config.concept_info.is_entity:
        raise InputError(
            f"{config.concept_info.title!r} is no entity type, so no tag of it can come back"
        )
    stages = AuditStages(config)
    stages.check()
    make = partial(_make, stages)
    return Audit(files.cached(config.results, audit_name(config), stages.all_settings, make))


def is_of_now(audit: Audit, config: RunConfig) -> bool:
    """Tell whether an audit of these settings is of the code and the files that are here now.

    Its seal says so, and nothing is worked out: no model is hashed, and nothing is fitted.
    """
    if not files.is_current(audit.path) or not files.is_sound(audit.path):
        return False
    known = json.loads(json.dumps(_KnownStages(config).all_settings))
    return _agree(known, files.seal_of(audit.path)["settings"])


def _agree(known: Any, sealed: Any) -> bool:
    if not isinstance(known, dict) or not isinstance(sealed, dict):
        return bool(known == sealed)
    return all(name in sealed and _agree(value, sealed[name]) for name, value in known.items())


@users_errors()
def read_further(audit: Audit, names: Sequence[str] = ()) -> Path:
    """Let further readers read the bodies of an audit: the table `further_readings`, in its folder.

    `names` are of the registry `readers`, or `FILE.py:NAME`; without any, all of the registry. Each
    reads the last layer on all training sentences, and every layer on a part of them; what the
    table `readings` has is not fitted again, and rows of other readers are kept.
    """
    chosen = list(dict.fromkeys(names)) or readers.names()
    check_readers(chosen)
    stages = _stages_to_read(audit)
    if not any(stages.left_to_read(chosen)):
        raise InputError(
            f"all that {', '.join(chosen)} can read is in the audit already; needed: a reader that "
            "is not among its own"
        )
    _check_made_by(stages, audit)
    folders = {body: stages.further_readings(chosen, body) for body in FURTHER_BODIES}
    name = "further_readings"
    table = with_other_readers(_stacked(folders, name, "body"), audit.path / f"{name}.parquet")
    return add_table(audit.path, name, table)


@users_errors()
def read_heads(audit: Audit) -> Path:
    """Train the model's own head, as it is and fresh, at several rates: the table `heads`.

    The base model's body is read whole and without the concept; each head is trained on all
    training sentences until it converges. The table is put in the audit's folder.
    """
    stages = _stages_to_read(audit)
    _check_made_by(stages, audit)
    folders = {body: stages.heads(body) for body in CONTROLLED}
    return add_table(audit.path, "heads", _stacked(folders, "heads", "body"))


@users_errors()
def read_second_cut(audit: Audit) -> Path:
    """Cut once more and fit the readers again: the table `second_cut`, in the audit's folder.

    The cut model is trained on as under `targeted`; then what the removal picks now is cut as well,
    or in its place a control. The same is done to the cut model as it was before that training.
    """
    stages = _stages_to_read(audit)
    _check_made_by(stages, audit)
    folders = {body: stages.second_cut(body) for body in CUT_AGAIN}
    return add_table(audit.path, "second_cut", _stacked(folders, "second_cut", "body"))


def _stages_to_read(audit: Audit) -> AuditStages:
    """The stages of a finished audit that is of now."""
    if "doses" in audit.facts:
        raise InputError(f"{audit.path.name!r} is a reading curve; needed: an audit")
    if not audit.holds(["readings"]):
        raise InputError(f"{audit.path.name!r} has no readings; needed: an audit")
    if not is_of_now(audit, audit.config):
        raise _made_otherwise(audit)
    stages = AuditStages(audit.config)
    stages.check()
    return stages


def _check_made_by(stages: AuditStages, audit: Audit) -> None:
    """Raise InputError unless the stages would make this audit; a removal may be fitted for it."""
    if not audit.path.name.endswith(files.digest(stages.all_settings)):
        raise _made_otherwise(audit)


def _made_otherwise(audit: Audit) -> InputError:
    return InputError(
        f"audit {audit.path.name!r} is of another state of the code or of the files that it names, "
        "so its removal cannot be read further; `plasticity audit` makes it anew"
    )


@dataclass(frozen=True)
class AuditStages(ReadingStages):
    """The stages of an audit; each method returns a sealed folder."""

    @cached_property
    def chosen_dose(self) -> float:
        """The share of neurons that is removed; 0 where a removal takes no neurons."""
        return super().chosen_dose if self.config.chosen.takes_neurons else 0.0

    @property
    def _methods(self) -> list[str]:
        # The dose–response has the paper's half as a point beside it.
        return list({self.config.preset.ranking: None, REGIMES["half"].ranking: None})

    def _curve_parts(self) -> dict[str, tuple[Corpus, Corpus | None]]:
        return {"dose": super()._curve_parts()["dose"]}

    @property
    def _draws(self) -> int:
        return 0

    def audit_settings(self, conditions: Iterable[str], bodies: Iterable[str]) -> dict[str, Any]:
        """Everything that what is trained and what is read depend on."""
        return {
            "returns": {name: self._returns_settings(name) for name in conditions},
            "readings": {body: self._readings_settings(body) for body in bodies},
            "concept": self._concept_key,
        }

    @property
    def all_settings(self) -> dict[str, Any]:
        """Everything that the tables of an audit depend on."""
        ranking = self.config.preset.ranking
        return {
            **self.audit_settings(self.config.conditions, BODIES),
            "control_task": CONTROLLED,
            "alike": ALIKE,
            # Of others its name is among the settings, and what it chose in the removal's key.
            **({"ranking": rankings.key(ranking)} if FILE_SIGN in ranking else {}),
        }

    def returned(self, condition: str) -> Path:
        """Train on under a condition and score it by step: `returns.parquet`; no model is kept."""
        make = partial(self._make_returned, condition)
        return self._cached(f"returned-{condition}", self._returns_settings(condition), make)

    def _returns_settings(self, condition: str) -> dict[str, Any]:
        return {
            "base": self._base_settings,
            "sentences": self.config.sizes.scoring,
            "removal": self._key_of(self.in_force(condition)),
            **self._retraining_settings(condition),
            **self._reported_settings,
            "steps": STEPS,
        }

    def _make_returned(self, condition: str, part: Path) -> None:
        protocol, intervention = self._protocol(condition), self.in_force(condition)
        model, tokenizer = self._load_untrained(protocol)
        train, scoring = self._tagged(protocol, model, tokenizer)
        schedule = self._retraining(protocol)
        per_epoch = steps_until(1.0, train, schedule)
        ends = {steps_until(epoch, train, schedule) for epoch in (*EPOCHS, float(schedule.epochs))}
        steps = sorted({*ends, *(step for step in STEPS if step < max(ends))})

        def take(step: int) -> None:
            path = part / f"step-{step}.parquet"
            if not path.is_file():
                table = model_scores(model, scoring)
                with files.whole(path) as file:
                    table.assign(step=step, epoch=step / per_epoch).to_parquet(file, index=False)

        with in_force(model, intervention) as held:
            train_only(model, protocol.trains(model))
            gates = [gain for gain in held.parameters() if gain.requires_grad]
            fine_tune(
                model, train, schedule, part / "checkpoints", gates=gates,
                at_steps={step: partial(take, step) for step in steps},
            )  # fmt: skip
        tables = [pd.read_parquet(part / f"step-{step}.parquet") for step in steps]
        save_tables({"returns": pd.concat(tables, ignore_index=True)}, part)
        shutil.rmtree(part / "checkpoints")
        for step in steps:
            (part / f"step-{step}.parquet").unlink()

    def _tagged(
        self, protocol: Relearning, model: PreTrainedModel, tokenizer: Any
    ) -> tuple[TaggedSentences, TaggedSentences]:
        """What a protocol trains on, and what it is scored on."""
        chosen = (
            protocol.sees(self.sentences.train, self.config.label),
            protocol.scored_on(self.sentences.scoring, self.config.label),
        )
        train, scoring = (tag_sentences(model, tokenizer, corpus) for corpus in chosen)
        return train, scoring


@dataclass(frozen=True)
class _KnownStages(AuditStages):
    """The same settings, without what has to be worked out for them."""

    @property
    def _base_settings(self) -> dict[str, Any]:
        return self.config.teaching

    @property
    def _reported_settings(self) -> dict[str, Any]:
        return {}

    def _load_fitted(self, control: bool) -> Intervention:
        return _Unread()


@dataclass(frozen=True)
class _Unread(Intervention):
    """Stands for what was fitted: of its key no more is known than which removal it is by."""

    def applied(self, model: PreTrainedModel) -> AbstractContextManager[Any]:
        """Put nothing in force."""
        return nullcontext()


def _make(stages: AuditStages, part: Path) -> None:
    config = stages.config
    readings = {body: stages.readings(body) for body in BODIES}
    controlled = {body: stages.control_task(body) for body in CONTROLLED}
    returns = {name: stages.returned(name) for name in config.conditions}
    frames = {
        "readings": _stacked(readings, "readings", "body"),
        "control_task": _stacked(controlled, "control_task", "body"),
        "returns": _stacked(returns, "returns", "condition"),
        "base": pd.read_parquet(stages.base() / "scores.parquet"),
    }
    if config.chosen.takes_neurons:
        frames["dose"] = pd.read_parquet(stages.dose() / "dose.parquet")
    save_tables(frames, part)
    own = {"dose": stages.chosen_dose, "n_removed": len(stages.removal.neurons)}
    write_facts(stages, stages.used, {**own, **stages.removal.facts()}, part)


def write_facts(
    stages: AuditStages, used: Iterable[Path], own: Mapping[str, Any], part: Path
) -> None:
    """Write what tables were made with: `config.json`."""
    config = stages.config
    facts = {
        "settings": config.settings(),
        "concept_info": asdict(config.concept_info),
        "sizes": asdict(config.sizes),
        **own,
        "n_train_sentences": len(stages.sentences.train),
        "seconds": {folder.name: files.seal_of(folder)["seconds"] for folder in sorted(used)},
        **made_now(),
    }
    files.write_json(part / "config.json", facts)


def _stacked(folders: Mapping[str, Path], table: str, column: str) -> pd.DataFrame:
    parts = [
        pd.read_parquet(folder / f"{table}.parquet").assign(**{column: name})
        for name, folder in folders.items()
    ]
    return pd.concat(parts, ignore_index=True)
