"""The page of a sentence: what is kept for it, and what it says where something lacks."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from plasticity_utils.book.sentence import ARRAYS, MODEL, SETTINGS, TABLE, TAGS, VOCABULARY

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "book" / "sentence"
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import sentence  # noqa: E402

MOST_BYTES = 25e6


@pytest.fixture
def app(tmp_path):
    """As much of Sphinx as the extension asks for; nothing has been fetched."""
    html = SimpleNamespace(format="html")
    return SimpleNamespace(srcdir=ROOT, outdir=tmp_path, builder=html)


def filled(app):
    source = [f"before {sentence.MARK} after"]
    sentence.fill(app, sentence.PAGE, source)
    return source[0]


def test_the_form_stands_on_the_page_where_all_is_there(app):
    folder = sentence.target_of(app)
    folder.mkdir(parents=True)
    for name in sentence.TAKEN.values():
        (folder / name).write_bytes(b"made up")
    assert 'id="sentence-page"' in filled(app)
    sentence.copy_ours(app, None)
    names = {*sentence.OURS, *sentence.TAKEN.values(), sentence.FORM}
    assert {path.name for path in folder.iterdir()} == names
    # A neuron's card puts the same form where it stands.
    script = (folder / sentence.FORM).read_text(encoding="utf-8")
    text = script[script.index('"') : script.rindex('"') + 1]
    assert json.loads(text) == (FOLDER / "form.html").read_text(encoding="utf-8")


def test_without_npm_the_page_says_so(app, monkeypatch):
    monkeypatch.setattr(sentence.shutil, "which", lambda name: None)
    assert "npm was not there" in filled(app)
    sentence.copy_ours(app, None)
    assert not sentence.target_of(app).exists()


def test_what_was_fetched_must_be_the_file_that_is_known(app, monkeypatch):
    def packs(command, **options):
        folder = Path(command[command.index("--pack-destination") + 1])
        (folder / "made-up.tgz").write_bytes(b"something else")
        said = json.dumps([{"filename": "made-up.tgz"}])
        return SimpleNamespace(returncode=0, stdout=said)

    monkeypatch.setattr(sentence.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(sentence.subprocess, "run", packs)
    with pytest.raises(ValueError, match="checksum"):
        sentence.runtime()
    assert "could not be fetched" in filled(app)


def test_without_a_model_the_page_says_how_one_is_made(app, tmp_path):
    (tmp_path / "book" / "sentence").mkdir(parents=True)
    form = FOLDER / "form.html"
    (tmp_path / "book" / "sentence" / "form.html").write_bytes(form.read_bytes())
    app.srcdir = tmp_path
    assert "plasticity sentence" in filled(app)


def test_another_page_and_another_format_are_left_alone(app):
    source = [sentence.MARK]
    sentence.fill(app, "book/method", source)
    app.builder.format = "latex"
    sentence.fill(app, sentence.PAGE, source)
    assert source == [sentence.MARK]


def test_the_model_is_small_and_its_arrays_are_whole():
    facts = json.loads((FOLDER / SETTINGS).read_text(encoding="utf-8"))
    arrays, settings = load_file(FOLDER / ARRAYS), facts["settings"]
    shape = (facts["layers"], facts["units"])
    assert arrays["rest"].shape == arrays["deviation"].shape == shape
    assert arrays["weight"].shape == (len(settings), len(facts["tags"]), facts["units"])
    assert len(arrays["left"]) == len(facts["concepts"])
    assert sum((FOLDER / name).stat().st_size for name in sentence.OURS) < MOST_BYTES
    n_neurons = shape[0] * shape[1]
    for setting in settings:
        assert len(setting["neurons"]) == (round(setting["dose"] * n_neurons))
    lines = (FOLDER / VOCABULARY).read_text(encoding="utf-8").split("\n")
    assert [lines[facts["tokens"][role]] for role in ("cls", "sep")] == ["[CLS]", "[SEP]"]
    assert (FOLDER / MODEL).is_file()


def test_eight_bits_change_few_tags():
    table = pd.read_csv(FOLDER / TABLE)
    for column in ("Same tag", "Lowest"):
        same = table[column].str.removesuffix("\N{NO-BREAK SPACE}%").astype(float)
        assert (same >= 99.5).all(), column
    with np.load(FOLDER / TAGS) as kept:
        assert len({len(kept[name]) for name in kept.files}) == 1
