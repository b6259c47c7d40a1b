"""The command `plasticity`: run the experiment, render its page, export its figures.

What only one command needs is imported there: help, and a wrong word in a setting, take no seconds.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plasticity_utils import garbage
from plasticity_utils.data.column_files import SPLITS
from plasticity_utils.data.concepts import CUSTOM_KINDS, FILE, WORDS
from plasticity_utils.data.corpus import CONCEPTS
from plasticity_utils.data.tasks import Task, in_order
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.forcing_config import DOSES, RATE_FACTOR, ForcingConfig
from plasticity_utils.experiment.presets import REGIMES, SCALES, SIZES
from plasticity_utils.files import ROOT, refusal, whole
from plasticity_utils.names import INDICATORS, POSITIONS, RESTS
from plasticity_utils.optional import check_extra
from plasticity_utils.registry import protocols, rankings, readers, removals

if TYPE_CHECKING:
    import pandas as pd

    from plasticity_utils.experiment.record import Run

BAD_INPUT, _INTERRUPTED = 2, 130
SENTENCE = "book/sentence"


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns 0, 1 for a failed cell, 2 for bad input, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    garbage.rarely()
    try:
        return options.command(options) or 0
    except InputError as error:
        # Of processes that train together, one on each machine says it.
        rank = os.environ.get("LOCAL_RANK", "0")
        if not rank.isdecimal() or int(rank) == 0:
            print(f"plasticity: {error}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(f"plasticity: {refusal(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("plasticity: interrupted; the same command resumes", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plasticity", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the experiment, or what is left of it")
    _add_settings(run)
    run.set_defaults(command=_run)
    audit = commands.add_parser(
        "audit", help="ask of a removal whether it took the concept or hid it"
    )
    _add_settings(audit)
    instead = audit.add_mutually_exclusive_group()
    instead.add_argument(
        "--curve", action="store_true", help="read and train back at ever larger doses instead"
    )
    instead.add_argument(
        "--example", action="store_true", help="mark one sentence at four stages instead"
    )
    audit.set_defaults(command=_audit)
    features = commands.add_parser(
        "features", help="rank the features of e5's sparse autoencoder beside its units"
    )
    features.add_argument("--scale", default="full", help=f"{', '.join(SCALES)} (%(default)r)")
    features.add_argument("--seed", type=int, default=0, help="of sentences, and of the control")
    features.add_argument("--results-dir", default="", help="as for `run`")
    features.set_defaults(command=_features)
    page = commands.add_parser("page", help="render an executed notebook, print its results")
    page.add_argument("notebook", type=Path)
    page.add_argument("out", type=Path, help="folder of the page")
    page.set_defaults(command=_page)
    book = commands.add_parser("book", help="make a book of a grid: an index, a page a cell")
    book.add_argument("folder", type=Path, help="results folder of `batch`")
    book.add_argument("out", type=Path, help="folder of the book")
    book.set_defaults(command=_book)
    publication = commands.add_parser("publish", help="copy a finished run's tables to the book")
    publication.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    publication.set_defaults(command=_publish)
    indicators = commands.add_parser(
        "indicators", help="compare what `erase` can erase, of a published run that did"
    )
    indicators.add_argument("run", type=Path, help="folder of the finished run")
    indicators.set_defaults(command=_indicators)
    reading = commands.add_parser(
        "readers", help="what any reader finds after the removal of a published run, or of an audit"
    )
    reading.add_argument("runs", type=Path, nargs="+", help="folders of finished runs and audits")
    chosen = reading.add_mutually_exclusive_group()
    chosen.add_argument(
        "--reader", action="append", help=f"{', '.join(readers.names())}, FILE.py:NAME; repeatable"
    )
    chosen.add_argument(
        "--heads", action="store_true", help="train an audit's last layer at several rates instead"
    )
    chosen.add_argument(
        "--second-cut", action="store_true", help="train an audit's model on, cut and read it again"
    )
    reading.set_defaults(command=_readers)
    bases = commands.add_parser(
        "bases", help="put a probe of each audit's base to the bases of the other seeds"
    )
    bases.add_argument("audits", type=Path, nargs="+", help="folders of audits, one a seed")
    bases.set_defaults(command=_bases)
    pages = commands.add_parser("pages", help="make the concepts' pages from their template")
    pages.set_defaults(command=_pages)
    sentence = commands.add_parser(
        "sentence", help="make the page on which a reader tries a sentence, from a finished run"
    )
    sentence.add_argument("run", type=Path, help="folder of the finished run")
    sentence.add_argument("--out", type=Path, default=ROOT / SENTENCE, help="folder (%(default)s)")
    sentence.set_defaults(command=_sentence)
    figures = commands.add_parser("figures", help="write a notebook's charts as SVG and PNG")
    figures.add_argument("notebooks", type=Path, help="an executed notebook, or a folder of them")
    figures.add_argument("out", type=Path, help="folder of the figures")
    figures.set_defaults(command=_figures)
    pdf = commands.add_parser("pdf", help="print the built book into one PDF")
    pdf.add_argument("html", type=Path, help="folder of the built book")
    pdf.add_argument("out", type=Path, help="the file")
    pdf.set_defaults(command=_pdf)
    packed = commands.add_parser("zip", help="pack the built book to be read without a server")
    packed.add_argument("html", type=Path, help="folder of the built book")
    packed.add_argument("out", type=Path, help="the file")
    packed.set_defaults(command=_zip)
    concepts = commands.add_parser("concepts", help="list concepts, or check one of your own")
    concepts.add_argument("concept", nargs="?", help=f"counted by part; {CUSTOM_KINDS}, or a name")
    concepts.add_argument("--scale", default="quick", help=f"{', '.join(SCALES)} (%(default)r)")
    for name in ("corpus", "tags"):
        concepts.add_argument(
            f"--{name}", default=getattr(RunConfig, name), help="as for `run` (%(default)r)"
        )
    concepts.set_defaults(command=_concepts)
    add_batch(commands)
    add_force(commands)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the settings of a run; what is left out of those of a regime is as the regime has it."""
    defaults = {field.name: field.default for field in dataclasses.fields(RunConfig)}
    for name, allowed in (
        ("concept", [*CONCEPTS, CUSTOM_KINDS]),
        ("model", "minilm, smollm2, e5, a local folder or a Hub name"),
        ("scale", list(SCALES)),
        ("regime", list(REGIMES)),
        ("corpus", "conll2003, wnut16, a folder of column files, or hf:NAME"),
        ("tags", "a column of the corpus, by name or number; of conll2003 entity, pos, chunk"),
        ("results_dir", "folder for runs; empty for runs/ in the project or the current folder"),
    ):
        text = allowed if isinstance(allowed, str) else ", ".join(allowed)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, default=defaults[name], help=f"{text} (%(default)r)")
    parser.add_argument(
        "--seed", type=int, default=defaults["seed"], help="at least 0 (%(default)s)"
    )
    group = parser.add_argument_group("instead of what the regime and the scale say")
    for name, kind, text in (
        ("removal", str, f"{', '.join(removals.names())}, FILE.py:NAME"),
        ("protocols", str, f"{', '.join(protocols.names())}, FILE.py:NAME; commas between"),
        ("ranking", str, f"{', '.join(rankings.names())}, FILE.py:NAME"),
        ("rest", str, ", ".join(RESTS)),
        ("positions", str, ", ".join(POSITIONS)),
        ("dose", float, "share of all neurons, between 0 and 1"),
        ("epochs", int, "of retraining"),
        ("restarts", int, "schedules that make up the retraining"),
        ("indicator", str, f"what `erase` erases: {', '.join(INDICATORS)}"),
        ("removal_settings", str, "of the removal alone: beta=0.5, learning_rate=1e-4"),
        ("learning_rate", float, "peak rate; by default the model's"),
        *((name, int, f"`{inside}` of the scale") for name, inside in SIZES.items()),
    ):
        option = f"--{name.replace('_', '-')}"
        group.add_argument(option, type=kind, default=defaults[name], help=text)
    group.add_argument("--regrow", action="store_true", help="removed neurons may grow back")


def _run(options: argparse.Namespace) -> None:
    config = _config(vars(options))
    from plasticity_utils.experiment.run import run_experiment

    run_experiment(config)


def _audit(options: argparse.Namespace) -> None:
    config = _config(vars(options))
    from plasticity_utils.analysis.audits import table_of_removals
    from plasticity_utils.experiment.audit import run_audit
    from plasticity_utils.experiment.example import run_example
    from plasticity_utils.experiment.reading_curve import run_curve

    if options.curve or options.example:
        name, make = ("curve", run_curve) if options.curve else ("example", run_example)
        print(f"{name}: {make(config).path}")
        return
    made = run_audit(config)
    print(f"audit: {made.path}")
    row = table_of_removals([made]).iloc[0].dropna()
    print(_written(row))


def _features(options: argparse.Namespace) -> None:
    config = _config({**vars(options), "model": "e5"})
    from plasticity_utils.analysis.features import beside_neurons, features_table
    from plasticity_utils.experiment.features import run_features

    made = run_features(config)
    print(f"features: {made.path}")
    print(_written(beside_neurons(features_table([made])), index=False))


def _page(options: argparse.Namespace) -> None:
    check_extra("book", "a page")
    from plasticity_utils.book.pages import render_page

    print(f"page: {render_page(options.notebook, options.out)}")
    try:
        _print_results(options.notebook)
    except InputError as error:
        # The page is there, whatever became of the run that it shows.
        print(f"its results in short: none, {error}", file=sys.stderr)


def _book(options: argparse.Namespace) -> None:
    check_extra("book", "a book")
    check_extra("batch", "a book of a grid")
    from plasticity_utils.book.pages import render_grid

    print(f"book: {render_grid(options.folder, options.out)}")


def _publish(options: argparse.Namespace) -> None:
    from plasticity_utils.book.pages import add_page
    from plasticity_utils.experiment.record import Audit, load_run
    from plasticity_utils.results.published import publish, publish_audit

    for run in map(load_run, options.runs):
        if _is_audit(run):
            print(f"published: {publish_audit(Audit(run.path))}")
            continue
        print(f"published: {publish(run)}")
        if page := add_page(run.config):
            print(f"new page: {page}; `make notebooks` executes it")


def _pdf(options: argparse.Namespace) -> None:
    check_extra("book", "a PDF")
    import yaml

    from plasticity_utils.book.pdf import write_pdf

    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    print(f"PDF: {write_pdf(options.html, contents, options.out)}")


def _zip(options: argparse.Namespace) -> None:
    from plasticity_utils.book.archive import write_zip

    print(f"zip: {write_zip(options.html, options.out)}")


def _pages(options: argparse.Namespace) -> None:
    from plasticity_utils.book.pages import write_pages

    for page in write_pages():
        print(f"page: {page}")


def _indicators(options: argparse.Namespace) -> None:
    from plasticity_utils.experiment.record import load_run
    from plasticity_utils.results.published import add

    print(f"published: {add(load_run(options.run), 'indicators')}")


def _readers(options: argparse.Namespace) -> None:
    from plasticity_utils.analysis.reading import read_anew
    from plasticity_utils.experiment.audit import read_further, read_heads, read_second_cut
    from plasticity_utils.experiment.record import Audit, load_run
    from plasticity_utils.results.published import add

    named = {"names": options.reader} if options.reader else {}
    for run in map(load_run, options.runs):
        if options.heads:
            print(f"read: {read_heads(Audit(run.path))}")
        elif options.second_cut:
            print(f"read: {read_second_cut(Audit(run.path))}")
        elif _is_audit(run):
            print(f"read: {read_further(Audit(run.path), **named)}")
        else:
            make = partial(read_anew, **named)
            print(f"published: {add(run, 'readers', make=make)}")


def _bases(options: argparse.Namespace) -> None:
    from plasticity_utils.analysis.representation import read_other_bases
    from plasticity_utils.experiment.record import Audit, load_run
    from plasticity_utils.experiment.store import add_table

    audits = [Audit(load_run(folder).path) for folder in options.audits]
    for one in audits:
        table = read_other_bases(one, [other for other in audits if other is not one])
        print(f"read: {add_table(one.path, 'other_bases', table)}")


def _is_audit(run: Run) -> bool:
    """Whether a folder is of an audit, a curve, an example or features: runs name their command."""
    return "command" not in run.facts and not run.holds(["metrics"])


def _sentence(options: argparse.Namespace) -> None:
    from plasticity_utils.book.sentence import write_demonstration
    from plasticity_utils.experiment.record import load_run

    print(f"demonstration: {write_demonstration(load_run(options.run), options.out)}")


def _figures(options: argparse.Namespace) -> None:
    from plasticity_utils.book.pages import export_figures

    written = export_figures(options.notebooks, options.out)
    print(f"figures: {len(written)} files in {options.out}")


def _concepts(options: argparse.Namespace) -> None:
    task = Task(options.corpus, options.tags)
    if options.concept is not None:
        _count(_config(vars(options)))
        return
    names = {label: name for name, label in CONCEPTS.items()}
    for split in SPLITS:
        counts = task.load(split).types()
        for label in in_order(counts):
            print(f"{names.get(label, ''):<15} {label:<5} {split:<11} {counts[label]:>6} words")
    print(
        f"your own: {FILE}WORDS,LABELS#LABEL (two files) or {WORDS}Monday,Tuesday (exact words); "
        "`plasticity concepts CONCEPT` counts it"
    )


def _count(config: RunConfig) -> None:
    """Print how many words of a concept each part of a run has."""
    from plasticity_utils.experiment.splits import load_sentences, part_counts

    counts = part_counts(load_sentences(config), config.label)
    concept = config.concept_info
    print(f"{concept.title}: shown as {concept.label}, folders named {concept.name}")
    for row in counts.itertuples():
        print(
            f"{row.part:<12} {row.of_concept:>6} of {row.words:>7} words, {row.sentences:>6} "
            "sentences"
        )


def _config(values: dict[str, object], kind: type[RunConfig] = RunConfig) -> RunConfig:
    names = {field.name for field in dataclasses.fields(kind)}
    return kind.from_parameters({k: v for k, v in values.items() if k in names})


def _written(table: pd.DataFrame | pd.Series, **options: bool) -> str:
    """Write a table for the terminal, with numbers as on pages."""
    from plasticity_utils.formats import NO_NUMBER, number

    return table.to_string(na_rep=NO_NUMBER, float_format=number, **options)


def _print_results(notebook: Path) -> None:
    """Print the answers of the run with whose settings a notebook was executed.

    Files and folders among them may be named from here, from where the notebook lies, or from the
    project's notebooks: whoever executed it worked in one of these.
    """
    from plasticity_utils.analysis import answers
    from plasticity_utils.results.groups import RunGroup
    from plasticity_utils.results.published import find_run

    values, said = _executed_values(notebook), []
    for folder in dict.fromkeys([Path.cwd(), notebook.resolve().parent, ROOT / "notebooks"]):
        with contextlib.chdir(folder):
            try:
                config = RunConfig.from_parameters(values)
                run = RunGroup((find_run(config),))
            except InputError as error:
                said.append(error)
                continue
            if config.scale == "smoke":
                print("  smoke scale: a test of the machinery, these numbers mean nothing")
            print(_written(answers.answer(run), index=False))
            found = answers.found(run)
            print(f"found in the cut model by its last layer or a new probe: {found}")
            return
    raise said[0]


def _executed_values(notebook: Path) -> dict[str, Any]:
    """Parameters with which papermill executed a notebook, over the notebook's own defaults."""
    import nbformat
    import papermill

    defaults = papermill.inspect_notebook(str(notebook))
    given = nbformat.read(notebook, as_version=4).metadata.get("papermill", {})
    values = dict(given.get("parameters", {}))
    for name, found in defaults.items():
        try:
            values.setdefault(name, ast.literal_eval(found["default"]))
        except ValueError:
            raise InputError(f"parameter {name} is {found['default']}, no plain value") from None
    if "concept" not in values:
        raise InputError(f"{str(notebook)!r} has no parameter 'concept'")
    return values


def add_force(commands: Any) -> None:
    """Add the command to those of the parser."""
    force = commands.add_parser("force", help="force neurons of one concept to carry a second")
    _add_settings(force)
    force.add_argument("--host", default="persons", help="its neurons carry both (%(default)r)")
    force.add_argument(
        "--doses", type=float, nargs="+", default=DOSES,
        help="shares of all neurons that may change (%(default)s)",
    )  # fmt: skip
    force.add_argument("--share", type=float, default=0.5, help="of an epoch (%(default)s)")
    force.add_argument(
        "--rate-factor",
        type=float,
        default=RATE_FACTOR,
        help="times the model's rate (%(default)s)",
    )
    force.add_argument("--head", action="store_true", help="free the head's columns there too")
    force.add_argument("--publish", action="store_true", help="copy the tables to the book")
    force.set_defaults(command=_force)


def _force(options: argparse.Namespace) -> None:
    options.doses = tuple(sorted(set(options.doses)))
    config = _config(vars(options), ForcingConfig)
    # Here, not above: another command's bad input is told without waiting for these.
    from plasticity_utils.analysis.forced import judged
    from plasticity_utils.experiment.run import run_experiment
    from plasticity_utils.results.groups import RunGroup
    from plasticity_utils.results.published import publish

    run = run_experiment(config)
    print(f"forced: {run.path}")
    columns = [
        "n_neurons",
        "entity_f1_base",
        "entity_f1_removed",
        "entity_f1_end",
        "price",
        "rise",
        "verdict",
    ]
    print(_written(judged(RunGroup((run,)))[columns], index=False))
    if options.publish:
        print(f"published: {publish(run)}")


def add_batch(commands: Any) -> None:
    """Add the command to those of the parser."""
    batch = commands.add_parser("batch", help="run a grid of concepts, models, seeds and settings")
    batch.add_argument("grid", type=Path, help="YAML file, see the book's page on batches")
    batch.add_argument(
        "--results",
        default="",
        help="folder, or any fsspec URL (as for `run`)",
    )
    where = batch.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, default=0, help="worker processes on this machine")
    where.add_argument("--scheduler", default="", help="address of a Dask scheduler, tcp://…")
    batch.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True,
        help="skip cells that are done, after verifying them (the default)",
    )  # fmt: skip
    batch.add_argument("--shard", default="", help="i/n: every n-th cell alone, for n machines")
    batch.add_argument("--dry-run", action="store_true", help="list cells, hours and memory")
    batch.set_defaults(command=_batch)
    table = commands.add_parser("results", help="one table of all cells of a grid")
    table.add_argument("folder", type=Path, help="results folder of `batch`")
    table.set_defaults(command=_results)


def _results(options: argparse.Namespace) -> None:
    from plasticity_utils.results.cells import grid_results

    table = grid_results(options.folder)
    csv, parquet = options.folder / "results.csv", options.folder / "results.parquet"
    with whole(csv) as rows, whole(parquet) as frame:
        table.to_csv(rows, index=False)
        table.to_parquet(frame, index=False)
    counts = table.groupby("cell")["status"].first().value_counts()
    named = ", ".join(f"{n} {status}" for status, n in counts.items())
    print(f"{table['cell'].nunique()} cells: {named}; {len(table)} rows in {csv} and {parquet}")


def _batch(options: argparse.Namespace) -> int:
    from plasticity_utils.batch.driver import run_batch

    return run_batch(options)
