"""Two processes under torchrun (gloo): they stay identical, and train what one process trains."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from runs import newest, same_training, small, train, wait_for_rounds

SCRIPT = """
import sys, torch
import gantool.training.loop as loop
from gantool.training.ranks import rank
import gantool.commands.train as command

def play(state, *rest):
    loop.train(state, *rest)
    torch.save({part: state.state_dict()[part] for part in ("game", "ema", "optimizers")}, f"rank{rank()}.pt")

command.play = play
from gantool.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def torchrun(folder: Path, words: list[str]) -> list[str]:
    (folder / "script.py").write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    return [*command, str(folder / "script.py"), *words]


@pytest.mark.parametrize(
    "words",
    [
        ["loss=wgan-gp", "augment=diffaugment", "model.generator.norm=layer", "dataset.shift=2"],
        ["loss=lsgan", "regularizer=[r1,l2]", "model.discriminator.norm=spectral", "model.generator.norm=none"],
        ["loss=hinge", "model.generator.norm=none", "augment=ada", "augment.interval=1", "augment.rise=32img"],
        ["loss=non-saturating", "model.conditional=true"],  # batch norm: identical ranks, but not one process
    ],
    ids=["wgan-gp", "lsgan", "ada", "batch-norm"],
)
def test_two_ranks_train_as_one(in_tmp: Path, words: list[str]) -> None:
    folder = in_tmp / "two"
    process = subprocess.run(torchrun(in_tmp, small(folder, *words)), capture_output=True, text=True, timeout=240)
    assert process.returncode == 0, process.stdout + process.stderr
    ranks = [torch.load(in_tmp / f"rank{k}.pt", weights_only=True) for k in (0, 1)]
    assert same_training(*ranks), "the ranks drifted apart"
    assert same_training(ranks[0], newest(folder)) and process.stdout.count("go on:") == 1
    one = train(in_tmp / "one", *words)
    if "model.conditional=true" in words:
        assert newest(folder)["progress"] == one["progress"]
        return
    for player, optimizer in one["optimizers"].items():
        for name, moments in optimizer["state"].items():  # gradients, averaged: weights would hide a difference
            difference = ranks[0]["optimizers"][player]["state"][name]["exp_avg"] - moments["exp_avg"]
            assert difference.norm() <= 0.01 * moments["exp_avg"].norm() + 1e-7, (player, name)


def test_a_signal_to_one_rank_stops_both_after_the_same_round(in_tmp: Path) -> None:
    words = small(in_tmp / "run", "trainer.log_every=1it", rounds=100_000)
    process = subprocess.Popen(
        torchrun(in_tmp, words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    wait_for_rounds(in_tmp / "run")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ranks = [c for c in children if b"RANK=1\0" in Path(f"/proc/{c}/environ").read_bytes()]
    assert ranks, "the second rank is not there"
    os.kill(int(ranks[0]), signal.SIGUSR1)
    output, _ = process.communicate(timeout=90)
    assert '"state": "stopped"' in (in_tmp / "run" / "status.json").read_text(), output
    assert newest(in_tmp / "run")["progress"]["nimg"] > 0
