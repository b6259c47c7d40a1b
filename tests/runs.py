"""Runs of a tiny model on a handful of sentences; `conftest` shares those that it can."""

import shutil
from collections import Counter

import pandas as pd
import torch

from plasticity_utils.data.corpus import load_corpus
from plasticity_utils.data.schemes import convert
from plasticity_utils.experiment import config
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.presets import Scale
from tiny import make_tiny_model, make_tiny_tokenizer

TINY = Scale(200, 40, 40, 40, 40, 20, 40, 12, 1, 150, (0.0, 0.5, 1.0), draws=2)
VOCABULARY = 1500
# Tables that are worked out when a run is published, beside cards and answers.
SHORT = (
    "kept_gain", "turnover", "neuron_changes", "regrowth", "removed_neurons", "newly_salient",
    "method_overlap",
)  # fmt: skip
FRAMES = ("metrics", "neurons", "layers", "dose", "reliance", "ranking", "base")


def make_folder(folder):
    """Save a tiny random BERT that knows the corpus's most frequent words."""
    counts = Counter(word.lower() for word in load_corpus("conll2003").words)
    words = [word for word, _ in counts.most_common(VOCABULARY - 5) if word.isalnum()]
    noisy = make_tiny_model(
        "bert", vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2,
        max_position_embeddings=512,
    )  # fmt: skip
    # The usual small weights: the large ones of unit tests learn nothing here.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        type(noisy)(noisy.config).save_pretrained(folder)
    make_tiny_tokenizer(words).save_pretrained(folder)
    return folder


def add_tiny(folder, setitem=dict.__setitem__):
    """Add the scale `tiny`, and a rate at which a tiny model learns."""
    setitem(config.SCALES, "tiny", TINY)
    setitem(config.LEARNING_RATES, str(folder), 1e-2)


def tiny_config(folder, results, kind=RunConfig, **changes):
    settings = {"dose": 0.1, **changes}
    return kind(model=str(folder), scale="tiny", results_dir=str(results), **settings)


def assert_same_tables(first, second):
    for name in FRAMES:
        pd.testing.assert_frame_equal(
            getattr(first, name), getattr(second, name), check_exact=True, obj=name
        )


def at(table, **values):
    """The rows of a table that have these values."""
    for name, value in values.items():
        table = table[table[name] == value]
    return table


def f1_of(run, condition, stage):
    """F1 of locations."""
    (f1,) = at(run.metrics, condition=condition, stage=stage, entity="LOC")["entity_f1"]
    return f1


def copy_finished(results, copy):
    """Copy a folder of runs in which another worker may be making a stage."""
    shutil.copytree(results, copy, ignore=shutil.ignore_patterns("*.lock", "*.part", "*.part.*"))


def write_pair(folder, n_sentences=400):
    """Write a pair of files: sentences of the corpus, with a label at one word."""
    corpus = load_corpus("conll2003", "test").first(n_sentences)
    tags = [["SEM:article" if w.lower() == "the" else "N/A" for w in s] for s in corpus.sentences]
    folder.mkdir(exist_ok=True)
    paths = folder / "words.txt", folder / "labels.txt"
    for path, lines in zip(paths, (corpus.sentences, tags), strict=True):
        path.write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    return f"file:{paths[0]},{paths[1]}#SEM:article"


SIZES = {"train": 900, "validation": 300, "test": 300}


def write_columns(folder, scheme="IOB2", splits=tuple(SIZES), end="\n"):
    """Write sentences of the corpus as column files: word and name, in any scheme."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in splits:
        corpus = load_corpus("conll2003", split).first(SIZES[split])
        rows = [
            end.join(f"{w} {t}" for w, t in zip(words, convert(tags, "IOB2", scheme), strict=True))
            for words, tags in zip(corpus.sentences, corpus.labels["entity"], strict=True)
        ]
        text = (end + end).join(rows) + end
        (folder / f"{split}.conll").write_text(text, encoding="utf-8", newline="")
    return folder


def write_conllu(folder):
    """Write sentences of the corpus as CoNLL-U, with their parts of speech as `xpos`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in SIZES.items():
        corpus = load_corpus("conll2003", split).first(size)
        lines = []
        for number, (words, tags) in enumerate(
            zip(corpus.sentences, corpus.labels["pos"], strict=True)
        ):
            lines.append(f"# sent_id = {number}")
            for place, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
                lines.append(f"{place}\t{word}\t_\t{tag[:2]}\t{tag}\t_\t_\t_\t_\t_")
            lines.append("")
        (folder / f"mine-{split}.conllu").write_text("\n".join(lines), encoding="utf-8")
    return folder
