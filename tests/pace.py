"""The pace of sampling and scoring a run, against bare loops of the same networks: python tests/pace.py RUN [NUM]

Times `gantool sample format=npz` and `gantool evaluate score=fd`, from start to end, and what a plain script would do:
the generator alone, in batches of 100, and then the features of its images. Prints seconds, and how much of a command's
time is the networks' own; NUM images, 50,000 if it is not given. The real images' features are cached beforehand.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import gantool
from gantool.images import to_uint8
from gantool.metrics.features import Features

BATCH = 100


def command(*words: str) -> float:
    """Seconds that a command of gantool takes, start included."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "gantool", *words], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


@torch.no_grad()
def bare(generator: nn.Module, latent_dim: int, num: int, features: Features | None) -> float:
    """Seconds that a loop takes: of the generator, and of the features too where they are given."""
    start = time.monotonic()
    for _ in range(0, num, BATCH):
        images = to_uint8(generator(torch.randn(BATCH, latent_dim)))
        if features is not None:
            features(images)
    return time.monotonic() - start


def main(folder: str, num: int = 50_000) -> None:
    """Prints a line for sampling and one for scoring."""
    run = gantool.load_run(folder)
    features = run.features({})
    generator, latent_dim = run.generators["generator"], run.config.model.node["latent"]["dim"]
    with tempfile.TemporaryDirectory() as out:
        scoring = ["evaluate", f"run={folder}", "score=fd"]
        command(*scoring, "num=1000", f"out={Path(out) / 'cached'}")
        pairs = {
            "sample": (
                command("sample", f"run={folder}", "format=npz", f"num={num}", f"out={Path(out) / 'sampled'}"),
                bare(generator, latent_dim, num, None),
            ),
            "evaluate": (
                command(*scoring, f"num={num}", f"out={Path(out) / 'scored'}"),
                bare(generator, latent_dim, num, features),
            ),
        }
    for name, (ours, floor) in pairs.items():
        print(f"{name:<8} {num} images: {ours:.1f} s, bare loop {floor:.1f} s, {100 * floor / ours:.0f} % of it")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
