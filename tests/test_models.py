import copy
import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from plasticity_utils.errors import InputError
from plasticity_utils.hardware import find_device
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.layers import is_causal, layers_of
from plasticity_utils.models.load import (
    count_layers,
    encode_words,
    head,
    label_position,
    load_model,
    max_positions,
    width,
)
from plasticity_utils.models.locate import locate
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.removal.patch import patch_layers
from plasticity_utils.training.steps import predict
from tiny import BLOCKS, SPECIAL_IDS, VOCABULARY, WIDTH, make_tiny_model, make_tiny_tokenizer

FAMILIES = (
    "bert", "camembert", "distilbert", "roberta", "xlm-roberta",
    "gpt2", "llama", "mistral", "qwen2", "qwen3",
)  # fmt: skip
LABELS = ("O", "B-LOC", "I-LOC")


def outputs_of(modules, run):
    seen = {}
    hooks = [
        module.register_forward_hook(
            lambda _, __, output, layer=layer: seen.__setitem__(
                layer, output[0] if isinstance(output, tuple) else output
            )
        )
        for layer, module in enumerate(modules)
    ]
    try:
        result = run()
    finally:
        for hook in hooks:
            hook.remove()
    return seen, result


def assert_layers_are_hidden_states(model, batch):
    with torch.no_grad():
        seen, result = outputs_of(
            layers_of(model), lambda: model(**batch, output_hidden_states=True).hidden_states
        )
    assert len(result) == count_layers(model) == len(seen)
    for layer, state in enumerate(result):
        assert state.shape[-1] == width(model)
        assert torch.equal(state, seen[layer]), f"layer {layer}"


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_the_hidden_states_of_transformers(family, tiny_model, tiny_batch):
    model = tiny_model(family)
    assert (count_layers(model), width(model)) == (BLOCKS + 1, WIDTH)
    assert_layers_are_hidden_states(model, tiny_batch)


def test_label_position_and_head(tiny_model):
    assert label_position(tiny_model("bert")) == "first"
    assert label_position(tiny_model("gpt2")) == "last"
    assert head(tiny_model("llama")).in_features == WIDTH
    assert head(tiny_model("roberta")).in_features == WIDTH


def test_max_positions_can_be_read_and_one_more_cannot(tiny_model):
    for family in ("bert", "roberta", "gpt2"):
        model = tiny_model(family)
        longest = max_positions(model)
        with torch.no_grad():
            model(input_ids=torch.full((1, longest), 5))
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.full((1, longest + 1), 5))


OTHERS = (
    "deberta-v2", "electra", "ernie", "gemma", "gpt_neox", "megatron-bert", "modernbert", "mpnet",
    "phi3", "roformer", "stablelm",
)  # fmt: skip
COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "head_dim": 8,
    "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "cls_token_id": 1, "sep_token_id": 2, "special_token_ids": SPECIAL_IDS,
}  # fmt: skip


def model_of(family, **changes):
    config = AutoConfig.for_model(family, **{**COMMON, **changes})
    torch.manual_seed(0)
    return AutoModelForTokenClassification.from_config(config).eval()


@pytest.mark.parametrize("family", OTHERS)
def test_layers_and_causality_are_found_by_looking(family, tiny_batch):
    model = model_of(family)
    assert_layers_are_hidden_states(model, tiny_batch)
    assert is_causal(model) == (family in ("gemma", "gpt_neox", "phi3", "stablelm"))
    with torch.no_grad():
        before = model(**tiny_batch, output_hidden_states=True).hidden_states
        for layer in range(BLOCKS + 1):
            with remove_neurons(model, [(layer, 3)], np.full((BLOCKS + 1, WIDTH), 7.0)):
                state = model(**tiny_batch, output_hidden_states=True).hidden_states[layer]
            is_word = ~torch.isin(tiny_batch["input_ids"], torch.tensor(SPECIAL_IDS))
            assert (state[is_word][:, 3] == 7).all()
        after = model(**tiny_batch, output_hidden_states=True).hidden_states
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_family_whose_config_has_parts_is_as_large_as_its_text(tiny_batch):
    small = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 32, "image_size": 28, "patch_size": 14}  # fmt: skip
    config = AutoConfig.for_model("modernvbert", text_config=COMMON, vision_config=small)
    config.special_token_ids = SPECIAL_IDS
    model = AutoModelForTokenClassification.from_config(config).eval()
    assert (count_layers(model), width(model), max_positions(model)) == (BLOCKS + 1, WIDTH, 64)
    assert_layers_are_hidden_states(model, tiny_batch)


def test_a_family_whose_body_needs_more_than_tokens_is_refused():
    parts = {"encoder": COMMON, "decoder": COMMON}
    config = AutoConfig.for_model("t5gemma", vocab_size=VOCABULARY, pad_token_id=0, **parts)
    model = AutoModelForTokenClassification.from_config(config)
    with pytest.raises(InputError, match="'t5gemma' cannot be used: its body does not run on"):
        layers_of(model)


def test_looking_leaves_mode_and_random_states_as_they_were():
    model = model_of("gpt_neox", hidden_dropout=0.1).train()
    model.base_model.layers[0].eval()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    # After dropout, which acts in training alone.
    assert layers_of(model)[0] is model.base_model.emb_dropout
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not model.base_model.layers[0].training


def test_an_encoder_that_reads_backwards_only_is_a_decoder(tiny_model):
    assert not is_causal(tiny_model("bert"))
    assert is_causal(tiny_model("bert", is_decoder=True))


def test_layers_that_share_a_module_are_refused_by_name():
    with pytest.raises(InputError, match=r"'albert' cannot be used: its layers 1 and 2 are one"):
        layers_of(model_of("albert", embedding_size=8))


def test_find_device_is_usable():
    assert torch.zeros(1, device=find_device()).item() == 0


# Loading


def test_local_folder_loads_with_its_weights_and_a_new_head(tiny_folder):
    model, tokenizer = load_model(str(tiny_folder), labels=LABELS, device="cpu")
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.label2id["B-LOC"] == 1
    assert head(model).out_features == 3
    assert model.dtype == torch.float32
    assert not model.training
    original = make_tiny_model("bert").base_model.state_dict()
    assert all(torch.equal(v, original[k]) for k, v in model.base_model.state_dict().items())
    assert tokenizer.pad_token_id == 0
    assert model.config.special_token_ids == SPECIAL_IDS


def test_head_depends_on_seed_and_leaves_the_global_random_state(tiny_folder):
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first, again, other = (
        head(load_model(str(tiny_folder), labels=LABELS, seed=seed, device="cpu")[0]).weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_fine_tuned_folder_keeps_its_head_and_special_ids(tiny_folder, tmp_path):
    model, tokenizer = load_model(str(tiny_folder), labels=LABELS, device="cpu")
    with torch.no_grad():
        head(model).weight += 1.0
    model.save_pretrained(tmp_path / "tuned")
    tokenizer.save_pretrained(tmp_path / "tuned")
    saved = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert saved["special_token_ids"] == SPECIAL_IDS
    for labels in (None, LABELS):
        loaded, _ = load_model(str(tmp_path / "tuned"), labels=labels, device="cpu")
        assert torch.equal(head(loaded).weight, head(model).weight)
        assert loaded.config.id2label == dict(enumerate(LABELS))
    # As many labels, but others: the old head would answer them with the wrong names.
    renamed, _ = load_model(str(tmp_path / "tuned"), labels=LABELS[::-1], device="cpu")
    assert not torch.equal(head(renamed).weight, head(model).weight)


def test_a_whole_model_in_the_hubs_cache_is_taken_from_there(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--some--tiny"
    snapshot = repository / "snapshots" / ("a" * 40)
    assert locate("some/tiny") == ("some/tiny", None)
    shutil.copytree(tiny_folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert locate("some/tiny") == (str(snapshot), None)
    assert load_model("some/tiny")[0].config.model_type == "bert"
    # Where something is missing, the Hub is asked.
    (snapshot / "model.safetensors").unlink()
    assert locate("some/tiny") == ("some/tiny", None)


def test_folder_without_weights(tiny_folder):
    (tiny_folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"tiny.*no weights"):
        load_model(str(tiny_folder))


def test_pickled_weights_are_not_read(tiny_folder):
    (tiny_folder / "model.safetensors").unlink()
    torch.save(make_tiny_model("bert").state_dict(), tiny_folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled"):
        load_model(str(tiny_folder))


def test_damaged_weights_are_named(tiny_folder):
    file = tiny_folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"damaged.*model\.safetensors"):
        load_model(str(tiny_folder))


def test_weights_that_fill_only_a_part_are_refused(tiny_folder):
    config = json.loads((tiny_folder / "config.json").read_text())
    config["num_hidden_layers"] += 1
    (tiny_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"missing.*layer\.3"):
        load_model(str(tiny_folder))


def test_sharded_weights_load_and_a_missing_shard_is_named(tiny_folder, tiny_tokenizer):
    folder = tiny_folder.parent / "sharded"
    make_tiny_model("bert").save_pretrained(folder, max_shard_size="8KB")
    tiny_tokenizer(["a"]).save_pretrained(folder)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    load_model(str(folder), device="cpu")
    shards[-1].unlink()
    with pytest.raises(InputError, match=shards[-1].name):
        load_model(str(folder))


def test_folder_without_tokenizer_or_config(tiny_folder):
    (tiny_folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="no tokenizer"):
        load_model(str(tiny_folder))
    shutil.copy(tiny_folder / "config.json", tiny_folder / "tokenizer.json")
    (tiny_folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json"):
        load_model(str(tiny_folder))


@pytest.mark.parametrize("name", ["nosuchmodel", "no/such", "/no/such/folder", ""])
def test_unknown_model_is_named_with_what_is_allowed(name):
    with pytest.raises(InputError, match=r"minilm, smollm2, e5, a local folder") as caught:
        load_model(name)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_are_checked(tiny_folder):
    with pytest.raises(InputError, match="only once"):
        load_model(str(tiny_folder), labels=("O", "O"))


# The packaged models


@pytest.mark.slow
def test_minilm(tiny_batch):
    model, tokenizer = load_model("minilm", labels=LABELS, device="cpu")
    assert (count_layers(model), width(model), max_positions(model)) == (7, 384, 512)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(22.6e6, rel=0.01)
    assert_layers_are_hidden_states(model, tiny_batch)
    (row,) = encode_words(tokenizer, [["London", "\x00", "[SEP]"] + ["a"] * 200])
    assert tokenizer.convert_ids_to_tokens(row.ids[:4]) == ["[CLS]", "london", "[UNK]", "["]
    assert row.word_of_token[-2:] == [202, -1]
    assert model.config.special_token_ids == [0, 101, 102, 103]


@pytest.mark.slow
def test_smollm2(tiny_batch, tmp_path):
    model, tokenizer = load_model("smollm2", labels=LABELS, device="cpu")
    assert (count_layers(model), width(model)) == (31, 576)
    assert model.dtype == torch.float32
    assert_layers_are_hidden_states(model, tiny_batch)
    (row,) = encode_words(tokenizer, [["London", "calls", "<|im_end|>"]])
    assert tokenizer.convert_ids_to_tokens(row.ids[:3]) == ["<|im_start|>", "ĠLondon", "Ġcalls"]
    assert tokenizer.eos_token_id not in row.ids
    assert set(model.config.special_token_ids) == {tokenizer.bos_token_id, tokenizer.eos_token_id}
    # Loaded from GGUF, but plain floats from here on: it can be saved, and read again.
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, tokenizer_again = load_model(str(tmp_path), device="cpu")
    assert torch.equal(head(again).weight, head(model).weight)
    assert encode_words(tokenizer_again, [["London", "calls"]]) == encode_words(
        tokenizer, [["London", "calls"]]
    )


def test_code_beside_a_model_is_never_run(tiny_folder, monkeypatch):
    """A folder that asks for its own code, as a repository on the Hub can."""
    code = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    (tiny_folder / "own.py").write_text(code)
    config = json.loads((tiny_folder / "config.json").read_text())
    own = {"AutoConfig": "own.Config", "AutoModelForTokenClassification": "own.Model"}
    (tiny_folder / "config.json").write_text(json.dumps({**config, "auto_map": own}))
    asked = []
    monkeypatch.setattr("builtins.input", lambda *a: asked.append(a) or "y")
    load_model(str(tiny_folder))
    unknown = {**config, "auto_map": own, "model_type": "own"}
    (tiny_folder / "config.json").write_text(json.dumps(unknown))
    with pytest.raises(InputError, match="is of type 'own', for which transformers has no"):
        load_model(str(tiny_folder))
    assert not asked
    assert not list(tiny_folder.rglob("ran"))


# Models that load are the models that were saved


def edited(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_weights_that_the_model_has_no_place_for_are_refused(tiny_folder):
    weights = load_file(tiny_folder / "model.safetensors")
    extra = {"bert.encoder.layer.0.attention.self.distance_embedding.weight": torch.zeros(3, 8)}
    save_file({**weights, **extra}, tiny_folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"do not fit its config, 1 are left over.*distance_emb"):
        load_model(str(tiny_folder))
    harmless = {"cls.predictions.bias": torch.zeros(3), "bert.pooler.dense.bias": torch.zeros(16)}
    save_file({**weights, **harmless}, tiny_folder / "model.safetensors", metadata={"format": "pt"})
    load_model(str(tiny_folder))


def test_a_config_of_fewer_blocks_than_the_weights_is_refused(tiny_folder):
    with pytest.raises(InputError, match=r"16 are left over, the first is bert\.encoder\.layer\.2"):
        load_model(str(edited(tiny_folder, num_hidden_layers=BLOCKS - 1)))


def test_a_token_without_an_embedding_is_refused(tiny_folder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.add_tokens([f"new{i}" for i in range(VOCABULARY)])
    tokenizer.save_pretrained(tiny_folder)
    with pytest.raises(InputError, match="its tokenizer has 52 tokens, its weights 40 embeddings"):
        load_model(str(tiny_folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantised \(gptq\)"),
        ({"attn_implementation": "flash_attention_2"}, "could not be loaded"),
        ({"hidden_act": "nope"}, "could not be loaded"),
        ({"chunk_size_feed_forward": 2}, "a pass under its config fails"),
    ],
)
def test_a_config_that_cannot_be_met_is_one_error(changes, message, tiny_folder):
    with pytest.raises(InputError, match=message):
        load_model(str(edited(tiny_folder, **changes)))


def test_what_a_config_says_of_outputs_changes_nothing(tiny_folder):
    model, tokenizer = load_model(str(tiny_folder))
    expected = word_activations(model, tokenizer, [["london", "calls"]])
    labels = model.config.label2id
    changes = {"return_dict": False, "label2id": {"O": 9}, "output_attentions": True}
    model, tokenizer = load_model(str(edited(tiny_folder, **changes)))
    np.testing.assert_array_equal(
        word_activations(model, tokenizer, [["london", "calls"]]), expected
    )
    assert model.config.label2id == labels


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": "LOC"}, "a sequence of labels, not 'LOC'"),
        ({"labels": {"O", "B-LOC"}}, "a sequence of labels, not {"),
        ({"labels": {0: "O"}}, "a sequence of labels, not {"),
        ({"labels": ["O", None]}, "None is no label"),
        ({"labels": ["O", "O"]}, "each only once"),
        ({"labels": []}, "at least one"),
        ({"device": "gpu"}, "device 'gpu' cannot be used"),
        ({"device": "meta"}, "allowed: cpu, cuda, mps"),
        ({"device": 1.5}, "device 1.5 cannot be used"),
        ({"name": None}, "must be a name, not None"),
        ({"name": ["minilm"]}, "must be a name"),
    ],
)
def test_arguments_of_the_wrong_kind_are_told(arguments, message, tiny_folder):
    with pytest.raises(InputError, match=message):
        load_model(**{"name": str(tiny_folder), **arguments})


def test_a_model_loads_by_its_path_and_with_labels_in_any_sequence(tiny_folder):
    model, _ = load_model(tiny_folder, labels=pd.Series(["O", "B-LOC"]), device="cpu")
    assert model.config.label2id == {"O": 0, "B-LOC": 1}


def test_a_head_of_other_labels_than_the_config_says_is_told_by_name(tiny_folder):
    edited(tiny_folder, id2label={"0": "O"}, label2id={"O": 0})
    with pytest.raises(InputError, match=r"2 are missing or of another shape.*classifier\.bias"):
        load_model(str(tiny_folder))
    model, _ = load_model(str(tiny_folder), labels=["O"])
    assert head(model).out_features == 1


@pytest.mark.usefixtures("as_for_users")
def test_a_tokenizer_of_another_model_and_a_model_without_head_are_told(tiny_folder):
    model, tokenizer = load_model(str(tiny_folder))
    foreign = make_tiny_tokenizer([f"w{n}" for n in range(99)])
    for read in (word_activations, predict):
        with pytest.raises(InputError, match="of another model: its token 95 has no embedding"):
            read(model, foreign, [["w90"]])
    with pytest.raises(InputError, match="no head that tags words"):
        predict(model.base_model, tokenizer, [["rain"]])


def test_a_family_that_names_no_spread_of_new_weights_is_told_too(tmp_path):
    sizes = {"vocab_size": VOCABULARY, "emb_dim": WIDTH, "n_layers": BLOCKS, "n_heads": 2}
    config = AutoConfig.for_model("xlm", **sizes, pad_token_id=0)
    AutoModelForTokenClassification.from_config(config).save_pretrained(tmp_path)
    make_tiny_tokenizer(["rain"]).save_pretrained(tmp_path)
    with pytest.raises(
        InputError, match="a model of type 'xlm' cannot be used: no module's output"
    ):
        load_model(str(tmp_path), labels=LABELS)


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sentences": [["a", "\ud800"]]}, "sentence 1, word 2 is .*: half a character"),
        ({"batch_tokens": 0}, "batch_tokens must be a whole number of at least 1, not 0"),
        ({"batch_tokens": "9"}, "batch_tokens must be .* not '9'"),
        ({"out": 5}, "out 5 is no path"),
        ({"out": "."}, r"out = '\.' must be a file \.npy in a folder that exists"),
    ],
)
def test_what_activations_cannot_be_made_of_is_told(given, message, tiny_folder):
    model, tokenizer = load_model(str(tiny_folder))
    with pytest.raises(InputError, match=message):
        word_activations(model, tokenizer, **{"sentences": [["rain"]], **given})


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize("make", [lambda h: h.to("meta"), lambda h: h.to_sparse()])
def test_a_state_on_another_device_or_of_another_layout_is_never_put_in_force(make, tiny_folder):
    model, _ = load_model(str(tiny_folder), device="cpu")
    with pytest.raises(InputError, match="needed: a usual tensor on the same device"):
        patch_layers(model, {1: make})


def test_saving_a_model_with_something_on_it_says_what_is_left_out(tiny_model, tmp_path):
    model = tiny_model("bert")
    gate = remove_neurons(model, [(1, 3)])
    twin = copy.deepcopy(model)
    for one, folder in ((model, tmp_path / "one"), (twin, tmp_path / "twin")):
        with pytest.warns(UserWarning, match="put them on again after loading"):
            one.save_pretrained(folder)
    with torch.no_grad():
        twin.classifier.weight.add_(1)
    with pytest.warns(UserWarning, match="are not"):
        twin.save_pretrained(tmp_path / "twin")
    saved = AutoModelForTokenClassification.from_pretrained(tmp_path / "twin")
    assert torch.equal(saved.classifier.weight, twin.classifier.weight)
    gate.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save_pretrained(tmp_path / "one")
