import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

import plasticity_utils as pu
from plasticity_utils import cli
from plasticity_utils.book import pages
from plasticity_utils.experiment import run
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.registry import removals
from plasticity_utils.results import published


@pytest.fixture
def never(monkeypatch):
    """No command under test may begin a run."""

    def fail(config):
        pytest.fail(f"a run began: {config}")

    monkeypatch.setattr(run, "run_experiment", fail)


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--concept", "cheeses"],
            "unknown concept 'cheeses'; allowed: locations, persons, organisations, miscellaneous",
        ),
        (["--scale", "huge"], "unknown scale 'huge'; allowed: smoke, quick, medium, full"),
        (["--regime", "gentle"], "unknown regime 'gentle'; allowed: surgical, half, erase"),
        (["--rest", "soft"], "unknown rest 'soft'; allowed: mean, zero"),
        (["--indicator", "bio"], "removal 'gate' has no indicator, so indicator cannot be 'bio'"),
        (["--removal", "magic"], "unknown removal 'magic'; allowed: gate, layernorm, leace"),
        (["--protocols", "targeted,nap"], "unknown protocol 'nap'; allowed: targeted, random"),
        (["--seed", "-1"], "seed must be a whole number of at least 0, not -1"),
        (["--model", "/no/such"], "there is no model folder '/no/such'; allowed: minilm, smollm2"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert cli.main(["run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"plasticity: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "freezes"), [("import plasticity_utils", False), ("main(['concepts'])", True)]
)
def test_a_command_that_ends_looks_for_no_garbage_and_an_import_changes_nothing(line, freezes):
    code = f"""if True:
        import atexit, gc
        atexit.register(lambda: print(gc.get_freeze_count() > len(gc.get_objects())))
        from plasticity_utils.cli import main
        {line}
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == str(freezes)


def test_the_command_itself_ends_in_seconds_without_a_traceback():
    command = [sys.executable, "-m", "plasticity_utils", "run", "--concept", "cheeses"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "plasticity: unknown concept 'cheeses'; "
        "allowed: locations, persons, organisations, miscellaneous, "
        "file:WORDS,LABELS#LABEL, words:Monday,Tuesday, or a type of conll2003 (entity): "
        "PER (11128 words), ORG (10025 words), LOC (8297 words), MISC (4593 words)\n"
    )


def test_an_interrupted_run_says_that_it_resumes(monkeypatch, capsys):
    def interrupt(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_experiment", interrupt)
    assert cli.main(["run"]) == 130
    assert capsys.readouterr().err == "plasticity: interrupted; the same command resumes\n"


def test_options_become_the_settings_of_the_run(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(run, "run_experiment", seen.append)
    assert cli.main(["run"]) == 0
    arguments = [
        "--concept",
        "persons",
        "--scale",
        "smoke",
        "--regime",
        "half",
        "--seed",
        "7",
        "--results-dir",
    ]
    assert cli.main(["run", *arguments, str(tmp_path)]) == 0
    assert seen == [
        RunConfig(),
        RunConfig(
            concept="persons", scale="smoke", regime="half", seed=7, results_dir=str(tmp_path)
        ),
    ]


def test_what_the_regime_says_can_be_overridden(monkeypatch):
    seen = []
    monkeypatch.setattr(run, "run_experiment", seen.append)
    assert cli.main(["run", "--regime", "erase", "--indicator", "outside"]) == 0
    assert (
        cli.main(
            ["run", "--removal", "layernorm", "--dose", "0.5", "--epochs", "8", "--restarts", "4"]
        )
        == 0
    )
    assert cli.main(["run", "--ranking", "iou", "--positions", "all", "--regrow"]) == 0
    assert seen == [
        RunConfig(regime="erase", indicator="outside"),
        RunConfig(removal="layernorm", dose=0.5, epochs=8, restarts=4),
        RunConfig(ranking="iou", positions="all", regrow=True),
    ]


def test_concepts_are_listed_with_their_counts(capsys):
    assert cli.main(["concepts"]) == 0
    *lines, own = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines]
    assert len(rows) == 12
    assert "file:WORDS,LABELS#LABEL" in own
    assert "words:Monday,Tuesday" in own
    counts = {(concept, label, split): int(n) for concept, label, split, n, _ in rows}
    assert counts["locations", "LOC", "train"] == 8297
    assert counts["persons", "PER", "validation"] == 3149
    assert counts["miscellaneous", "MISC", "test"] == 918


def test_a_concept_of_ones_own_is_counted_by_part(capsys):
    days = "words:Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday"
    assert cli.main(["concepts", days, "--scale", "full"]) == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("Monday, Tuesday, Wednesday, …: shown as WORDS, folders named words-")
    counts = {row.split()[0]: int(row.split()[1]) for row in rows}
    assert counts == {"ranking": 92, "measuring": 104, "custom_dose": 68, "custom_scoring": 164}


def test_a_concept_with_too_few_words_is_bad_input(capsys):
    assert cli.main(["concepts", "words:Zzyzx"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("plasticity: concept 'Zzyzx' has too few words: 0 of ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--concpet", "x"]])
def test_an_unknown_command_or_option_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: plasticity" in capsys.readouterr().err


def test_help_lists_what_is_allowed(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for allowed in (
        "locations, persons, organisations, miscellaneous",
        "smoke, quick, medium, full",
    ):
        assert allowed in text


def test_tables_on_the_terminal_have_a_real_minus():
    table = pd.DataFrame({"step": ["cut"], "rise": [-0.1234], "none": [float("nan")]})
    assert cli._written(table, index=False).split() == [*table, "cut", "−0.123", "–"]
    assert cli._written(pd.Series({"rise": -0.5, "verdict": "no"})).split()[1] == "−0.500"
    # No table is printed in another way.
    assert Path(cli.__file__).read_text(encoding="utf-8").count(".to_string(") == 1


def test_a_page_finds_its_run_by_files_named_from_where_its_notebook_lies(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "own.py").write_text(
        "class Mine:\n" + "".join(f"    {name} = None\n" for name in removals.needs)
    )
    seen, shown = [], pu.published_runs()[0]
    monkeypatch.setattr(pages, "render_page", lambda notebook, out: out / "page.html")
    monkeypatch.setattr(published, "find_run", lambda config: seen.append(config) or shown)
    said = nbformat.v4.new_notebook(
        metadata={"papermill": {"parameters": {"concept": "persons", "removal": "own.py:Mine"}}}
    )
    nbformat.write(said, tmp_path / "mine.ipynb")
    assert cli.main(["page", str(tmp_path / "mine.ipynb"), str(tmp_path)]) == 0
    assert [(config.concept, config.removal) for config in seen] == [("persons", "own.py:Mine")]
    assert "found in the cut model by its last layer or a new probe" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, r"none\.ipynb' has no parameter 'concept'"),
        ({"concept": "persons", "removal": "gone.py:Mine"}, "there is no file 'gone.py'"),
    ],
)
def test_a_page_without_a_run_to_find_is_made_and_says_so(
    parameters, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(pages, "render_page", lambda notebook, out: out / "page.html")
    notebook = nbformat.v4.new_notebook(metadata={"papermill": {"parameters": parameters}})
    nbformat.write(notebook, tmp_path / "none.ipynb")
    assert cli.main(["page", str(tmp_path / "none.ipynb"), str(tmp_path)]) == 0
    written = capsys.readouterr()
    assert written.out == f"page: {tmp_path / 'page.html'}\n"
    assert re.search(rf"^its results in short: none, .*{message}", written.err)


def test_a_page_of_something_else_than_a_notebook_is_refused(tmp_path, capsys):
    (tmp_path / "page.md").write_text("# A page\n")
    assert cli.main(["page", str(tmp_path / "page.md"), str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"plasticity: '.*page\.md' is no notebook: .*\n", said)
    assert not (tmp_path / "out").exists()
