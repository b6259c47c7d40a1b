"""Words to tokens: every word has at least one, and every token knows its word."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

from plasticity_utils.errors import InputError
from plasticity_utils.models.load import encode_words


def byte_level_tokenizer(add_prefix_space):
    """Without merges: every byte is a token, and nothing goes before a sentence."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<|start|>", *alphabet])}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|start|>")


def test_encoder_words_get_the_usual_special_tokens(tiny_tokenizer):
    tokenizer = tiny_tokenizer(["london", "calls", "rain"])
    row, other = encode_words(tokenizer, [["London", "rains"], ["calls"]])
    assert tokenizer.convert_ids_to_tokens(row.ids) == ["[CLS]", "london", "rain", "##s", "[SEP]"]
    assert row.word_of_token == [-1, 0, 1, 1, -1]
    assert other.word_of_token == [-1, 0, -1]


@pytest.mark.parametrize("sentence", [["\x00", "london"], ["london", "\u200b"], ["\x00"],
                                      ["london", "\x00", "\u200b", "calls", "\x01"]])  # fmt: skip
def test_every_word_has_a_token(sentence, tiny_tokenizer):
    tokenizer = tiny_tokenizer(["london", "calls"])
    (row,) = encode_words(tokenizer, [sentence])
    assert row.word_of_token == [-1, *range(len(sentence)), -1]
    tokens = tokenizer.convert_ids_to_tokens(row.ids)[1:-1]
    assert tokens == [word if word.isalpha() else "[UNK]" for word in sentence]


def test_a_word_spelled_like_a_special_token_is_a_word(tiny_tokenizer):
    (row,) = encode_words(tiny_tokenizer(["london", "[", "]"]), [["[SEP]", "london"]])
    assert row.ids.count(2) == 1
    assert row.word_of_token[1] == 0


@pytest.mark.parametrize("add_prefix_space", [True, False])
def test_decoder_words_start_with_a_space_after_a_start_token(add_prefix_space):
    tokenizer = byte_level_tokenizer(add_prefix_space)
    (row,) = encode_words(tokenizer, [["ab", "c"]])
    assert tokenizer.convert_ids_to_tokens(row.ids) == ["<|start|>", "Ġ", "a", "b", "Ġ", "c"]
    assert row.word_of_token == [-1, 0, 0, 0, 1, 1]


def test_sentences_that_cannot_be_encoded_are_named(tiny_tokenizer):
    tokenizer = tiny_tokenizer(["a"])
    with pytest.raises(InputError, match="sentence 2 has 0 words"):
        encode_words(tokenizer, [["a"], []])
    with pytest.raises(InputError, match="sentence 1, word 2 is empty"):
        encode_words(tokenizer, [["a", ""]])
    with pytest.raises(InputError, match="sentence 2 has 7 tokens; the model reads at most 6"):
        encode_words(tokenizer, [["a"] * 4, ["a"] * 5], max_tokens=6)
    assert encode_words(tokenizer, []) == []


def test_a_piece_spelled_like_a_special_token_stays_a_word():
    backend = Tokenizer(Unigram([("<s>", 0), ("</s>", 0), ("<unk>", 0), ("▁", -1), ("a", -2)], 2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="</s>",
    )  # fmt: skip
    (row,) = encode_words(tokenizer, [["a", "</s>", "<s>"]])
    inside = [i for i, word in zip(row.ids, row.word_of_token, strict=True) if word >= 0]
    assert not set(inside) & {0, 1}
    assert set(row.word_of_token) == {-1, 0, 1, 2}
