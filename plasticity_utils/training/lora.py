"""Train small matrices beside the weights, which stay as they are (Hu et al. 2022, "LoRA").

The adapters are those of the package `peft`: W + (α / r) · B · A beside each linear map of the
blocks, with B = 0 at the start. When the training ends they are added to the weights, so that what
is saved and measured is an ordinary model.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from plasticity_utils.errors import InputError
from plasticity_utils.models.layers import layers_of
from plasticity_utils.models.load import head
from plasticity_utils.optional import needed

RANK, ALPHA, NAME = 8, 16, "plasticity"
# Ten times MiniLM's own: adapters start at nothing and have little to move with.
LORA_RATE = 2e-3


def adapters(model: PreTrainedModel) -> Iterable[nn.Parameter]:
    """Put adapters beside the linear maps inside of the blocks, and give them and the head.

    InputError unless `peft` is installed, and for a model that has adapters of others or weights
    that are held at zero, beside which adapters would grow back what was removed.
    """
    peft = needed("peft", "the protocol 'lora'")
    if any(hasattr(each, "lora_A") for each in model.modules()):
        raise InputError("this model has adapters already; the protocol 'lora' needs one without")
    layers = layers_of(model)
    found = {id(each) for layer in layers for each in layer.modules()} - {*map(id, layers)}
    maps = [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and id(module) in found
    ]
    if any(model.get_submodule(name).weight._backward_hooks for name in maps):
        raise InputError(
            "the protocol 'lora' trains beside the weights, and some of these are held at zero; "
            "allowed: a removal that is not in the weights, or another protocol"
        )
    turned = any(isinstance(model.get_submodule(name), Conv1D) for name in maps)
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=maps, fan_in_fan_out=turned)
    # The same at every start, so that a training that was interrupted goes on with the same.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        peft.inject_adapter_in_model(config, model, NAME)
    own = [parameter for name, parameter in model.named_parameters() if f".{NAME}." in name]
    return [*own, *head(model).parameters()]


def merge_adapters(model: PreTrainedModel) -> None:
    """Add the adapters of `adapters`, where there are any, to the weights beside them."""
    beside = [
        (name, each) for name, each in model.named_modules() if NAME in getattr(each, "lora_A", ())
    ]
    for name, adapter in beside:
        adapter.merge()
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, adapter.get_base_layer())
    if beside:
        del model.peft_config
