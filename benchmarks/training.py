"""Fine-tuning on both sides: the Trainer with its defaults, and ours.

Learning rate, warm-up, decay and epochs are ours on both sides, since speed is compared at equal F1
and those decide it. Everything else of the peer is the Trainer's own: batches of a fixed number of
sentences in random order, padded to the longest, in float32. Tokens are real ones, no padding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    DataCollatorForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)

from benchmarks.measure import Work
from plasticity_utils.data.corpus import ENTITY_LABELS, Corpus
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.measure import score_tagged
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.models.load import head, label_ids, load_model
from plasticity_utils.names import OVERALL
from plasticity_utils.progress import quiet_transformers
from plasticity_utils.training.train import (
    IGNORED,
    Schedule,
    TaggedSentences,
    fine_tune,
    tag_sentences,
    train_only,
)

WARMUP = 0.1
DEFAULT_BATCH = 8


def peer(
    folder: Path,
    model: str,
    train: int,
    epochs: int,
    scored: int,
    seed: int,
    our_batch: bool = False,
    only_head: bool = False,
) -> Work:
    """Train with the Trainer; with `our_batch`, as many sentences a batch as ours holds."""
    config, trained, tokenizer, corpora = begin(model, train, scored, seed)
    if only_head:
        train_only(trained, head(trained).parameters())
    data, scoring = (tag_sentences(trained, tokenizer, corpus) for corpus in corpora)
    n_tokens = sum(len(sentence.ids) for sentence in data.encoded)
    batch = DEFAULT_BATCH
    if our_batch:
        batch = max(1, round(config.sizes.batch_tokens / (n_tokens / train)))
    trainer = Trainer(
        model=trained,
        args=trainer_arguments(folder, batch, epochs, config.rate, train, seed),
        train_dataset=_rows(data, label_ids(trained)),
        data_collator=DataCollatorForTokenClassification(tokenizer),
    )

    def run() -> None:
        with quiet_transformers():
            trainer.train()

    return Work(run, lambda _: facts_of(trained, scoring, n_tokens * epochs, batch))


def ours(folder: Path, model: str, train: int, epochs: int, scored: int, seed: int) -> Work:
    """Train with `fine_tune`."""
    config, trained, tokenizer, corpora = begin(model, train, scored, seed)
    data, scoring = (tag_sentences(trained, tokenizer, corpus) for corpus in corpora)
    n_tokens = sum(len(sentence.ids) for sentence in data.encoded)
    schedule = Schedule(epochs, config.rate, config.sizes.batch_tokens, seed, WARMUP)
    return Work(
        lambda: fine_tune(trained, data, schedule, folder / "checkpoints"),
        lambda _: facts_of(trained, scoring, n_tokens * epochs, None),
    )


def peer_tags(folder: Path, model: str, scored: int, seed: int = 0) -> Work:
    """Let the Trainer predict the tags of sentences, in its batches of eight."""
    _, trained, tokenizer, (_, corpus) = begin(model, 1, scored, seed)
    rows = _rows(tag_sentences(trained, tokenizer, corpus), label_ids(trained))
    arguments = TrainingArguments(output_dir=str(folder), report_to="none", disable_tqdm=True)
    trainer = Trainer(
        model=trained, args=arguments, data_collator=DataCollatorForTokenClassification(tokenizer)
    )
    return Work(lambda: trainer.predict(rows), lambda _: {"n_sentences": len(corpus)})


def trainer_arguments(
    folder: Path, batch: int, epochs: int, rate: float, n_rows: int, seed: int
) -> TrainingArguments:
    """The Trainer's defaults, but for the schedule, which is ours, and for what it prints."""
    return TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=batch,
        num_train_epochs=epochs,
        learning_rate=rate,
        warmup_steps=round(WARMUP * epochs * -(-n_rows // batch)),
        seed=seed,
        report_to="none",
        disable_tqdm=True,
    )


def begin(
    model: str, train: int, scored: int, seed: int
) -> tuple[RunConfig, PreTrainedModel, PreTrainedTokenizerBase, tuple[Corpus, Corpus]]:
    """Settings, an untrained model with its tokenizer, training and scoring sentences."""
    config = RunConfig(model=model, scale="quick", seed=seed)
    sentences = load_sentences(config)
    trained, tokenizer = load_model(model, ENTITY_LABELS, seed)
    corpora = sentences.train.first(train), sentences.validation.first(scored)
    return config, trained, tokenizer, corpora


def _rows(data: TaggedSentences, ids: dict[str, int]) -> Any:
    """A list of sentences as the Trainer takes them; its type hints ask for more than it needs."""
    rows = []
    for encoded, positions, tags in zip(data.encoded, data.positions, data.tags, strict=True):
        labels = [IGNORED] * len(encoded.ids)
        for position, tag in zip(positions, tags, strict=True):
            labels[position] = ids[tag]
        mask = [1] * len(encoded.ids)
        rows.append({"input_ids": encoded.ids, "attention_mask": mask, "labels": labels})
    return rows


def facts_of(
    model: PreTrainedModel, scoring: TaggedSentences, n_tokens: int, batch: int | None
) -> dict[str, Any]:
    """What is kept of a training: its F1, real tokens, and sentences a batch."""
    f1 = score_tagged(model, scoring).set_index("entity").loc[OVERALL, "entity_f1"]
    return {"f1": float(f1), "n_tokens": n_tokens, "batch": batch}
