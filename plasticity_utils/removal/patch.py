"""Change hidden states where they arise, and take the change back.

How can an intervention be certain to act on what was measured? Every change here is a function put
at the module whose output `transformers` returns as ``hidden_states[l]``, in front of the hooks
that record it: the state recorded is the state that flows on. Removal (`remove_neurons`) and
concept erasure are such functions.

Caveat: a change at special tokens ([CLS], [SEP], a decoder's first token) can break a model
whatever the function means, since these hold values far from any word's and serve as attention
sinks (Xiao et al. 2024, "Efficient Streaming Language Models with Attention Sinks"). So by default
only the tokens of words are changed, told apart by their ids. An intervention as an object that can
be undone follows Meng et al. (2022, ROME).
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from plasticity_utils.errors import InputError, check_kind, is_whole, shown
from plasticity_utils.models.layers import layers_of
from plasticity_utils.models.load import check_loaded, count_layers, width

StateFunction = Callable[[Tensor], Tensor]
# beartype, under jaxtyping, cannot check typing.Self.
_SomeChange = TypeVar("_SomeChange", bound="Change")
_CHANGES = "_plasticity_changes"
_SPECIAL_ROLES = ("bos", "eos", "pad", "cls", "sep")


class LayerPatch:
    """A forward hook that changes what one layer returns, by one function after another.

    It stands before the hooks with which `transformers` records hidden states, whether these came
    earlier or later. (Replacing ``module.forward`` instead would tie copies of a model to the
    original.) A layer has at most one such hook, so that functions apply in the order of arrival.
    """

    def __init__(self, module: nn.Module):
        self.functions: list[StateFunction] = []
        self._handle = module.register_forward_hook(self, prepend=True)

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Return the module's output with its first tensor changed."""
        state = output[0] if isinstance(output, tuple) else output
        for function in self.functions:
            state = _fitting(function(state), state)
        return (state, *output[1:]) if isinstance(output, tuple) else state

    @classmethod
    def on(cls, module: nn.Module) -> "LayerPatch":
        """Return the module's patch, made now where there is none yet."""
        hooks = module._forward_hooks.values()
        return next((hook for hook in hooks if isinstance(hook, cls)), None) or cls(module)

    def drop(self, function: StateFunction) -> None:
        """Take one function out, and the hook itself with the last one."""
        self.functions = [kept for kept in self.functions if kept is not function]
        if not self.functions:
            self._handle.remove()


def _fitting(changed: Any, state: Tensor) -> Tensor:
    """What a function made of a state, in the state's type; another shape is never broadcast."""
    if not isinstance(changed, Tensor) or changed.shape != state.shape:
        found = list(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
        raise InputError(
            f"it makes {found} of a state of shape {list(state.shape)}; needed: the same shape"
        )
    if changed.device != state.device or changed.layout != state.layout:
        raise InputError(
            f"it makes {changed.layout} on {changed.device} of a state on {state.device}; needed: "
            "a usual tensor on the same device"
        )
    if not changed.is_floating_point():
        raise InputError(f"it makes {changed.dtype} of a state of {state.dtype}; needed: floats")
    return changed.to(state.dtype)


class WordTokens:
    """Which tokens of the running forward pass are words: a pre-forward hook of the base model."""

    def __init__(self, special_ids: list[int]):
        self.special_ids = special_ids
        # By device, so that a model run on several devices at once keeps the batches apart.
        self.masks: dict[torch.device, Bool[Tensor, "sentence token 1"]] = {}

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note where the words are among the tokens that come."""
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            raise InputError(
                "a model with removed neurons needs input_ids, not inputs_embeds alone"
            )
        special = torch.tensor(self.special_ids, device=ids.device, dtype=ids.dtype)
        self.masks[ids.device] = ~torch.isin(ids, special)[..., None]

    def of(self, state: Tensor) -> Tensor:
        """Tell which tokens of a state are words, bool [n_sentences, n_tokens, 1]."""
        return self.masks[state.device]


class _AtWords:
    """A function of hidden states that leaves special tokens as they are."""

    def __init__(self, function: StateFunction, words: WordTokens):
        self.function = function
        self.words = words

    def __call__(self, state: Tensor) -> Tensor:
        changed = _fitting(self.function(state), state)
        return torch.where(self.words.of(state), changed, state)


class _SaysWhatIsLeftOut:
    """`save_pretrained` of a model on which something was put; a copy of the model copies it."""

    def __init__(self, model: PreTrainedModel):
        self.model = model

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Save the weights, and warn that what is in force is not among them."""
        warnings.warn(
            "saved are the weights alone: the neurons removed, patches and erasers that are in "
            "force on this model are not; put them on again after loading",
            stacklevel=2,
        )
        return type(self.model).save_pretrained(self.model, *args, **options)


class Change:
    """Something that was put on a model, in force until `undo` or the end of a ``with`` block."""

    # Whether the model's weights hold it, so that a model that is saved has it too.
    is_in_weights: ClassVar[bool] = False

    def __init__(self, model: PreTrainedModel):
        self._model = model
        # On the model, so that `undo` finds it and a copy of the model has its own.
        self._note([*model.__dict__.get(_CHANGES, []), self])

    def undo(self) -> None:
        """Take it off; the model is as if it had never been there. May be called twice."""
        self._note([c for c in self._model.__dict__.get(_CHANGES, []) if c is not self])

    def _note(self, changes: list["Change"]) -> None:
        """Write down what is on the model."""
        own = self._model.__dict__
        for name in (_CHANGES, "save_pretrained"):
            own.pop(name, None)
        if changes:
            own[_CHANGES] = changes
        if not all(change.is_in_weights for change in changes):
            own["save_pretrained"] = _SaysWhatIsLeftOut(self._model)

    def __enter__(self: _SomeChange) -> _SomeChange:
        return self

    def __exit__(self, *exception: object) -> None:
        self.undo()


def without_gradient(axis: int, units: Tensor, gradient: Tensor) -> Tensor:
    """Take the gradient from weights of some units: weight decay leaves a zero at zero."""
    return gradient.index_fill(axis, units.to(gradient.device), 0.0)


def undo(model: PreTrainedModel) -> None:
    """Take off a model everything that this package has put on it, the newest first.

    Removed neurons, patches and erasers come off, and training is no longer confined; what training
    has changed in the weights stays. A model that has nothing on it is left as it is.

    Parameters
    ----------
    model : PreTrainedModel

    Raises
    ------
    InputError
        If it is no model.
    """
    check_kind(model, nn.Module, "model must be one of load_model")
    for change in reversed(list(model.__dict__.get(_CHANGES, []))):
        change.undo()


class Patch(Change):
    """Functions in force at some layers of a model; usually made by `patch_layers`.

    Patches of one model apply in the order in which they were made and can be undone in any order.
    """

    def __init__(
        self, model: PreTrainedModel, functions: Mapping[int, StateFunction], positions: str
    ):
        if positions not in ("words", "all"):
            raise InputError(f"positions {shown(positions)}; allowed: 'words', 'all'")
        modules = layers_of(model)
        for layer in functions:
            if not 0 <= layer < len(modules):
                raise InputError(f"layer {layer}; allowed: 0 to {len(modules) - 1}")
        words = WordTokens(_special_ids(model.config) if positions == "words" else [])
        if positions == "words":
            functions = {layer: _AtWords(f, words) for layer, f in functions.items()}
        super().__init__(model)
        # At the base model, so that it holds with and without the classification head.
        self._pre_hook = model.base_model.register_forward_pre_hook(words, with_kwargs=True)
        self._in_force = [(modules[layer], f) for layer, f in functions.items()]
        for module, function in self._in_force:
            LayerPatch.on(module).functions.append(function)

    def undo(self) -> None:
        """Take the patch off; the model is as if it had never been there. May be called twice."""
        super().undo()
        for module, function in self._in_force:
            LayerPatch.on(module).drop(function)
        self._in_force = []
        self._pre_hook.remove()


def patch_layers(
    model: PreTrainedModel, functions: Mapping[int, StateFunction], positions: str = "words"
) -> Patch:
    """Let a function change each of the given hidden states, until undone.

    Each function is tried on two tokens of zeros first: what does not fit is never put in force.

    Parameters
    ----------
    model : PreTrainedModel
        Usually from `load_model`.
    functions : mapping from int to callable
        For a layer (0, the embedding output, to L) a function from [n_sentences, n_tokens, d_model]
        to the same shape.
    positions : {"words", "all"}
        Whether the tokens of words alone are changed, or special tokens too.

    Returns
    -------
    Patch
        Already in force; a context manager with an `undo`.

    Raises
    ------
    InputError
        A layer out of range, a function that fails or gives another shape, unknown positions, or an
        architecture that is not supported.
    """
    check_loaded(model)
    if not isinstance(functions, Mapping):
        raise InputError(f"functions must map layers to functions, not {type(functions).__name__}")
    for layer, function in functions.items():
        if not is_whole(layer):
            raise InputError(f"layer {shown(layer)}; allowed: 0 to {count_layers(model) - 1}")
        _try(function, layer, model)
    return Patch(model, {int(layer): f for layer, f in functions.items()}, positions)


def _try(function: StateFunction, layer: int, model: PreTrainedModel) -> None:
    weight = next(model.parameters())
    state = torch.zeros(1, 2, width(model), dtype=weight.dtype, device=weight.device)
    shape = list(state.shape)
    try:
        with torch.no_grad():
            _fitting(function(state), state)
    except InputError as error:
        raise InputError(f"the function of layer {layer} {str(error)[3:]}") from None
    except Exception as error:
        raise InputError(
            f"the function of layer {layer} fails on a state of shape {shape}: {error}"
        ) from error


def _special_ids(config: PreTrainedConfig) -> list[int]:
    named = getattr(config, "special_token_ids", None)
    if named is None:
        named = []
        for role in _SPECIAL_ROLES:
            value = getattr(config, f"{role}_token_id", None)
            named += value if isinstance(value, list) else [value]
    special = sorted({token for token in named if token is not None})
    if not special:
        raise InputError(
            "positions 'words' needs the model's special tokens, but its config has no "
            "special_token_ids; load it with load_model, or use positions 'all'"
        )
    return special
