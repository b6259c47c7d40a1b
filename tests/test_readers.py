"""The states that a head reads, and what other readers find in them."""

import numpy as np
import pandas as pd
import pytest
import torch

import plasticity_utils as pu
from plasticity_utils.analysis import readers, relearning
from plasticity_utils.analysis.readers import by_reader, mean_by_reader
from plasticity_utils.analysis.reading import read_anew
from plasticity_utils.data.corpus import load_corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.store import with_other_readers
from plasticity_utils.models.activations import inputs
from plasticity_utils.models.load import head
from plasticity_utils.results.groups import choose, run_groups
from plasticity_utils.results.published import published_runs
from plasticity_utils.training import readers as readers_of_states
from toy import data_for, tiny, toy_tokenizer


@pytest.fixture(scope="module")
def states_of():
    model = tiny().eval()
    data = data_for(model, toy_tokenizer(), n_sentences=60)
    return model, data, readers_of_states.label_states(model, data)


def test_the_head_gives_the_models_own_logits_on_the_states(states_of):
    """Sentence by sentence: batches of several lengths are padded and come in another order."""
    model, data, states = states_of
    assert states.dtype == np.float32
    with torch.no_grad():
        expected = [
            model(**inputs(model, [sentence])).logits[0, places]
            for sentence, places in zip(data.encoded, data.positions, strict=True)
        ]
        found = head(model)(torch.from_numpy(states))
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-4, atol=1e-5)
    assert not head(model)._forward_pre_hooks


def test_only_the_perceptron_reads_what_is_not_linear():
    """Whether the signs of two random numbers agree: no linear reader can tell."""
    random = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    agree = (random[:, 0] * random[:, 1] > 0).astype(str)
    right = {
        name: (pu.readers.get(name)(0).fit(random, agree).predict(random) == agree).mean()
        for name in ("linear", "perceptron")
    }
    assert right["perceptron"] > 0.95
    assert right["linear"] < 0.7


class Made:
    """A reader that tells what it was made with."""

    def __init__(self, told, chances=None, classes_=("O", "B-LOC")):
        self.told, self.classes_ = told, list(classes_)
        if chances is not None:
            self.predict_proba = lambda states: np.full((int(len(states) * chances), 2), 0.5)

    def fit(self, states, tags):
        pass

    def predict(self, states):
        return self.told(len(states))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (lambda n: np.zeros(n, dtype=int), "0; allowed: O, B-LOC"),
        (lambda n: ["O"] * 2 * n, r"an array of shape \(\d+,\) for \d+ words"),
        (lambda n: ["O"] * (n // 2), r"an array of shape .* needed: a tag for each word"),
        (lambda n: ["B-XYZ"] * n, "'B-XYZ'; allowed: O, B-LOC"),
        (lambda n: None, r"an array of shape \(\)"),
    ],
)
def test_what_a_reader_tells_is_checked(told, said, states_of):
    _, data, states = states_of
    whole = readers_of_states.told_tags("own", Made(lambda n: ["O"] * n), states, data, ["O"])
    assert whole == [["O"] * len(own) for own in data.tags]
    with pytest.raises(InputError, match=f"reader 'own' predicts {said}"):
        readers_of_states.told_tags("own", Made(told), states, data, ["O", "B-LOC"])


def test_probabilities_belong_to_tags():
    states, told = np.zeros((10, 2)), lambda n: ["O"] * n
    assert readers_of_states.told_chances("own", Made(told), states) == (None, [])
    chances, tags = readers_of_states.told_chances("own", Made(told, 1), states)
    assert chances.shape == (10, 2)
    assert tags == ["O", "B-LOC"]
    for wrong in (Made(told, 0.5), Made(told, 1, ["O"]), Made(told, 1, [])):
        with pytest.raises(InputError, match="reader 'own' gives probabilities of shape"):
            readers_of_states.told_chances("own", wrong, states)


def test_a_reader_has_a_name_of_its_own_and_can_be_fitted(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            "def make(seed): return None\ndef linear(seed): return None\ndef head(seed): ...\n"
        )
    one, two = f"{tmp_path}/one.py", f"{tmp_path}/two.py"
    readers_of_states.check_readers(["linear", f"{one}:make"])
    for names, said in (
        ([f"{one}:make", f"{two}:make"], "one.py:make': tables would call it 'make'"),
        ([f"{one}:linear"], "'linear' is the name of another reader"),
        ([f"{one}:head"], "one.py:head': tables would call it 'head'"),
        (["nobody"], "unknown reader 'nobody'"),
    ):
        with pytest.raises(InputError, match=said):
            readers_of_states.check_readers(names)
    with pytest.raises(InputError, match=r"one\.py:make' gives None; needed: what has fit"):
        readers_of_states.new_reader(f"{one}:make", 0)


def test_rows_of_other_readers_are_kept(tmp_path):
    path = tmp_path / "readers.parquet"
    first = pd.DataFrame({"reader": ["linear", "own", "own"], "entity_f1": [0.1, 0.2, 0.3]})
    assert with_other_readers(first, path) is first
    first.to_parquet(path)
    both = with_other_readers(first[1:2].assign(entity_f1=0.9), path)
    assert both.to_dict("list") == {"reader": ["linear", "own"], "entity_f1": [0.1, 0.9]}


def test_tags_come_back_sentence_by_sentence(states_of):
    _, data, states = states_of
    reader = readers_of_states.linear(0).fit(states, np.concatenate(data.tags))
    tags = readers_of_states.tags_of_sentences(reader.predict(states), data)
    assert [len(own) for own in tags] == [len(own) for own in data.tags]
    assert np.concatenate(tags).tolist() == reader.predict(states).tolist()


def test_a_run_whose_models_are_gone_is_named():
    published = next(run for run in published_runs() if run.config.regime == "surgical")
    with pytest.raises(InputError, match="is not there; `plasticity run` makes it again"):
        read_anew(published)


def test_in_a_control_task_a_form_has_one_tag_and_types_keep_their_size():
    train, scoring = (load_corpus("conll2003", part) for part in ("train", "validation"))
    train, scoring = train.first(3000), scoring.first(500)
    new, new_scoring = readers_of_states.control_task(train, scoring, seed=0)
    assert new.sentences == train.sentences
    tags = pd.DataFrame(
        {
            "form": new.words + new_scoring.words,
            "tag": new.word_labels() + new_scoring.word_labels(),
        }
    )
    assert tags.groupby("form")["tag"].nunique().max() == 1
    before, after = (pd.Series(part.word_labels()).value_counts() for part in (train, new))
    assert (after / before).between(0.5, 2)[before > 500].all()
    # Of rare forms it tells nothing whether one was a name, and so neither do capital letters.
    whole = tags.assign(was=[tag != "O" for part in (train, scoring) for tag in part.word_labels()])
    rare = whole[whole.groupby("form")["form"].transform("size") == 1]
    shares = (rare["tag"] != "O").groupby(rare["was"]).mean()
    assert shares[True] == pytest.approx(shares[False], abs=0.05)
    again = readers_of_states.control_task(train, scoring, seed=0)
    assert again[0].word_labels() == new.word_labels()
    assert readers_of_states.control_task(train, scoring, 1)[0].word_labels() != new.word_labels()


def by_run(removed, head, linear, perceptron, end):
    """Rows of `by_reader` for one run whose base has F1 0.9 and stays there."""
    own = {"concept": "Locations", "regime": "half", "seed": 0}
    concept = {"removed": removed, "head": head, "linear": linear, "perceptron": perceptron}
    return [
        {**own, "condition": "none", "removed": 0.9, "end": 0.9},
        {**own, "condition": "targeted", **concept, "end": end},
    ]


def test_readers_are_averaged_over_the_seeds_of_a_concept(monkeypatch):
    rows = [
        {**row, "seed": seed} for seed in (0, 3) for row in by_run(0.0, 0.0, 0.0, 0.2 * seed, 0.8)
    ]
    monkeypatch.setattr(readers, "by_reader", lambda groups: pd.DataFrame(rows))
    table = mean_by_reader([]).set_index("condition")
    assert table.loc["targeted", "perceptron"] == pytest.approx(0.3)
    assert table.loc["targeted", ["n_seeds", "end"]].tolist() == [2, 0.8]
    assert table.loc["none", ["linear", "perceptron"]].isna().all()


def test_the_best_reader_may_be_one_of_ones_own(monkeypatch):
    groups = choose(run_groups(published_runs()), model="minilm", scale="full", regime="surgical")
    groups = choose(groups, variant="")
    table = by_reader(groups)
    table.insert(table.columns.get_loc("end"), "neighbours", 0.999)
    assert relearning.by_run(groups)["best"].max() < 0.999
    monkeypatch.setattr(relearning, "by_reader", lambda groups: table)
    rows = relearning.by_run(groups)
    # The others were read by the last layer alone.
    assert rows["neighbours"].notna().sum() > 3
    assert (rows["best"] == 0.999).equals(rows["neighbours"].notna())
