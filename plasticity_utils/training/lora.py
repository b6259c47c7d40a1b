"""Train small matrices beside the weights, which stay as they are (Hu et al. 2022, "LoRA").

The adapters are those of the package `peft`: W + (α / r) · B · A beside each linear map of the
blocks, with B = 0 at the start. When the training ends they are added to the weights, so that what
is saved and measured is an ordinary model. Little can move under them, so a concept that comes back
did not need much.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from plasticity_utils.models.layers import layers_of
from plasticity_utils.models.load import head
from plasticity_utils.optional import needed

RANK, ALPHA = 8, 16
# Adapters have rates about ten times those of all weights (Biderman et al. 2024).
LORA_RATE = 2e-3


def adapters(model: PreTrainedModel) -> Iterable[nn.Parameter]:
    """Put adapters beside the linear maps of the blocks, and give them and the head.

    InputError unless `peft` is installed. `merge_adapters` makes the model an ordinary one again.
    """
    peft = needed("peft", "the protocol 'lora'")
    found = {id(each) for layer in layers_of(model) for each in layer.modules()}
    maps = [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and id(module) in found
    ]
    turned = any(isinstance(model.get_submodule(name), Conv1D) for name in maps)
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=maps, fan_in_fan_out=turned)
    # The same at every start, so that a training that was interrupted goes on with the same.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        peft.inject_adapter_in_model(config, model)
    own = [parameter for name, parameter in model.named_parameters() if "lora_" in name]
    return [*own, *head(model).parameters()]


def merge_adapters(model: PreTrainedModel) -> None:
    """Add adapters, where there are any, to the weights beside which they were trained."""
    beside = [(name, each) for name, each in model.named_modules() if hasattr(each, "lora_A")]
    for name, adapter in beside:
        adapter.merge()
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, adapter.get_base_layer())
    if beside:
        del model.peft_config
