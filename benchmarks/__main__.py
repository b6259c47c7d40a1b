"""`python -m benchmarks`: measure rows, write them, print the table. Finished rows stay.

`growth` measures how time and memory grow; `report` writes the tables that the page reads.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks import growth, report, results
from benchmarks.measure import in_own_process
from benchmarks.rows import ROWS, f1, with_f1
from benchmarks.sizes import SIZES
from plasticity_utils.experiment.store import code_version

LIMIT, F1 = "limit", "f1"
# As many as an epoch of the quick scale: what a training does once counts as it does there.
LIMIT_SENTENCES = {"full": 1800, "small": 40}
NAMES = (LIMIT, *ROWS, F1)


def main() -> None:
    """Run the command line."""
    options = _options()
    if options.what == "report":
        print(*report.write(report.latest_benchmark()), sep="\n")
        return
    work = Path(options.work)
    # What was only tried out is no result.
    kept = work / f"{options.date}-small.json" if options.small else None
    path = options.results or kept or results.RESULTS / f"{options.date}.json"
    found = results.read(path)
    for name in ("growth",) if options.what == "growth" else options.rows:
        if not options.again and _is_done(found, name, options.small):
            print(f"{name}: done before; --again measures it anew")
            continue
        if options.again:  # what was kept of a cut-off call, too
            shutil.rmtree(work / name, ignore_errors=True)
        started = time.monotonic()
        _measure(found, name, options, work / name)
        found["seconds"][name] = round(time.monotonic() - started, 1)
        # Of each measurement its own: the others may be of older code.
        found["commits"][name] = code_version()["commit"]
        results.write(path, found)
        print(f"{name}: {found['seconds'][name]:.0f} s")
    _show(found)
    print(path)


def _measure(found: dict[str, Any], name: str, options: argparse.Namespace, work: Path) -> None:
    size = "small" if options.small else "full"
    work.mkdir(parents=True, exist_ok=True)
    if name == "growth":
        found["growth"] = {"size": size, "curves": dict(growth.measure(size, work, options.model))}
    elif name == LIMIT:
        facts = in_own_process(
            "limit:everything", work, sentences=LIMIT_SENTENCES[size], model=options.model
        )
        found["limit"] = {"size": size, **facts}
    elif name == F1:
        found[F1] = {"size": size, **f1(SIZES[size], work, options.repeats, options.model)}
    else:
        rows = ROWS[name](SIZES[size], work, options.repeats, options.model)
        results.put_rows(found, name, [{"size": size, **row} for row in rows])
    if found[F1] and found[F1]["size"] == size:
        found["rows"] = with_f1(found["rows"], found[F1])


def _is_done(found: dict[str, Any], name: str, small: bool) -> bool:
    size = "small" if small else "full"
    if name in ("growth", LIMIT, F1):
        return bool(found[name]) and found[name]["size"] == size
    return any(row["name"] == name and row["size"] == size for row in found["rows"])


def _show(found: dict[str, Any]) -> None:
    if found["rows"]:
        print(report.speed_table(found).to_string(index=False))
        for row in found["rows"]:
            print(f"- {row['work']}: {row['agreement']}. {row['note']}")
    if found["limit"]:
        print(report.limit_table(found).to_string(index=False))
    if found["growth"]:
        print(report.growth_table(found).to_string(index=False))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("rows", "growth", "report"), default="rows")
    parser.add_argument("--rows", nargs="+", choices=NAMES, default=list(NAMES), help="some only")
    parser.add_argument("--small", action="store_true", help="a little data, to try the rows out")
    parser.add_argument("--repeats", type=int, default=3, help="of each row; seeds, for training")
    parser.add_argument("--again", action="store_true", help="measure finished rows anew")
    parser.add_argument("--date", default=time.strftime("%Y-%m-%d"), help="names the results' file")
    parser.add_argument("--results", type=Path, help="another file for the results")
    parser.add_argument("--work", default=str(results.ROOT / "runs" / "benchmarks"))
    parser.add_argument("--model", default="minilm")
    return parser.parse_args()


if __name__ == "__main__":
    main()
