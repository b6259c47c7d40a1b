"""The command `plasticity force`: neurons that serve one concept are to carry a second."""

from __future__ import annotations

import argparse
from typing import Any

from plasticity_utils.config import SCALES, RunConfig
from plasticity_utils.corpus import CONCEPTS
from plasticity_utils.forced_groups import DOSES, RATE_FACTOR, ForcingConfig


def add_force(commands: Any) -> None:
    """Add the command to those of the parser."""
    force = commands.add_parser("force", help="force neurons of one concept to carry a second")
    names = ", ".join(CONCEPTS)
    force.add_argument("--concept", default="locations", help=f"removed: {names} (%(default)r)")
    force.add_argument("--host", default="persons", help="its neurons carry both (%(default)r)")
    force.add_argument("--model", default="minilm", help="as for `run` (%(default)r)")
    force.add_argument("--scale", default="quick", help=f"{', '.join(SCALES)} (%(default)r)")
    force.add_argument("--seed", type=int, default=0, help="at least 0 (%(default)s)")
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
    force.add_argument("--results-dir", default="", help="of the run; runs/ beside the package")
    force.add_argument("--publish", action="store_true", help="copy the tables to the book")
    force.set_defaults(command=_force)


def _force(options: argparse.Namespace) -> None:
    # Here, not above: another command's bad input is told without waiting for IPython.
    from plasticity_utils.forced_seeds import ForcedSeeds
    from plasticity_utils.forced_verdict import verdict
    from plasticity_utils.forcing import force, publish_forced

    run = RunConfig(
        concept=options.concept, model=options.model, scale=options.scale, seed=options.seed,
        results_dir=options.results_dir,
    )  # fmt: skip
    doses = tuple(sorted(set(options.doses)))
    config = ForcingConfig(
        run, options.host, doses, options.share, options.rate_factor, options.head
    )
    forced = force(config)
    print(f"forced: {forced.path}")
    print(f"  {verdict(ForcedSeeds((forced,)))}")
    if options.publish:
        print(f"published: {publish_forced(forced)}")
