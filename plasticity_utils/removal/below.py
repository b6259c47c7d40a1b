"""States below the lowest changed layer, worked out once for many removals.

What a removal changes begins at a layer: what the modules up to there give is the same whatever is
removed above. Where one model is scored on the same sentences under many removals, as on the
dose–response, these states are kept from a pass with nothing removed, and a later pass runs the
blocks above alone. It gives the same numbers, bit for bit; the first such pass is run whole too,
and where the two differ, the model is run whole from then on.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from plasticity_utils.models.layers import layers_of
from plasticity_utils.removal.patch import LayerPatch, WordTokens

# Of states that are kept in memory; what is beyond lies in files that are mapped.
CAP_BYTES = 2**30


class StatesBelow:
    """Runs a model from the lowest layer that is changed, inside of a ``with`` block.

    Made of a model as it is, with what is in force on it then; its weights must stay. What is put
    on it later in another way than by `patch_layers` is seen, and the model then runs whole.

    Attributes
    ----------
    n_short : int
        Passes that did not run the whole model.
    """

    def __init__(self, model: PreTrainedModel):
        self.model, self.n_short, self._is_exact = model, 0, True
        self._layers, self._own = layers_of(model), model.forward
        self._begun, self._rest = self._functions(), self._everything_else()
        self._kept: dict[Any, list[Any]] = {}
        self._n_bytes, self._is_checked = 0, False
        self._folder = tempfile.TemporaryDirectory(prefix="plasticity-states-")

    def __enter__(self) -> StatesBelow:
        self.model.__dict__["forward"] = self._forward
        return self

    def __exit__(self, *exception: object) -> None:
        del self.model.__dict__["forward"]

    def _forward(self, *args: Any, **options: Any) -> Any:
        whole = partial(self._own, *args, **options)
        ids, mask = options.get("input_ids"), options.get("attention_mask")
        if ids is None or mask is None or self.model.training or torch.is_grad_enabled():
            return whole()
        if not self._is_exact or self._everything_else() != self._rest:
            return whole()
        device = ids.device.type
        precision = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
        key = precision, *(part.cpu().numpy().tobytes() for part in (ids, mask)), ids.shape
        lowest = self._lowest()
        if lowest is None:
            return whole() if key in self._kept else self._noted(key, whole)
        return self._short(key, lowest, whole) if key in self._kept else whole()

    def _noted(self, key: Any, whole: Callable[[], Any]) -> Any:
        """Run the whole model, and keep what its layers give before anything changes it."""
        outputs: list[Any] = [None] * len(self._layers)
        own = [layer.forward for layer in self._layers]

        def note(layer: int, *args: Any, **options: Any) -> Any:
            outputs[layer] = own[layer](*args, **options)
            return outputs[layer]

        found = self._run(whole, note, len(own))
        if all(_is_plain(output) for output in outputs):
            self._kept[key] = self._held(outputs)
        return found

    def _short(self, key: Any, lowest: int, whole: Callable[[], Any]) -> Any:
        outputs = self._kept[key]
        # A copy, for a function may change in place what it is given.
        found = self._run(whole, lambda layer, *_, **__: _copy(outputs[layer]), lowest + 1)
        if not self._is_checked:
            self._is_checked = True
            other = whole()
            self._is_exact = torch.equal(found[0], other[0])
            if not self._is_exact:
                warnings.warn(
                    f"models of type {self.model.config.model_type!r} are run whole under every "
                    "removal: from kept states they give other numbers",
                    stacklevel=2,
                )
                return other
        self.n_short += 1
        return found

    def _run(self, whole: Callable[[], Any], forward: Callable[..., Any], n_layers: int) -> Any:
        """Run the model with another function in the place of the lowest layers' own."""
        layers = self._layers[:n_layers]
        before = [layer.__dict__.get("forward") for layer in layers]
        try:
            for number, layer in enumerate(layers):
                layer.__dict__["forward"] = partial(forward, number)
            return whole()
        finally:
            for layer, own in zip(layers, before, strict=True):
                layer.__dict__.pop("forward")
                layer.__dict__.update({} if own is None else {"forward": own})

    def _held(self, outputs: list[Any]) -> list[Any]:
        """Keep in memory what there is room for, and the rest in a file that is mapped."""
        tensors = [o if isinstance(o, torch.Tensor) else o[0] for o in outputs]
        self._n_bytes += sum(tensor.nbytes for tensor in tensors)
        if self._n_bytes <= CAP_BYTES:
            return outputs
        path = Path(self._folder.name) / f"{len(self._kept)}.pt"
        torch.save(outputs, path)
        mapped: list[Any] = torch.load(path, mmap=True, weights_only=True)
        return mapped

    def _functions(self) -> list[int]:
        """How many functions change what each layer gives."""
        found = []
        for layer in self._layers:
            hooks = layer._forward_hooks.values()
            found.append(sum(len(h.functions) for h in hooks if isinstance(h, LayerPatch)))
        return found

    def _lowest(self) -> int | None:
        changed = [now != begun for now, begun in zip(self._functions(), self._begun, strict=True)]
        return changed.index(True) if any(changed) else None

    def _everything_else(self) -> tuple[Any, ...]:
        """What else could change a layer: its weights, and hooks of others."""
        weights = [(p.data_ptr(), p._version) for p in self.model.parameters()]
        hooks = [
            id(hook)
            for module in self.model.modules()
            for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
            if not isinstance(hook, LayerPatch | WordTokens)
        ]
        return tuple(weights), tuple(hooks)


def _copy(output: Any) -> Any:
    return (output[0].clone(), *output[1:]) if isinstance(output, tuple) else output.clone()


def _is_plain(output: Any) -> bool:
    """Whether a layer gives a state, and nothing beside it that could be missed."""
    if isinstance(output, tuple):
        return isinstance(output[0], torch.Tensor) and all(rest is None for rest in output[1:])
    return isinstance(output, torch.Tensor)
