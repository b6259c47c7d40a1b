"""An audit, from settings to its row in the table of removals."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from plasticity_utils import cli, files
from plasticity_utils.analysis import audits, rules
from plasticity_utils.analysis.representation import read_other_bases
from plasticity_utils.charts import readings, returns
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment import audit as auditing
from plasticity_utils.experiment import reading_curve as curves
from plasticity_utils.experiment.audit import (
    AuditStages,
    read_further,
    read_heads,
    read_second_cut,
    run_audit,
)
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.example import choose_sentence, run_example
from plasticity_utils.experiment.readings import HEAD_RATES, ReadingStages
from plasticity_utils.experiment.record import Audit
from plasticity_utils.experiment.run_names import PROTOCOLS, audit_name, with_protocols
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.models.load import load_model
from plasticity_utils.results.published import (
    find_audits,
    publish_audit,
    published_audits,
    published_curves,
    published_examples,
)
from plasticity_utils.training.steps import predict
from runs import tiny_config

READ = ("base", "removed", "control", "pretrained", "pretrained_removed")


@pytest.fixture(scope="module")
def made(tiny_run_folder, session_folder):
    config = tiny_config(tiny_run_folder, session_folder / "audits", protocols="")
    return run_audit(config)


@pytest.mark.slow
def test_an_audit_reads_every_body_and_trains_under_every_protocol(made):
    assert set(made.readings["body"]) == set(READ)
    assert list(made.returns["condition"].unique()) == list(PROTOCOLS)
    steps = made.returns.groupby("condition")["step"].unique()
    assert all({0, 4, 8, 16} <= set(found) for found in steps)
    at_once = made.returns[made.returns["step"] == 0].set_index(["condition", "entity"])
    own = made.readings[made.readings["reader"] == "own_head"].set_index(["body", "entity"])
    for condition, body in (("targeted", "removed"), ("random", "control")):
        assert at_once.loc[(condition, "LOC"), "entity_f1"] == own.loc[(body, "LOC"), "entity_f1"]
    # It was taught the task, and never this concept.
    assert at_once.loc[("masked", "LOC"), "entity_f1"] == 0
    keys = ["body", "reader", "place"]
    fitted = made.readings[made.readings["n_fitted"] > 0]
    with_control = {tuple(row) for row in made.control_task[keys].to_numpy()}
    own = [("head", "last layer"), ("bias", "last layer")]
    assert with_control == {
        tuple(row) for row in fitted[fitted["body"].isin(["base", "removed"])][keys].to_numpy()
    } - {(body, *reader) for body in ("base", "removed") for reader in own}
    chance = made.readings["average_precision"].dropna()
    assert chance.between(0, 1).all()
    assert len(chance) > 50


@pytest.mark.slow
def test_an_audit_that_is_repeated_is_found_and_an_interrupted_one_ends_with_the_same(made):
    again = run_audit(made.config)
    assert again.path == made.path
    stage = next(made.path.parent.glob("stages/returned-masked-*/returns.parquet")).parent
    before = pd.read_parquet(stage / "returns.parquet")
    shutil.rmtree(stage)
    shutil.rmtree(made.path)
    anew = run_audit(made.config)
    pd.testing.assert_frame_equal(pd.read_parquet(stage / "returns.parquet"), before)
    assert anew.path == made.path


@pytest.mark.slow
def test_the_table_of_removals_has_its_row_and_charts_draw_it(made):
    row = audits.table_of_removals([made]).iloc[0]
    assert (row["removal"], row["concept"], row["n_seeds"]) == ("gate, 0.1", "locations", 1)
    assert row["verdict"] in audits.rules.audited.words
    assert row["came_back"] == audits.rules.OPEN
    assert "masked" in returns(audits.returns_table([made]), "Back").to_json()
    assert "pretrained" in readings(audits.readings_table([made])).to_json()


@pytest.mark.slow
def test_further_readers_read_what_the_usual_ones_have_not(made, tmp_path, monkeypatch):
    folder = tmp_path / made.path.name
    shutil.copytree(made.path, folder)
    own = "book/examples/mine.py:neighbours"
    names = ["linear", "perceptron", own]
    read_further(Audit(folder), names)
    found = Audit(folder).table("further_readings")
    assert set(found["body"]) == {"base", "removed", "pretrained_removed"}
    pairs = set(map(tuple, found[["reader", "place"]].to_numpy()))
    new = "neighbours"
    wide = ("perceptron", "every layer")
    assert pairs == {(new, "last layer"), (new, "every layer"), wide}
    with pytest.raises(InputError, match="all that linear can read is in the audit already"):
        read_further(Audit(folder), ["linear"])
    # Rows of readers that are not read again stay.
    read_further(Audit(folder), ["perceptron"])
    kept = Audit(folder).table("further_readings")
    assert set(map(tuple, kept[["reader", "place"]].to_numpy())) == pairs
    # Where there are more sentences than the usual readers are fitted on, all of them count.
    monkeypatch.setattr(ReadingStages, "_has_more", True)
    for stage in folder.parent.glob("stages/further-readings-*"):
        shutil.rmtree(stage) if stage.is_dir() else stage.unlink()
    read_further(Audit(folder), names)
    more = Audit(folder).table("further_readings")
    last = more[more["place"] == "last layer"].groupby("reader")["n_fitted"].max()
    assert set(last.index) == {"head", "linear", "perceptron", new}
    assert (last == made.facts["n_train_sentences"]).all()
    table = audits.further_read([Audit(folder)])
    usual = audits.read([made])
    assert table["read"].tolist() == usual["read"].tolist()
    both = pd.concat([made.readings, more])
    both = both[(both["entity"] == "LOC") & (both["reader"] != "own_head")]
    best = both.groupby("body")["entity_f1"].max()
    assert table["read_further"].item() == best["removed"] / best["base"]
    published = publish_audit(Audit(folder), tmp_path / "book")
    assert (published / "further_readings.json").is_file()


@pytest.mark.slow
def test_the_last_layer_is_trained_at_several_rates_from_its_own_weights_and_fresh_ones(
    made, tmp_path
):
    folder = tmp_path / made.path.name
    shutil.copytree(made.path, folder)
    read_heads(Audit(folder))
    found = Audit(folder).table("heads")
    assert set(found["body"]) == {"base", "removed"}
    ways = found[["body", "start", "rate"]].drop_duplicates()
    assert len(ways) == 2 * 2 * len(HEAD_RATES)
    # Trained on from where it is, no slow head ends far below where it began.
    as_is = made.readings.query("reader == 'own_head' and body == 'base' and entity == 'LOC'")
    slow = found[found["rate"] == min(HEAD_RATES)].query(
        "body == 'base' and start == 'own' and entity == 'LOC'"
    )
    assert slow["entity_f1"].item() > as_is["entity_f1"].item() - 0.1
    table = audits.heads([Audit(folder)])
    assert len(table) == len(ways) / 2
    assert (table["n_seeds"] == 1).all()
    of_cut = found.query("body == 'removed' and entity == 'LOC'").sort_values(["start", "rate"])
    assert (
        table.sort_values(["start", "factor"])["removed"].tolist() == of_cut["entity_f1"].tolist()
    )
    published = publish_audit(Audit(folder), tmp_path / "book")
    assert (published / "heads.json").is_file()


@pytest.mark.slow
def test_what_was_trained_on_is_cut_and_read_once_more(made, tmp_path):
    folder = tmp_path / made.path.name
    shutil.copytree(made.path, folder)
    read_second_cut(Audit(folder))
    found = Audit(folder).table("second_cut")
    n_cut = made.facts["n_removed"]
    cuts = found[["body", "again", "n_removed"]].drop_duplicates().to_numpy().tolist()
    assert cuts == [
        [body, *cut]
        for body in ("retrained", "removed")
        for cut in (["nothing", 0], ["new top", n_cut], ["random", n_cut])
    ]
    # Where nothing is cut again, the cut model is read as the audit read it.
    columns = ["reader", "place", "n_fitted", "entity", "entity_f1", "average_precision"]
    pd.testing.assert_frame_equal(
        found.query("body == 'removed' and again == 'nothing'")[columns].reset_index(drop=True),
        made.readings.query("body == 'removed'")[columns].reset_index(drop=True),
    )
    again = audits.after_second_cut([Audit(folder)])
    (row,) = again.to_dict("records")
    best = found[(found["entity"] == "LOC") & (found["reader"] != "own_head")]
    best = best.groupby(["body", "again"])["entity_f1"].max()
    assert row["found"] == best["retrained", "nothing"]
    assert row["found_random_removed"] == best["removed", "random"]
    taken = {body: best[body]["random"] - best[body]["new top"] for body in best.index.levels[0]}
    assert row["taken"] == taken["retrained"]
    assert row["beyond_untrained"] == taken["retrained"] - taken["removed"]
    # One seed has no interval.
    assert audits.where_it_sits(again)["verdict"].tolist() == [rules.OPEN]
    published = publish_audit(Audit(folder), tmp_path / "book")
    assert (published / "second_cut.json").is_file()


@pytest.fixture
def other_seed(made):
    """An audit of which there are the settings, the base and the removal alone."""
    folder = made.path.with_name(made.path.name.replace("seed0", "seed1") + "-base")
    folder.mkdir(exist_ok=True)
    facts = {**made.facts, "settings": {**made.facts["settings"], "seed": 1}}
    (folder / "config.json").write_text(json.dumps(facts))
    assert len(AuditStages(Audit(folder).config).removal.neurons)
    yield Audit(folder)
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_probe_of_one_base_is_put_to_another_seeds_and_to_the_pretrained(made, other_seed):
    table = read_other_bases(made, [other_seed])
    last = table[(table["layer"] == table["layer"].max()) & (table["units"] == "all")]
    last = last.set_index(["other", "alignment"])
    assert set(table["other"]) == {"seed 1", "pretrained"}
    # On its own model the probe is the same whatever it is compared with.
    assert last.loc[("seed 1", "base"), "word_f1"] == last.loc[("pretrained", "base"), "word_f1"]
    assert last.loc[("seed 1", "none"), "word_f1"] != last.loc[("seed 1", "base"), "word_f1"]
    twin = read_other_bases(other_seed, [made])
    assert set(twin["other"]) == {"seed 0", "pretrained"}
    with pytest.raises(InputError, match="stands alone"):
        read_other_bases(made, [])
    with pytest.raises(InputError, match="stands alone"):
        read_other_bases(made, [made])
    facts = json.loads((other_seed.path / "config.json").read_text())
    facts["settings"]["concept"] = "persons"
    (other_seed.path / "config.json").write_text(json.dumps(facts | {"concept_info": None}))
    with pytest.raises(InputError, match=r"differs .* in more than its seed"):
        read_other_bases(made, [Audit(other_seed.path)])


@pytest.mark.slow
def test_audits_that_a_table_cannot_tell_apart_are_named(made):
    with pytest.raises(
        InputError, match=r"two audits are of gate, 0\.1, .*locations, seed 0; needed"
    ):
        audits.table_of_removals([made, made])


@pytest.mark.slow
def test_an_audit_without_its_controls_is_not_published(made, tmp_path):
    published = publish_audit(made, tmp_path)
    assert [one.path for one in published_audits(tmp_path, anywhere=True, scale="tiny")] == [
        published
    ]
    assert Audit(published).facts["settings"]["results_dir"] == ""
    lame = tmp_path / "lame"
    shutil.copytree(made.path, lame)
    left = made.returns[made.returns["condition"] != "masked"]
    left.to_parquet(lame / "returns.parquet")
    with pytest.raises(InputError, match="lacks the protocols masked"):
        publish_audit(Audit(lame), tmp_path)
    (found,) = find_audits(made.config)
    assert found.path == made.path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:damaged")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda sealed: sealed.update(alike=1), "is of another state of the code or of the files"),
        (lambda sealed: sealed["returns"]["targeted"]["removal"].update(by="gate-01"), "another"),
        (lambda sealed: sealed["readings"]["base"]["base"].update(tables=0), "another"),
        (None, "files in it are damaged"),
    ],
)
def test_an_audit_of_other_code_or_files_is_neither_found_nor_read(
    made, change, said, tmp_path, capsys
):  # fmt: skip
    (tmp_path / "old").mkdir()
    settings = files.seal_of(made.path)["settings"]
    if change:
        change(settings)
    folder = files.folder_of(tmp_path / "old", audit_name(made.config), settings)
    shutil.copytree(made.path, folder)
    config = replace(made.config, results_dir=str(folder.parent))
    if change:
        files.seal(folder, settings=settings)
    else:
        assert [one.path for one in find_audits(config)] == [folder]
        (folder / "readings.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="no finished audit"):
        find_audits(config)
    assert cli.main(["readers", str(folder), "--reader", "wide_perceptron"]) == cli.BAD_INPUT
    assert said in capsys.readouterr().err
    if not change:
        assert cli.main(["publish", str(folder)]) == cli.BAD_INPUT
    assert not list(folder.parent.glob("stages/*"))


@pytest.fixture(scope="module")
def curve(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "CURVE_DOSES", (0.1, 0.5))
        patch.setattr(curves, "_TRAINED_DOSES", (0.5,))
        yield curves.run_curve(replace(made.config, dose=None, protocols=""))


@pytest.mark.slow
def test_a_curve_reads_at_every_dose_and_shares_the_stages_of_an_audit(made, curve):
    assert set(curve.readings["dose"]) == {0.0, 0.1, 0.5}
    assert set(curve.returns["condition"]) == {"targeted", "masked"}
    assert set(curve.returns["dose"]) == {0.5}
    same = curve.readings[(curve.readings["dose"] == 0.1) & (curve.readings["body"] == "removed")]
    kept = made.readings[made.readings["body"] == "removed"]
    assert same["entity_f1"].tolist() == kept["entity_f1"].tolist()


@pytest.mark.slow
def test_the_table_of_a_curve_tells_its_own_neurons_from_random_ones(curve, tmp_path):
    table = audits.curve_table([curve])
    own = table[table["cut"] == "its own"].set_index(["reader", "dose"])["entity_f1"]
    base = curve.readings.set_index(["body", "reader", "entity"])["entity_f1"]
    assert own["own_head", 0.0] == base["base", "own_head", "LOC"]
    last = curve.returns[curve.returns["entity"] == "LOC"].groupby("condition").last()
    assert own["whole_model", 0.5] == last["entity_f1"]["targeted"]
    assert own["never_knew", 0.5] == last["entity_f1"]["masked"]
    assert set(table["cut"]) == {"its own", "random"}
    assert 0 <= audits.floors([curve])["locations"] <= 1
    published = publish_audit(curve, tmp_path)
    assert published.name.startswith("curve-locations")
    assert [one.path for one in published_curves(tmp_path)] == [published]
    assert published_audits(tmp_path, anywhere=True, scale="tiny") == []
    with pytest.raises(InputError, match="is a reading curve; needed: an audit"):
        read_further(curve)


@pytest.mark.slow
def test_one_sentence_is_marked_at_each_stage(made, tmp_path):
    # This scale scores few sentences, and none of them has names of three types.
    config = replace(made.config, scoring_sentences=500)
    one = run_example(config)
    table = one.table("example")
    assert list(table["stage"].unique()) == ["gold", "base", "removed", "head", "targeted"]
    assert table.groupby("stage")["word"].agg(" ".join).nunique() == 1
    chosen = choose_sentence(load_sentences(config).scoring, "LOC")
    gold = table[table["stage"] == "gold"]
    assert gold["tag"].tolist() == chosen.labels["entity"][0]
    # The same weights, and the same removal, as the audit reads.
    model, tokenizer = load_model(str(next(made.path.parent.glob("stages/base-*/model"))))
    base = table[table["stage"] == "base"]["tag"].tolist()
    assert predict(model, tokenizer, chosen.sentences) == [base]
    published = publish_audit(one, tmp_path)
    assert [each.path for each in published_examples(tmp_path)] == [published]
    assert (
        published_audits(tmp_path, anywhere=True, scale="tiny") == published_curves(tmp_path) == []
    )


def test_a_sentence_is_chosen_by_its_names_alone():
    three = ["B-LOC", "O", "B-PER", "B-ORG", "O"]
    tags = [["B-LOC", "B-PER", "O"], ["B-MISC", "B-PER", "B-ORG", "O"], three[:-1], three, three]
    ends = [".", ".", "w", ".", "."]
    words = [["w"] * (len(own) - 1) + [end] for own, end in zip(tags, ends, strict=True)]
    corpus = Corpus("toy", words, {"entity": tags})
    assert choose_sentence(corpus, "LOC") == corpus.select([3])
    with pytest.raises(InputError, match="names of LOC and of 2 other types"):
        choose_sentence(corpus.select([0, 1, 2]), "LOC")


def test_a_reader_keeps_nine_tenths_up_to_a_dose():
    f1 = {"its own": (0.9, 0.85, 0.5, 0.89), "random": (0.9, 0.9, 0.9, 0.82)}
    rows = [
        {"seed": 0, "concept": "locations", "cut": cut, "dose": dose, "reader": reader,
         "entity_f1": value * share}
        for cut, values in f1.items()
        for dose, value in zip((0.0, 0.1, 0.2, 0.5), values, strict=True)
        for reader, share in (("linear", 1.0), ("head", 0.9), ("own_head", 2.0))
    ]  # fmt: skip
    (row,) = audits.read_up_to(pd.DataFrame(rows)).to_dict("records")
    assert (row["its own"], row["random"]) == (0.1, 0.5)


def test_a_curve_takes_neurons_and_no_dose(tmp_path):
    for settings in ({"dose": 0.1}, {"removal": "leace"}):
        with pytest.raises(InputError, match="a curve takes ever more neurons"):
            curves.reading_curve(results_dir=str(tmp_path), **settings)


def test_published_audits_are_shown_where_the_usual_model_is_not(monkeypatch):
    def refuse(config):
        raise InputError("there is no model here")

    monkeypatch.setattr(RunConfig, "__post_init__", refuse)
    found = published_audits()
    assert found
    assert not audits.shares_of_base(found, {"removed": "cut"}).empty


@pytest.mark.parametrize("make", [auditing.audit, curves.reading_curve])
def test_an_unknown_setting_is_named(make):
    with pytest.raises(InputError, match="unknown parameter 'sed'; allowed: concept"):
        make(sed=1)


def test_a_concept_that_has_no_tag_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(InputError, match="no entity type"):
        run_audit(RunConfig("words:Monday,Tuesday", results_dir=str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_the_usual_protocols_are_not_in_an_audits_name():
    plain = RunConfig("persons", removal="leace")
    assert audit_name(plain) == audit_name(with_protocols(plain))
    assert "targeted" not in audit_name(plain)
    few = RunConfig("persons", removal="leace", protocols="targeted,masked")
    assert "targeted-masked" in audit_name(few)


@pytest.fixture
def made_up(tmp_path):
    """Audits of three seeds whose curves are known."""

    def one(seed, targeted, masked):
        folder = tmp_path / str(seed)
        folder.mkdir()
        steps = np.array([0, 10, 20, 40])
        rows = [
            pd.DataFrame({"condition": name, "step": steps, "entity_f1": curve, "entity": entity})
            for name, curve in (("targeted", targeted), ("masked", masked))
            for entity in ("LOC", "PER")
        ]
        pd.concat(rows).to_parquet(folder / "returns.parquet")
        f1 = {"base": (0.9, 0.8), "removed": (0.0, 0.7), "control": (0.88, 0.8)}
        read = [
            {"body": body, "reader": "own_head", "place": "last layer", "entity": entity,
             "entity_f1": value}
            for body, values in f1.items()
            for entity, value in zip(("LOC", "PER", "overall"), (*values, 0.8), strict=True)
        ]  # fmt: skip
        read += [
            {"body": body, "reader": reader, "place": "last layer", "entity": "LOC",
             "entity_f1": value - less}
            for body, value in zip(READ, (0.9, 0.45, 0.9, 0.6, 0.5), strict=True)
            for reader, less in (("linear", 0.0), ("head", 0.05))
        ]  # fmt: skip
        table = pd.DataFrame(read)
        table = table.assign(average_precision=(1 + table["entity_f1"]) / 2)
        table.to_parquet(folder / "readings.parquet")
        if seed == 0:
            own = table[(table["body"] == "removed") & (table["reader"] == "linear")]
            own.assign(entity_f1=0.2).to_parquet(folder / "control_task.parquet")
        audit = Audit(folder)
        audit.__dict__["facts"] = {"settings": {}}
        audit.__dict__["config"] = RunConfig("locations", seed=seed)
        return audit

    return [
        one(seed, [0, 0.81, 0.85, 0.9], [0, 0.0, 0.405, 0.81 + 0.01 * seed]) for seed in range(3)
    ]


def test_the_same_removal_of_another_concept_is_a_control(made_up):
    first, second = made_up[0], replace(made_up[0])
    second.__dict__["config"] = replace(first.config, concept="persons")
    second.__dict__["facts"] = first.facts
    table = audits.taken([first, second]).set_index("concept")
    # What took one of them took 0.9 of locations and 0.1 of persons.
    assert table.loc["locations", "lost_another"] == pytest.approx(0.9)
    assert table.loc["persons", "lost_another"] == pytest.approx(0.1)
    second.__dict__["config"] = replace(second.config, scale="full")
    assert audits.taken([first, second])["lost_another"].isna().all()


def test_savings_are_counted_in_steps_to_nine_tenths_of_the_base(made_up):
    table = audits.savings(made_up)
    assert table["steps_targeted"].tolist() == [10.0] * 3
    # Half of the last stretch at first; later seeds are a little sooner there.
    assert table["steps_masked"].iloc[0] == pytest.approx(40.0)
    assert table["steps_masked"].is_monotonic_decreasing
    assert table["savings"].iloc[0] == pytest.approx(0.75)
    assert table["reached_masked"].all()


def test_what_is_never_reached_counts_as_reached_at_the_last_step(made_up):
    curve = made_up[0].returns.query("condition == 'masked' and entity == 'LOC'")
    assert audits._steps_to(curve, 0.99) == (40.0, False)
    assert audits._steps_to(curve, 0.0) == (0.0, True)


@pytest.mark.parametrize("trained", [["targeted"], ["masked"], []])
def test_what_was_not_trained_is_missing(made_up, trained):
    one = made_up[0]
    table = one.returns
    others = table["condition"].where(table["condition"].isin(trained), "head")
    table.assign(condition=others).to_parquet(one.path / "returns.parquet")
    row = audits.table_of_removals([one]).iloc[0]
    for name in ("targeted", "masked"):
        assert np.isnan(row[f"steps_{name}"]) == (name not in trained)
    assert np.isnan(row["n_reached"]) == ("masked" not in trained)
    assert np.isnan(row["savings"])
    assert row["came_back"] == audits.rules.OPEN
    assert row["read"] == pytest.approx(0.5)


def test_a_row_says_what_was_taken_what_is_read_and_what_came_back(made_up):
    row = audits.table_of_removals(made_up).iloc[0]
    assert row["specificity"] == pytest.approx(0.9 - 0.1)
    assert row["lost_random"] == pytest.approx(0.02)
    assert row["read"] == pytest.approx(0.5)
    assert row["floor"] == pytest.approx(0.5)
    assert row["head"] == pytest.approx(0.4)
    assert row["average_precision"] == pytest.approx((1 + 0.45) / 2)
    assert row["control_f1"] == pytest.approx(0.2)
    assert np.isnan(row["lost_another"])
    assert row["verdict"] == "weakened"
    assert row["n_seeds"] == row["n_reached"] == 3
    assert row["came_back"] == "sooner"
