"""The registries, and what somebody else put in: a run, its tables and its charts know it."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import plasticity_utils as pu
from plasticity_utils import InputError, registry
from plasticity_utils.analysis import answers, rules
from plasticity_utils.analysis.readers import by_reader
from plasticity_utils.analysis.reading import read_anew
from plasticity_utils.book import banner
from plasticity_utils.charts import f1_through_retraining
from plasticity_utils.experiment.presets import ChosenRemoval
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.replay import model_at
from plasticity_utils.experiment.run import run_experiment
from plasticity_utils.removal.interface import Intervention, given_again, in_force
from plasticity_utils.results import tables
from plasticity_utils.results.groups import RunGroup
from plugin import mine
from runs import f1_of

FILE = Path(__file__).parent / "plugin" / "mine.py"
KINDS = ("removal", "protocol", "reader", "ranking")


@pytest.fixture(scope="module")
def run(make_run):
    """A run by a removal and a protocol that were registered, and a protocol from a file."""
    registered = {
        "mean-shift": (pu.removals, mine.MeanShift),
        "half-seen": (pu.protocols, mine.HALF_SEEN),
        "neighbours": (pu.readers, mine.neighbours),
    }
    for name, (registry_of_it, found) in registered.items():
        registry_of_it.register(name, found, what="somebody else's own")
    yield make_run(
        dose=None,
        removal="mean-shift",
        protocols=f"targeted, none, half-seen, {FILE}:FIRST_TIME",
    )
    for name, (registry_of_it, _) in registered.items():
        registry_of_it.unregister(name)


def test_the_tables_of_a_run_have_what_others_wrote(run):
    conditions = ["targeted", "none", "half-seen", "FIRST_TIME"]
    for table in (run.metrics, run.neurons, run.layers):
        assert list(table["condition"].unique()) == conditions
    assert set(run.reliance["condition"]) == {"targeted", "none", "half-seen"}
    assert list(run.reliance["again"].unique()) == ["nothing", "same", "refitted", "random"]
    assert "mean-shift" in run.path.name
    assert "half-seen-FIRST_TIME" in run.path.name


def test_what_others_wrote_does_what_it_says(run):
    base = f1_of(run, "targeted", "base")
    assert base > 0.2
    assert f1_of(run, "targeted", "removed") < base
    assert f1_of(run, "half-seen", "removed") == f1_of(run, "targeted", "removed")
    selectivity = run.neurons.query("stage == 'end'").groupby("condition")["selectivity"].sum()
    assert selectivity["half-seen"] != selectivity["targeted"]
    # It begins with a model that never saw the task.
    assert f1_of(run, "FIRST_TIME", "base") < 0.1
    assert f1_of(run, "none", "base") == base


def test_charts_draw_conditions_that_they_do_not_know(run):
    group = RunGroup((run,))
    chart = f1_through_retraining(
        group.metrics, "LOC", tables.base_f1(group.metrics), group.interval
    ).to_dict()
    text = json.dumps(chart)
    assert "half-seen" in text
    assert "FIRST_TIME" in text


def test_a_page_says_that_nothing_tells_of_the_last_layer(run):
    group = RunGroup((run,))
    assert run.config.last_layer == ""
    assert "Under no condition here does the last layer alone train" in banner.settings(group, {})
    shown = answers.answer(group).set_index("step")
    assert list(shown) == [
        "targeted", "targeted_low", "targeted_high", "none", "half-seen", "FIRST_TIME",
    ]  # fmt: skip
    assert list(shown.index) == [answers.BEFORE, answers.CUT, answers.WHOLE, answers.PROBE]
    assert shown.loc[answers.WHOLE, "half-seen"] == f1_of(run, "half-seen", "end")
    assert answers.found(group) in rules.reader_finds.words
    assert group.recovery["beyond_head"].isna().all()


def test_neurons_are_ranked_by_a_function_from_a_file():
    X = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
    X[:, 7] *= 5
    name = f"{FILE}:by_spread"
    assert pu.rank_neurons(X, np.arange(60) < 30, name).order[0] == 7
    assert pu.RunConfig(ranking=name).rankings[-1] == name
    assert pu.RunConfig(ranking=name).chosen.make(0.5).ranking == name


def test_its_models_are_brought_back(run):
    with model_at(run, "half-seen", "end") as (model, _):
        assert any(module._forward_hooks for module in model.modules())


def test_a_reader_of_ones_own_stands_in_the_table(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / run.path.name)
    with pytest.raises(InputError, match="unknown reader 'nobody'; allowed: linear, perceptron"):
        read_anew(run, 100, ["nobody"])
    table = read_anew(run, 100, ["linear", "neighbours", f"{FILE}:first_tag"])
    assert set(table["reader"]) == {"linear", "neighbours", "first_tag"}
    table.to_parquet(copy / "readers.parquet")
    shown = by_reader([RunGroup((Run(copy),))]).set_index("condition")
    assert shown.loc["targeted", "neighbours"] > 0
    assert shown.loc["targeted", "first_tag"] == 0


# The registry itself


def test_lists_are_for_people():
    for kind, listed in zip(
        KINDS,
        (pu.list_removals(), pu.list_protocols(), pu.list_readers(), pu.list_rankings()),
        strict=True,
    ):
        assert listed.columns.tolist() == ["name", "what", "source"], kind
        assert listed["what"].str.len().min() > 10, kind
    assert pu.list_removals()["name"].tolist()[:3] == ["gate", "layernorm", "leace"]


@pytest.mark.parametrize("which", [pu.removals, pu.protocols, pu.readers, pu.rankings])
def test_the_light_table_says_what_is_there(which):
    for name in which.own:
        found = which.get(name)
        assert found is which.get(name)
        if which is pu.removals:
            assert set(which.settings(name)) == {field.name for field in dataclasses.fields(found)}


def test_a_name_is_registered_once_and_forgotten():
    @pu.rankings.register("loudest", source="nobody")
    def loudest(X, is_concept):
        """The neuron with the largest value."""
        return X.max(axis=0)

    try:
        row = pu.list_rankings().set_index("name").loc["loudest"]
        assert row.tolist() == ["The neuron with the largest value.", "nobody"]
        assert pu.rankings.get("loudest") is loudest
        with pytest.raises(InputError, match="ranking 'loudest' is there already"):
            pu.rankings.register("loudest", loudest)
    finally:
        pu.rankings.unregister("loudest")
    with pytest.raises(InputError, match="unknown ranking 'loudest'; allowed: probeless, sel"):
        pu.rankings.get("loudest")


@pytest.mark.parametrize("which", [pu.removals, pu.protocols, pu.readers, pu.rankings])
def test_nothing_is_not_registered_and_what_is_not_there_is_not_forgotten(which):
    before = which.names()
    with pytest.raises(InputError, match=f"{which.kind} 'x' (is None; needed|lacks )"):
        which.register("x", None)
    for name in ("nope", which.own[0]):
        with pytest.raises(InputError, match=f"'{name}' was not registered; registered: "):
            which.unregister(name)
    assert which.names() == before


def test_another_packages_entry_points_are_names(monkeypatch):
    offered = registry.Registry("removal", {}, needs=("fit", "control"))
    point = registry.EntryPoint("theirs", "plasticity_utils.removal.leace:Leace", "any")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert offered.names() == ["theirs"]
    assert offered.get("theirs") is pu.removals.get("leace")
    assert offered.table()["what"].iloc[0].startswith("Erase the concept")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.py:Mine", None, "there is no file"),
        ("bad.py:Mine", "import nothing_like_it\n", "cannot be run: ModuleNotFoundError: No mod"),
        ("poor.py:Mine", "class Other:\n    pass\n", "the file has no 'Mine'; it has: Other"),
        ("half.py:Mine", "class Mine:\n    def fit(self): ...\n", "lacks control, again, makes"),
    ],
)
def test_a_file_that_does_not_do_is_named(name, text, said, tmp_path):
    path = tmp_path / name
    if text is not None:
        Path(str(path).partition(":")[0]).write_text(text)
    with pytest.raises(InputError, match=said) as error:
        pu.removals.check(str(path))
    assert "\n" not in str(error.value)


OWN = """
def rank(X, is_concept):
    return X[:, 10**9]

class Mine:
    control = again = makes = None
    def fit(self, on):
        raise OSError("first\\nsecond")
"""


def test_what_fails_in_somebody_elses_file_is_one_line_and_its_cause(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    X, inside = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) < 30
    with pytest.raises(InputError) as caught:
        pu.rank_neurons(X, inside, f"{tmp_path}/own.py:rank")
    assert f"own.py:rank' fails in {tmp_path}/own.py, line 3, in rank: IndexErr" in str(
        caught.value
    )
    assert isinstance(caught.value.__cause__, IndexError)
    removal, said = pu.removals.get(f"{tmp_path}/own.py:Mine")(), r"line 8, in fit: OSError: first"
    with pytest.raises(InputError, match=rf"own\.py, {said} second$"), registry.users_errors():
        removal.fit(None)
    # Our own mistakes stay what they are.
    with pytest.raises(ZeroDivisionError), registry.users_errors():
        raise ZeroDivisionError


OTHERS = """
import numpy as np
from plasticity_utils.removal.interface import Intervention, Removal
from plasticity_utils.training.protocols import Relearning

class Needs(Removal):
    makes = Intervention
    def __init__(self, strength): ...

class Makes(Removal):
    makes = int

made = Makes()
one_class = Relearning

class Method(Relearning):
    def sees(self, corpus, concept):
        return corpus
"""


def test_what_others_wrote_is_refused_before_anything_trains(tmp_path):
    (tmp_path / "own.py").write_text(OTHERS)
    for name, said in (
        ("Needs", "Needs' cannot be made with no settings: missing a required argument: 'stre"),
        ("Makes", "Makes' makes <class 'int'>; needed: the class of its interventions"),
    ):
        with pytest.raises(InputError, match=said):
            ChosenRemoval(f"{tmp_path}/own.py:{name}", {}).make(0.1)
    with pytest.raises(InputError, match="needed: a function, or a class and not what it makes"):
        pu.removals.get(f"{tmp_path}/own.py:made")
    with pytest.raises(InputError, match=r"is a class; needed: what it makes, .*one_class\(\)"):
        pu.protocols.get(f"{tmp_path}/own.py:one_class")
    method = pu.rankings.get(f"{tmp_path}/own.py:Method")
    with pytest.raises(InputError, match="sees of a protocol must be a function that it is made"):
        method()


@dataclasses.dataclass(frozen=True)
class Cut(Intervention):
    neurons: np.ndarray
    note: object = ""

    def applied(self, model):
        return None


class Telling(Cut):
    def facts(self):
        return np.int64(2) if self.note else {"n": np.int64(2)}


class Plain(Intervention):
    def applied(self, model):
        return None


@pytest.mark.usefixtures("as_for_users")
def test_what_a_removal_gives_is_an_intervention_of_this_model(tiny_model):
    model = tiny_model("bert")
    for made, said in (
        (np.zeros(3), "the removal gives array.* needed: an Intervention"),
        (Plain(), "needed: an Intervention that is a dataclass"),
        (Cut(np.array([35, 71])), r"neurons of Cut are array.*needed: \(layer, unit\) pairs"),
        (Cut(None), "neurons of Cut is None; needed: an array"),
        (Cut(np.array([[1, 1]]), None), "note of Cut is None; needed: an array"),
        (Cut(np.array([[1, 1]]), [[1], [1, 2]]), "note of Cut is .*; needed: an array"),
        (Telling(np.array([[1, 1]])), "facts of Telling are .*, no JSON"),
        (Telling(np.array([[1, 1]]), "x"), "facts of Telling are"),
        (Cut(np.array([[9, 1]])), r"neuron \(9, 1\) does not exist; layers run from 0 to 3"),
        (Cut(np.array([[1, 1]])), "`applied` of Cut gives None; needed: a context"),
    ):
        with pytest.raises(InputError, match=said), in_force(model, made):
            pass


@pytest.mark.parametrize("given", [None, ("same", Cut(np.array([[1, 1]]))), ("same", 0, None)])
def test_what_is_taken_again_has_a_name_a_draw_and_an_intervention(given, tiny_model):
    model = tiny_model("bert")
    cut = ("same", 0, Cut(np.array([[1, 1]])))
    assert list(given_again([cut], model)) == [cut]
    with pytest.raises(InputError, match=r"`again` of the removal yields|the removal gives None"):
        list(given_again([given], model))
    with pytest.raises(InputError, match="gives None; needed: what it takes again"):
        list(given_again(None, model))


@pytest.mark.parametrize("kind", ["ranking", "removal", "protocols"])
def test_a_name_in_a_file_is_not_that_of_another(kind, tmp_path):
    (tmp_path / "own.py").write_text(
        "import plasticity_utils as pu\n"
        "from plasticity_utils.removal.gate import Gate as gate\n"
        "def probeless(X, is_concept):\n    return X[0]\n"
        "none = pu.Relearning()\n"
    )
    named = {"ranking": "probeless", "removal": "gate", "protocols": "none"}[kind]
    config = pu.RunConfig(**{kind: f"{tmp_path}/own.py:{named}"}, results_dir=str(tmp_path))
    with pytest.raises(InputError, match=f"own.py:{named}': '{named}' is the name of another"):
        run_experiment(config)


def test_what_fails_in_something_registered_names_it():
    def broken(X, is_concept):
        raise KeyError("nothing")

    pu.rankings.register("broken", broken)
    try:
        with pytest.raises(InputError, match=r"ranking 'broken' fails in .*in broken: Key"):
            pu.rank_neurons(np.eye(60), np.arange(60) < 30, "broken")
    finally:
        pu.rankings.unregister("broken")


def test_an_offer_that_cannot_be_loaded_is_named(monkeypatch):
    offered = registry.Registry("removal", {})
    point = registry.EntryPoint("theirs", "no_such_package:Thing", "any")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(InputError, match="removal 'theirs' cannot be loaded: ModuleNotFound"):
        offered.get("theirs")


def test_names_are_checked_and_help_is_shown_without_loading_models():
    code = (
        "import sys\n"
        "from plasticity_utils import cli\n"
        "for wrong in (['--removal', 'magic'], ['--protocols', 'nap'], ['--ranking', 'x']):\n"
        "    assert cli.main(['run', *wrong]) == 2\n"
        "try:\n    cli.main(['run', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'neurox', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
