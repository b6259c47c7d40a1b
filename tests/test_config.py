import dataclasses
import json
import math
import types
from datetime import date
from decimal import Decimal
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.presets import LARGE_DOSES, REGIMES, SCALES, SURGICAL_DOSES
from plasticity_utils.experiment.run_names import run_name, variant


def checked(kind=RunConfig, **values):
    """Settings whose kinds no type checker has looked at first, as outside of tests."""
    config = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(config, field.name, values.get(field.name, field.default))
    config.__post_init__()
    return config


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"concept": "cheeses"},
            "unknown concept 'cheeses'; allowed: locations, persons, organisations, miscellaneous",
        ),
        ({"tags": "nope", "concept": "NN"}, "no tags 'nope'; allowed: pos, chunk, entity"),
        ({"corpus": "no/such"}, "no corpus at 'no/such'; allowed: 'conll2003', 'wnut16', a f"),
        ({"corpus": "~no-such-user/x"}, "corpus '~no-such-user/x' is no path: Could not determine"),
        ({"corpus": "x" * 300}, "is no path: File name too long"),
        ({"tags": "chunk", "concept": "NN"}, r"unknown concept 'NN'.*NP \(124032 words\), VP"),
        ({"scale": "huge"}, "unknown scale 'huge'; allowed: smoke, quick, medium, full"),
        ({"regime": "gentle"}, "unknown regime 'gentle'; allowed: surgical, half, erase"),
        ({"ranking": "magic"}, "unknown ranking 'magic'; allowed: probeless, selectivity, probe"),
        ({"rest": "median"}, "unknown rest 'median'; allowed: mean, zero"),
        ({"positions": "some"}, "unknown positions 'some'; allowed: words, all"),
        ({"removal": "magic"}, "unknown removal 'magic'; allowed: gate, layernorm, leace, mean_"),
        (
            {"removal": "no/such.py:Mine"},
            "removal 'no/such.py:Mine': there is no file 'no/such.py'",
        ),
        (
            {"protocols": "head, nap"},
            "unknown protocol 'nap'; allowed: targeted, random, none, head",
        ),
        ({"protocols": "head,head"}, "protocols 'head,head'; each must be there once"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"dose": 0.0}, "dose must be a fraction between 0 and 1, not 0.0"),
        ({"dose": 1.0}, "dose must be a fraction between 0 and 1, not 1.0"),
        ({"dose": 5.0}, "dose must be a fraction between 0 and 1, not 5.0"),
        ({"dose": -0.1}, "dose must be a fraction between 0 and 1, not -0.1"),
        ({"dose": math.nan}, "dose must be a fraction between 0 and 1, not nan"),
        ({"concpet": "locations"}, "unknown parameter 'concpet'; allowed: concept, model, scale"),
        ({"model": "no-such-model"}, "'no-such-model'.* allowed: minilm, smollm2, e5, a local"),
        ({"model": "/no/such/folder"}, "no model folder '/no/such/folder'; allowed: minilm"),
        ({"model": ""}, "no model folder ''; allowed: minilm"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(parameters, message):
    with pytest.raises(InputError, match=message) as error:
        RunConfig.from_parameters(parameters)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"seed": 1.0}, "seed must be a whole number of at least 0, not 1.0"),
        ({"seed": True}, "seed must be a whole number of at least 0, not True"),
        ({"seed": "0"}, "seed must be a whole number of at least 0, not '0'"),
        ({"dose": 0}, "dose must be a fraction between 0 and 1, not 0"),
        ({"dose": True}, "dose must be a fraction between 0 and 1, not True"),
        ({"dose": "half"}, "dose must be a fraction between 0 and 1, not 'half'"),
        ({"regrow": 1}, "regrow must be True or False, not 1"),
        ({"concept": 5}, "concept.* 5"),
        ({"scale": 5}, "scale.* 5"),
        ({"regime": 5}, "regime.* 5"),
        ({"learning_rate": 2.0}, "learning_rate must be between 0 and 1, not 2.0"),
        ({"train_sentences": 0}, "train_sentences must be a whole number of at least 1, not 0"),
        ({"batch_tokens": 1.5}, "batch_tokens must be a whole number of at least 1, not 1.5"),
        ({"corpus": 5}, "corpus must be a text, not 5"),
        ({"removal": 5}, "removal.* 5"),
        ({"protocols": ["head"]}, r"protocols.* \['head'\]"),
        ({"model": 5}, "model.* 5"),
        ({"results_dir": 5}, "results_dir.* 5"),
        ({"concept": ["locations"]}, r"concept.* \['locations'\]"),
        ({"model": ["minilm"]}, r"model.* \['minilm'\]"),
        ({"scale": ["quick"]}, r"scale.* \['quick'\]"),
    ],
)
def test_a_value_of_another_kind_is_named_too(parameters, message):
    with pytest.raises(InputError, match=message):
        checked(**parameters)


def test_numbers_of_numpy_are_taken_and_kept_as_pythons():
    own = checked(
        seed=np.int64(3), epochs=np.int32(4), draws=np.uint8(5),
        dose=np.float32(0.5), learning_rate=np.float32(0.25),
    )  # fmt: skip
    assert own == RunConfig(seed=3, epochs=4, draws=5, dose=0.5, learning_rate=0.25)
    assert '"seed": 3' in json.dumps(own.settings())


def test_a_model_folder_without_weights_is_refused_at_once(tiny_folder):
    assert RunConfig(model=str(tiny_folder)).model == str(tiny_folder)
    (tiny_folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"tiny' has no weights: no model\.safetensors"):
        RunConfig(model=str(tiny_folder))


def test_the_defaults_are_those_of_the_method():
    config = RunConfig()
    assert (config.concept, config.model, config.scale, config.seed) == (
        "locations", "minilm", "quick", 0,
    )  # fmt: skip
    assert config.regime == "surgical"
    assert not config.regrow
    assert config.label == "LOC"
    assert (
        tuple(percent / 100 for percent in (0.1, 0.25, 0.5, 0.75, 1, 2, 3, 4, 5, 7.5, 10, 15))
        == SURGICAL_DOSES
    )
    assert max(LARGE_DOSES) == 0.5


def test_the_regimes_are_those_of_the_method():
    surgical, half = RunConfig().preset, RunConfig(regime="half").preset
    assert (surgical.ranking, surgical.rest, surgical.positions, surgical.dose) == (
        "selectivity", "mean", "words", None,
    )  # fmt: skip
    assert (half.ranking, half.rest, half.positions, half.dose) == ("probeless", "zero", "all", 0.5)


def test_what_is_given_overrides_the_regime():
    removal = RunConfig(ranking="iou", rest="zero", positions="all", dose=0.25).preset
    assert (removal.ranking, removal.rest, removal.positions, removal.dose) == (
        "iou", "zero", "all", 0.25,
    )  # fmt: skip
    assert REGIMES["surgical"].ranking == "selectivity"


def test_scales_hold_what_the_method_asks():
    assert SCALES["smoke"].train == 200
    assert SCALES["quick"].train <= 2500
    full = SCALES["full"]
    assert full.train is full.scoring is full.validation is None
    assert full.draws >= 10
    assert SCALES["quick"].draws >= 10
    assert full.snapshots == (0, 0.125, 0.25, 0.5, 1)
    for scale in SCALES.values():
        assert scale.snapshots[0] == 0
        assert scale.snapshots[-1] == scale.retrain_epochs
        assert list(scale.snapshots) == sorted(set(scale.snapshots))


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunConfig(results_dir="~/results").results == tmp_path / "results"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("~no-such-user/runs", "is no path"),
        ("a\0b", "is no path: a NUL byte"),
        ("x" * 5000, "is no path: File name too long"),
        ("s3://bucket/runs", "is an address; allowed: a folder"),
    ],
)
def test_a_results_folder_that_no_file_system_has_is_refused(value, said):
    with pytest.raises(InputError, match=f"results_dir .* {said}"):
        RunConfig(results_dir=value)


def test_results_are_kept_where_one_says(tmp_path):
    assert RunConfig(results_dir=str(tmp_path)).results == tmp_path
    assert RunConfig().results.name == "runs"
    assert (RunConfig().results.parent / "plasticity_utils").is_dir()


# Notebooks


def test_a_notebooks_parameters_are_its_data():
    namespace = {
        "concept": "persons",
        "seed": 3,
        "scale": "smoke",
        "results_dir": "",
        "dose": None,
        # What else a notebook holds by then, run before perhaps.
        "math": math,
        "RunConfig": RunConfig,
        "CARDS": ("a", "b"),
        "print_all": lambda: None,
        "config": RunConfig(),
        "In": ["concept = 'persons'"],
        "Out": {},
        "_i1": "concept = 'persons'",
        "_home": {"concept": "persons"},
        "__name__": "__main__",
        "pu": types.ModuleType("pu"),
    }
    config = RunConfig.from_notebook(namespace)
    assert config == RunConfig(concept="persons", seed=3, scale="smoke")
    assert RunConfig.from_notebook({**namespace, "seed": 4}).seed == 4


ANYTHING = [
    "locations", 3, 0.5, True, None, ["persons"], ("a",), {"a": 1}, {1}, b"x", 1j, range(3),
    np.int64(3), np.float32(0.1), np.True_, np.array([1, 2]), Path("/data"), Decimal("0.1"),
    date(2024, 1, 1), pd.Series([1]), pd.DataFrame({"a": [1]}), object(),
]  # fmt: skip


@pytest.mark.parametrize("value", ANYTHING, ids=lambda value: type(value).__name__)
def test_a_notebooks_unknown_name_is_an_error_whatever_its_value(value):
    with pytest.raises(InputError, match="unknown parameter 'concpet'; allowed: concept, model"):
        RunConfig.from_notebook({"concept": "locations", "concpet": value})


@pytest.mark.parametrize("name", ["Concept", "SEED"])
def test_a_setting_in_other_letters_is_an_error(name):
    with pytest.raises(InputError, match=f"unknown parameter '{name}'"):
        RunConfig.from_notebook({name: "persons"})


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.one_of(
    plain,
    st.lists(plain, max_size=2),
    st.dictionaries(st.text(max_size=2), plain, max_size=2),
    st.integers(0, 9).map(np.int64),
    st.floats(0, 1, width=32).map(np.float32),
    st.booleans().map(np.bool_),
    st.text(max_size=3).map(PurePosixPath),
    st.sampled_from(ANYTHING),
)


names = st.sampled_from([field.name for field in dataclasses.fields(RunConfig)])


@settings(max_examples=60, deadline=None)
@given(name=names, value=anything)
def test_a_setting_is_what_the_notebook_says_or_one_line(name, value):
    said = ""
    try:
        kept = getattr(checked(**{name: value}), name)
        assert kept == value
        assert isinstance(kept, str | int | float | None)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 1000


def test_a_seed_that_no_library_can_draw_with_is_refused():
    assert RunConfig(seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(InputError, match="seed must be below 4294967296, not 4294967296"):
        RunConfig(seed=2**32)


def test_epochs_and_restarts_of_the_papers_protocol():
    paper = RunConfig(regime="half", removal="layernorm", epochs=8, restarts=4)
    assert paper.retrain_epochs == 8
    assert paper.snapshots == (0, 0.125, 0.25, 0.5, 1, 2, 4, 6, 8)
    assert RunConfig(scale="full").snapshots == SCALES["full"].snapshots
    assert RunConfig(epochs=3).snapshots == (0, 0.125, 0.25, 0.5, 1, 2, 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"restarts": True}, "restarts must be .* not True"),
        ({"epochs": 8, "restarts": 3}, "8 epochs cannot be cut into 3"),
        ({"rest": "layernorm"}, "unknown rest 'layernorm'; allowed: mean, zero"),
    ],
)
def test_wrong_lengths_of_retraining_are_named(values, said):
    with pytest.raises(InputError, match=said):
        RunConfig(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"indicator": "colour"}, "unknown indicator 'colour'; allowed: concept, bio, types, outs"),
        ({"rest": "zero"}, "removal 'leace' has no rest, so rest cannot be 'zero'; allowed: None"),
        ({"dose": 0.1}, "removal 'leace' has no dose, so dose cannot be 0.1; allowed: None"),
        ({"regrow": True}, "removal 'leace' has no regrow, so regrow cannot be True"),
        (
            {"regime": "half", "indicator": "bio"},
            "removal 'gate' has no indicator, so indicator cannot be 'bio'; allowed: 'concept'",
        ),
        ({"regime": "half", "removal": "layernorm", "rest": "mean"}, "'layernorm' has no rest"),
    ],
)
def test_settings_that_the_removal_does_not_have_are_named(values, said):
    with pytest.raises(InputError, match=said):
        RunConfig(**{"regime": "erase", **values})


def test_beside_erasing_the_surgical_curve_is_drawn():
    assert RunConfig(regime="erase", indicator="bio").curve == RunConfig().curve


def test_settings_of_ones_own_stand_over_those_of_the_scale():
    usual, own = RunConfig(), RunConfig(train_sentences=70, base_epochs=9, learning_rate=1e-3)
    assert (own.sizes.train, own.sizes.base_epochs, own.rate) == (70, 9, 1e-3)
    assert dataclasses.replace(own.sizes, train=1800, base_epochs=5) == usual.sizes
    assert usual.rate == 2e-4
    assert "train_sentences" not in usual.settings()
    assert own.settings()["train_sentences"] == 70


def test_a_protocol_says_whether_anything_below_the_head_trains():
    assert RunConfig().only_reading == ["head"]
    assert RunConfig(protocols="targeted, bias, last_block, head").only_reading == ["bias", "head"]


def test_what_a_removal_alone_knows_is_set_by_its_name():
    config = RunConfig(removal="npo", removal_settings="beta=0.5, learning_rate=1e-4")
    assert config.chosen.settings == {"beta": 0.5, "learning_rate": 1e-4}
    made = config.chosen.make(0.1)
    assert (made.beta, made.learning_rate) == (0.5, 1e-4)
    assert config.chosen.key() != RunConfig(removal="npo").chosen.key()
    assert "beta=0.5-learning_rate=1e-4" in run_name(config)
    assert variant(config).endswith("removal_settings=beta=0.5, learning_rate=1e-4")
    assert "removal_settings" not in RunConfig(removal="npo").settings()


@pytest.mark.parametrize(
    ("removal", "settings", "said"),
    [
        ("npo", "gamma=1", "removal 'npo' has no setting 'gamma' of its own; allowed: learning_r"),
        ("leace", "indicator=bio", "'leace' has no setting 'indicator' of its own; allowed: none"),
        ("npo", "beta", "removal_settings 'beta': 'beta' is there twice, or no NAME=VALUE"),
        ("npo", "beta=1, beta=2", "'beta=2' is there twice"),
    ],
)
def test_a_setting_that_the_removal_does_not_know_is_named(removal, settings, said):
    with pytest.raises(InputError, match=said):
        RunConfig(removal=removal, removal_settings=settings)


def test_settings_of_a_removal_are_a_text(as_for_users):
    with pytest.raises(InputError, match=r"removal_settings must be a text, not 0\.5"):
        RunConfig(removal="npo", removal_settings=0.5)


def test_a_text_where_the_removal_needs_a_number_is_named_before_any_training():
    config = RunConfig(removal="rmu", removal_settings="alpha=much")
    with pytest.raises(InputError, match="removal 'rmu': alpha must be a number, not 'much'"):
        config.chosen.make(0.1)
