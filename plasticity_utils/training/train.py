"""Fine-tuning for named entity recognition, and reading the tags back.

The same code trains the base model and, after a removal, trains on: one linear schedule with
warm-up and no restarts (the public code of Lo et al. 2024 calls four runs of two epochs "8
epochs"). It runs on `transformers`' Trainer, which brings the loop and resuming, in one process or
in several that train one model together; what is ours is the order of the data (batches of like
length, the same in every condition) and the snapshots, at which a caller measures the model in the
middle of its training.

The label of a word sits on its first sub-word in an encoder and on its last in a decoder, which
has read the whole word only then.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

from plasticity_utils import files, hardware
from plasticity_utils.data.concepts import types_of
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.data.schemes import UNTAUGHT
from plasticity_utils.errors import InputError, check_kind, shown
from plasticity_utils.hardware import autocast, find_device, training_precision
from plasticity_utils.models.activations import inference_batches, inputs, pad, training_batches
from plasticity_utils.models.load import (
    Encoded,
    check_loaded,
    encode_for,
    label_ids,
    label_position,
)
from plasticity_utils.progress import bar, quiet_transformers
from plasticity_utils.training.lora import merge_adapters
from plasticity_utils.training.schedule import Schedule
from plasticity_utils.training.trainer import Snapshots, SnapshotTrainer, refuse_pickles
from plasticity_utils.training.used_rows import trained_alone, used_rows

IGNORED = -100
EVALUATION_TOKENS = 4096
# Seconds of a small model, minutes of a larger one on a processor.
CHECKPOINT_STEPS = 50


@dataclass(frozen=True)
class TaggedSentences:
    """Sentences ready for a model: token ids, the token of each word, gold tags, their types."""

    encoded: list[Encoded]
    positions: list[list[int]]
    tags: list[list[str]]
    types: tuple[str, ...] = ()


def tag_sentences(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, corpus: Corpus
) -> TaggedSentences:
    """Encode a corpus for training and prediction; its `entity` column holds the tags.

    InputError if a tag is not among the model's labels, a sentence is empty or too long, or there
    is none.
    """
    check_loaded(model)
    check_kind(corpus, Corpus, "corpus must be one of load_corpus")
    if not len(corpus):
        raise InputError(f"{corpus.name} has no sentences here; at least one is needed")
    unknown = set(corpus.word_labels()) - set(label_ids(model)) - {UNTAUGHT}
    if unknown:
        raise InputError(
            f"tags {sorted(unknown)} of {corpus.name} are no labels of the model; "
            f"allowed: {', '.join(label_ids(model))}"
        )
    encoded = encode_for(model, tokenizer, corpus.sentences)
    positions = [label_tokens(model, sentence) for sentence in encoded]
    return TaggedSentences(encoded, positions, corpus.labels["entity"], types_of(corpus))


def fine_tune(
    model: PreTrainedModel,
    data: TaggedSentences,
    schedule: Schedule,
    work: Path,
    snapshot_epochs: Sequence[float] = (),
    on_snapshot: Callable[[float], None] | None = None,
    gates: Iterable[torch.nn.Parameter] = (),
    restarts: int = 1,
    at_steps: Mapping[int, Callable[[], None]] | None = None,
) -> None:
    """Train a model in place, resuming from the newest sound checkpoint in `work`.

    Parameters
    ----------
    model : PreTrainedModel
        From `load_model`; only parameters that require gradients are trained.
    data : TaggedSentences
        From `tag_sentences`.
    schedule : Schedule
    work : Path
        Folder for checkpoints. An interrupted call that is repeated with the same folder ends
        with the same weights as an undisturbed one.
    snapshot_epochs : sequence of float
        Epochs, fractions included, after which `on_snapshot` is called with the epoch; 0 is before
        the first step. A resumed call may repeat the newest snapshot.
    on_snapshot : callable
        Measures the model, in the main process alone; must not draw random numbers.
    gates : iterable of Parameter
        Gains that may grow back, trained at ten times the rate.
    restarts : int
        Equal parts of the training, each with a warm-up, a decay, an optimizer and the data order
        of the first, as when a training script is called several times over. 1 for anything but a
        comparison with the paper.
    at_steps : mapping of int to callable, optional
        What is called after so many steps, as `on_snapshot` is after epochs.

    Raises
    ------
    InputError
        If there is a pickle among the checkpoints in `work`, an epoch has fewer batches than there
        are processes, or the processes do not see the same files.
    """
    rounds = _rounds(data, schedule, restarts)
    take = on_snapshot or (lambda epoch: None)
    due = {_steps_until(epoch, rounds): partial(take, epoch) for epoch in snapshot_epochs}
    newest, work = _meet(work)
    rows, collator = _Rows(data, label_ids(model)), _Collator(model)
    snapshots = Snapshots({**due, **(at_steps or {})})
    trainer = SnapshotTrainer(
        model=model,
        args=_arguments(schedule, sum(map(len, rounds)), work),
        train_dataset=rows,
        data_collator=collator,
        callbacks=[snapshots],
    )
    trainer.rows, trainer.gates, trainer.restarts = rows, list(gates), restarts
    trainer.batches = [batch for epoch in rounds for together in epoch for batch in together]
    ids = {collator.pad_id, *(i for sentence in data.encoded for i in sentence.ids)}
    try:
        with quiet_transformers(), trained_alone(used_rows(model, ids), trainer.decay) as whole:
            snapshots.looking = whole
            trainer.train(resume_from_checkpoint=newest)
    finally:
        merge_adapters(model)
    # A caller may drop the checkpoints now: no process is still reading them.
    hardware.wait()


def steps_until(epoch: float, data: TaggedSentences, schedule: Schedule) -> int:
    """Count the steps of `fine_tune` up to an epoch, rounded to whole steps."""
    return _steps_until(epoch, _rounds(data, schedule, 1))


def _rounds(data: TaggedSentences, schedule: Schedule, restarts: int) -> list[Any]:
    """The batches of each step, of each epoch; several processes share a step."""
    lengths = [len(sentence.ids) for sentence in data.encoded]
    epochs = schedule.epochs // restarts
    per_epoch = training_batches(lengths, schedule.batch_tokens, epochs, schedule.seed) * restarts
    return [hardware.rounds(epoch) for epoch in per_epoch]


def tag_logits(
    model: PreTrainedModel, data: TaggedSentences
) -> list[Float[np.ndarray, "word tag"]]:
    """Return each sentence's logits, [n_words, n_labels], labels by their ids."""
    found: list[np.ndarray] = [np.empty(0)] * len(data.encoded)
    batches = inference_batches([len(e.ids) for e in data.encoded], EVALUATION_TOKENS)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), autocast(model.device, model.config.model_type):
            for batch in bar(batches, "tags"):
                logits = model(**inputs(model, [data.encoded[i] for i in batch])).logits
                for i, row in zip(batch, logits.float(), strict=True):
                    found[i] = row[data.positions[i]].cpu().numpy()
    finally:
        model.train(was_training)
    return found


def predict_tags(model: PreTrainedModel, data: TaggedSentences) -> list[list[str]]:
    """Return the model's most likely tag for each word, in the shape of `data.tags`."""
    return likeliest(model, tag_logits(model, data))


def likeliest(model: PreTrainedModel, logits: Sequence[np.ndarray]) -> list[list[str]]:
    """Name the most likely tag of each word."""
    names = {i: label for label, i in label_ids(model).items()}
    return [[names[i] for i in rows.argmax(axis=-1).tolist()] for rows in logits]


def train_only(model: PreTrainedModel, parameters: object) -> None:
    """Freeze everything but these parameters; InputError if there are none, or others."""
    given = list(parameters) if isinstance(parameters, Iterable) else [parameters]
    wanted, own = set(map(id, given)), set(map(id, model.parameters()))
    if not wanted <= own:
        raise InputError(f"what trains must be parameters of the model, not {shown(given)}")
    if not wanted:
        raise InputError("nothing to train; needed: at least one parameter of the model")
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in wanted)


def label_tokens(model: PreTrainedModel, encoded: Encoded) -> list[int]:
    """Return the token that carries the label of each word."""
    last = label_position(model) == "last"
    numbered = list(enumerate(encoded.word_of_token))
    # A dict keeps the last value of a key: read backwards, that is the word's first token.
    chosen = {word: token for token, word in (numbered if last else reversed(numbered))}
    chosen.pop(-1, None)
    return [chosen[word] for word in sorted(chosen)]


def _steps_until(epoch: float, per_epoch: Sequence[Sequence[Any]]) -> int:
    """Count the optimizer steps up to an epoch, rounded to whole steps."""
    whole = int(epoch)
    rest = round((epoch - whole) * len(per_epoch[whole])) if whole < len(per_epoch) else 0
    return sum(map(len, per_epoch[:whole])) + rest


def _arguments(schedule: Schedule, n_steps: int, work: Path) -> TrainingArguments:
    device = find_device()
    return TrainingArguments(
        output_dir=str(work),
        max_steps=n_steps,
        learning_rate=schedule.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(schedule.warmup * n_steps),
        weight_decay=0.01,
        optim="adamw_torch_fused",
        use_cpu=device.type == "cpu",
        seed=schedule.seed,
        save_steps=CHECKPOINT_STEPS,
        save_total_limit=2,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        # Batches of like length have no fixed size; `rounds` evens them out over processes.
        accelerator_config={"even_batches": False},
        # A step's gradient is the mean over processes of the mean over each one's words.
        average_tokens_across_devices=False,
        ddp_timeout=int(hardware.TIMEOUT.total_seconds()),
        dataloader_pin_memory=device.type == "cuda",
    )


def _meet(work: Path) -> tuple[str | None, Path]:
    """Return the checkpoint to go on from and its folder: the main process's, for all of them."""
    # Measured before the main process is alone with a snapshot and the others do not answer.
    training_precision()
    work.mkdir(parents=True, exist_ok=True)
    newest, shared = hardware.decided(lambda: (_newest_sound_checkpoint(work), work.resolve()))
    if not shared.is_dir():
        raise InputError(
            f"{str(shared)!r} is not seen by process {hardware.rank()}; "
            "processes that train together need one results folder"
        )
    return newest, shared


def _newest_sound_checkpoint(work: Path) -> str | None:
    """Drop checkpoints that were cut off or damaged; return the newest that is left."""
    refuse_pickles(work)
    for folder in work.glob("checkpoint-*"):
        if not files.is_sound(folder):
            shutil.rmtree(folder)
    return get_last_checkpoint(str(work))


class _Rows(torch.utils.data.Dataset):
    """Token ids and labels of each sentence."""

    def __init__(self, data: TaggedSentences, label2id: dict[str, int]) -> None:
        self.data, self.label2id = data, label2id

    def __len__(self) -> int:
        return len(self.data.encoded)

    def __getitem__(self, i: int) -> tuple[Encoded, list[int]]:
        encoded = self.data.encoded[i]
        labels = [IGNORED] * len(encoded.ids)
        for position, tag in zip(self.data.positions[i], self.data.tags[i], strict=True):
            if tag != UNTAUGHT:
                labels[position] = self.label2id[tag]
        return encoded, labels


class _Collator:
    def __init__(self, model: PreTrainedModel) -> None:
        self.pad_id = model.config.pad_token_id or 0

    def __call__(self, rows: Sequence[tuple[Encoded, list[int]]]) -> dict[str, torch.Tensor]:
        return {
            "input_ids": pad([encoded.ids for encoded, _ in rows], self.pad_id),
            "attention_mask": pad([[1] * len(encoded.ids) for encoded, _ in rows], 0),
            "labels": pad([labels for _, labels in rows], IGNORED),
        }
