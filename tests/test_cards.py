"""Cards of the neurons that matter most, from a finished run."""

import numpy as np
import pytest

from plasticity_utils import InputError, names
from plasticity_utils.analysis.snapshots import RunSnapshots
from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.experiment.measure import concept_columns
from plasticity_utils.experiment.replay import activations_at
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.neurons.inventory import inventory, inventory_selectivity, thresholds
from plasticity_utils.neurons.scores import flat_ids
from plasticity_utils.results import neurons as cards
from runs import at

PLACE = ["layer", "unit"]


@pytest.fixture(scope="module")
def made(tiny_run):
    return cards.neuron_cards(tiny_run, 12)


def places(frame):
    return list(map(tuple, frame[PLACE].to_numpy()))


def test_every_neuron_has_one_card_of_one_kind(made, tiny_run):
    neurons = made["card_neurons"]
    assert len(set(places(neurons))) == len(neurons) <= 12
    assert set(neurons["kind"]) <= set(names.KINDS)
    gone = set(places(at(tiny_run.neurons, condition="targeted", stage="end", removed=True)))
    for kind, group in neurons.groupby("kind"):
        assert list(group["place"]) == list(range(1, len(group) + 1))
        assert {place in gone for place in places(group)} == {kind == "removed"}


def test_the_newly_salient_rose_most_on_the_ranking_half(made, tiny_run):
    own = at(tiny_run.neurons, condition="targeted")
    size = {
        s: at(own, stage=s).set_index(PLACE)["ranking_selectivity"].abs() for s in ("base", "end")
    }
    rise = (size["end"] - size["base"])[~at(own, stage="end").set_index(PLACE)["removed"]]
    new = at(made["card_neurons"], kind="newly salient")
    assert rise.loc[places(new)].min() == pytest.approx(rise.nlargest(len(new)).min())


def test_stages_are_those_of_the_table(made, tiny_run):
    keys = ["condition", "stage", "epoch", *PLACE]
    table = tiny_run.neurons.set_index(keys).sort_index()
    stages = made["card_stages"].set_index(keys)
    assert set(made["card_stages"]["condition"]) == {"targeted", "none"}
    n_snapshots = len(at(tiny_run.neurons, condition="none")[["stage", "epoch"]].drop_duplicates())
    assert len(stages) == len(made["card_neurons"]) * 2 * n_snapshots
    for column in ("gain", *(f"selectivity_{entity}" for entity in ENTITIES)):
        assert stages[column].to_numpy() == pytest.approx(
            table.loc[stages.index, column].to_numpy(), abs=0.0006
        )


def test_words_are_those_of_the_table(made, tiny_run):
    table = at(tiny_run.neurons, condition="targeted").set_index(["stage", *PLACE])
    words = made["card_words"].set_index(["stage", *PLACE])
    assert len(words) == 3 * len(made["card_neurons"])
    for column in ("words", "words_low"):
        assert list(words[column]) == list(table.loc[words.index, column])


def test_histograms_count_the_words_of_each_class(made, tiny_run):
    corpus = load_sentences(tiny_run.config).measuring
    members = concept_columns(corpus)
    d_model = int(tiny_run.neurons["unit"].max()) + 1
    ends = made["card_neurons"].set_index(PLACE)
    histograms = made["card_histograms"]
    assert len(histograms) == len(ends) * 3 * 5
    for row in histograms.itertuples():
        (neuron,) = flat_ids([(row.layer, row.unit)], d_model)
        X = np.float32(activations_at(tiny_run, "targeted", row.stage)[neuron])
        other = ~members.any(axis=1)
        inside = other if row.entity == "other" else members[:, ENTITIES.index(row.entity)]
        low, high = ends.loc[(row.layer, row.unit), ["low", "high"]]
        counts, _ = np.histogram(X[inside].clip(low, high), cards.BINS, (low, high))
        assert row.n_words == inside.sum()
        assert np.sum(row.share) == pytest.approx(1, abs=0.002)
        # A value on the border of two bins may fall to either side of it by rounding.
        assert np.cumsum(row.share) == pytest.approx(
            np.cumsum(counts) / row.n_words, abs=2.1 / row.n_words
        )


def test_a_removed_neuron_has_one_bar(made):
    removed = at(made["card_neurons"], kind="removed")
    rows = made["card_histograms"].merge(removed[PLACE], on=PLACE)
    assert len(rows)
    for row in rows[rows["stage"] != "base"].itertuples():
        assert np.count_nonzero(row.share) == 1


def test_a_hundred_cards_of_a_run_are_small(made, tmp_path):
    for name, frame in made.items():
        frame.to_parquet(tmp_path / name, compression="zstd")
    n = len(made["card_neurons"])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 30_000 + 2_700 * n


def test_polysemantic_is_told_within_entities():
    """A neuron that only says "entity" serves no type; one for two types serves both."""
    labels = np.repeat(["LOC", "PER", "ORG", "MISC", "O"], [40, 40, 40, 40, 200])
    types = inventory([tag if tag == "O" else f"B-{tag}" for tag in labels])
    planted = [labels != "O", np.isin(labels, ["LOC", "PER"]), labels == "none"]
    X = 0.1 * np.random.default_rng(0).normal(size=(len(labels), 3)) + np.stack(planted, axis=1)
    sigma = inventory_selectivity(X, types)
    assert list((np.abs(sigma) > thresholds(X, types)).sum(axis=1)) == [0, 4, 0]
    expected = [2 / 3 if name in ("LOC", "PER") else -2 / 3 for name in types.names]
    assert sigma[1] == pytest.approx(expected, abs=0.1)


def test_cards_and_questions_have_one_rule_of_what_serves_a_type(made, tiny_run):
    snapshots = RunSnapshots(tiny_run)
    n_types = len(ENTITIES)
    serves = np.abs(snapshots.sigma(("targeted", "end"))[:, :n_types]) > snapshots.tau[:n_types]
    ids = flat_ids(made["card_neurons"][PLACE].to_numpy(), snapshots.d_model)
    assert made["card_neurons"]["n_types"].tolist() == serves[ids].sum(axis=1).tolist()


def test_too_few_neurons_are_named(tiny_run):
    with pytest.raises(InputError, match="n = 2: at least 3"):
        cards.neuron_cards(tiny_run, 2)
