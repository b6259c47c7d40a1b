"""Turn words into tokens that remember their words.

Which token belongs to which word? Everything here is labelled, averaged and removed by the word,
while a model reads sub-words and special tokens; so each token carries the index of its word.

Caveat: a decoder parks much of its attention on its first token (Xiao et al. 2024, "Efficient
Streaming Language Models with Attention Sinks"). Were that the first word, removing its neurons
would break the model for reasons that have nothing to do with a concept. So a beginning-of-text
token goes before every sentence, and special tokens are told apart from words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from plasticity_utils.errors import InputError, check_kind, items_of

# How byte-level and sentence-piece tokenizers write the space before a word.
_SPACE_MARKERS = ("Ġ", "▁")
_REPLACEMENT_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_SHOWN = 60
_AT_ONCE = 1000  # sentences: what the tokenizer knows of each token takes a hundred times its id
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Encoded:
    """One sentence as tokens.

    Attributes
    ----------
    ids : list of int
        Token ids, special tokens included.
    word_of_token : list of int
        For each token the index of its word in the sentence, and -1 for a special token.
    """

    ids: list[int]
    word_of_token: list[int]


def encode_words(
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    max_tokens: int | None = None,
) -> list[Encoded]:
    """Turn sentences of words into tokens that know their words.

    Encoders get their usual special tokens; a tokenizer that adds none before a sentence gets its
    beginning-of-text token there. Every word has at least one token: one of which the tokenizer
    makes nothing (a control or zero-width character) becomes the unknown token. A word that is
    spelled like a special token stays a word. InputError for something that is no sentence of
    words, an empty sentence or word, or a sentence of more than `max_tokens` tokens.
    """
    check_kind(tokenizer, PreTrainedTokenizerBase, "tokenizer must be one of load_model")
    sentences = as_sentences(sentences)
    if not sentences:
        return []
    space, opening = _missing_space(tokenizer), _opening_ids(tokenizer)
    stand_in, special = _stand_in_ids(tokenizer), set(special_token_ids(tokenizer))
    encoded = []
    for start in range(0, len(sentences), _AT_ONCE):
        part = sentences[start : start + _AT_ONCE]
        rows = _tokenize(tokenizer, [[space + word for word in own] for own in part]).encodings
        for row, own in zip(rows, part, strict=True):
            tokens = _without_specials(row, special, stand_in)
            encoded.append(_with_every_word(*tokens, len(own), opening, stand_in))
    for number, row in enumerate(encoded, start=1):
        if max_tokens is not None and len(row.ids) > max_tokens:
            raise InputError(
                f"sentence {number} has {len(row.ids)} tokens; the model reads at most {max_tokens}"
            )
    return encoded


def word_tokens(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each word, read alone, without special ones."""
    rows = _tokenize(tokenizer, [[word] for word in words]).encodings
    return [
        [token for token, word in zip(row.ids, row.word_ids, strict=True) if word is not None]
        for row in rows
    ]


def special_token_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the sorted ids that stand for no word, such as [CLS], [SEP] and padding.

    The unknown token stands for a word, unless the tokenizer uses it for something else too. What
    the tokenizer puts around a sentence is special, whether it is named so or not.
    """
    row = _tokenize(tokenizer, [["a"]]).encodings[0]
    around = {token for token, word in zip(row.ids, row.word_ids, strict=True) if word is None}
    others = {
        getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad", "cls", "sep")
    }
    unknown = set() if tokenizer.unk_token_id in others else {tokenizer.unk_token_id}
    return sorted((set(tokenizer.all_special_ids) | around) - unknown)


def as_sentences(sentences: Any) -> list[list[str]]:
    """Read sentences of words from any sequence of sequences of texts, or refuse them."""
    read = items_of(sentences)
    if read is None:
        raise InputError(
            f"sentences must be sequences of words, not {str(sentences)[:_SHOWN]!r}; for one "
            "sentence: [['New', 'York', 'is', 'large']]"
        )
    return [_as_sentence(sentence, number) for number, sentence in enumerate(read, start=1)]


def _as_sentence(sentence: Any, number: int) -> list[str]:
    words = items_of(sentence)
    if words is None:
        raise InputError(
            f"sentence {number} is {str(sentence)[:_SHOWN]!r}; needed: its words, one by one, as "
            "in ['New', 'York']"
        )
    if not words:
        raise InputError(f"sentence {number} has 0 words; at least 1 is needed")
    for place, word in enumerate(words, start=1):
        if not isinstance(word, str):
            raise InputError(
                f"sentence {number}, word {place} is {str(word)[:_SHOWN]!r}, which is no text"
            )
        if not word:
            raise InputError(f"sentence {number}, word {place} is empty; leave empty words out")
        if not word.isascii() and _SURROGATE.search(word):
            raise InputError(
                f"sentence {number}, word {place} is {word[:_SHOWN]!a}: half a character, which no "
                "text has"
            )
    return words


def _without_specials(
    row: Any, special: set[int], stand_in: list[int]
) -> tuple[list[int], list[int | None]]:
    """Replace special tokens within words: some vocabularies have `<s>` among their pieces."""
    ids: list[int] = []
    word_ids: list[int | None] = []
    for token, word in zip(row.ids, row.word_ids, strict=True):
        kept = [token] if word is None or token not in special else stand_in
        ids += kept
        word_ids += [word] * len(kept)
    return ids, word_ids


def _tokenize(tokenizer: PreTrainedTokenizerBase, sentences: list[list[str]]) -> Any:
    # split_special_tokens: a word "[SEP]" in a text must not become the separator itself.
    # Lengths are checked by encode_words, so the tokenizer's own warning is switched off.
    return tokenizer(
        sentences, is_split_into_words=True, split_special_tokens=True, truncation=False,
        padding=False, verbose=False,
    )  # fmt: skip


def _missing_space(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the space to put before a word where the tokenizer marks word starts but adds none."""

    def is_marked(word: str) -> bool:
        row = _tokenize(tokenizer, [[word]]).encodings[0]
        start = next(
            (t for t, w in zip(row.tokens, row.word_ids, strict=True) if w is not None), ""
        )
        return start.startswith(_SPACE_MARKERS)

    return " " if not is_marked("a") and is_marked(" a") else ""


def _opening_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    if _tokenize(tokenizer, [["a"]]).encodings[0].word_ids[0] is None:
        return []
    for token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token_id is not None:
            return [token_id]
    raise InputError("the tokenizer has no token for the beginning of a text (bos_token)")


def _stand_in_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    unknown = tokenizer.unk_token_id
    if unknown is not None and unknown not in special_token_ids(tokenizer):
        return [unknown]
    return word_tokens(tokenizer, [_REPLACEMENT_CHARACTER])[0]


def _with_every_word(
    ids: list[int],
    word_ids: list[int | None],
    n_words: int,
    opening: list[int],
    stand_in: list[int],
) -> Encoded:
    new_ids, words = list(opening), [-1] * len(opening)
    expected = 0
    # A closing special token comes after every word, so it is met as word n_words.
    for position, (token, word) in enumerate(zip(ids, word_ids, strict=True)):
        reached = word
        if word is None:
            reached = 0 if position == 0 else n_words
        while reached is not None and expected < reached:
            new_ids += stand_in
            words += [expected] * len(stand_in)
            expected += 1
        new_ids.append(token)
        words.append(-1 if word is None else word)
        if word is not None:
            expected = word + 1
    for missing in range(expected, n_words):
        new_ids += stand_in
        words += [missing] * len(stand_in)
    return Encoded(new_ids, words)
