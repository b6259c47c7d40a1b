"""Load a model and its tokenizer, and name the places where its neurons live.

Which tensors are "the neurons"? Here: the hidden states that ``transformers`` returns. A model of
L blocks has L + 1 *layers*: layer 0 is the embedding output, layer l the output of block l, and the
last layer has passed the final norm where a model has one. A neuron is ``(layer, unit)``.
`layers.layers_of` finds the module whose output each of these hidden states is, so that what is
measured there and what is changed there is one and the same tensor.

Caveat: a word is one or several tokens. Encoders read a whole sentence at once, and are labelled on
a word's first sub-word (Devlin et al. 2019, BERT); a decoder has read a word only at its end, so it
is labelled on the last.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoModelForTokenClassification,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from plasticity_utils.errors import InputError, check_seed, items_of, shown
from plasticity_utils.hardware import find_device
from plasticity_utils.models.layers import is_causal, layers_of
from plasticity_utils.models.locate import ALLOWED_MODELS, check_model, locate, read_config
from plasticity_utils.models.tokenizer import first_line, load_tokenizer
from plasticity_utils.models.tokens import Encoded as Encoded
from plasticity_utils.models.tokens import encode_words as encode_words
from plasticity_utils.models.tokens import special_token_ids
from plasticity_utils.progress import quiet_transformers

# Families whose LayerNorms are known by name; layers and causality are found by looking.
POST_NORM_ENCODERS = ("bert", "camembert", "distilbert", "roberta", "xlm-roberta")
PRE_NORM_DECODERS = ("gpt2", "llama", "mistral", "qwen2", "qwen3")

# Tables that older files hold and that a model now works out itself.
_BUFFERS = ("position_ids", "inv_freq", "masked_bias", "attn.bias", "attention.bias")


def load_model(
    name: str | Path,
    labels: Iterable[str] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model with a token-classification head, in 32-bit floats, and its tokenizer.

    Parameters
    ----------
    name : str or Path
        ``"minilm"`` or ``"smollm2"`` (packaged), a local folder, or a name on the Hugging Face Hub.
    labels : sequence of str, optional
        Label names in the order of the head's outputs. Where they are not the checkpoint's own, the
        head is drawn anew. ``None`` keeps the checkpoint's labels (a fine-tuned folder).
    seed : int
        Seeds a newly drawn head; the global random state is left as it was.
    device : str or torch.device, optional
        Where the model goes; by default `find_device`.

    Returns
    -------
    model : PreTrainedModel
        In evaluation mode; ``model.config.special_token_ids`` lists the ids that are no words.
    tokenizer : PreTrainedTokenizerBase
        A fast tokenizer with a padding token.

    Raises
    ------
    InputError
        No such model; an architecture that is not supported; no weights, only pickled, quantised or
        damaged ones, or ones that do not fit the config; no tokenizer, or one with tokens that the
        model has no embedding for; labels that are no sequence of texts; a seed that is no whole
        number; a device that is not here.
    """
    name = str(name) if isinstance(name, Path) else name
    check_model(name)
    labels, place = _checked_labels(labels), _checked_device(device)
    check_seed(seed)
    source, gguf = locate(name)
    tokenizer = load_tokenizer(name, source, gguf)
    # Loading draws random numbers for what a checkpoint lacks; the caller's state is kept.
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        model = _load_weights(name, source, gguf, labels, seed)
    _check_vocabulary(name, model, tokenizer)
    model.config.special_token_ids = special_token_ids(tokenizer)
    _check_pass(name, model)
    layers_of(model)
    model.config.pad_token_id = tokenizer.pad_token_id
    # As a plain module: transformers' own `to` is typed too loosely to check.
    nn.Module.to(model, place)
    return model, tokenizer


def check_loaded(model: Any) -> None:
    """Raise InputError for what is no model, such as a name, or a model with its tokenizer."""
    if not isinstance(model, nn.Module) or not hasattr(model, "config"):
        raise InputError(
            f"model must be one of load_model, not {shown(model)}; "
            "needed: model, tokenizer = load_model(...)"
        )


def label_position(model: PreTrainedModel) -> Literal["first", "last"]:
    """Return which sub-word carries a word's label: a decoder has read the word at its last."""
    return "last" if is_causal(model) else "first"


def count_layers(model: PreTrainedModel) -> int:
    """Return the number of layers: the embedding output and one for each block."""
    return int(_shape(model).num_hidden_layers) + 1


def width(model: PreTrainedModel) -> int:
    """Return the number of neurons in a layer."""
    return int(_shape(model).hidden_size)


def max_positions(model: PreTrainedModel) -> int | None:
    """Return the greatest number of tokens, special ones included, that the model can read."""
    positions = getattr(_shape(model), "max_position_embeddings", None)
    if positions is None:
        return None
    if model.config.model_type in ("roberta", "xlm-roberta", "camembert"):
        # These count positions from the padding id on, and so never use the first ones.
        positions -= int(model.config.pad_token_id) + 1
    return int(positions)


def _shape(model: PreTrainedModel) -> Any:
    """The config that says how large a model is: where it has parts, that of its text."""
    return model.config.get_text_config()


def encode_for(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
) -> list[Encoded]:
    """Turn sentences of words into tokens that this model can read, or say what it cannot."""
    encoded = encode_words(tokenizer, sentences, max_positions(model))
    embeddings: Any = model.get_input_embeddings()
    greatest = max((max(row.ids) for row in encoded), default=0)
    if greatest >= embeddings.weight.shape[0]:
        raise InputError(
            f"the tokenizer is of another model: its token {greatest} has no embedding among the "
            f"model's {embeddings.weight.shape[0]}"
        )
    return encoded


def label_ids(model: PreTrainedModel) -> dict[str, int]:
    """Return the index of each label among the head's outputs."""
    return {str(label): int(i) for label, i in (model.config.label2id or {}).items()}


def head(model: PreTrainedModel) -> nn.Linear:
    """Return the linear classification head, the one part that `head` retraining may change."""
    if not hasattr(model, "score") and not hasattr(model, "classifier"):
        raise InputError("the model has no head that tags words; needed: one of load_model")
    return model.score if hasattr(model, "score") else model.classifier  # type: ignore[return-value]


def _checked_labels(labels: Any) -> tuple[str, ...] | None:
    if labels is None:
        return None
    items = items_of(labels)
    if items is None:
        raise InputError(f"labels must be a sequence of labels, not {shown(labels)}")
    read = tuple(items)
    wrong = [label for label in read if not isinstance(label, str) or not label]
    if wrong:
        raise InputError(f"labels {read}: {wrong[0]!r} is no label; allowed: texts, such as B-LOC")
    if not read or len(set(read)) < len(read):
        raise InputError(f"labels {read}: at least one is needed, and each only once")
    return read


def _checked_device(device: Any) -> torch.device:
    here = [find_device().type, "cpu"]
    try:
        place = find_device() if device is None else torch.device(device)
        if place.type not in ("cpu", "cuda", "mps"):
            raise TypeError("allowed: cpu, cuda, mps")
        torch.empty(0, device=place)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"device {device!r} cannot be used ({first_line(error)}); here: "
            f"{', '.join(dict.fromkeys(here))}"
        ) from None
    return place


def _check_vocabulary(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    try:
        embeddings: Any = model.get_input_embeddings()
    except NotImplementedError:
        raise InputError(
            f"model {name!r} has no embeddings of tokens, so none is of a word"
        ) from None
    n_embeddings = embeddings.weight.shape[0]
    beyond = [(i, token) for token, i in tokenizer.get_vocab().items() if i >= n_embeddings]
    if beyond:
        raise InputError(
            f"model {name!r}: its tokenizer has {n_embeddings + len(beyond)} tokens, its weights "
            f"{n_embeddings} embeddings; the first without one is {min(beyond)[1]}"
        )


def _check_pass(name: str, model: PreTrainedModel) -> None:
    """Refuse a config under which a pass fails, or gives other states or labels than it says."""
    model.config.return_dict = True
    labels = dict(model.config.id2label or {})
    model.config.label2id = {label: int(i) for i, label in labels.items()}
    try:
        with torch.no_grad():
            found = model(input_ids=torch.zeros(1, 5, dtype=torch.long), output_hidden_states=True)
        shapes = [tuple(state.shape) for state in found.hidden_states]
    except Exception as error:
        raise InputError(
            f"model {name!r}: a pass under its config fails ({first_line(error)})"
        ) from None
    expected = [(1, 5, width(model))] * count_layers(model)
    if shapes != expected or found.logits.shape != (1, 5, len(model.config.label2id)):
        raise InputError(
            f"model {name!r}: under its config a pass gives states of {shapes} and "
            f"{found.logits.shape[-1]} labels; needed: {expected} and a label for each of "
            f"{sorted(model.config.label2id)}"
        )


def _load_weights(
    name: str, source: str, gguf: str | None, labels: Sequence[str] | None, seed: int
) -> PreTrainedModel:
    options: dict[str, Any] = {"use_safetensors": True}
    if gguf:
        # Unpacked to floats: weights left in GGUF's blocks cannot be trained.
        options = {"gguf_file": gguf, "quantization_config": GgufConfig(dequantize=True)}
    try:
        model, info = AutoModelForTokenClassification.from_pretrained(
            source,
            dtype=torch.float32,
            output_loading_info=True,
            # What does not fit is told below, by name.
            ignore_mismatched_sizes=True,
            **_label_options(labels),
            **options,
        )
    except Exception as error:
        raise InputError(
            f"model {name!r} could not be loaded ({first_line(error)}); allowed: {ALLOWED_MODELS}"
        ) from None
    _check_body(name, model, info, with_head=labels is None)
    if gguf:
        _forget_quantization(model)
    own = None if gguf else _own_labels(read_config(name, source))
    if info["missing_keys"] or (labels is not None and own != tuple(labels)):
        _draw_head(model, seed)
    return model.eval()


def _forget_quantization(model: PreTrainedModel) -> None:
    # The weights are plain floats by now, but transformers would still refuse to save or train.
    quantized: Any = model
    quantized.hf_quantizer = None


def _label_options(labels: Sequence[str] | None) -> dict[str, Any]:
    if labels is None:
        return {}
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _own_labels(config: dict[str, Any]) -> tuple[str, ...] | None:
    names = config.get("id2label")
    return tuple(names[key] for key in sorted(names, key=int)) if names else None


def _check_body(name: str, model: PreTrainedModel, info: dict[str, Any], with_head: bool) -> None:
    """Refuse weights that fill a part of the model only, or that the model has no place for."""
    prefix = f"{model.base_model_prefix}."
    unfit = {key for key, *_ in info["mismatched_keys"]}
    body = sorted(key for key in unfit | info["missing_keys"] if key.startswith(prefix))
    body += sorted(unfit.difference(body)) if with_head else []
    if body:
        raise InputError(
            f"model {name!r}: its weights do not fit its config, {len(body)} are missing or of "
            f"another shape, the first is {body[0]}"
        )
    parts = {f"{part}." for part, _ in model.base_model.named_children()}
    left_over = sorted(
        key
        for key in info["unexpected_keys"]
        if key.removeprefix(prefix).startswith(tuple(parts)) and not key.endswith(_BUFFERS)
    )
    if left_over:
        raise InputError(
            f"model {name!r}: its weights do not fit its config, {len(left_over)} are left over, "
            f"the first is {left_over[0]}"
        )


def _draw_head(model: PreTrainedModel, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    linear = head(model)
    with torch.no_grad():
        # A few families (T5) say it otherwise; BERT's is usual.
        spread = getattr(model.config, "initializer_range", 0.02)
        linear.weight.normal_(0.0, spread, generator=generator)
        if linear.bias is not None:
            linear.bias.zero_()
