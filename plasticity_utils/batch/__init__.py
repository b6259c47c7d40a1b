"""Grids of cells: many concepts, models, seeds and settings, on one machine or many.

`grid` reads the file, `cells` says what a cell is and whether it is done, `work` executes one in
the process that is to do it, `engine` hands cells to this process or to Dask, `table` shows them.
Locks, checkpoints and seals are those of `store` and `training`: a batch adds none of its own to a
run.
"""

from plasticity_utils.optional import check_extra

check_extra("batch", "a batch")
