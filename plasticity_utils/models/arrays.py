"""What may be given as an array, and as activations: read here, or refused."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch

from plasticity_utils.errors import InputError

# Anything that numpy makes an array of: lists, Series, frames, tensors. Checked here, not by type.
Matrix: TypeAlias = Any


def as_activations(X: Matrix) -> np.ndarray:
    """Read activations, [n_words, n_neurons]; floats stay as they are, integers become float64."""
    values = as_array(X, "activations")
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InputError(
            f"activations must be numbers of shape [n_words, n_neurons], not {described(values)}"
        )
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def as_array(values: Any, name: str) -> np.ndarray:
    """Make one array, or say of what none can be made."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} are no array of one shape: {error}") from None


def described(values: np.ndarray) -> str:
    """Say of which type and shape an array is."""
    return f"{values.dtype} of shape {values.shape}"
