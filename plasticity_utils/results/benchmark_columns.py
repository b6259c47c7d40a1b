"""The columns of `benchmarks/tables`: what was measured beside the peers, and costs on paper."""

from __future__ import annotations

from plasticity_utils.results.columns import Column, Table

_WORK = Column("text", "what both sides did")
_RATIO = Column("times", "how much faster ours is than the peer: its seconds by ours")
_TARGET = Column("times", "the ratio that was aimed at")
_SHARE = Column("0 to 1", "of the time under the profiler")
_CURVE = Column("text", "what was measured against what")
_EXPONENT = "exponent of growth, the slope on two logarithmic axes: 1 is proportional"

BENCHMARK_TABLES = {
    "comparisons": Table(
        "a piece of work that ours and a peer both do",
        "work peer_s ours_s ratio ratio_low ratio_high repeats target peer_mb ours_mb agree met "
        "agreement note",
        {
            "work": _WORK,
            "peer_s": Column("seconds", "that the peer takes: the median over the repeats"),
            "ours_s": Column("seconds", "the same of ours; `inf`: it never got there"),
            "ratio": Column("times", "`peer_s` by `ours_s`; missing where ours never got there"),
            "ratio_low": Column("times", "least ratio over the repeats"),
            "ratio_high": Column("times", "greatest ratio over the repeats"),
            "repeats": Column("number", "of times that both sides were measured, in turn"),
            "target": _TARGET,
            "peer_mb": Column("MB", "the peer's peak of memory beyond what it held before"),
            "ours_mb": Column("MB", "the same of ours"),
            "agree": Column("yes, no, –", "whether both sides give the same; –: cannot be asked"),
            "met": Column("yes, no", "whether what was aimed at is reached"),
            "agreement": Column("text", "how far both sides agree"),
            "note": Column("text", "how the comparison was made"),
        },
    ),
    "dates": Table(
        "a piece of work, over all measurements",
        "work 20*",
        {"work": _WORK, "20*": Column("times", "the ratio as it was measured on this day")},
    ),
    "ceiling": Table(
        "a piece of work that is mostly the model's",
        "work ratio target ceiling",
        {
            "work": _WORK,
            "ratio": _RATIO,
            "target": _TARGET,
            "ceiling": Column("times", "the ratio if ours did nothing but its matrix products"),
        },
    ),
    "limit": Table(
        "extraction of activations, or training",
        "work precision tokens_per_s gflops fraction fraction_1024 products",
        {
            "work": Column("name", "`extraction` or `training`"),
            "precision": Column("name", "number type of the matrix products: `fp32` or `bf16`"),
            "tokens_per_s": Column("tokens a second", "real ones, without padding"),
            "gflops": Column("GFLOP/s", "operations of the model, counted, by the time"),
            "fraction": Column("0 to 1", "of the matrix rate at the model's own sizes"),
            "fraction_1024": Column("0 to 1", "of the rate of products of 1024 by 1024"),
            "products": Column("0 to 1", "share of the time that matrix products take"),
        },
    ),
    "rates": Table(
        "a size of matrix products, as this machine multiplies them",
        "product fp32 bf16",
        {
            "product": Column("n × k × m", "tokens, inputs and outputs"),
            "fp32": Column("GFLOP/s", "in 32-bit floats"),
            "bf16": Column("GFLOP/s", "in bfloat16"),
        },
    ),
    "profile": Table(
        "a kind of operation",
        "part extraction training",
        {
            "part": Column("text", "the kind of operation"),
            "extraction": _SHARE,
            "training": _SHARE,
        },
    ),
    "growth": Table(
        "a curve of `points`",
        "curve points from to seconds seconds_low seconds_high memory memory_low memory_high "
        "last_mb",
        {
            "curve": _CURVE,
            "points": Column("number", "of points of the curve"),
            "from": Column("as the curve", "least number of words, neurons or concepts"),
            "to": Column("as the curve", "greatest number of them"),
            "seconds": Column("exponent", f"of time: {_EXPONENT}; ends: 95 %"),
            "memory": Column("exponent", f"of memory: {_EXPONENT}; ends: 95 %"),
            "last_mb": Column("MB", "rise of memory at the last point"),
        },
    ),
    "points": Table(
        "a point of a curve",
        "curve n seconds rise_mb",
        {
            "curve": _CURVE,
            "n": Column("as the curve", "number of words, neurons or concepts"),
            "seconds": Column("seconds", "that the work takes"),
            "rise_mb": Column("MB", "peak of memory beyond what was held before, at least 0.1"),
        },
    ),
    "costs": Table(
        "a model and number of cards: all runs of a study, on paper and not run",
        "model cards parameters neurons cards_a_run hours analysis_share memory_gb matrix_gb "
        "disk_gb euros breaks_first",
        {
            "model": Column("text", "its published configuration"),
            "cards": Column("number", "of accelerators there are"),
            "parameters": Column("number", "of weights"),
            "neurons": Column("number", "of all layers"),
            "cards_a_run": Column("number", "of cards that one training needs for its memory"),
            "hours": Column("hours", "until the last run ends; missing where none fits"),
            "analysis_share": Column("0 to 1", "of a run's hours, that of work on neurons"),
            "memory_gb": Column("GB", "of one training, on all its cards"),
            "matrix_gb": Column("GB", "activations of the measuring part"),
            "disk_gb": Column("GB", "weights that are kept"),
            "euros": Column("euros", "for all cards until the last run ends, at an assumed price"),
            "breaks_first": Column("text", "what stops or slows the study first"),
        },
    ),
    "made": Table(
        "a day of measurements, newest first",
        "what value",
        {
            "what": Column("date", "of the day; or `not measured yet`"),
            "value": Column("text", "machine, versions, and the commits of what was measured"),
        },
    ),
}
