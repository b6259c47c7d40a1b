import errno
import json
import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from safetensors import SafetensorError

from plasticity_utils import files, hardware
from plasticity_utils.errors import InputError

SETTINGS = {"seed": 0, "scale": "tiny"}


def flip_a_byte(path, place=0):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


class Maker:
    """Makes two files and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self, part):
        self.calls += 1
        (part / "deep").mkdir(exist_ok=True)
        (part / "deep" / "numbers.txt").write_text("1 2 3")
        (part / "words.txt").write_text("a b c")


@pytest.fixture
def make():
    return Maker()


def test_a_stage_is_made_once_and_found_again(tmp_path, make):
    folder = files.cached(tmp_path, "base", SETTINGS, make)
    assert folder.name.startswith("base-")
    assert (folder / "deep" / "numbers.txt").read_text() == "1 2 3"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert files.cached(tmp_path, "base", SETTINGS, make) == folder
        # Neither does the order of the settings matter.
        assert files.cached(tmp_path, "base", dict(reversed(SETTINGS.items())), make) == folder
    assert make.calls == 1
    facts = files.seal_of(folder)
    assert facts["settings"] == SETTINGS
    assert facts["seconds"] >= 0
    assert set(facts["files"]) == {"words.txt", "deep/numbers.txt"}
    assert not list(tmp_path.glob("*.part"))


def test_other_settings_names_or_versions_are_other_folders(tmp_path, make, monkeypatch):
    folders = {
        files.cached(tmp_path, "base", SETTINGS, make),
        files.cached(tmp_path, "base", {**SETTINGS, "seed": 1}, make),
        files.cached(tmp_path, "base", {**SETTINGS, "more": None}, make),
        files.cached(tmp_path, "dose", SETTINGS, make),
    }
    monkeypatch.setattr(files, "STAGE_VERSION", files.STAGE_VERSION + 1)
    folders.add(files.cached(tmp_path, "base", SETTINGS, make))
    assert len(folders) == make.calls == 5


def test_what_is_refused_before_it_begins_leaves_nothing_and_later_what_was_begun(tmp_path):
    def refuse(part):
        raise InputError("no")

    def begin_and_refuse(part):
        (part / "checkpoint").touch()
        refuse(part)

    for make, left in ((refuse, []), (begin_and_refuse, ["checkpoint"])):
        with pytest.raises(InputError, match="no"):
            files.cached(tmp_path, "base", SETTINGS, make)
        assert [path.name for path in tmp_path.glob("*.part/*")] == left
        assert len(list(tmp_path.glob("*.part*"))) == 2 * bool(left)


@pytest.mark.parametrize("name", ["words.txt", "deep/numbers.txt"])
def test_a_damaged_file_is_named_and_made_again(name, tmp_path, make):
    folder = files.cached(tmp_path, "base", SETTINGS, make)
    whole = (folder / name).read_bytes()
    flip_a_byte(folder / name)
    with pytest.warns(UserWarning, match="damaged") as caught:
        assert files.cached(tmp_path, "base", SETTINGS, make) == folder
    assert [str(w.message) for w in caught] == [f"damaged, made again: {folder / name}"]
    assert (folder / name).read_bytes() == whole
    assert make.calls == 2
    files.cached(tmp_path, "base", SETTINGS, make)
    assert make.calls == 2


def test_a_missing_file_is_named_and_made_again(tmp_path, make):
    folder = files.cached(tmp_path, "base", SETTINGS, make)
    (folder / "words.txt").unlink()
    with pytest.warns(UserWarning, match=r"damaged, made again: .*words\.txt"):
        files.cached(tmp_path, "base", SETTINGS, make)
    assert (folder / "words.txt").is_file()


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"null", b"\xff\xfe"])
def test_a_seal_that_is_no_seal_is_named_and_the_stage_made_again(content, tmp_path, make):
    folder = files.cached(tmp_path, "base", SETTINGS, make)
    (folder / files.SEAL).write_bytes(content)
    with pytest.warns(UserWarning, match=r"damaged, made again: .*seal\.json"):
        files.cached(tmp_path, "base", SETTINGS, make)
    assert make.calls == 2
    assert files.seal_of(folder)["settings"] == SETTINGS


def test_every_flipped_byte_of_a_seal_is_seen(tmp_path, make):
    folder = files.cached(tmp_path, "base", SETTINGS, make)
    whole = (folder / files.SEAL).read_bytes()
    unseen = []
    for place in range(len(whole)):
        flip_a_byte(folder / files.SEAL, place)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if files.is_sound(folder) and files.seal_of(folder) != json.loads(whole):
                unseen.append(place)
        (folder / files.SEAL).write_bytes(whole)
    assert unseen == []


def test_an_interrupted_stage_goes_on_where_it_stopped(tmp_path):
    def make(part):
        done = sorted(path.name for path in part.iterdir())
        seen.append(done)
        for name in ("first", "second"):
            if name not in done:
                (part / name).write_text(name)
                if stop:
                    raise KeyboardInterrupt

    seen, stop = [], True
    with pytest.raises(KeyboardInterrupt):
        files.cached(tmp_path, "base", SETTINGS, make)
    assert [path.name for path in tmp_path.glob("base-*.part")]
    assert not [path for path in tmp_path.glob("base-*") if path.is_dir() and path.suffix == ""]
    stop = False
    with warnings.catch_warnings():
        # Unfinished is not damaged.
        warnings.simplefilter("error")
        folder = files.cached(tmp_path, "base", SETTINGS, make)
    assert seen == [[], ["first"]]
    assert not list(tmp_path.glob("*.json"))
    assert {path.name for path in folder.iterdir()} == {"first", "second", files.SEAL}
    assert not list(tmp_path.glob("*.part"))


def test_killed_between_seal_and_rename_the_stage_is_still_whole(tmp_path, make, monkeypatch):
    def killed(source, target):
        if str(source).endswith(".part"):
            raise KeyboardInterrupt
        replace(source, target)

    replace = files.os.replace
    monkeypatch.setattr(files.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        files.cached(tmp_path, "base", SETTINGS, make)
    monkeypatch.undo()
    folder = files.cached(tmp_path, "base", SETTINGS, make)
    assert files.is_sound(folder)
    assert set(files.seal_of(folder)["files"]) == {"words.txt", "deep/numbers.txt"}


def _slow_maker(root, log):
    def make(part):
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.5)
        (part / "words.txt").write_text("a b c")

    files.cached(root, "base", SETTINGS, make)


def test_two_processes_at_once_make_a_stage_once(tmp_path):
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    workers = [context.Process(target=_slow_maker, args=(tmp_path, log)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert log.read_text() == "made\n"


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "facts.json"
    files.write_json(path, {"a": "é"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "é"}
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "é"}


def test_the_digest_of_a_folder_tells_content_and_names(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "x").write_text("1")
    (tmp_path / "b" / "x").write_text("1")
    (tmp_path / "c" / "y").write_text("1")
    first, second, third = (files.folder_digest(tmp_path / name) for name in "abc")
    assert first == second != third


def test_seconds_count_every_sitting_and_the_seal_says_with_what_it_was_made(tmp_path):
    def interrupted(part):
        (part / "first").write_text("first")
        notes = json.loads(part.with_name(f"{part.name}.json").read_text())
        os.utime(part / "first", (notes["began"] + 100, notes["began"] + 100))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.cached(tmp_path, "base", SETTINGS, interrupted)
    finished = files.cached(tmp_path, "base", SETTINGS, lambda part: None, {"code": "abc"})
    seal = files.seal_of(finished)
    assert 100 <= seal["seconds"] < 160
    assert seal["made_with"] == {"code": "abc"}


def test_a_seal_is_read_as_it_was_written_whatever_the_locale(tmp_path):
    (tmp_path / "table.txt").write_text("x")
    code = (
        "import sys; from pathlib import Path; from plasticity_utils import files\n"
        "folder = Path(sys.argv[1])\n"
        "files.seal(folder, settings={'model': 'mod\\u00e8le'})\n"
        "print(files.is_sound(folder))"
    )
    # The C locale without UTF-8 mode reads and writes ASCII.
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, **plain},
    )
    assert done.stdout.strip() == "True", done.stderr


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, make):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", Path("/proc/nowhere")):
        with pytest.raises(InputError, match=f"results cannot be written to '{place}': "):
            files.cached(place, "base", SETTINGS, make)
    assert make.calls == 0


def test_a_file_where_a_stage_belongs_is_named_before_anything_is_made(tmp_path, make):
    folder = files.folder_of(tmp_path, "base", SETTINGS)
    folder.write_text("")
    with pytest.raises(InputError, match=rf"a file stands where a folder belongs \({folder.name}"):
        files.cached(tmp_path, "base", SETTINGS, make)
    assert make.calls == 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "weights"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
    ],
)
def test_a_full_disk_is_one_line_and_the_same_call_goes_on(error, tmp_path, make):
    def fail(part):
        raise error

    with pytest.raises(InputError, match=f"no room left in '{tmp_path}'"):
        files.cached(tmp_path, "base", SETTINGS, fail)
    files.cached(tmp_path, "base", SETTINGS, make)
    assert make.calls == 1


def test_other_errors_of_a_stage_are_left_as_they_are(tmp_path):
    for error in (RuntimeError("a bug"), InputError("weights (os error 2)")):

        def fail(part, error=error):
            raise error

        with pytest.raises(type(error)) as caught:
            files.cached(tmp_path, "base", SETTINGS, fail)
        assert caught.value is error


def test_what_is_finished_is_found_where_no_lock_can_be_made(tmp_path, make, monkeypatch):
    folder = files.cached(tmp_path, "base", SETTINGS, make)

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", f"{folder}.lock")

    monkeypatch.setattr(files.FileLock, "acquire", refuse)
    assert files.cached(tmp_path, "base", SETTINGS, make) == folder
    assert make.calls == 1
    with pytest.raises(InputError, match="Read-only file system"):
        files.cached(tmp_path, "dose", SETTINGS, make)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"spent": "long", "began": 0}'])
def test_damaged_notes_of_a_stage_do_no_harm(content, tmp_path, make):
    folder = files.folder_of(tmp_path, "base", SETTINGS)
    part = folder.with_name(f"{folder.name}.part")
    part.mkdir()
    part.with_name(f"{part.name}.json").write_text(content)
    files.cached(tmp_path, "base", SETTINGS, make)
    assert files.seal_of(folder)["seconds"] >= 0


def test_whoever_waits_for_a_stage_is_told_for_whom(tmp_path, make, monkeypatch, capsys):
    monkeypatch.setattr(hardware, "SECONDS_IN_SILENCE", 0.1)
    holder = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path,))
    holder.start()
    while not list(tmp_path.glob("*.part.json")):
        time.sleep(0.01)
    files.cached(tmp_path, "base", SETTINGS, make)
    holder.join()
    said = capsys.readouterr().err
    assert (
        f"plasticity: waiting for base-{files.digest(SETTINGS)}, which process {holder.pid}" in said
    )
    assert "Ctrl-C stops waiting" in said
    assert make.calls == 0


def _hold(root):
    files.cached(root, "base", SETTINGS, lambda part: time.sleep(1))
