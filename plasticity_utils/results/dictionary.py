"""The data dictionary: every kept table with a row's meaning and its columns, in groups.

The book's page of columns is made from it; a test holds it to the tables that are kept.
"""

from __future__ import annotations

from plasticity_utils.results.audit_columns import AUDIT_TABLES, FORCING_TABLES
from plasticity_utils.results.benchmark_columns import BENCHMARK_TABLES
from plasticity_utils.results.run_columns import COMMAND_TABLES, DERIVED_TABLES, RUN_TABLES

GROUPS = {
    "Of every run": RUN_TABLES,
    "Worked out when a run is published": DERIVED_TABLES,
    "Added by a command": COMMAND_TABLES,
    "Of a forcing": FORCING_TABLES,
    "Of an audit": AUDIT_TABLES,
    "Of the benchmarks": BENCHMARK_TABLES,
}
