"""Word embeddings cut to the rows that a training uses, and put back whole.

Word embeddings are half of a small encoder's weights, and four fifths of a multilingual one's. A
row that no training sentence uses has no gradient; still every step clears, clips and updates it,
and all that comes of it is the weight decay, which AdamW (Loshchilov & Hutter 2019) takes apart
from the gradient. Here only the rows in use train, and are all that a checkpoint holds. The others
get the product of the decays whenever the model is looked at: the weights are those of a training
of all rows, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


class UsedRows:
    """Rows of word embeddings in the place of all of them, from `cut` to `put_back`.

    Attributes
    ----------
    embedding : Embedding
        Stays the model's; its `weight` is the rows alone while it is cut.
    rows : Parameter
        The rows in use, [n_used, width].
    """

    def __init__(self, embedding: nn.Embedding, used: Tensor):
        self.embedding, self._used = embedding, used
        self._whole, self._padding = embedding.weight, embedding.padding_idx
        self.rows = nn.Parameter(self._whole.detach()[used].clone())
        self._is_used = torch.zeros(len(self._whole), dtype=torch.bool, device=used.device)
        self._is_used[used] = True
        # From these and not from the last look: a resumed training takes fewer looks.
        self._unused = self._whole.detach()[~self._is_used].clone()
        self._place = torch.full((len(self._whole),), -1, device=used.device)
        self._place[used] = torch.arange(len(used), device=used.device)

    def cut(self) -> None:
        """Put the rows in; a word that is not among them is an error of the embeddings."""
        self.embedding.weight = self.rows
        if self._padding is not None:
            self.embedding.padding_idx = int(self._place[self._padding])
        self._hook = self.embedding.register_forward_pre_hook(
            lambda _, read: (self._place[read[0]], *read[1:])
        )

    @torch.no_grad()
    def put_back(self, decay: float) -> None:
        """Put the whole embeddings back: the rows as trained, the others times `decay`."""
        self._whole[self._used] = self.rows
        self._whole[~self._is_used] = self._unused * decay
        self.embedding.weight, self.embedding.padding_idx = self._whole, self._padding
        self._hook.remove()


def used_rows(model: PreTrainedModel, ids: Iterable[int]) -> UsedRows | None:
    """The rows of a model's word embeddings with these ids, or None where all of them must train.

    They must where another part of the model shares them, where their gradients are looked at, as
    in a confined training, and where the model has no table of word embeddings.
    """
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, nn.Embedding) or not embedding.weight.requires_grad:
        return None
    weight = embedding.weight
    n_owners = sum(p is weight for _, p in model.named_parameters(remove_duplicate=False))
    if n_owners > 1 or weight._backward_hooks or embedding.max_norm is not None:
        return None
    wanted = set(ids) | ({embedding.padding_idx} - {None})
    used = torch.tensor(sorted(wanted), device=weight.device)
    return UsedRows(embedding, used) if len(used) < len(weight) else None


@contextmanager
def trained_alone(
    rows: UsedRows | None, decay: Callable[[], float]
) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Train rows in the place of all; gives the context in which the model is whole.

    `decay` says what is left by now of a row that is not in use. Where `rows` is None the model is
    whole all the time.
    """
    if rows is None:
        yield nullcontext
        return

    @contextmanager
    def whole() -> Iterator[None]:
        rows.put_back(decay())
        try:
            yield
        finally:
            rows.cut()

    rows.cut()
    try:
        yield whole
    finally:
        rows.put_back(decay())
