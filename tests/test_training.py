import warnings

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from plasticity_utils import files
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.models.load import head
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.training import train as training
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.train import (
    Schedule,
    fine_tune,
    predict_tags,
    tag_sentences,
    train_only,
)
from plasticity_utils.training.trainer import GATE_RATE_FACTOR
from test_store import flip_a_byte
from toy import SCHEDULE, TAGS, data_for, same, tiny, toy, weights


@pytest.fixture
def trained(tokenizer, tmp_path):
    """Train a fresh tiny model; returns its weights."""

    def train(folder, schedule=SCHEDULE, **options):
        model = tiny()
        data = data_for(model, tokenizer)
        fine_tune(model, data, schedule, tmp_path / folder, **options)
        return weights(model)

    return train


# Labels and their tokens


@pytest.mark.parametrize(("family", "first", "second"), [("bert", 1, 3), ("llama", 2, 3)])
def test_a_words_label_sits_on_its_first_subword_or_a_decoders_last(
    family, first, second, tokenizer
):
    corpus = Corpus("toy", [["londons", "rain"]], {"entity": [["B-LOC", "O"]]})
    data = tag_sentences(tiny(family), tokenizer, corpus)
    # [CLS] london ##s rain [SEP]
    assert data.encoded[0].word_of_token == [-1, 0, 0, 1, -1]
    assert data.positions == [[first, second]]
    assert data.tags == [["B-LOC", "O"]]


def test_a_tag_that_the_model_does_not_know_is_named(tokenizer):
    corpus = Corpus("toy", [["rain"]], {"entity": [["B-FOOD"]]})
    with pytest.raises(InputError, match=r"tags \['B-FOOD'\] of toy are no labels.*allowed: O, B-"):
        tag_sentences(tiny(), tokenizer, corpus)


def test_predicting_changes_nothing_and_keeps_the_order(tokenizer):
    model = tiny().train()
    before = weights(model)
    data = data_for(model, tokenizer)
    predicted = predict_tags(model, data)
    assert model.training
    assert same(before, weights(model))
    assert [len(tags) for tags in predicted] == [len(tags) for tags in data.tags]
    assert len({tag for tags in predicted for tag in tags}) > 1
    # Sentence by sentence, without batches, it is the same.
    model.eval()
    for i in (0, 17, 59):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([data.encoded[i].ids])).logits[0]
        own = [TAGS[k] for k in logits[data.positions[i]].argmax(dim=-1)]
        assert predicted[i] == own


# Learning


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_toy_task_is_learned(family, tokenizer, tmp_path):
    model = tiny(family)
    held_out = tag_sentences(model, tokenizer, toy(60, seed=1))

    def f1():
        table = entity_scores(held_out.tags, predict_tags(model, held_out), ("LOC", "PER"))
        return table["entity_f1"].min()

    assert f1() < 0.7
    fine_tune(model, data_for(model, tokenizer), Schedule(20, 1e-2, 60, 0), tmp_path)
    assert f1() > 0.95


@pytest.mark.slow
def test_the_head_alone_changes_nothing_but_the_head(tokenizer, tmp_path):
    model = tiny()
    before = weights(model)
    own = {id(parameter) for parameter in head(model).parameters()}
    in_head = {name for name, parameter in model.named_parameters() if id(parameter) in own}
    train_only(model, head(model).parameters())
    fine_tune(model, data_for(model, tokenizer), SCHEDULE, tmp_path)
    after = weights(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == in_head == {"classifier.weight", "classifier.bias"}


@pytest.mark.slow
def test_the_whole_model_is_trained_otherwise(trained):
    before, after = weights(tiny()), trained("a")
    unchanged = {name for name in before if torch.equal(before[name], after[name])}
    # No token of a second segment ever occurs; the rest moves.
    assert unchanged <= {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_others(trained):
    first = trained("a")
    torch.manual_seed(99)
    assert same(first, trained("b"))
    assert not same(first, trained("c", Schedule(2, 1e-2, 60, seed=1)))


@pytest.mark.slow
def test_removed_neurons_stay_removed_while_the_rest_is_trained(tokenizer, tmp_path):
    model = tiny()
    data = data_for(model, tokenizer)
    rest = np.full((4, 16), 0.25, dtype=np.float32)
    with remove_neurons(model, [(2, 5)], rest) as removal:
        fine_tune(model, data, SCHEDULE, tmp_path)
        with torch.no_grad():
            ids = torch.tensor([data.encoded[0].ids])
            state = model.eval()(input_ids=ids, output_hidden_states=True).hidden_states[2][0]
    assert (state[1:-1, 5] == 0.25).all()
    assert state[1:-1, 6].std() > 0
    assert (removal.gains() == 0).all()


@pytest.mark.slow
def test_gates_that_may_grow_back_are_trained_at_ten_times_the_rate(tokenizer, tmp_path):
    model = tiny()
    seen = []

    def look(optimizer, *_):
        gate_groups = [g for g in optimizer.param_groups if any(p is gain for p in g["params"])]
        (gate_group,) = gate_groups
        assert len(gate_group["params"]) == 1
        seen.append((gate_group["lr"], optimizer.param_groups[0]["lr"]))

    with remove_neurons(model, [(2, 5), (1, 1)], regrow=True) as removal:
        (gain,) = removal.parameters()
        handle = register_optimizer_step_pre_hook(look)
        fine_tune(model, data_for(model, tokenizer), SCHEDULE, tmp_path, gates=[gain])
        handle.remove()
        assert (removal.gains() != 0).all()
    assert seen
    for fast, slow in seen:
        assert fast == pytest.approx(GATE_RATE_FACTOR * slow)
    assert max(slow for _, slow in seen) > 0


# Snapshots and resuming


@pytest.mark.slow
def test_snapshots_come_once_each_in_order_and_change_nothing(trained, tokenizer, tmp_path):
    epochs = []
    plain = trained("plain")
    watched = trained("watched", snapshot_epochs=(0.0, 0.5, 1.0, 2.0), on_snapshot=epochs.append)
    assert epochs == [0, 0.5, 1, 2]
    assert same(plain, watched)


@pytest.mark.slow
def test_a_snapshot_sees_the_model_as_it_is_then(tokenizer, tmp_path):
    model = tiny()
    start, seen = weights(model), {}
    fine_tune(
        model, data_for(model, tokenizer), SCHEDULE, tmp_path, (0.0, 1.0, 2.0),
        lambda epoch: seen.update({epoch: weights(model)}),
    )  # fmt: skip
    assert same(seen[0], start)
    assert same(seen[2], weights(model))
    assert not same(seen[1], seen[0])
    assert not same(seen[1], seen[2])


def cut_off_at(stop):
    def take(epoch):
        if epoch == stop:
            raise KeyboardInterrupt

    return take


@pytest.fixture
def interrupted(trained, monkeypatch, tmp_path):
    """A training that ended in the snapshot of epoch 1.5; returns its options and its folder."""
    monkeypatch.setattr(training, "CHECKPOINT_STEPS", 5)
    snapshots = (0.5, 1.0, 1.5, 2.0)
    with pytest.raises(KeyboardInterrupt):
        trained("cut", snapshot_epochs=snapshots, on_snapshot=cut_off_at(1.5))
    return {"snapshot_epochs": snapshots}, tmp_path / "cut"


def newest(work):
    return sorted(work.glob("checkpoint-*"), key=lambda f: int(f.name.split("-")[1]))


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_weights(trained, interrupted):
    options, _ = interrupted
    epochs = []
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="damaged")
        resumed = trained("cut", **options, on_snapshot=epochs.append)
    # It went on and did not start again.
    assert epochs == [1.5, 2]
    assert same(resumed, trained("whole", **options))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "random.json"])
def test_a_damaged_checkpoint_is_named_and_an_older_one_is_used(name, trained, interrupted):
    options, work = interrupted
    older, last = newest(work)
    size = (last / name).stat().st_size
    flip_a_byte(last / name, size // 2)
    epochs = []
    with pytest.warns(UserWarning, match="damaged, made again") as caught:
        resumed = trained("cut", **options, on_snapshot=epochs.append)
    named = [str(w.message) for w in caught if "damaged" in str(w.message)]
    assert named == [f"damaged, made again: {last / name}"]
    assert epochs == [1.5, 2]
    assert older != last
    assert same(resumed, trained("whole", **options))


@pytest.mark.slow
def test_with_all_checkpoints_damaged_the_training_starts_again(trained, interrupted):
    options, work = interrupted
    for folder in newest(work):
        flip_a_byte(folder / "model.safetensors", 500)
    epochs = []
    with pytest.warns(UserWarning, match="damaged, made again"):
        resumed = trained("cut", **options, on_snapshot=epochs.append)
    assert epochs == [0.5, 1, 1.5, 2]
    assert same(resumed, trained("whole", **options))


@pytest.mark.slow
def test_a_checkpoint_that_was_cut_off_is_not_used(trained, interrupted):
    options, work = interrupted
    older, last = newest(work)
    (last / files.SEAL).unlink()
    (last / "optimizer.safetensors").unlink()
    with warnings.catch_warnings():
        # Unfinished is not damaged.
        warnings.filterwarnings("error", message="damaged")
        resumed = trained("cut", **options)
    assert older != last
    assert same(resumed, trained("whole", **options))


@pytest.mark.slow
def test_a_finished_training_is_not_trained_on(trained, tmp_path):
    first = trained("a", snapshot_epochs=(2.0,))
    assert same(first, trained("a", snapshot_epochs=(2.0,)))
