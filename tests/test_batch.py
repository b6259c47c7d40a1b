"""Parts of a batch: records, the table, estimates, devices, results at an address."""

import dataclasses
import io
import json
import shutil
import sys

import fsspec
import pytest

from plasticity_utils import cli
from plasticity_utils import files as store
from plasticity_utils.batch import cells, estimate
from plasticity_utils.batch.cells import Cell, is_done, note_try, page_digest, tries_of
from plasticity_utils.batch.driver import Board
from plasticity_utils.batch.grid import read_grid
from plasticity_utils.batch.workers import Batch, gpu_for, remote_cluster, run_on
from plasticity_utils.errors import InputError
from plasticity_utils.experiment import config as config_module
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.record import finished_run, own_settings
from plasticity_utils.experiment.run_names import run_name
from plasticity_utils.files import VARIABLES, Mirror
from plasticity_utils.results.groups import run_group
from plasticity_utils.results.published import published_audits


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("concepts: [locations, persons]\nscale: quick\n")
    return path


def finish(cell: Cell, results, seconds=100.0):
    """Leave what a finished cell leaves."""
    folder = cell.folder(results)
    note_try(folder, "here")
    (folder / "page.ipynb").write_text("{}")
    run = results / f"run-of-{cell.title}"
    run.mkdir()
    (run / "metrics.parquet").write_text("numbers")
    store.seal(run)
    record = {"status": "done", "seconds": seconds, "tries": 1, "run": run.name}
    store.write_json(folder / "record.json", {**record, "page": page_digest(folder)})
    return run


def test_a_finished_cell_is_skipped_only_while_page_and_run_are_sound(grid, tmp_path):
    cell, _ = read_grid(grid)
    assert not is_done(cell, tmp_path)
    run = finish(cell, tmp_path)
    assert is_done(cell, tmp_path)
    page = cell.folder(tmp_path) / "page.ipynb"
    page.write_text("{ }")
    assert not is_done(cell, tmp_path)
    page.write_text("{}")
    assert is_done(cell, tmp_path)
    (run / "metrics.parquet").write_text("changed")
    with pytest.warns(UserWarning, match="damaged"):
        assert not is_done(cell, tmp_path)


@pytest.mark.parametrize("record", ["", "{", "[1]", '{"status": "done"}'])
def test_a_damaged_record_is_no_finished_cell(grid, tmp_path, record):
    cell, _ = read_grid(grid)
    finish(cell, tmp_path)
    (cell.folder(tmp_path) / "record.json").write_text(record)
    assert not is_done(cell, tmp_path)


def test_every_start_is_counted(tmp_path):
    assert tries_of(tmp_path) == 0
    assert [note_try(tmp_path, "a"), note_try(tmp_path, "b")] == [1, 2]
    assert tries_of(tmp_path) == 2


def test_a_dry_run_lists_cells_and_hours_and_begins_nothing(grid, tmp_path, capsys):
    results = tmp_path / "results"
    arguments = ["batch", str(grid), "--results", str(results), "--dry-run"]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "base-minilm-quick-seed0" in lines[0]
    assert "GB at the peak" in lines[3]
    # Two cells of 300 s and a base model of 200 s.
    assert lines[4] == (
        "2 cells, 2 to do, 1 base models to train: about 0.2 hours with 1 at a time"
    )
    assert not results.exists()


def test_a_dry_run_makes_no_folder_at_an_address(grid, tmp_path):
    far = tmp_path / "far"
    assert cli.main(["batch", str(grid), "--results", f"file://{far}", "--dry-run"]) == 0
    assert not far.exists()


def test_a_dry_run_knows_what_is_done_and_how_long_it_took(grid, tmp_path, capsys):
    results = tmp_path / "results"
    done, left = read_grid(grid)
    finish(done, results, seconds=7200)
    assert estimate.estimated_seconds(left, [done, left], results)[0] == 7200
    assert cli.main(["batch", str(grid), "--results", str(results), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "2 cells, 1 to do, 1 base models to train: about 2.1 hours with 1 at a time" in out
    assert [line.split()[1] for line in out.splitlines() if done.title in line] == ["done"]


def test_the_lines_and_the_summary_say_what_became_of_each_cell(grid, tmp_path, capsys):
    cells = read_grid(grid)
    with Board(cells) as board:
        board.told(cells[0].name, status="running", tries=2)
        board.told(cells[0].name, status="done", seconds=12.5, tries=2, run="x")
        board.told(cells[1].name, status="failed", seconds=1.0, error="it broke")
        # A remark that comes late changes nothing.
        board.told(cells[0].name, status="running", tries=2)
    assert capsys.readouterr().err.splitlines() == [
        f"[0/2] {cells[0].title} running try 2",
        f"[1/2] {cells[0].title} done 12.5 s try 2",
        f"[2/2] {cells[1].title} failed 1 s: it broke",
    ]
    board.write(tmp_path / "batch")
    text = (tmp_path / "batch/summary.md").read_text()
    assert text.startswith("2 cells: 1 failed, 1 done\n")
    assert f"| {cells[0].title} | done | 12.5 | 2 |" in text
    assert text.endswith(f"- {cells[1].title}: it broke\n")
    assert json.loads((tmp_path / "batch/summary.json").read_text())[cells[0].name]["run"] == "x"


def test_results_and_published_audits_need_no_model(tmp_path, monkeypatch):
    monkeypatch.setattr(config_module, "check_model", never)
    assert cells.check_results(str(tmp_path / "results")) == str(tmp_path / "results")
    assert published_audits()


def test_a_run_of_a_folder_of_any_name_is_found_again(tiny_run_folder, tmp_path):
    model = shutil.copytree(tiny_run_folder, tmp_path / "bert[v1]")
    for seed in (0, 1):
        config = RunConfig(model=str(model), scale="smoke", seed=seed, results_dir=str(tmp_path))
        name, key = run_name(config), own_settings(config)
        made = store.cached(config.results, name, key, noted(config))
        assert finished_run(config).path == made
    assert run_group(finished_run(config)).numbers == [0, 1]
    cell = Cell("some-cell", {**config.settings(), "results_dir": ""}, {}, "page.ipynb")
    assert cells.finished_folder(cell, config.results) == made.name


def noted(config):
    """What writes down a run's settings in its folder."""
    facts = {"settings": config.settings(), "sizes": dataclasses.asdict(config.sizes)}
    return lambda part: store.write_json(part / "config.json", facts)


def never(*given):
    raise AssertionError("a model is asked for")


def test_a_terminal_gets_one_table_with_a_bar(grid, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    cells, stream = read_grid(grid), Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with Board(cells) as board:
        board.told(cells[0].name, status="failed", seconds=2.0)
    last = stream.getvalue().rpartition("seconds")[2]
    assert "failed" in last
    assert "waiting" in last
    assert "1 of 2 cells" in last


@pytest.fixture
def scheduler(request):
    """A Dask scheduler at an address, with one worker of as many threads as asked for."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=request.param, processes=False, protocol="tcp",
        dashboard_address=None, silence_logs=50,
    ) as cluster:  # fmt: skip
        yield cluster.scheduler_address


@pytest.mark.parametrize("scheduler", [1], indirect=True)
def test_cells_go_to_any_scheduler_and_errors_come_back(grid, tmp_path, scheduler):
    done, broken = read_grid(grid)
    finish(done, tmp_path)
    # Where the cell's folder should be is a file.
    broken.folder(tmp_path).write_text("in the way")
    told = {}
    with remote_cluster(scheduler) as client:
        batch = Batch(str(tmp_path), "token")
        run_on(client, [done, broken], batch, lambda name, **facts: told.update({name: facts}))
    assert told[done.name]["status"] == "skipped"
    assert told[broken.name]["status"] == "failed"
    assert told[broken.name]["error"].startswith("FileExistsError: ")


@pytest.mark.parametrize("scheduler", [2], indirect=True)
def test_workers_of_several_threads_are_refused(scheduler):
    with (
        pytest.raises(InputError, match="has 2 threads; start workers with --nthreads 1"),
        remote_cluster(scheduler),
    ):
        pass


@pytest.mark.parametrize(
    ("worker", "n_gpus", "given", "expected"),
    [
        (0, 0, None, None),
        (0, 2, None, "0"),
        (1, 2, None, "1"),
        (2, 2, None, "0"),
        (1, 2, "4,6", "6"),
        (3, 1, "7", "7"),
    ],
)
def test_each_worker_sees_one_device(worker, n_gpus, given, expected):
    assert gpu_for(worker, n_gpus, given) == expected


@pytest.fixture(params=["memory", "file"])
def address(request, tmp_path):
    url = "memory://results" if request.param == "memory" else f"file://{tmp_path / 'far'}"
    yield url
    files, place = fsspec.core.url_to_fs(url)
    if files.exists(place):
        files.rm(place, recursive=True)


@pytest.fixture
def make_here(address, monkeypatch, tmp_path):
    """Return make_here(machine): make one stage on a machine; returns its folder, and whether."""

    def make(machine):
        root, made = tmp_path / machine, []

        def fill(part):
            made.append(part)
            (part / "inner").mkdir()
            (part / "inner" / "table").write_text("numbers")

        for name, value in Mirror(root, address).environment.items():
            monkeypatch.setenv(name, value)
        folder = store.cached(root / "stages", "base", {"seed": 0}, fill)
        return folder, bool(made)

    return make


def test_a_stage_at_an_address_is_found_from_another_machine(make_here):
    first, made = make_here("one")
    assert made
    second, made = make_here("two")
    assert not made
    assert (second / "inner/table").read_text() == (first / "inner/table").read_text()


def test_a_damaged_stage_at_an_address_is_made_again_and_kept(make_here, address):
    make_here("one")
    files, place = fsspec.core.url_to_fs(address)
    (table,) = [path for path in files.find(place) if path.endswith("inner/table")]
    files.pipe_file(table, b"damaged")
    with pytest.warns(UserWarning, match="damaged, made again"):
        _, made = make_here("two")
    assert made
    assert files.cat_file(table) == b"numbers"
    assert not make_here("three")[1]


def test_a_half_copied_stage_at_an_address_is_not_used(make_here, address):
    make_here("one")
    files, place = fsspec.core.url_to_fs(address)
    (seal,) = [path for path in files.find(place) if path.endswith(store.SEAL)]
    files.rm(seal)
    assert make_here("two")[1]


def test_a_folder_outside_the_mirrored_one_stays_here(make_here, address, tmp_path, monkeypatch):
    make_here("one")
    before = fsspec.core.url_to_fs(address)[0].find(fsspec.core.url_to_fs(address)[1])
    store.cached(tmp_path / "elsewhere", "base", {}, lambda part: None)
    assert fsspec.core.url_to_fs(address)[0].find(fsspec.core.url_to_fs(address)[1]) == before
    assert set(VARIABLES) == set(Mirror(tmp_path).environment)


def test_results_without_an_address_are_the_folder_itself(tmp_path):
    results = cells.check_results(str(tmp_path / "results"))
    assert cells.place_of(results) == Mirror(tmp_path / "results")
    far = cells.place_of(cells.check_results("memory://some/where/"))
    assert far.url == "memory://some/where"
    assert far.root != cells.place_of("memory://some/other").root


def test_a_summary_is_json(grid, tmp_path):
    Board(read_grid(grid)).write(tmp_path / "batch")
    rows = json.loads((tmp_path / "batch/summary.json").read_text())
    assert {row["status"] for row in rows.values()} == {"waiting"}


@pytest.mark.slow
def test_a_base_model_is_found_by_what_it_depends_on(tiny_run):
    results = tiny_run.config.results
    assert cells.base_cell(tiny_run.config).has_trained(results)
    for changes in ({"seed": 7}, {"scale": "smoke"}, {"base_epochs": 3}):
        other = dataclasses.replace(tiny_run.config, **changes)
        assert not cells.base_cell(other).has_trained(results)
    assert not cells.base_cell(tiny_run.config).has_trained(results / "nowhere")
