"""The steps of the method on a model in memory, for those who run no whole experiment.

Train it, whole, the head alone or as a protocol says; predict; score. What is removed from the
model is in force in each. Nothing is kept on disk: a run from settings to tables, which can be
interrupted, is `run_experiment`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.corpus import Corpus, kinds_of
from plasticity_utils.data.schemes import (
    OUTSIDE,
    PLAIN,
    SCHEMES,
    convert,
    is_of_spans,
    recognise,
)
from plasticity_utils.errors import InputError, check_fraction, check_seed, check_whole, shown
from plasticity_utils.models.load import check_loaded, encode_for, head, label_ids
from plasticity_utils.models.tokens import as_sentences
from plasticity_utils.registry import FILE_SIGN, protocols, users_errors
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.lora import merge_adapters
from plasticity_utils.training.protocols import Relearning, chosen
from plasticity_utils.training.train import (
    Schedule,
    TaggedSentences,
    fine_tune,
    label_tokens,
    predict_tags,
    tag_sentences,
    train_only,
)

_ALL, _RATE = "all", 5e-5


@users_errors()
def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    only: str | Relearning = _ALL,
    epochs: int = 1,
    learning_rate: float | None = None,
    batch_tokens: int = 1000,
    seed: int = 0,
    concept: str = "",
) -> None:
    """Train a model on the tags of a corpus, in place, with whatever is removed from it in force.

    One linear schedule with a warm-up. Neurons that were removed with ``regrow=True`` train at ten
    times the rate; others stay removed.

    Parameters
    ----------
    model, tokenizer
        From `load_model`, with the labels of the corpus.
    corpus : Corpus
        From `load_corpus`; its column `entity` holds the tags.
    only : str or Relearning
        What trains, and which sentences it sees: "all" for everything; "head" for the linear
        classification head alone, which shows what can still be read from the rest; or another
        protocol that starts from the model as it is: a name of the registry `protocols` or
        `FILE.py:NAME`. What is in force is what was removed from this model.
    epochs : int
    learning_rate : float, optional
        Peak rate; by default the protocol's (2e-3 for the head alone), or 5e-5. MiniLM is trained
        here at 2e-4.
    batch_tokens : int
        Sub-words in a batch, padding included.
    seed : int
        Of the order of the sentences and of dropout.
    concept : str
        The tag by which a protocol chooses sentences, such as `few_shot_8` and `without_concept`.

    Raises
    ------
    InputError
        For a setting that is not allowed, a tag that the model has no label for, or a sentence that
        is too long.
    """
    protocol = _protocol(only, concept)
    rate = (protocol.learning_rate or _RATE) if learning_rate is None else learning_rate
    check_whole(epochs, "epochs", least=1)
    check_whole(batch_tokens, "batch_tokens", least=1)
    check_seed(seed)
    check_fraction(rate, "learning_rate must be")
    _check_tagger(model)
    data = tag_sentences(model, tokenizer, chosen("sees", protocol, corpus, concept))
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        if only != _ALL:
            train_only(model, protocol.trains(model))
        gates = [p for name, p in model.named_parameters() if name.startswith("removed_gains_")]
        with tempfile.TemporaryDirectory(prefix="plasticity-") as work:
            schedule = Schedule(int(epochs), rate, int(batch_tokens), int(seed))
            fine_tune(
                model, data, schedule, Path(work), gates=[p for p in gates if p.requires_grad]
            )
    finally:
        merge_adapters(model)
        for parameter, was_required in required:
            parameter.requires_grad_(was_required)
        model.eval()


def _protocol(only: str | Relearning, concept: str) -> Relearning:
    """The protocol that a model in memory can be trained by."""
    if only == _ALL:
        return Relearning()
    names = protocols.names()
    if isinstance(only, str) and FILE_SIGN not in only and only not in names:
        allowed = ", ".join([_ALL, *names, "FILE.py:NAME"])
        raise InputError(f"unknown protocol {only!r}; allowed: {allowed}")
    found = only if isinstance(only, Relearning) else protocols.get(only)
    if found.start != "base":
        raise InputError(
            f"protocol {only!r} starts from another model ({found.start}); allowed: one that "
            "starts from the model as it is"
        )
    if found.knows_concept and not concept:
        raise InputError(f"protocol {only!r} chooses sentences by a concept; needed: its tag")
    return found


def predict(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
) -> list[list[str]]:
    """Return the model's most likely tag for each word, with whatever is removed from it in force.

    Parameters
    ----------
    model, tokenizer
        From `load_model`.
    sentences : sequence of sequence of str
        The words of each sentence, for instance `corpus.sentences`.

    Returns
    -------
    list of list of str
        In the shape of the sentences.

    Raises
    ------
    InputError
        For something that is no sentence of words, or is too long for the model.
    """
    _check_tagger(model)
    rows = as_sentences(sentences)
    encoded = encode_for(model, tokenizer, rows)
    positions = [label_tokens(model, sentence) for sentence in encoded]
    return predict_tags(model, TaggedSentences(encoded, positions, tags=[]))


def score(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, corpus: Corpus
) -> pd.DataFrame:
    """Score a model's tags on a corpus, with whatever is removed from it in force.

    Parameters
    ----------
    model, tokenizer
        From `load_model`.
    corpus : Corpus
        From `load_corpus`; its column `entity` holds the tags.

    Returns
    -------
    DataFrame
        A row for each type of the model's labels, and `overall`: as `entity_scores`.

    Raises
    ------
    InputError
        For a tag that the model has no label for, labels of no scheme, or a sentence that is too
        long.
    """
    _check_tagger(model)
    labels = list(label_ids(model))
    scheme = recognise([labels])
    if scheme == PLAIN and is_of_spans([labels]):
        raise InputError(
            f"labels {shown(labels)} of the model are of no scheme; allowed: {', '.join(SCHEMES)}"
        )
    data = tag_sentences(model, tokenizer, corpus)
    # The corpus is in IOB2, whatever its files are in.
    predicted = [convert(tags, scheme) for tags in predict_tags(model, data)]
    types = dict.fromkeys(kind for label in convert(labels, scheme) for kind in kinds_of(label))
    types.pop(OUTSIDE, None)
    return entity_scores(data.tags, predicted, list(types))


def _check_tagger(model: PreTrainedModel) -> None:
    """Refuse what is no model, or has no head."""
    check_loaded(model)
    head(model)
