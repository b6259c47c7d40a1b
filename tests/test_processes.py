"""Two processes train one model, started by real launchers; as a script this file is what they run.

The processes meet over gloo on this machine's processors. What is under test holds as much for
several GPUs, on which nothing is run here.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from plasticity_utils import files, hardware, load_run
from plasticity_utils.experiment import stages
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.models.activations import training_batches
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.training import train
from plasticity_utils.training.train import Schedule, fine_tune, tag_sentences
from runs import make_folder
from toy import SCHEDULE, data_for, tiny, toy, toy_tokenizer, weights

SNAPSHOTS = (0.5, 1.0, 2.0)
KILLED_AT = 7
LIMIT = 300
pytestmark = pytest.mark.timeout(3 * LIMIT)
LAUNCH = {
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
    "accelerate": [
        "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", "0",
    ],
}  # fmt: skip


def launch(launcher, *command):
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)]),
    }  # fmt: skip
    arguments = [sys.executable, *LAUNCH[launcher], *map(str, command)]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            out, err = process.communicate(timeout=LIMIT)
        except BaseException:
            # A launcher that is asked to end ends its processes; a killed one leaves them behind.
            process.terminate()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


# What the processes do


def without_dropout():
    """A model whose loss does not depend on which process computes it."""
    model = tiny()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def equal_sentences(model, tokenizer, n):
    """Sentences of four words each, so that a mean over batches is one over words."""
    corpus = toy(200, seed=0)
    chosen = [i for i, words in enumerate(corpus.sentences) if len(words) == 4][:n]
    own = type(corpus)(
        "toy",
        [corpus.sentences[i] for i in chosen],
        {"entity": [corpus.labels["entity"][i] for i in chosen]},
    )
    return tag_sentences(model, tokenizer, own)


def first_gradient(model, data, work, batch_tokens):
    """The gradient with which the first step is taken, in full precision."""
    seen = []

    def look(optimizer, *_):
        if not seen:
            seen.append({n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad})

    handle = register_optimizer_step_pre_hook(look)
    with patch.object(hardware, "training_precision", lambda: "fp32"):
        fine_tune(model, data, Schedule(1, 1e-3, batch_tokens, 0), work)
    handle.remove()
    return seen[0]


def regrown(work):
    """Gains of removed neurons, after a training in which they may grow back."""
    model = tiny()
    data = data_for(model, toy_tokenizer(), n_sentences=20)
    with remove_neurons(model, [(2, 5), (1, 1)], regrow=True) as removal:
        fine_tune(model, data, Schedule(1, 1e-2, 60, 0), work, gates=removal.parameters())
        return removal.gains().tolist()


def trained(work, out, killed=False):
    """Train with dropout; `out` gets the weights of this process, and what it counted."""
    train.CHECKPOINT_STEPS = 3
    rates, epochs = [], []

    def count(optimizer, *_):
        rates.append(optimizer.param_groups[0]["lr"])
        if killed and os.environ["RANK"] == "1" and len(rates) == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)

    handle = register_optimizer_step_pre_hook(count)
    model = tiny()
    tokenizer = toy_tokenizer()
    fine_tune(model, data_for(model, tokenizer), SCHEDULE, work, SNAPSHOTS, epochs.append)
    handle.remove()
    rank = os.environ["RANK"]
    save_file(weights(model), out / f"weights-{rank}.safetensors")
    found = {"rates": rates, "epochs": epochs}
    (out / f"facts-{rank}.json").write_text(json.dumps(found))


def made_once(results, out):
    """A stage within a stage; each process says what it found in the finished folders."""

    def make_inner(part):
        (part / "inner.txt").write_text(f"by {os.environ['RANK']}")

    def make_outer(part):
        inner = files.cached(results, "inner", {}, make_inner)
        (part / "outer.txt").write_text(f"by {os.environ['RANK']}, " + read(inner / "inner.txt"))

    outer = files.cached(results, "outer", {}, make_outer)
    (out / f"stage-{os.environ['RANK']}.txt").write_text(read(outer / "outer.txt"))


def agreed_precision():
    """What each process says where each has measured something else."""
    own = "bf16" if os.environ["RANK"] == "0" else "fp32"
    with patch.object(hardware, "_measured_precision", lambda: own):
        hardware.training_precision.cache_clear()
        agreed = hardware.training_precision()
    hardware.training_precision.cache_clear()
    return agreed


def read(path):
    return path.read_text()


def main(mode, folder):
    rank, out = os.environ["RANK"], folder / mode
    (own := folder / f"scratch-{rank}").mkdir(exist_ok=True)
    out.mkdir(exist_ok=True)
    if mode == "whole":
        (out / f"precision-{rank}.txt").write_text(agreed_precision())
        made_once(folder / "results", out)
        tokenizer = toy_tokenizer()
        model = without_dropout()
        gradient = first_gradient(model, equal_sentences(model, tokenizer, 8), own / "one", 24)
        save_file(gradient, out / f"gradient-{rank}.safetensors")
        (out / f"gains-{rank}.json").write_text(json.dumps(regrown(own / "gains")))
        trained(own / "whole", out)
    # Only the main process's folder counts, whatever the others say.
    work = folder / "checkpoints" if rank == "0" else own / "cut"
    trained(work, out=folder / "cut" if mode == "whole" else out, killed=mode == "whole")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Launched twice: killed in the middle of its second training, then launched again."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "cut").mkdir()
    killed = launch("torchrun", __file__, "whole", folder)
    assert killed.returncode != 0
    assert "Signal 9 (SIGKILL)" in killed.stderr, killed.stderr
    assert not list((folder / "cut").glob("weights-*"))
    again = launch("torchrun", __file__, "again", folder)
    assert again.returncode == 0, again.stderr
    assert "damaged" not in again.stderr
    return folder


def saved(folder, name):
    return [load_file(folder / f"{name}-{rank}.safetensors") for rank in (0, 1)]


def facts(folder):
    return [json.loads((folder / f"facts-{rank}.json").read_text()) for rank in (0, 1)]


def expected_rounds():
    data = data_for(tiny(), toy_tokenizer())
    lengths = [len(sentence.ids) for sentence in data.encoded]
    per_epoch = training_batches(lengths, SCHEDULE.batch_tokens, SCHEDULE.epochs, SCHEDULE.seed)
    return [-(-len(batches) // 2) for batches in per_epoch]


# Training


@pytest.mark.slow
def test_both_processes_end_with_the_same_weights(folder):
    first, second = saved(folder / "whole", "weights")
    start = weights(tiny())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], start["classifier.weight"])
    gains = [json.loads(read(folder / "whole" / f"gains-{rank}.json")) for rank in (0, 1)]
    assert gains[0] == gains[1]
    assert all(gains[0])


@pytest.mark.slow
def test_an_epoch_has_half_the_steps_and_snapshots_are_the_main_ones(folder):
    main_facts, other = facts(folder / "whole")
    n_steps = sum(expected_rounds())
    assert main_facts["rates"] == other["rates"]
    # One round of batches is one step of the schedule: it rises over one step and falls to zero.
    peak = SCHEDULE.learning_rate
    falling = [peak * (n_steps - step) / (n_steps - 1) for step in range(1, n_steps)]
    assert main_facts["rates"] == pytest.approx([0, *falling])
    assert main_facts["epochs"] == list(SNAPSHOTS)
    assert other["epochs"] == []


@pytest.mark.slow
def test_a_killed_launch_goes_on_and_ends_with_the_same_weights(folder):
    whole, again = saved(folder / "whole", "weights"), saved(folder / "again", "weights")
    for first, second in zip(whole, again, strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)
    n_steps = sum(expected_rounds())
    # It went on from the sixth step, the newest with a checkpoint, and did not start again.
    assert [len(found["rates"]) for found in facts(folder / "again")] == [n_steps - 6] * 2


@pytest.mark.slow
def test_a_gradient_is_the_mean_over_both_batches(folder, tmp_path):
    """The same step by one process, with the eight sentences in one batch."""
    model = without_dropout()
    data = equal_sentences(model, toy_tokenizer(), 8)
    lengths = {len(sentence.ids) for sentence in data.encoded}
    assert lengths == {6}
    whole = first_gradient(model, data, tmp_path, batch_tokens=48)
    half = first_gradient(
        without_dropout(),
        equal_sentences(model, toy_tokenizer(), 4),
        tmp_path / "half", batch_tokens=24,
    )  # fmt: skip
    first, second = saved(folder / "whole", "gradient")
    for name, value in whole.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-6)
    # One process's own batch would have given another.
    assert not torch.allclose(first["classifier.weight"], half["classifier.weight"], rtol=0.01)


@pytest.mark.slow
def test_stages_are_made_by_the_main_process_and_read_by_all(folder):
    for rank in (0, 1):
        assert read(folder / "whole" / f"stage-{rank}.txt") == "by 0, by 0"
    assert sorted(path.name.split("-")[0] for path in (folder / "results").iterdir()) == [
        "inner", "inner", "outer", "outer",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_main_process_chooses_the_precision(folder):
    assert [read(folder / "whole" / f"precision-{rank}.txt") for rank in (0, 1)] == ["bf16"] * 2


# The command


@pytest.mark.slow
def test_the_command_runs_under_accelerate(tmp_path, monkeypatch):
    model = make_folder(tmp_path / "model")
    options = ["--model", model, "--scale", "smoke", "--results-dir", tmp_path / "runs"]
    done = launch("accelerate", "-m", "plasticity_utils", "run", *options)
    assert done.returncode == 0, done.stderr
    (found,) = [path.parent for path in (tmp_path / "runs").glob("locations-*/config.json")]
    run = load_run(found)
    for name in ("metrics", "neurons", "layers", "dose", "reliance", "ranking", "base"):
        assert len(getattr(run, name)), name
    assert not list((tmp_path / "runs").rglob("*.part"))
    # One process would make a run, and stages, of its own.
    config = RunConfig(model=str(model), scale="smoke", results_dir=str(tmp_path / "runs"))
    alone = stages.Stages(config)._base_settings
    assert "processes" not in alone
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert stages.Stages(config)._base_settings == {**alone, "processes": 2}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
