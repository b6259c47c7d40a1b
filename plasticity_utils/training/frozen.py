"""The linear head trained on states that were computed once: a frozen body need not run again.

Dropout, which acts on the states while a whole model trains, is off here. The head is trained until
it converges, at several rates, from the model's own weights and from fresh ones; what reads best on
a held-out tenth counts, so that a rate that was too low is not taken for a concept that is gone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import nn
from transformers import PreTrainedModel

from plasticity_utils.errors import InputError
from plasticity_utils.models.load import head, label_ids

RATES = (1e-3, 1e-2)
HELD_OUT, BATCH_WORDS, MOST_EPOCHS, PATIENCE = 0.1, 1000, 60, 3


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
    """

    own: nn.Linear
    classes_: list[str]
    only_bias: bool = False
    seed: int = 0
    found: nn.Linear | None = field(default=None, repr=False)
    rate: float = 0.0
    from_fresh: bool = False

    @classmethod
    def of(cls, model: PreTrainedModel, only_bias: bool = False, seed: int = 0) -> FrozenHead:
        """Take the head of a model.

        Raises
        ------
        InputError
            If only its biases are to train and it has none.
        """
        own = head(model)
        if only_bias and own.bias is None:
            raise InputError("the head of this model has no biases, so they cannot train alone")
        names = sorted(label_ids(model), key=label_ids(model).__getitem__)
        return cls(own, names, only_bias, seed)

    def fit(
        self, states: Float[np.ndarray, "word unit"], tags: Shaped[np.ndarray, " word"]
    ) -> FrozenHead:
        """Train to convergence from each start at each rate, and keep the best."""
        place = {name: i for i, name in enumerate(self.classes_)}
        X, y = torch.from_numpy(states), torch.tensor([place[tag] for tag in tags])
        cut = int(len(X) * (1 - HELD_OUT))
        best = float("inf")
        starts = (False,) if self.only_bias else (False, True)
        for fresh, rate in itertools.product(starts, RATES):
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
