"""Find a model's layers, and whether it is causal, by looking at it run.

A layer is the module whose output is one of the hidden states that `transformers` returns: the
embedding output, each block, and in place of the last block the final norm where a model has one.
A model is causal where a later token changes nothing before it. No list of families says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel

from plasticity_utils.errors import InputError

N_TOKENS = 5
_LAYERS: WeakKeyDictionary[nn.Module, list[nn.Module]] = WeakKeyDictionary()
_CAUSAL: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
# Of the last token's change: as much of it at the others shows that they see it.
LEAST_CHANGE = 1e-4


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """Return the modules whose (first) output is ``hidden_states[l]``, for l from 0 to L."""
    if model not in _LAYERS:
        _LAYERS[model] = _found_layers(model)
    return _LAYERS[model]


def is_causal(model: PreTrainedModel) -> bool:
    """Tell whether a token sees only those before it."""
    if model not in _CAUSAL:
        _CAUSAL[model] = _found_causal(model)
    return _CAUSAL[model]


def _found_layers(model: PreTrainedModel) -> list[nn.Module]:
    # What each module took and gave, in the order in which they end: wrappers after what they hold.
    ends: list[tuple[nn.Module, list[Any], Any]] = []

    def note(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        ends.append((module, [*args, *kwargs.values()], first))

    base, kind = model.base_model, model.config.model_type
    hooks = [m.register_forward_hook(note, with_kwargs=True) for m in base.modules()]
    try:
        # In training: dropout that is switched off gives what it took, and so could not be told
        # from the module before it, after which it acts.
        with _looking(model, training=True):
            states = base(input_ids=_ids(model), output_hidden_states=True).hidden_states
    except Exception as error:
        # Of families whose body takes more than tokens each raises its own kind.
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(
            f"a model of type {kind!r} cannot be used: its body does not run on tokens alone "
            f"({reason})"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    found = [_maker(state, ends) for state in states]
    for layer, module in enumerate(found):
        if module is None:
            raise InputError(
                f"a model of type {kind!r} cannot be used: no module's output is its hidden state "
                f"{layer}, so it could be measured but not changed"
            )
        if module in found[:layer]:
            raise InputError(
                f"a model of type {kind!r} cannot be used: its layers {found.index(module)} and "
                f"{layer} are one module, so one could not be changed without the other"
            )
    return [module for module in found if module is not None]


def _maker(state: torch.Tensor, ends: list[tuple[nn.Module, list[Any], Any]]) -> nn.Module | None:
    """The outermost module that made a state; else the first that passed it on."""
    gave = [(module, taken) for module, taken, given in ends if _is(given, state)]
    made = [module for module, taken in gave if not any(_is(one, state) for one in taken)]
    passed_on = [module for module, _ in gave]
    return made[-1] if made else next(iter(passed_on), None)


def _is(value: Any, state: torch.Tensor) -> bool:
    """Tell whether a value is a state itself, or a view of all of it."""
    return (
        isinstance(value, torch.Tensor)
        and value.data_ptr() == state.data_ptr()
        and value.shape == state.shape
    )


def _found_causal(model: PreTrainedModel) -> bool:
    ids = _ids(model)
    other = ids.clone()
    other[0, -1] = ids[0, 0]
    with _looking(model, training=False):
        first, second = (model.base_model(input_ids=i)[0].float() for i in (ids, other))
    change = (first - second).abs().amax(dim=(0, 2))
    # Beside the change of the token itself, which is small where training has all but collapsed.
    return bool(change[:-1].max() <= LEAST_CHANGE * change[-1])


@contextmanager
def _looking(model: PreTrainedModel, training: bool) -> Iterator[None]:
    """Run without gradients; the mode and the random states are as before afterwards."""
    was_training = {module: module.training for module in model.modules()}
    devices = [model.device] if model.device.type == "cuda" else []
    model.train(training)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, mode in was_training.items():
            module.training = mode


def _ids(model: PreTrainedModel) -> torch.Tensor:
    """A short input of tokens that stand for no padding."""
    embeddings: Any = model.get_input_embeddings()
    n_tokens = embeddings.weight.shape[0]
    special = set(getattr(model.config, "special_token_ids", None) or [model.config.pad_token_id])
    usual = [i for i in range(min(n_tokens, 1000)) if i not in special]
    return torch.tensor([usual[-N_TOKENS:]], device=model.device)
