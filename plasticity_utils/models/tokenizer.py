"""Load a model's tokenizer as it was saved, or say which of its files is believed no longer.

Its class stands in `tokenizer_config.json`, and a class may build a tokenizer anew out of what it
finds: under the wrong name words become other tokens, or unknown ones, without an error. So what is
loaded is held against the files: `tokenizer.json` is the whole tokenizer, `vocab.txt` and
`vocab.json` say which token has which id.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, TokenizersBackend
from transformers.utils.hub import cached_file

from plasticity_utils.errors import InputError
from plasticity_utils.models.tokens import encode_words, special_token_ids, word_tokens

_WHOLE, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_VOCABULARIES = ("vocab.txt", "vocab.json", "added_tokens.json")
# What a piece of a word carries in a vocabulary beside its letters.
_MARKS = ("##", "Ġ", "▁", "</w>")
_WORDS_TRIED = 60
_AS_IT_IS = ("TokenizersBackend", "PreTrainedTokenizerFast")
_OF_CLASS = f"the class in {_CONFIG} or of config.json's type"
_ONE = f"needed in {_CONFIG}: the class with which its files were saved, or PreTrainedTokenizerFast"


def load_tokenizer(name: str, source: str, gguf: str | None) -> PreTrainedTokenizerBase:
    """Load a fast tokenizer with a padding token, that reads words as the model's files say."""
    try:
        if gguf:
            tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=gguf)
        else:
            tokenizer = _loader(source).from_pretrained(source)
    except Exception as error:
        # transformers raises any kind for a folder that it cannot make a tokenizer of.
        raise InputError(f"model {name!r}: no usable tokenizer ({first_line(error)})") from None
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(f"model {name!r}: only fast tokenizers know which token is of which word")
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise InputError(f"model {name!r}: its tokenizer has no padding and no end token")
        tokenizer.pad_token = tokenizer.eos_token
    try:
        encode_words(tokenizer, [["a"]])
        wrong = "" if gguf else _contradiction(source, tokenizer)
    except Exception as error:
        raise InputError(f"model {name!r}: no usable tokenizer ({first_line(error)})") from None
    if wrong:
        raise InputError(f"model {name!r}: {wrong}")
    return tokenizer


def first_line(error: Exception) -> str:
    """What another library says of an error, without what it adds below."""
    return str(error).strip().split("\n", 1)[0]


def _loader(source: str) -> Any:
    """The class that reads a whole tokenizer as it is, where the config names it, else any class.

    AutoTokenizer puts the class of some types of models over the one that the config names.
    """
    config, whole = _file(source, _CONFIG), _file(source, _WHOLE)
    said = _read(config).get("tokenizer_class") if config and whole else None
    return TokenizersBackend if said in _AS_IT_IS else AutoTokenizer


def _contradiction(source: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Say in which way a tokenizer is not that of the model's files; empty where it is."""
    found, kind = tokenizer.get_vocab(), f"{type(tokenizer).__name__} ({_OF_CLASS})"
    if not set(found.values()) - {*special_token_ids(tokenizer), tokenizer.unk_token_id}:
        return f"{kind} finds no word in the files of the tokenizer; is it the class of these?"
    known: dict[str, int] = {}
    for file in filter(None, (_file(source, each) for each in _VOCABULARIES)):
        for token, place in _entries(file).items():
            if found.get(token) != place:
                read = tokenizer.convert_ids_to_tokens(place)
                return f"token {place} is {token!r} in {file.name}, but {read!r} for {kind}; {_ONE}"
            known[token] = place
    whole = _file(source, _WHOLE)
    if whole is not None:
        saved = _read(whole)
        named = {token["content"] for token in saved.get("added_tokens", [])}
        words = set(dict(saved["model"]["vocab"])) - named
        known |= dict.fromkeys(words | named, 0)
        for token in tokenizer.convert_ids_to_tokens(special_token_ids(tokenizer)):
            if token in words and token.isalpha():
                return f"{_CONFIG} takes {token!r}, a word of {_WHOLE}, for a special token"
        # The one class that takes the file as it is.
        if type(tokenizer) is not TokenizersBackend and (
            difference := _difference(whole, _file(source, _CONFIG), words, tokenizer)
        ):
            return f"{kind} {difference}"
    for place in encode_words(tokenizer, [["a"]])[0].ids:
        used = tokenizer.convert_ids_to_tokens(place)
        if known and used not in known:
            return f"its token {place}, {used!r}, is in no file of the vocabulary; {kind} adds it"
    return ""


def _difference(
    whole: Path, config: Path | None, vocabulary: set[str], tokenizer: PreTrainedTokenizerBase
) -> str:
    """Say of which word a tokenizer makes other tokens than the one saved whole."""
    saved, words = Tokenizer.from_file(str(whole)), _words(vocabulary)
    saved.no_padding()
    saved.no_truncation()
    # A config that says how capitals are read is asked for just that.
    if config is None or "do_lower_case" not in _read(config):
        words += [word.capitalize() for word in words]
    for word, read in zip(words, word_tokens(tokenizer, words), strict=True):
        as_saved = [
            saved.encode([space + word], is_pretokenized=True, add_special_tokens=False).ids
            for space in ("", " ")
        ]
        if read not in as_saved:
            ours, theirs = map(tokenizer.convert_ids_to_tokens, (read, as_saved[0]))
            return f"makes {ours} of {word!r}, and {_WHOLE} {theirs}; {_ONE}"
    return ""


def _words(vocabulary: set[str]) -> list[str]:
    """Some plain words out of a vocabulary, from all over it."""
    words = set()
    for token in vocabulary:
        for mark in _MARKS:
            token = token.replace(mark, "")
        if token.isascii() and token.islower() and token.isalpha():
            words.add(token)
    return sorted(words)[:: max(1, len(words) // _WORDS_TRIED)]


def _file(source: str, name: str) -> Path | None:
    found = cached_file(
        source, name, _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip
    return None if found is None else Path(found)


def _entries(file: Path) -> dict[str, int]:
    """Tokens of a vocabulary's file and their ids."""
    if file.suffix == ".json":
        return _read(file)
    lines = file.read_text(encoding="utf-8").split("\n")
    return {token: place for place, token in enumerate(lines) if token.strip()}


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))
