"""Small matrices beside the weights: what trains, and that the model is an ordinary one after."""

import numpy as np
import peft
import pytest
import torch
from transformers import AutoConfig, AutoModelForTokenClassification

import plasticity_utils as pu
from plasticity_utils.errors import InputError
from plasticity_utils.models.activations import inputs
from plasticity_utils.models.layers import layers_of
from plasticity_utils.models.load import head
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.removal.weights import silence_weights
from plasticity_utils.training import lora
from plasticity_utils.training.train import fine_tune, steps_until, train_only
from toy import SCHEDULE, data_for, same, tiny, toy, weights


def logits(model, data):
    with torch.no_grad():
        return model.eval()(**inputs(model, data.encoded[:4])).logits


@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2", "llama"])
def test_adapters_change_nothing_at_first_and_leave_an_ordinary_model(family, tokenizer):
    model = tiny(family)
    data, before, names = data_for(model, tokenizer), weights(model), set(model.state_dict())
    expected = logits(model, data)
    train_only(model, lora.adapters(model))
    own = {id(parameter) for parameter in head(model).parameters()}
    trained = {name: id(p) for name, p in model.named_parameters() if p.requires_grad}
    assert own < set(trained.values())
    assert all("lora_" in name for name, it in trained.items() if it not in own)
    assert len(trained) > 4
    assert torch.equal(logits(model, data), expected)
    lora.merge_adapters(model)
    assert set(model.state_dict()) == names
    assert same(weights(model), before)


@pytest.mark.slow
def test_what_was_trained_beside_the_weights_is_in_them(tokenizer, tmp_path):
    model = tiny()
    data, before = data_for(model, tokenizer), weights(model)
    rest = np.full((4, 16), 0.25, dtype=np.float32)
    with remove_neurons(model, [(2, 5)], rest):
        train_only(model, lora.adapters(model))
        seen = []
        last = steps_until(2.0, data, SCHEDULE)
        look = {last: lambda: seen.append(logits(model, data))}
        fine_tune(model, data, SCHEDULE, tmp_path, at_steps=look)
        (beside,) = seen
        torch.testing.assert_close(logits(model, data), beside, rtol=1e-4, atol=1e-5)
    after = weights(model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("attention" in name for name in moved)
    assert any("classifier" in name for name in moved)
    # Norms, embeddings and biases of the body stay.
    assert not any("LayerNorm" in name or "embeddings" in name for name in moved)


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_weights(tokenizer, tmp_path):
    found = []
    for stops in (False, True):
        model, work = tiny(), tmp_path / str(stops)
        data = data_for(model, tokenizer)

        def interrupt():
            raise KeyboardInterrupt

        if stops:
            train_only(model, lora.adapters(model))
            with pytest.raises(KeyboardInterrupt):
                fine_tune(model, data, SCHEDULE, work, at_steps={8: interrupt})
            model = tiny()
        train_only(model, lora.adapters(model))
        fine_tune(model, data, SCHEDULE, work)
        found.append(weights(model))
    assert same(*found)


@pytest.mark.slow
def test_a_model_in_memory_is_trained_by_name(tokenizer):
    model = tiny()
    pu.train(model, tokenizer, toy(40, 0), only="lora", epochs=1, batch_tokens=60)
    assert not any("lora" in name for name in model.state_dict())


def test_what_is_held_at_zero_in_the_weights_does_not_grow_back():
    model = tiny()
    with silence_weights(model, [(2, 5)]), pytest.raises(InputError, match="held at zero; allowed"):
        lora.adapters(model)


def test_a_layer_that_is_a_linear_map_itself_stays_as_it_is():
    # ELECTRA's embedding output is what such a map gives.
    sizes = {
        "embedding_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 32, "vocab_size": 40,
    }  # fmt: skip
    model = AutoModelForTokenClassification.from_config(AutoConfig.for_model("electra", **sizes))
    lora.adapters(model)
    assert isinstance(layers_of(model)[0], torch.nn.Linear)
    assert not hasattr(layers_of(model)[0], "lora_A")


def test_adapters_of_others_are_refused_and_stay(tokenizer):
    model = tiny()
    config = peft.LoraConfig(target_modules=["query"])
    peft.inject_adapter_in_model(config, model)
    with pytest.raises(InputError, match="has adapters already"):
        pu.train(model, tokenizer, toy(20, 0), only="lora", epochs=1, batch_tokens=60)
    lora.merge_adapters(model)
    assert any("lora_A" in name for name in model.state_dict())


def test_without_the_package_one_error_says_the_command(monkeypatch):
    monkeypatch.setattr("plasticity_utils.optional._is_here", lambda module: module != "peft")
    with pytest.raises(InputError, match=r"'lora' needs peft, .* pip install .*\[lora\]"):
        lora.adapters(tiny())
