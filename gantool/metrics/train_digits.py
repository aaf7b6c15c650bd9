"""Trains the digit classifier that ships with gantool, behind `fd_digits`: `python -m gantool.metrics.train_digits
ROOT FILE`.

Nobody needs it to use gantool: it is how digits.safetensors was made, and how it can be made again. Eight minutes.
"""

import hashlib
import math
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gantool.data.cache import prepare
from gantool.data.mnist import Mnist
from gantool.errors import GantoolError
from gantool.files import whole
from gantool.metrics.digits import DigitClassifier, to_32

EPOCHS = 14
BATCH_SIZE = 128
SEED = 0


def augment(images: Tensor) -> Tensor:
    """Rotated by up to 12 degrees, scaled by up to 10 %, shifted by up to 2.5 pixels, each image by its own draw."""
    angle, scale = (torch.rand(2, len(images)) * 2 - 1) * torch.tensor([[math.radians(12)], [0.1]])
    cos, sin = torch.cos(angle) * (1 + scale), torch.sin(angle) * (1 + scale)
    shift = (torch.rand(2, len(images)) * 2 - 1) * 2.5 / 16
    matrix = torch.stack([cos, -sin, shift[0], sin, cos, shift[1]], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def accuracy(network: DigitClassifier, images: Tensor, labels: Tensor) -> float:
    """Share of images that are classified rightly."""
    network.eval()
    with torch.no_grad():
        guesses = torch.cat([network(part)[1].argmax(1) for part in images.split(500)])
    return (guesses == labels).float().mean().item()


def train(images: Tensor, labels: Tensor) -> DigitClassifier:
    """AdamW under a cosine schedule with warm-up; on one thread, so that the same machine gives the same bits."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    network = DigitClassifier().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
    steps = len(images) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=EPOCHS * steps, pct_start=0.15)
    for epoch in range(EPOCHS):
        network.train()
        total = 0.0
        for rows in torch.randperm(len(images))[: steps * BATCH_SIZE].split(BATCH_SIZE):
            loss = F.cross_entropy(network(augment(images[rows]))[1], labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total / steps:.4f}", flush=True)
    return network


def make(root: Path, target: Path) -> None:
    """Trains on the 60,000, tests on the 10,000, writes `target`: weights, test accuracy and command in safetensors.

    Raises GantoolError where the digits cannot be read.
    """
    from safetensors.torch import save_file

    seen, test = (prepare(Mnist(str(root), resolution=28, split=split)) for split in ("train", "test"))
    assert seen.labels is not None and test.labels is not None
    network = train(to_32(seen.images), seen.labels)
    test_accuracy = accuracy(network, to_32(test.images), test.labels)
    tensors = {k: v.detach().contiguous() for k, v in network.state_dict().items()}
    metadata = {
        "command": "python -m gantool.metrics.train_digits ROOT",
        "trained_on": f"MNIST train, {len(seen.images):,} images",
        "test_accuracy": f"{test_accuracy:.4f}",
        "tensors_sha256": hashlib.sha256(b"".join(tensors[k].numpy().tobytes() for k in sorted(tensors))).hexdigest(),
    }
    with whole(target) as partial:
        save_file(tensors, partial, metadata)
    print(f"{target}: {metadata}, file sha256 {hashlib.sha256(target.read_bytes()).hexdigest()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (default: sys.argv) and returns its exit code."""
    parser = ArgumentParser("python -m gantool.metrics.train_digits", description="Trains gantool's digit classifier.")
    parser.add_argument("root", type=Path, help="folder with MNIST/raw/*.gz, downloaded where they are missing")
    parser.add_argument("file", type=Path, help="what to write, such as digits.safetensors")
    asked = parser.parse_args(argv)
    try:
        make(asked.root, asked.file)
    except GantoolError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
