"""Training of the rows of word embeddings in use gives the weights of a training of all rows."""

import pytest
import torch
from safetensors.torch import load_file

from plasticity_utils.training import train as training
from plasticity_utils.training.confine import confine
from plasticity_utils.training.train import fine_tune
from plasticity_utils.training.used_rows import used_rows
from tiny import VOCABULARY, WIDTH
from toy import SCHEDULE, data_for, tiny, weights

EMBEDDINGS = {
    "bert": "bert.embeddings.word_embeddings.weight",
    "llama": "model.embed_tokens.weight",
}


@pytest.fixture
def all_rows(monkeypatch):
    """Return a function after which trainings train all rows."""
    return lambda: monkeypatch.setattr(training, "used_rows", lambda model, ids: None)


def start(family, tokenizer):
    model = tiny(family)
    return model, data_for(model, tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("family", EMBEDDINGS)
def test_the_weights_are_those_of_a_training_of_all_rows(
    family, tokenizer, all_rows, tmp_path
):  # fmt: skip
    found = []
    for name in ("rows", "all"):
        model, data = start(family, tokenizer)
        before = weights(model)
        seen = []
        fine_tune(
            model, data, SCHEDULE, tmp_path / name, [0.0, 0.5, 1.0, 2.0],
            lambda epoch, seen=seen, model=model: seen.append(weights(model)),
        )  # fmt: skip
        found.append([*seen, weights(model)])
        all_rows()
    table = EMBEDDINGS[family]
    unused = torch.ones(VOCABULARY, dtype=torch.bool)
    unused[sorted({i for sentence in data.encoded for i in sentence.ids} | {0})] = False
    assert 5 < unused.sum() < VOCABULARY - 5
    for ours, theirs in zip(*found, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=2e-4, atol=2e-6)
        # These have no gradient, and a decay alone: to the rounding of a product.
        torch.testing.assert_close(ours[table][unused], theirs[table][unused], rtol=1e-6, atol=0)
    moved = (found[0][-1][table] - before[table]).abs().amax(dim=1)
    assert moved[~unused].median() > 10 * moved[unused].max() > 0


@pytest.mark.slow
def test_a_checkpoint_holds_the_rows_in_use_alone(tokenizer, tmp_path):
    model, data = start("bert", tokenizer)
    fine_tune(model, data, SCHEDULE, tmp_path, [1.0], lambda epoch: None)
    rows = load_file(next(tmp_path.glob("checkpoint-*/model.safetensors")))[EMBEDDINGS["bert"]]
    assert rows.shape[0] < VOCABULARY - 5
    assert rows.shape[1] == WIDTH
    assert model.get_input_embeddings().weight.shape == (VOCABULARY, WIDTH)


@pytest.mark.slow
def test_an_interrupted_training_leaves_the_model_whole(tokenizer, tmp_path):
    model, data = start("bert", tokenizer)
    embedding = model.get_input_embeddings()
    weight, padding = embedding.weight, embedding.padding_idx

    def stop(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(model, data, SCHEDULE, tmp_path, [0.5], stop)
    assert embedding.weight is weight
    assert embedding.padding_idx == padding
    model(torch.arange(VOCABULARY)[None])


def test_rows_that_another_part_shares_or_looks_at_are_trained_whole():
    model = tiny("bert")
    ids = [0, 4, 5]
    assert used_rows(model, ids) is not None
    assert used_rows(model, range(VOCABULARY)) is None
    with confine(model, [(0, 1)]):
        assert used_rows(model, ids) is None
    model.get_input_embeddings().weight.requires_grad_(False)
    assert used_rows(model, ids) is None
    tied = tiny("bert")
    tied.second = torch.nn.Embedding(VOCABULARY, WIDTH)
    tied.second.weight = tied.get_input_embeddings().weight
    assert used_rows(tied, ids) is None


def test_a_token_that_is_not_among_the_rows_is_an_error():
    model = tiny("bert").eval()
    rows = used_rows(model, [4, 5, 6])
    whole = model(torch.tensor([[4, 5, 6]])).logits
    rows.cut()
    assert torch.equal(model(torch.tensor([[4, 5, 6]])).logits, whole)
    with pytest.raises(IndexError):
        model(torch.tensor([[4, 7]]))
    rows.put_back(1.0)
    assert torch.equal(model(torch.tensor([[4, 5, 6]])).logits, whole)
