"""Readers of a frozen network: a linear one at its best, and one that is not linear.

The condition `head` trains the linear head as long as the whole model would be trained. Two
objections to it: it may not have converged, and a reader that is not linear may find more. So
readers are fitted anew on the frozen states that the head reads: logistic regression until it
converges, and a perceptron with a hidden layer. A probe without a control of itself says little
(Hewitt & Liang 2019), so both also read the whole base model, and are also given a *control task*,
in which nothing but remembering words helps.

The model's own head is a reader too: trained on the same states until it converges, at several
rates, from its own weights and from fresh ones. What reads best on a held-out tenth counts, so that
a rate that was too low is not taken for a concept that is gone.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from transformers import PreTrainedModel

from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError, shown
from plasticity_utils.models.activations import inference_batches, inputs
from plasticity_utils.models.layers import layers_of
from plasticity_utils.models.load import head, label_ids
from plasticity_utils.progress import bar
from plasticity_utils.registry import label, readers
from plasticity_utils.training import protocols
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.train import EVALUATION_TOKENS, TaggedSentences

N_HIDDEN, N_WIDE = 256, 1024
# Of the head.
RATES = (1e-3, 1e-2)
HELD_OUT, BATCH_WORDS, MOST_EPOCHS, PATIENCE = 0.1, 1000, 60, 3
# Forms that are about as frequent as one another, among which a control task deals out tags.
ALIKE = 100
# Beside the rows and columns of readers: the model's own head, as it is and trained on, and the
# cut model, before it is trained on and after.
_NO_READERS = ("own_head", "head", "bias", "removed", "end")


@runtime_checkable
class Reader(Protocol):
    """Tells the tags of words from the states of a frozen network.

    What is registered is a function (or class) that gives a reader for a seed.
    """

    def fit(self, states: Float[np.ndarray, "word unit"], tags: Shaped[np.ndarray, " word"]) -> Any:
        """Learn the tags of words, [n_words], from their states, [n_words, d_model]."""
        ...

    def predict(self, states: Float[np.ndarray, "word unit"]) -> Shaped[np.ndarray, " word"]:
        """Tell the tag of each word, [n_words]."""
        ...


def check_readers(names: Sequence[str]) -> None:
    """Raise InputError for readers that are not there, or that tables could not tell apart."""
    labels = [label(name) for name in names]
    for name in names:
        readers.get(name)
        readers.check_label(name)
        if label(name) in _NO_READERS or labels.count(label(name)) > 1:
            raise InputError(
                f"reader {name!r}: tables would call it {label(name)!r}, which is the name of "
                "something else there; needed: another name"
            )


def new_reader(name: str, seed: int) -> Reader:
    """Make a reader by its name; InputError if what is made cannot be fitted and asked."""
    made = readers.get(name)(seed)
    if not isinstance(made, Reader):
        raise InputError(f"reader {name!r} gives {shown(made)}; needed: what has fit and predict")
    return made


def told_tags(
    name: str,
    reader: Reader,
    states: Float[np.ndarray, "word unit"],
    data: TaggedSentences,
    tags: Collection[str],
) -> list[list[str]]:
    """Ask a fitted reader for the tags of each sentence; InputError if it tells other things."""
    told = np.asarray(reader.predict(states))
    if told.shape != (len(states),):
        raise InputError(
            f"reader {name!r} predicts an array of shape {told.shape} for {len(states)} words; "
            "needed: a tag for each word"
        )
    strange = [tag for tag in told.tolist() if tag not in tags]
    if strange:
        raise InputError(
            f"reader {name!r} predicts {shown(strange[0])}; allowed: {', '.join(tags)}"
        )
    return tags_of_sentences(told, data)


def told_chances(
    name: str, reader: Any, states: Float[np.ndarray, "word unit"]
) -> tuple[Float[np.ndarray, "word tag"] | None, list[str]]:
    """Ask a fitted reader for the probabilities of tags, and which these are; None if it has none.

    InputError if the two do not belong together.
    """
    if not hasattr(reader, "predict_proba"):
        return None, []
    chances, tags = np.asarray(reader.predict_proba(states)), getattr(reader, "classes_", ())
    if chances.shape != (len(states), len(tags)):
        raise InputError(
            f"reader {name!r} gives probabilities of shape {chances.shape} for {len(states)} words "
            f"and the {len(tags)} tags in its `classes_`; needed: one for each word and tag"
        )
    return chances, [str(tag) for tag in tags]


def linear(seed: int) -> Pipeline:
    """Logistic regression until it converges; nothing in it is random."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))


def perceptron(seed: int) -> Pipeline:
    """A perceptron with one hidden layer, stopped where a held-out tenth says so."""
    network = MLPClassifier(N_HIDDEN, early_stopping=True, random_state=seed)
    return make_pipeline(StandardScaler(), network)


def wide_perceptron(seed: int) -> Pipeline:
    """A perceptron with a hidden layer four times as wide, stopped in the same way."""
    network = MLPClassifier(N_WIDE, early_stopping=True, random_state=seed)
    return make_pipeline(StandardScaler(), network)


def label_states(
    model: PreTrainedModel, data: TaggedSentences
) -> Float[np.ndarray, "words d_model"]:
    """Give the hidden state from which the head reads each word's tag, in 32-bit floats."""
    return states_to_read(model, data, 0)[0]


def states_to_read(
    model: PreTrainedModel, data: TaggedSentences, n_every: int
) -> tuple[Float[np.ndarray, "words d_model"], Float[np.ndarray, "some_words units"]]:
    """Give what a reader of the last layer reads, and one of every layer, from one pass.

    The first is that of `label_states`. The second has the states of all layers side by side,
    [n_words, n_layers · d_model], for the words of the first `n_every` sentences.
    """
    read: list[torch.Tensor] = []
    seen: list[torch.Tensor] = []
    last, every = [np.empty(0)] * len(data.encoded), [np.empty(0)] * len(data.encoded)
    hooks = [head(model).register_forward_pre_hook(lambda _, given: read.append(given[0]))]
    if n_every:
        hooks += [
            layer.register_forward_hook(lambda _, given, out: seen.append(_first(out)))
            for layer in layers_of(model)
        ]
    was_training = model.training
    model.eval()
    try:
        lengths = [len(sentence.ids) for sentence in data.encoded]
        for batch in bar(inference_batches(lengths, EVALUATION_TOKENS), "states"):
            with torch.no_grad():
                model(**inputs(model, [data.encoded[i] for i in batch]))
            for at, i in enumerate(batch):
                place = data.positions[i]
                last[i] = read[0][at, place].float().cpu().numpy()
                if i < n_every:
                    own = torch.cat([layer[at, place].float() for layer in seen], dim=-1)
                    every[i] = own.cpu().numpy()
            read.clear()
            seen.clear()
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return np.concatenate(last), np.concatenate(every[:n_every] or [np.empty((0, 0))])


def _first(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]


def read_states(
    model: PreTrainedModel,
    train: TaggedSentences,
    scoring: TaggedSentences,
    names: Sequence[str],
    entities: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Fit readers on a frozen model's states and score them as the head is scored.

    Returns the columns of `entity_scores`, with reader and n_fitted (sentences).
    """
    states = [label_states(model, part) for part in (train, scoring)]
    tables = []
    for name in names:
        reader = new_reader(name, seed)
        reader.fit(states[0], np.concatenate(train.tags))
        told = told_tags(name, reader, states[1], scoring, label_ids(model))
        scores = entity_scores(scoring.tags, told, entities)
        tables.append(scores.assign(reader=label(name), n_fitted=len(train.tags)))
    return pd.concat(tables)


def control_task(train: Corpus, scoring: Corpus, seed: int) -> tuple[Corpus, Corpus]:
    """Give every form of a word one tag, whatever its place in a sentence: that of another form.

    What a reader gets right then beyond chance it has remembered word by word (Hewitt & Liang
    2019). Tags are dealt out anew among forms that are about as frequent, in random order where
    they are equally so, so that each has about as many words as before; forms of the scoring part
    that were never fitted count too.
    """
    parts = train, scoring
    words = pd.DataFrame(
        {
            "form": [word for part in parts for word in part.words],
            "tag": [tag for part in parts for tag in part.word_labels()],
        }
    )
    counts = words.value_counts(["form", "tag"]).reset_index()
    counts = counts.sort_values(["count", "form", "tag"], ascending=[False, True, True])
    forms = counts.groupby("form").agg(n=("count", "sum"), tag=("tag", "first"))
    rng = np.random.default_rng(seed)
    forms = forms.iloc[np.lexsort((rng.random(len(forms)), -forms["n"].to_numpy()))]
    order = np.lexsort((rng.random(len(forms)), np.arange(len(forms)) // ALIKE))
    dealt = dict(zip(forms.index, forms["tag"].to_numpy()[order], strict=True))
    tags = [[[dealt[word] for word in sentence] for sentence in part.sentences] for part in parts]
    new, new_scoring = (
        replace(part, labels={"entity": own}) for part, own in zip(parts, tags, strict=True)
    )
    return new, new_scoring


def tags_of_sentences(tags: Shaped[np.ndarray, " word"], data: TaggedSentences) -> list[list[str]]:
    """Cut the tags of all words into those of each sentence."""
    given = np.asarray(tags).tolist()
    ends = np.cumsum([len(sentence) for sentence in data.tags])
    return [given[end - len(own) : end] for end, own in zip(ends, data.tags, strict=True)]


@dataclass
class FrozenHead:
    """A reader that is the model's own head, trained on; fit and used as any `Reader`.

    Attributes
    ----------
    own : Linear
        The head as it is; it is not changed.
    classes_ : list of str
        The tags, in the order of the head's outputs.
    only_bias : bool
        Whether its biases alone train, from where they are.
    seed : int
        Of fresh weights and of the order of words.
    rates, starts : sequence
        Of which the best counts: learning rates, and whether weights are fresh. Biases alone have
        no fresh start.
    """

    own: nn.Linear
    classes_: list[str]
    only_bias: bool = False
    seed: int = 0
    rates: Sequence[float] = RATES
    starts: Sequence[bool] = (False, True)
    found: nn.Linear | None = field(default=None, repr=False)
    rate: float = 0.0
    from_fresh: bool = False

    @classmethod
    def of(
        cls, model: PreTrainedModel, only_bias: bool = False, seed: int = 0, **tried: Any
    ) -> FrozenHead:
        """Take the head of a model; InputError if only its biases are to train and it has none."""
        own = head(model)
        if only_bias:
            protocols.only_bias(model)
        names = sorted(label_ids(model), key=label_ids(model).__getitem__)
        return cls(own, names, only_bias, seed, **tried)

    def fit(
        self, states: Float[np.ndarray, "word unit"], tags: Shaped[np.ndarray, " word"]
    ) -> FrozenHead:
        """Train to convergence from each start at each rate, and keep the best."""
        place = {name: i for i, name in enumerate(self.classes_)}
        X, y = torch.from_numpy(states), torch.tensor([place[tag] for tag in tags])
        cut = int(len(X) * (1 - HELD_OUT))
        best = float("inf")
        starts = (False,) if self.only_bias else self.starts
        for fresh, rate in itertools.product(starts, self.rates):
            linear = self._start(fresh)
            loss = _converge(linear, rate, (X[:cut], y[:cut]), (X[cut:], y[cut:]), self.seed)
            if loss < best:
                best, self.found, self.rate, self.from_fresh = loss, linear, rate, fresh
        return self

    def predict_proba(
        self, states: Float[np.ndarray, "word unit"]
    ) -> Float[np.ndarray, "word tag"]:
        """Probability of each tag, in the order of `classes_`."""
        if self.found is None:
            raise InputError("this head was not trained yet; needed: fit(states, tags)")
        with torch.no_grad():
            return self.found(torch.from_numpy(states)).softmax(dim=-1).numpy()

    def predict(self, states: Float[np.ndarray, "word unit"]) -> Shaped[np.ndarray, " word"]:
        """Tell the tag of each word."""
        return np.asarray(self.classes_)[self.predict_proba(states).argmax(axis=1)]

    def _start(self, fresh: bool) -> nn.Linear:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            linear = nn.Linear(self.own.in_features, len(self.classes_), self.own.bias is not None)
        if not fresh:
            state = {k: v.detach().cpu().float() for k, v in self.own.state_dict().items()}
            linear.load_state_dict(state)
        linear.weight.requires_grad_(not self.only_bias)
        return linear


Data = tuple[torch.Tensor, torch.Tensor]


def _converge(linear: nn.Linear, rate: float, train: Data, held_out: Data, seed: int) -> float:
    """Train until the held-out loss falls no more; keep the best weights and return their loss."""
    trained = [p for p in linear.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=rate)
    order = torch.Generator().manual_seed(seed)
    best, kept, waited = float("inf"), linear.state_dict(), 0
    for _ in range(MOST_EPOCHS):
        for batch in torch.randperm(len(train[0]), generator=order).split(BATCH_WORDS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(linear(train[0][batch]), train[1][batch]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(linear(held_out[0]), held_out[1]))
        waited += 1
        if loss < best:
            best, waited = loss, 0
            kept = {name: value.clone() for name, value in linear.state_dict().items()}
        if waited >= PATIENCE:
            break
    linear.load_state_dict(kept)
    return best
