"""A tokenizer is the one that the model's files hold, or they are refused."""

import json

import pytest
from tokenizers import normalizers

from plasticity_utils.errors import InputError
from plasticity_utils.models.load import encode_words, load_model

# What each change makes of a folder whose tokenizer.json holds word pieces in lower case.
OTHER_TOKENIZERS = {
    "class": (
        {"tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer"}},
        "RobertaTokenizer .the class in tokenizer_config.json.* makes .* of 'berlin', and",
    ),
    "vocabulary": ({"vocab.txt": "[PAD]\nparis\n"}, r"token 1 is 'paris' in vocab\.txt, but"),
    "other vocabulary": ({"vocab.json": {"paris": 0}}, r"token 0 is 'paris' in vocab\.json"),
    "no whole one": (
        {
            "tokenizer.json": None, "vocab.txt": "[PAD]\n[UNK]\nparis\n",
            "tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer"},
        },
        "RobertaTokenizer .* finds no word in the files",
    ),
    "lost special": (
        {
            "tokenizer.json": None, "vocab.txt": "[PAD]\n[SEP]\n[UNK]\nparis\n",
            "tokenizer_config.json": {"tokenizer_class": "BertTokenizer"},
        },
        r"its token 4, '\[CLS\]', is in no file of the vocabulary; BertTokenizer",
    ),
    "a word": (
        {"tokenizer_config.json": {"pad_token": "[PAD]", "sep_token": "london"}},
        "takes 'london', a word of tokenizer.json, for a special token",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER_TOKENIZERS)
def test_a_tokenizer_whose_files_contradict_each_other_is_refused(case, tiny_folder):
    files, message = OTHER_TOKENIZERS[case]
    for name, content in files.items():
        file = tiny_folder / name
        if content is None:
            file.unlink()
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=message):
        load_model(str(tiny_folder))


def test_capitals_are_read_as_the_whole_tokenizer_reads_them_or_as_is_said(
    tiny_folder, tiny_tokenizer
):
    cased = tiny_tokenizer(["london", "London"])
    cased.backend_tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    cased.save_pretrained(tiny_folder)
    _, tokenizer = load_model(str(tiny_folder), device="cpu")
    assert encode_words(tokenizer, [["London"]])[0].ids == [1, 6, 2]
    config = tiny_folder / "tokenizer_config.json"
    # Of itself this class reads everything in lower case.
    config.write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    with pytest.raises(InputError, match=r"makes \['london'\] of 'London', and tokenizer.json"):
        load_model(str(tiny_folder))
    for lower, read in ((True, 5), (False, 6)):
        said = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower}
        config.write_text(json.dumps(said))
        _, tokenizer = load_model(str(tiny_folder), device="cpu")
        assert encode_words(tokenizer, [["London"]])[0].ids == [1, read, 2]


def test_what_stands_around_a_sentence_is_special_whether_named_so_or_not(tiny_folder):
    config = tiny_folder / "tokenizer_config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps({key: said[key] for key in ("pad_token", "tokenizer_class")}))
    model, _ = load_model(str(tiny_folder), device="cpu")
    assert model.config.special_token_ids == [0, 1, 2]


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_a_tokenizer_saved_whole_is_read_as_it_is_beside_any_model(
    family, tmp_path, tiny_model, tiny_tokenizer
):
    # transformers has a class of its own for some types, whatever their folder names.
    saved = tiny_tokenizer(["london"])
    tiny_model(family).save_pretrained(tmp_path)
    saved.save_pretrained(tmp_path)
    _, tokenizer = load_model(str(tmp_path), device="cpu")
    assert encode_words(tokenizer, [["london", "x"]]) == encode_words(saved, [["london", "x"]])
