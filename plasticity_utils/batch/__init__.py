"""Grids of cells: many concepts, models, seeds and settings, on one machine or many.

`grid` reads the file, `estimate` says what its cells take, `cells` what a cell is, where its files
are and whether it is done; `workers` executes cells in this process or on Dask, `driver` does a
whole grid and shows it. Locks, checkpoints and seals are those of `files` and `training`: a batch
adds none of its own to a run.
"""

from plasticity_utils.optional import check_extra

check_extra("batch", "a batch")
