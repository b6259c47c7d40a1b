"""Toy sentences, in which a word tells its tag, and what a tiny model needs to learn them."""

import numpy as np
import torch

from plasticity_utils.data.corpus import Corpus
from plasticity_utils.training.schedule import Schedule
from plasticity_utils.training.train import tag_sentences
from tiny import make_tiny_model, make_tiny_tokenizer

TAG_OF = {
    "london": "B-LOC", "paris": "B-LOC", "anna": "B-PER", "peter": "B-PER",
    "rain": "O", "calls": "O", "in": "O", "the": "O", "today": "O",
}  # fmt: skip
TAGS = ("O", "B-LOC", "B-PER")
SCHEDULE = Schedule(epochs=2, learning_rate=1e-2, batch_tokens=60, seed=0)


def toy(n_sentences, seed):
    generator = np.random.default_rng(seed)
    words = [
        generator.choice(list(TAG_OF), generator.integers(2, 8)).tolist()
        for _ in range(n_sentences)
    ]
    tags = [[TAG_OF[word] for word in sentence] for sentence in words]
    return Corpus("toy", words, {"entity": tags})


def tiny(family="bert"):
    # With dropout, so that a resumed training needs its random state back as well.
    names = {
        "num_labels": 3,
        "id2label": dict(enumerate(TAGS)),
        "label2id": {tag: i for i, tag in enumerate(TAGS)},
    }
    return make_tiny_model(family, seed=0, **names)


def toy_tokenizer():
    return make_tiny_tokenizer(list(TAG_OF))


def data_for(model, tokenizer, n_sentences=60):
    return tag_sentences(model, tokenizer, toy(n_sentences, seed=0))


def weights(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)
