import numpy as np
import pytest

from plasticity_utils.models.activations import inference_batches, pad, training_batches

BUDGET = 100


@pytest.fixture
def lengths():
    generator = np.random.default_rng(1)
    return [*generator.integers(3, 60, 500).tolist(), 100, 101, 250]


def assert_within_budget(batches, lengths):
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= BUDGET


def padding(batches, lengths):
    width = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return 1 - sum(lengths) / width


def test_inference_takes_every_sentence_once_within_the_budget(lengths):
    batches = inference_batches(lengths, BUDGET)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert_within_budget(batches, lengths)
    assert padding(batches, lengths) < 0.05


def test_training_takes_every_sentence_once_an_epoch_within_the_budget(lengths):
    epochs = training_batches(lengths, BUDGET, 3, seed=0)
    assert len(epochs) == 3
    for batches in epochs:
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        assert_within_budget(batches, lengths)
        assert padding(batches, lengths) < 0.1


def test_epochs_and_seeds_differ_and_the_same_seed_does_not(lengths):
    first = training_batches(lengths, BUDGET, 2, seed=0)
    assert first == training_batches(lengths, BUDGET, 2, seed=0)
    assert first[0] != first[1]
    assert first != training_batches(lengths, BUDGET, 2, seed=1)


def test_long_batches_do_not_come_at_the_end(lengths):
    (batches,) = training_batches(lengths, BUDGET, 1, seed=0)
    longest = np.array([max(lengths[i] for i in batch) for batch in batches])
    places = np.corrcoef(np.arange(longest.size), longest)[0, 1]
    assert abs(places) < 0.3


def test_pad_stacks_to_the_right():
    assert pad([[1, 2, 3], [4]], 9).tolist() == [[1, 2, 3], [4, 9, 9]]
