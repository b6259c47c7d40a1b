"""What can be refused is refused before a base model is trained."""

import pytest

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.run import run_experiment


def test_a_sentence_that_is_too_long_is_told_with_its_part_before_any_training(
    tiny_folder, tmp_path
):
    config = RunConfig(model=str(tiny_folder), scale="smoke", results_dir=str(tmp_path / "runs"))
    with pytest.raises(InputError, match=r"part of conll2003: sentence \d+ has \d+ tokens; the mo"):
        run_experiment(config)
    assert not list((tmp_path / "runs").rglob("*.safetensors"))
    # A folder of a run that was never begun would stay for good.
    assert {path.suffix for path in (tmp_path / "runs").iterdir()} == {".lock"}
