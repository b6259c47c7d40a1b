"""Ours beside NeuroX 1.0.9 and the standard recipe: the same work on the same data, in turn.

`python -m benchmarks` measures rows and writes `benchmarks/results/<date>.json`;
`python -m benchmarks growth` adds the growth curves. What each side does stands in `peers` and
`ours`, under the same names.
"""
