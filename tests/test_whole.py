"""What is written whole or not at all."""

import pytest

from plasticity_utils import files
from plasticity_utils.errors import InputError


def test_a_file_takes_its_place_at_the_end(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("old")
    with files.whole(path) as file:
        file.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [found.name for found in tmp_path.iterdir()] == ["table.txt"]


def test_a_folder_replaces_the_old_one(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "stale").write_text("")
    with files.whole(folder) as part:
        part.mkdir()
        (part / "fresh").write_text("")
    assert [found.name for found in folder.iterdir()] == ["fresh"]
    assert [found.name for found in tmp_path.iterdir()] == ["run"]


def fail_in(path):
    with files.whole(path) as file:
        file.write_text("half")
        raise ZeroDivisionError


def test_of_a_block_that_fails_nothing_is_left(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail_in(path)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["table.txt"]


def test_a_file_never_takes_the_place_of_a_folder_nor_a_folder_that_of_a_file(tmp_path):
    folder, file = tmp_path / "some.npy", tmp_path / "some.txt"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    file.write_text("mine")
    for path, write, needed in (
        (folder, lambda part: part.write_text("new"), "file"),
        (file, lambda part: part.mkdir(), "folder"),
    ):
        with (
            pytest.raises(InputError, match=f"is there and is no {needed}"),
            files.whole(path) as p,
        ):
            write(p)
    assert file.read_text() == (folder / "thesis.txt").read_text() == "mine"
    assert {found.name for found in tmp_path.iterdir()} == {"some.npy", "some.txt"}
