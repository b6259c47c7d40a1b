"""Is it the same concept, or another process that does the same job? Tables, and the verdict.

What is measured of models stands in `representation`: linear CKA, and the transfer of a probe.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.experiment.record import Audit, Run
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.stack import Estimate, mean_interval, stack

# How a probe of the base is put to the retrained model: its units, and the alignment.
READINGS = {
    "as it is": ("all", "none"),
    "kept neurons alone": ("kept", "none"),
    "after alignment": ("all", "procrustes"),
    "aligned to shuffled words": ("all", "shuffled"),
}


PRETRAINED = "pretrained"


def other_bases(audits: Sequence[Audit]) -> pd.DataFrame:
    """Share of its F1 that a base's probe keeps at the last layer of another base.

    Gives concept, seed, other, as_is, kept (of a probe of the kept neurons alone), aligned,
    shuffled; of audits that were asked.
    """
    asked = [one for one in audits if one.holds(["other_bases"])]
    rows = []
    for one in asked:
        table = one.table("other_bases")
        last = table[table["layer"] == table["layer"].max()]
        f1 = last.set_index(["other", "units", "alignment"])["word_f1"].unstack("alignment")
        share = f1.div(f1["base"], axis=0).unstack("units")
        rows += [
            {
                "concept": one.config.concept_info.title,
                "seed": one.config.seed,
                "other": other,
                "as_is": own["none", "all"],
                "kept": own["none", "kept"],
                "aligned": own["procrustes", "all"],
                "shuffled": own["shuffled", "all"],
            }
            for other, own in share.iterrows()
        ]
    columns = ["concept", "seed", "other", "as_is", "kept", "aligned", "shuffled"]
    return pd.DataFrame(rows, columns=columns)


def control(found: pd.DataFrame) -> str:
    """Whether the test of question 4 can fail, of `other_bases` by `rules.can_fail`."""
    return rules.can_fail((1 - found.loc[found["other"] != PRETRAINED, "as_is"]).tolist())


def cka(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """CKA of kept neurons, base against the end: concept, condition, layer, cka_debiased.

    Means over the seeds of a concept, with `_low` and `_high`.
    """
    rows = stack(groups, lambda run: derived(run, "representation"), ["concept", "seed"])
    rows = rows[(rows["stage"] == "end") & (rows["units"] == "kept")]
    bounds = {"cka_debiased": (-1.0, 1.0)}
    keys = ["concept", "condition", "layer"]
    return mean_interval(rows, keys, ["cka_debiased"], bounds=bounds)


def probes(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """F1 of the base's probe at the last layer, which the head reads, run by run.

    Gives concept, seed, condition (`base`: on its own model; `targeted`, `random`, `none`: on the
    end), reading (of `READINGS`), word_f1.
    """
    return stack(groups, _probes, ["concept", "seed"])


def kept_f1(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Share of its F1 that the base's probe keeps at the last layer, run by run.

    Gives concept, seed; as_is, aligned, shuffled and kept (of a probe of the kept neurons alone),
    and the first two and kept with `_none`, where nothing was removed.
    """
    return stack(groups, _kept_f1, ["concept", "seed"])


def same(groups: Sequence[RunGroup]) -> pd.Series:
    """Question 4: what the probe loses beyond `none`, over runs, and the verdict.

    lost_as_is, lost_kept, lost_aligned (`none` less `targeted`), aligned_beyond (aligned less
    aligned to shuffled words), as shares of F1 with `_low` and `_high`; verdict.
    """
    rows = kept_f1(groups)
    lost = {f"lost_{name}": rows[f"{name}_none"] - rows[name] for name in _LOSSES}
    rows = rows.assign(**lost, aligned_beyond=rows["aligned"] - rows["shuffled"])
    names = [*lost, "aligned_beyond"]
    found = mean_interval(rows, [], names, over="concept").iloc[0]
    return pd.concat(
        [
            found,
            pd.Series(
                {"verdict": rules.representation(*(Estimate.of(found, name) for name in names))}
            ),
        ]
    )


_LOSSES = ("as_is", "kept", "aligned")


def _last_layer(run: Run) -> pd.Series:
    rows = derived(run, "transfer")
    rows = rows[(rows["layer"] == rows["layer"].max()) & (rows["stage"] == "end")]
    return rows.set_index(["condition", "units", "alignment"])["word_f1"]


def _probes(run: Run) -> pd.DataFrame:
    f1 = _last_layer(run)
    rows = [
        (condition, reading, f1[condition, units, alignment])
        for reading, (units, alignment) in READINGS.items()
        for condition in ("targeted", "random", "none")
    ]
    rows += [
        ("base", reading, f1["targeted", units, "base"]) for reading, (units, _) in READINGS.items()
    ]
    return pd.DataFrame(rows, columns=["condition", "reading", "word_f1"])


def _kept_f1(run: Run) -> dict[str, float]:
    f1 = _last_layer(run)

    def share(condition: str, units: str, alignment: str) -> float:
        own = f1[condition, units, "base"]
        return f1[condition, units, alignment] / own if own > 0 else float("nan")

    return {
        "as_is": share("targeted", "all", "none"),
        "as_is_none": share("none", "all", "none"),
        "kept": share("targeted", "kept", "none"),
        "kept_none": share("none", "kept", "none"),
        "aligned": share("targeted", "all", "procrustes"),
        "aligned_none": share("none", "all", "procrustes"),
        "shuffled": share("targeted", "all", "shuffled"),
    }
