"""The dictionary of columns: every kept column is in it, and nothing that is not kept."""

import sys
from fnmatch import fnmatch
from functools import cache

import pandas as pd
import pyarrow.parquet as pq
import pytest

from plasticity_utils.results.benchmark_columns import BENCHMARK_TABLES
from plasticity_utils.results.columns import COLUMNS
from plasticity_utils.results.derived import MAKERS
from plasticity_utils.results.dictionary import GROUPS
from plasticity_utils.results.published import PUBLISHED

sys.path.insert(0, str(PUBLISHED.parent / "_ext"))
import packages

EVERY_TABLE = {name: table for tables in GROUPS.values() for name, table in tables.items()}
KEPT_ONLY_BY_RUNS = {"neurons", "ranking"}
MEASURED = PUBLISHED.parents[1] / "benchmarks" / "tables"


@cache
def published():
    """Columns of each table that is kept here: of all published runs together, and measured."""
    found = {}
    for path in [*PUBLISHED.rglob("*"), *MEASURED.iterdir()]:
        if path.suffix == ".parquet":
            names = pq.read_schema(path).names
        elif path.suffix == ".csv":
            names = pd.read_csv(path, nrows=0).columns
        else:
            continue
        found.setdefault(path.stem, set()).update(names)
    return found


def described_as(table, column):
    """The names of the dictionary that describe a column."""
    return [name for name in EVERY_TABLE[table].columns if fnmatch(column, name)]


def test_every_table_is_in_it_and_nothing_else():
    assert set(EVERY_TABLE) == set(published()) | KEPT_ONLY_BY_RUNS
    assert set(MAKERS) <= set(EVERY_TABLE)
    assert set(BENCHMARK_TABLES) == {path.stem for path in MEASURED.iterdir()}
    # No table of one group hides one of another.
    assert len(EVERY_TABLE) == sum(map(len, GROUPS.values()))


@pytest.mark.parametrize("table", sorted(set(EVERY_TABLE) - KEPT_ONLY_BY_RUNS))
def test_every_published_column_is_in_it_and_no_other(table):
    undescribed = [name for name in published()[table] if not described_as(table, name)]
    assert undescribed == []
    used = {described_as(table, name)[0] for name in published()[table]}
    assert used == set(EVERY_TABLE[table].columns)


def test_every_column_of_a_run_is_in_it(tiny_run):
    for table in KEPT_ONLY_BY_RUNS:
        used = {described_as(table, name)[0] for name in tiny_run.table(table)}
        assert used == set(EVERY_TABLE[table].columns)


def test_nothing_is_said_that_no_table_has():
    here = {
        name for table in EVERY_TABLE.values() for name in table.columns if name not in table.own
    }
    ends = {name for name in COLUMNS if name.startswith("*")}
    assert set(COLUMNS) - ends <= here
    assert all(set(table.own) <= set(table.columns) for table in EVERY_TABLE.values())
    assert all(column.unit and column.meaning for column in COLUMNS.values())


def test_the_page_says_all_of_it():
    said = "\n".join([*packages.columns_table(COLUMNS), *packages.tables_lines()])
    for name, table in EVERY_TABLE.items():
        assert f"### `{name}`" in said
        for column in table.columns.values():
            assert column.meaning.replace("|", r"\|") in said
