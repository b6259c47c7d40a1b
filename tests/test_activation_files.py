import json

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from neurox.data.loader import load_activations as neurox_load
from neurox.data.writer import ActivationsWriter

from plasticity_utils.errors import InputError
from plasticity_utils.neurons.neurox_files import load_activations, save_activations

# The same sentence three times, NeuroX's own mark as text, an accent, a dropped word.
SENTENCES = [
    ["In", "Genève", "."],
    ["Yes"],
    ["Yes"],
    ["Yes", "(Occurrence", "2)"],
    ["Yes"],
    ["a", "", "b/c"],
    *[["word", str(i)] for i in range(8)],
]
N_WORDS = sum(map(len, SENTENCES))
N_LAYERS, D_MODEL = 3, 4
SUFFIXES = ["json", "hdf5"]


def some_activations(seed=0):
    X = np.random.default_rng(seed).normal(size=(N_WORDS, N_LAYERS * D_MODEL))
    X[0, 0] = 5800  # some units of real models are that large
    return X.astype(np.float32)


@pytest.fixture(params=SUFFIXES)
def written(request, tmp_path):
    path = tmp_path / f"activations.{request.param}"
    save_activations(path, some_activations(), SENTENCES, N_LAYERS)
    return path


def test_round_trip(written):
    X, sentences, n_layers = load_activations(written)
    assert X.dtype == np.float32
    np.testing.assert_allclose(X, some_activations(), rtol=0, atol=2e-8)
    assert sentences == SENTENCES
    assert n_layers == N_LAYERS


def test_hdf5_is_exact(tmp_path):
    save_activations(tmp_path / "a.hdf5", some_activations(), SENTENCES, N_LAYERS)
    np.testing.assert_array_equal(load_activations(tmp_path / "a.hdf5").X, some_activations())


def test_neurox_reads_what_we_write(written):
    by_sentence, n_layers = neurox_load(str(written))
    assert n_layers == N_LAYERS
    assert [len(values) for values in by_sentence] == [len(words) for words in SENTENCES]
    np.testing.assert_allclose(np.concatenate(by_sentence), some_activations(), atol=2e-8)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_we_read_what_neurox_writes(tmp_path, suffix):
    path = tmp_path / f"theirs.{suffix}"
    X = some_activations()
    writer = ActivationsWriter.get_writer(str(path))
    start = 0
    for number, words in enumerate(SENTENCES):
        rows = X[start : start + len(words)].reshape(len(words), N_LAYERS, D_MODEL)
        writer.write_activations(number, words, rows.transpose(1, 0, 2))
        start += len(words)
    writer.close()
    ours = load_activations(path)
    np.testing.assert_allclose(ours.X, X, atol=2e-8)
    assert (ours.sentences, ours.n_layers) == (SENTENCES, N_LAYERS)


def test_nothing_is_printed_and_no_warning_is_left(written, capfd, recwarn):
    load_activations(written)
    assert capfd.readouterr() == ("", "")
    assert len(recwarn) == 0


def test_writing_is_whole_or_not_at_all(written, monkeypatch):
    before = written.read_bytes()
    klass = type(ActivationsWriter.get_writer(str(written)))

    def killed(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(klass, "close", killed)
    with pytest.raises(KeyboardInterrupt):
        save_activations(written, some_activations(seed=1), SENTENCES, N_LAYERS)
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


def test_a_truncated_file_is_named(written):
    whole = written.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        written.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=written.name):
            load_activations(written)


def test_damage_in_json_is_named_by_line(tmp_path):
    path = tmp_path / "a.json"
    save_activations(path, some_activations(), SENTENCES, N_LAYERS)
    lines = path.read_text().splitlines()
    narrow = json.loads(lines[1])
    narrow["features"][0]["layers"][2]["values"].pop()
    for damaged in (
        "{",
        "[]",
        "3",
        '{"features": []}',
        '{"features": [{"token": "a"}]}',
        "",
        json.dumps(narrow),
    ):
        path.write_text("\n".join([lines[0], damaged, *lines[2:]]) + "\n")
        with pytest.raises(InputError, match=r"a\.json: line 2"):
            load_activations(path)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e300"])
def test_json_values_that_are_not_finite_are_named_by_word(tmp_path, value):
    path = tmp_path / "a.json"
    save_activations(path, some_activations(), SENTENCES, N_LAYERS)
    lines = path.read_text().splitlines()
    sentence = json.loads(lines[0])
    sentence["features"][1]["layers"][0]["values"][0] = float(value)
    path.write_text("\n".join([json.dumps(sentence), *lines[1:]]) + "\n")
    with pytest.raises(InputError, match="sentence 0, word 1 \\('Genève'\\)"):
        load_activations(path)


def test_damage_in_hdf5_is_named_by_sentence(tmp_path):
    path = tmp_path / "a.hdf5"

    def after(change):
        save_activations(path, some_activations(), SENTENCES, N_LAYERS)
        with h5py.File(path, "r+") as file:
            change(file)
        return pytest.raises(InputError, match=r"a\.hdf5: sentence 2\b")

    def without(file):
        del file["2"]

    def of_shape(*shape):
        def change(file):
            del file["2"]
            file["2"] = np.zeros(shape, dtype=np.float32)

        return change

    def not_finite(file):
        file["2"][1, 0, 1] = np.nan

    for change in (without, of_shape(3, 4), of_shape(2, 1, 4), of_shape(3, 2, 4), not_finite):
        with after(change):
            load_activations(path)


def test_hdf5_without_a_sentence_map_is_named(tmp_path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["0"] = np.zeros((3, 1, 4))
    with pytest.raises(InputError, match=r"a\.hdf5: not an activation file"):
        load_activations(path)


def test_missing_file_and_wrong_suffix(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_activations(tmp_path / "none.json")
    (tmp_path / "a.h5").write_bytes(b"x")
    with pytest.raises(InputError, match=r"\.json or \.hdf5"):
        load_activations(tmp_path / "a.h5")


def test_what_cannot_be_saved_is_named_and_leaves_nothing(tmp_path):
    X = some_activations()
    bad = X.copy()
    bad[2, 5] = np.inf
    wrong = [
        ("a.npy", X, SENTENCES, N_LAYERS, "json or .hdf5"),
        ("none/a.json", X, SENTENCES, N_LAYERS, "no such folder"),
        ("a.json", X[:-1], SENTENCES, N_LAYERS, f"{N_WORDS - 1} rows .* {N_WORDS} words"),
        ("a.json", X[:0], [], N_LAYERS, "0 words"),
        ("a.json", X, [[], *SENTENCES], N_LAYERS, "sentence 0 has no words"),
        ("a.json", X, SENTENCES, 5, "12 neurons .* 5 layers"),
        ("a.json", X, SENTENCES, 0, "0 layers"),
        ("a.json", bad, SENTENCES, N_LAYERS, "word 2, neuron 5"),
        ("a.json", X, [["New York", "x", "y"], *SENTENCES[1:]], N_LAYERS, "'New York'"),
    ]
    for name, activations, sentences, n_layers, message in wrong:
        with pytest.raises(InputError, match=message):
            save_activations(tmp_path / name, activations, sentences, n_layers)
    assert list(tmp_path.iterdir()) == []


def _line(*layers):
    return json.dumps({"features": [{"token": "a", "layers": list(layers)}]}) + "\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"features": [{"token": "é"}]}\n'.encode("latin-1"), "line 1: not UTF-8 text"),
        (_line({"index": 0, "values": [1]}).encode("utf-16"), "line 1: not UTF-8 text"),
        (b"[1]\n", "line 1: not a sentence as NeuroX writes it"),
        (b"null\n", "line 1: not a sentence as NeuroX writes it"),
        (b'{"features": {"a": 1}}\n', "line 1: not a sentence as NeuroX writes it"),
        (b'{"features": [{"token": 5, "layers": []}]}\n', r"cut off \(a token is no text"),
        (_line({"index": 0, "values": "ab"}).encode(), "could not convert string to float"),
        (_line({"index": 0, "values": [[1], [2]]}).encode(), "are no row of numbers"),
        (_line({"index": 0, "values": [10**400]}).encode(), "int too large to convert to float"),
        (
            _line({"index": 1, "values": [1, 2]}, {"index": 0, "values": [3, 4]}).encode(),
            r"its layers are not in order: \[1, 0\]",
        ),
    ],
)
def test_a_json_file_of_another_kind_is_named_with_its_line(content, said, tmp_path):
    path = tmp_path / "damaged.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"damaged\.json: .*{said}"):
        load_activations(path)


@pytest.mark.parametrize("index", [["a"], 5, None, {"a": 0}, {"a": {"b": 1}}, {"a": "group"}])
def test_an_hdf5_file_of_another_kind_is_named(index, tmp_path):
    path = tmp_path / "other.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("0", data=np.ones((3, 1, 4), "f4"))
        file.create_group("group")
        kind = h5py.special_dtype(vlen=str)
        file.create_dataset("sentence_to_index", (1,), dtype=kind)[0] = json.dumps(index)
    with pytest.raises(InputError, match=r"other\.hdf5: "):
        load_activations(path)


@pytest.mark.parametrize("data", [np.ones((1, 1, 2), complex), np.array([[[b"x"]]])])
def test_an_hdf5_file_of_no_real_numbers_is_named(data, tmp_path):
    path = tmp_path / "other.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("0", data=data)
        kind = h5py.special_dtype(vlen=str)
        file.create_dataset("sentence_to_index", (1,), dtype=kind)[0] = json.dumps({"a": "0"})
    with pytest.raises(InputError, match=r"other\.hdf5: sentence 0 holds .* no real numbers"):
        load_activations(path)


@pytest.mark.parametrize("suffix", [".json", ".hdf5"])
def test_activations_are_saved_from_any_array_and_sentences_from_any_sequences(suffix, tmp_path):
    path = tmp_path / f"kept{suffix}"
    for X in ([[1.0, 2.0]], pd.DataFrame([[1, 2]]), torch.tensor([[1.0, 2.0]])):
        save_activations(path, X, (("a",),), 2)
        assert load_activations(path).X.tolist() == [[1.0, 2.0]]
    for sentences, said in (
        ("a", "sequences of words"),
        (["a"], "needed: its words"),
        ([[5]], "no text"),
    ):
        with pytest.raises(InputError, match=said):
            save_activations(path, [[1.0, 2.0]], sentences, 2)
    with pytest.raises(InputError, match="n_layers must be a whole number, not True"):
        save_activations(path, [[1.0, 2.0]], [["a"]], True)
    with pytest.raises(InputError, match="too large for 32 bits"):
        save_activations(path, [[1e300, 2.0]], [["a"]], 2)
