import json

import h5py
import numpy as np
import pytest
from neurox.data.loader import load_activations as neurox_load
from neurox.data.writer import ActivationsWriter

from plasticity_utils.errors import InputError
from plasticity_utils.models.neurox_files import load_activations, save_activations

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
