"""Give the published tables their new names, and show that no number changed by it.

    python tools/rewrite_results.py rewrite
    python tools/rewrite_results.py compare COMMIT

`rewrite` changes the files of `book/results` in place; a second time it changes nothing. `compare`
reads the same files as they were at a commit and asks of every one: as many rows and columns, in
the same order, every number the same to the last bit, and no name or value changed but those below.
"""

import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

RESULTS = Path("book/results")
CONDITIONS = {"concept": "targeted"}
F1 = {f"f1{end}": f"entity_f1{end}" for end in ("", "_low", "_high")}
SCORES = F1 | {"n": "n_gold"}
NEURONS, WORDS = {"n": "n_neurons"}, {"n": "n_words"}
FORCED = ("f1_base", "f1_removed", "f1_end", "f1_end_low", "f1_end_high")
COLUMNS: dict[str, dict[str, str]] = {
    **dict.fromkeys(
        ("base", "metrics", "reliance", "readers", "indicators", "mistakes_removal"), SCORES
    ),
    "dose": SCORES | {"half": "part"},
    "forced": {name: f"entity_{name}" for name in FORCED} | {"n": "n_gold"},
    "layers": {
        "saliency": "rank_saliency",
        "probe_precision": "word_precision",
        "probe_recall": "word_recall",
        "probe_f1": "word_f1",
    },
    **dict.fromkeys(
        ("kept_gain", "regrowth", "migration", "polysemanticity", "priming", "subconcepts"), NEURONS
    ),
    "card_histograms": WORDS,
    "representation": WORDS,
    "transfer": WORDS | {"f1": "word_f1"},
    "superposition": {"n": "n_concepts"},
    "subconcept_parts": {"level": "silhouette_reference"},
}
VALUES = {"condition": CONDITIONS}


def new_columns(table: str, columns: list[str]) -> list[str]:
    """What the columns of a table are called from now on."""
    names = COLUMNS.get(table, {})
    return [names.get(column, column) for column in columns]


def new_table(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Rename a table's conditions and columns."""
    for column in VALUES.keys() & set(frame.columns):
        frame = frame.assign(**{column: frame[column].replace(VALUES[column])})
    return frame.set_axis(new_columns(table, list(frame.columns)), axis=1)


def new_facts(facts: dict) -> dict:
    """Rename the conditions, and the stages that carry their names, in a run's `config.json`."""
    facts = dict(facts)
    if "ranks" in facts:
        facts["ranks"] = {CONDITIONS.get(n, n): ranks for n, ranks in facts["ranks"].items()}
    if "seconds" in facts:
        facts["seconds"] = {_stage(n): seconds for n, seconds in facts["seconds"].items()}
    return facts


def _stage(folder: str) -> str:
    name, _, key = folder.rpartition("-")
    stage, _, condition = name.partition("-")
    return f"{stage}-{CONDITIONS[condition]}-{key}" if condition in CONDITIONS else folder


def rewrite() -> None:
    """Write anew what is called otherwise now."""
    for path in sorted(RESULTS.glob("*/*.parquet")):
        old = pd.read_parquet(path)
        new = new_table(path.stem, old)
        if not new.equals(old) or list(new.columns) != list(old.columns):
            new.to_parquet(path, index=False, compression="zstd")
    for path in sorted(RESULTS.glob("*/*.json")):
        text = path.read_text()
        facts = json.loads(text)
        if new_facts(facts) != facts:
            end = "\n" if text.endswith("\n") else ""
            path.write_text(json.dumps(new_facts(facts), indent=1) + end)


def compare(commit: str) -> None:
    """Compare with the files at a commit, value by value; stop at the first that differs."""
    listed = ["git", "ls-tree", "-r", "--name-only", commit, str(RESULTS)]
    paths = [Path(line) for line in subprocess.check_output(listed, text=True).splitlines()]
    n_tables = n_values = 0
    for path in paths:
        before = subprocess.check_output(["git", "show", f"{commit}:{path}"])
        if path.suffix == ".json":
            old, new = (_flat(json.loads(text)) for text in (before, path.read_bytes()))
            assert [value for _, value in old] == [value for _, value in new], path
            moved = [(was, now) for (was, _), (now, _) in zip(old, new, strict=True) if was != now]
            assert all("/concept" in was or "-concept-" in was for was, _ in moved), (path, moved)
            continue
        old, new = pd.read_parquet(io.BytesIO(before)), pd.read_parquet(path)
        assert old.shape == new.shape, path
        assert list(new.columns) == new_columns(path.stem, list(old.columns)), path
        for position, column in enumerate(old.columns):
            was, now = old.iloc[:, position], new.iloc[:, position]
            if column in VALUES:
                was = was.map(lambda value, names=VALUES[column]: names.get(value, value))
            assert was.dtype == now.dtype, (path, column)
            pd.testing.assert_series_equal(was, now, check_exact=True, check_names=False)
            n_values += len(was)
        n_tables += 1
    assert set(paths) == {path for path in RESULTS.glob("*/*") if path.is_file()}
    print(f"{n_tables} tables, {n_values:,} values: the same but for the names")


def _flat(facts: object, place: str = "") -> list[tuple[str, object]]:
    if isinstance(facts, dict):
        return [pair for key, value in facts.items() for pair in _flat(value, f"{place}/{key}")]
    return [(place, facts)]


if __name__ == "__main__":
    compare(sys.argv[2]) if sys.argv[1] == "compare" else rewrite()
