"""Two processes under torchrun (gloo): they stay identical, and train what one process trains."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from extent import some, thorough
from runs import newest, same_training, small, train, wait_for_rounds

# Trains what each line of commands.json says, and keeps every rank's end.
SCRIPT = """
import json, sys, torch
import gantool.training.loop as loop
import gantool.runs.training as training
from gantool.cli.main import main
from gantool.training.ranks import rank

def play(state, *rest):
    loop.train(state, *rest)
    torch.save({part: state.state_dict()[part] for part in ("game", "ema", "optimizers")}, f"{name}-{rank()}.pt")

training.play = play
for name, words in json.load(open("commands.json")).items():
    if code := main(words):
        sys.exit(code)
"""
CASES = {
    "wgan-gp": ["loss=wgan-gp", "augment=diffaugment", "model.generator.norm=layer", "dataset.shift=2"],
    "lsgan": ["loss=lsgan", "regularizer=[r1,l2]", "model.discriminator.norm=spectral", "model.generator.norm=none"],
    "ada": ["loss=hinge", "model.generator.norm=none", "augment=ada", "augment.interval=1", "augment.rise=32img"],
    "uneven": ["trainer.batch_size=7", "model.generator.norm=layer", "model.discriminator.norm=layer"],
    "own-batch": [
        "loss=relativistic",
        "trainer.generator_batch=1.6",
        "model.generator.norm=layer",
        "model.discriminator.norm=layer",
    ],
    "batch-norm": ["loss=non-saturating", "model.conditional=true"],  # identical ranks, but not one process
}


NAMES = some(CASES, 2)


def torchrun(folder: Path, commands: dict[str, list[str]]) -> list[str]:
    (folder / "script.py").write_text(SCRIPT)
    (folder / "commands.json").write_text(json.dumps(commands))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    return [*command, str(folder / "script.py")]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two ranks trained every case, one after another, as the jobs of a sweep are."""
    folder = tmp_path_factory.mktemp("two")
    command = torchrun(folder, {name: small(folder / name, *CASES[name]) for name in NAMES})
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("go on:") == len(NAMES), "only the first rank talks"
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_train_as_one(two: Path, in_tmp: Path, name: str) -> None:
    ranks = [torch.load(two / f"{name}-{k}.pt", weights_only=True) for k in (0, 1)]
    assert same_training(*ranks), "the ranks drifted apart"
    assert same_training(ranks[0], newest(two / name))
    one = train(in_tmp / "one", *CASES[name])
    if name == "batch-norm":
        assert newest(two / name)["progress"] == one["progress"]
        return
    for player, optimizer in one["optimizers"].items():
        for key, moments in optimizer["state"].items():  # gradients, averaged: weights would hide a difference
            difference = ranks[0]["optimizers"][player]["state"][key]["exp_avg"] - moments["exp_avg"]
            assert difference.norm() <= 0.01 * moments["exp_avg"].norm() + 1e-7, (player, key)


@thorough
def test_a_signal_to_one_rank_stops_both_after_the_same_round(in_tmp: Path) -> None:
    words = small(in_tmp / "run", "trainer.log_every=1it", rounds=100_000)
    process = subprocess.Popen(
        torchrun(in_tmp, {"run": words}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for_rounds(in_tmp / "run")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = [c for c in children if b"RANK=1\0" in Path(f"/proc/{c}/environ").read_bytes()]
    assert ranks, "the second rank is not there"
    os.kill(int(ranks[0]), signal.SIGUSR1)
    output, _ = process.communicate(timeout=90)
    assert '"state": "stopped"' in (in_tmp / "run" / "status.json").read_text(), output
    assert newest(in_tmp / "run")["progress"]["nimg"] > 0
