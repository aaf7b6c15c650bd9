"""What the tests of training share: small runs through the command line, and their checkpoints."""

import os
import tempfile
import time
from copy import deepcopy
from itertools import islice
from pathlib import Path

import torch

from composing import composed
from gantool.cli.arguments import add_arguments
from gantool.cli.main import main
from gantool.data.mnist import Mnist5k
from gantool.data.source import Decoded
from gantool.runs.start import train_run
from gantool.training.checkpoint import load

CONF = Path(__file__).resolve().parents[1] / "conf"
TRANSLATORS = ("cyclegan", "pix2pix")
WIDTHS = {
    "biggan": ["model.generator.width=1", "model.discriminator.width=1"],
    "cyclegan": ["model.generator.width=4", "model.discriminator.width=4", "dataset.resolution=32"],
    "pix2pix": ["model.generator.width=4", "model.discriminator.width=4", "dataset.resolution=32"],
    "infogan": ["model.generator.width=4", "model.discriminator.width=4", "model.latent.dim=20"],
    "infogan-mnist": ["model.generator.width=2", "model.discriminator.width=2", "model.latent.dim=20"],
    "dcgan": ["model.generator.width=4", "model.discriminator.width=4"],
    "resnet": ["model.generator.width=1", "model.discriminator.width=1"],
    "r3gan": ["model.generator.width=8", "model.discriminator.width=8"],
    "progan": ["model.generator.width=4", "model.discriminator.width=4"],
    "mlp": ["model.generator.hidden=[16,16]", "model.discriminator.hidden=[16,16]"],
}

with tempfile.NamedTemporaryFile() as closed:  # as root every file can be read
    os.chmod(closed.name, 0)
    READS_ALL = os.access(closed.name, os.R_OK)


def choices(group: str) -> list[str]:
    """The names in a configuration group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def small(folder: Path, *overrides: str, model: str = "dcgan", rounds: int = 4) -> list[str]:
    """The words of a command that trains a small network for a few rounds."""
    words = ["train", f"model={model}", "trainer.batch_size=8", f"trainer.duration={rounds}it"]
    if model in TRANSLATORS:
        words.append(f"dataset.root={two_sides(folder.parent / 'sides')}")
    else:
        words.append("model.latent.dim=8")
    words += [*WIDTHS[model], "trainer.precision=fp32", f"hydra.run.dir={folder}"]
    return [
        *words,
        *([] if any(word.startswith(("score", "monitor")) for word in overrides) else ["score=none"]),
        *overrides,
    ]


def two_sides(root: Path) -> Path:
    """Digits, white on black in trainA (12) and testA (6), black on white under the same names in trainB and testB."""
    if not root.exists():
        from PIL import Image

        images = islice(Mnist5k(None, resolution=28).read(), 18)
        digits = [image.pixels[0] for image in images if isinstance(image, Decoded)]
        for side in ("A", "B"):
            for split, shown in (("train", digits[:12]), ("test", digits[12:])):
                (root / f"{split}{side}").mkdir(parents=True)
                for index, pixels in enumerate(shown):
                    pixels = pixels if side == "A" else 255 - pixels
                    Image.fromarray(pixels).save(root / f"{split}{side}" / f"{index}.png")
    return root


def train(folder: Path, *overrides: str, model: str = "dcgan", rounds: int = 4) -> dict:
    """Trains and returns the state that its last checkpoint holds."""
    assert main(small(folder, *overrides, model=model, rounds=rounds)) == 0
    return newest(folder)


class Composed:
    """The configuration of a small run, composed once and trained as often as one likes in folders of `root`."""

    def __init__(self, root: Path, *overrides: str, model: str = "dcgan") -> None:
        self.root = root
        self.cfg, self.hydra = composed(*add_arguments(small(root / "run", *overrides, model=model)[1:]))

    def train(self, name: str, rounds: int = 4) -> dict:
        """Trains, from where the folder's last checkpoint was; returns the state that its newest one holds."""
        cfg = deepcopy(self.cfg)
        cfg.trainer.duration = f"{rounds}it"
        train_run(cfg, self.root / name, self.hydra)
        return newest(self.root / name)


def newest(folder: Path) -> dict:
    """The state in the newest checkpoint of a run."""
    return load(sorted((folder / "checkpoints").glob("[0-9]*.pt"))[-1])


def wait_for_rounds(folder: Path) -> None:
    """Returns once a run of another process has logged its first rounds."""
    log = folder / "metrics.jsonl"
    until = time.monotonic() + 90
    while not (log.exists() and log.stat().st_size):
        assert time.monotonic() < until, f"no round in {log}"
        time.sleep(0.05)


def same(a: object, b: object) -> bool:
    """Bit for bit, through nested containers."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def same_training(a: dict, b: dict) -> bool:
    """Weights, averages and optimizers alike."""
    return all(same(a[part], b[part]) for part in ("game", "ema", "optimizers"))
