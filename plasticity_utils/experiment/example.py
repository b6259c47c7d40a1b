"""One sentence of the corpus, and what the model marks in it at four stages.

Before the removal, just after it, when the last layer alone has learned again, and when the whole
model has. The sentence is chosen by the names that stand in it, before any model has read it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from plasticity_utils import files
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.audit import AuditStages, write_facts
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.record import Audit
from plasticity_utils.experiment.run_names import example_name
from plasticity_utils.experiment.store import save_tables
from plasticity_utils.registry import users_errors
from plasticity_utils.removal.interface import Intervention, in_force
from plasticity_utils.training.train import fine_tune, predict_tags, tag_sentences, train_only

_MOST_WORDS, _N_TYPES = 20, 3
_LEARNED = ("head", "targeted")


@dataclass(frozen=True)
class _Stages(AuditStages):
    def marked(
        self, sentence: Corpus, intervention: Intervention | None, learning: str = ""
    ) -> list[str]:
        """Tags of a sentence by the base model with something in force, or after it has learned."""
        model, tokenizer = self._load_base()
        with in_force(model, intervention), tempfile.TemporaryDirectory() as work:
            if learning:
                protocol = self._protocol(learning)
                train_only(model, protocol.trains(model))
                train = tag_sentences(model, tokenizer, self.sentences.train)
                fine_tune(model, train, self._retraining(protocol), Path(work))
            return predict_tags(model, tag_sentences(model, tokenizer, sentence))[0]


@users_errors()
def run_example(config: RunConfig) -> Audit:
    """Mark a sentence at each stage, or find it marked: the table `example`.

    Its columns are stage (`gold` is the corpus's own tags), position (of the word), word, tag.
    """
    stages = _Stages(replace(config, protocols=",".join(_LEARNED)))
    stages.check()
    sentence = choose_sentence(stages.sentences.scoring, config.label)
    settings = {
        **stages.audit_settings(_LEARNED, ["base", "removed"]),
        "sentence": sentence.sentences[0],
    }
    make = partial(_make, stages, sentence)
    return Audit(files.cached(config.results, example_name(config), settings, make))


def choose_sentence(corpus: Corpus, label: str) -> Corpus:
    """The first short sentence with a full stop and names of the concept and two other types."""
    for at, (words, tags) in enumerate(zip(corpus.sentences, corpus.labels["entity"], strict=True)):
        types = {tag[2:] for tag in tags if tag.startswith("B-")}
        is_short = len(words) <= _MOST_WORDS and words[-1] == "."
        if is_short and label in types and len(types) >= _N_TYPES:
            return corpus.select([at])
    raise InputError(
        f"{corpus.name} has no sentence of at most {_MOST_WORDS} words that ends in a full stop "
        f"and has names of {label} and of {_N_TYPES - 1} other types"
    )


def _make(stages: _Stages, sentence: Corpus, part: Path) -> None:
    tags = {
        "gold": sentence.labels["entity"][0],
        "base": stages.marked(sentence, None),
        "removed": stages.marked(sentence, stages.removal),
        **{name: stages.marked(sentence, stages.removal, name) for name in _LEARNED},
    }
    rows = [
        {"stage": stage, "position": position, "word": word, "tag": tag}
        for stage, own in tags.items()
        for position, (word, tag) in enumerate(zip(sentence.sentences[0], own, strict=True))
    ]
    save_tables({"example": pd.DataFrame(rows)}, part)
    own = {"dose": stages.chosen_dose, "n_removed": len(stages.removal.neurons)}
    write_facts(stages, stages.used, own, part)
