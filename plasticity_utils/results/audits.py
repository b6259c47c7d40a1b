"""Audits that the book is made of: small tables, kept beside the published runs."""

from __future__ import annotations

from pathlib import Path

from plasticity_utils import files
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.audit import (
    PROTOCOLS,
    Audit,
    audit_name,
    run_audit,
    with_protocols,
)
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.run import shared_settings
from plasticity_utils.files import ROOT

AUDITS = ROOT / "book" / "results" / "audits"
TABLES = ("returns", "readings", "base", "dose")


def publish_audit(audit: Audit, results: Path = AUDITS) -> Path:
    """Copy an audit's tables to the book's results.

    Parameters
    ----------
    audit : Audit
        From `audit`.
    results : Path
        Folder of all published audits.

    Returns
    -------
    Path
        The audit's folder; an older one of that name is replaced.

    Raises
    ------
    InputError
        For an audit at the smoke scale, whose numbers mean nothing, and for one that lacks a
        control: the removal's matched counterpart and a model that never knew the concept.
    """
    config = audit.config
    if config.scale == "smoke":
        raise InputError("an audit at the smoke scale is not published: its numbers mean nothing")
    lacks = set(PROTOCOLS) - set(audit.returns["condition"])
    if lacks:
        raise InputError(
            f"the audit of {config.concept} lacks the protocols {', '.join(sorted(lacks))}; a row "
            "of the table of removals needs its controls"
        )
    folder = results / audit_name(config)
    results.mkdir(parents=True, exist_ok=True)
    with files.whole(folder) as part:
        part.mkdir()
        for name in TABLES:
            if (audit.path / f"{name}.parquet").is_file():
                table = audit.table(name)
                table.to_parquet(part / f"{name}.parquet", index=False, compression="zstd")
        facts = {**audit.facts, "settings": {**audit.facts["settings"], "results_dir": ""}}
        files.write_json(part / "config.json", facts)
    return folder


def published_audits(results: Path = AUDITS) -> list[Audit]:
    """All published audits, by name."""
    return [Audit(path.parent) for path in sorted(results.glob("*/config.json"))]


def find_audits(config: RunConfig, make: bool = False) -> list[Audit]:
    """The audits of a configuration under every seed: one's own, else the published ones.

    Parameters
    ----------
    config : RunConfig
    make : bool
        Make the audit of the configuration's own seed where there is none.

    Raises
    ------
    InputError
        If there is none, and none is to be made.
    """
    config = with_protocols(config)
    own = [
        Audit(path.parent)
        for path in sorted(config.results.glob("audit-*/config.json"))
        if files.is_sound(path.parent)
    ]
    for found in (own, [] if config.results_dir else published_audits()):
        wanted = shared_settings(config)
        same = [one for one in found if shared_settings(one.config) == wanted]
        if same and (not make or any(one.config.seed == config.seed for one in same)):
            return sorted(same, key=lambda one: one.config.seed)
    if make:
        return [run_audit(config)]
    raise InputError(f"no finished audit {audit_name(config)!r} in {str(config.results)!r}")
