"""A small residual classifier, fitted in minutes: features for a data set that has none, and what samples teach."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.data.source import Source
from gantool.data.stream import Stream
from gantool.errors import GantoolError
from gantool.images import normalise
from gantool.lock import locked
from gantool.logging.progress import follow_steps
from gantool.metrics.digits import convolution
from gantool.metrics.features import Features
from gantool.metrics.tensors import load_tensors, save_tensors
from gantool.paths import cache_dir
from gantool.randomness import forked, shuffled
from gantool.shapes import sides

log = logging.getLogger(__name__)

VERSION = 1  # counts up when the same settings come to give another network
BATCH_SIZE = 128
HELD_OUT = 0.1  # share of the images that the accuracy is measured on


class SmallResNet(nn.Module):
    """Residual blocks (He 2016) that halve (N, channels, resolution, resolution) in [-1, 1] down to 4 pixels."""

    def __init__(self, channels: int, resolution: int, num_classes: int, width: int = 32) -> None:
        super().__init__()
        size = -(-resolution // 2)
        layers: list[nn.Module] = [convolution(channels, width, stride=2), Residual(width, width)]
        while size > 4:
            layers.append(Residual(width, min(2 * width, 128), stride=2))
            width, size = min(2 * width, 128), -(-size // 2)
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(width, num_classes)
        self.num_features = width

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, num_features) and logits (N, num_classes)."""
        features = self.body(images)
        return features, self.head(features)


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, num_in: int, num_out: int, stride: int = 1) -> None:
        super().__init__()
        last = nn.Sequential(nn.Conv2d(num_out, num_out, 3, padding=1, bias=False), nn.BatchNorm2d(num_out))
        self.body = nn.Sequential(convolution(num_in, num_out, stride=stride), last)
        pooled = nn.AvgPool2d(stride, ceil_mode=True)
        self.shortcut = nn.Sequential(pooled, nn.Conv2d(num_in, num_out, 1)) if num_in != num_out else pooled

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


@torch.enable_grad()  # it is trained from where nothing else is: a score
def fit(image_set: ImageSet, *, num_images: int, seed: int, device: torch.device) -> SmallResNet:
    """A classifier of a labelled set after `num_images` images, shifted by up to a sixteenth: AdamW, rate up and down.

    The same on the same machine; torch's random state stays as it was.
    """
    steps = max(num_images // BATCH_SIZE, 2)
    steps += steps == 5  # the rate would go up within one step, which OneCycleLR divides by the length of
    channels, resolution = image_set.images.shape[1], min(image_set.images.shape[2:])
    with forked(device):
        torch.manual_seed(seed)
        network = SmallResNet(channels, resolution, image_set.num_classes).to(device)
        stream = Stream(image_set, seed=seed, device=device, shift=resolution // 16)
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.2)
        for step in follow_steps(range(steps)):
            (batch,) = stream.take(step * BATCH_SIZE, count=1, size=BATCH_SIZE)
            assert batch.labels is not None
            loss = F.cross_entropy(network(batch.images)[1], batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(network: SmallResNet, image_set: ImageSet, device: torch.device) -> float:
    """The share of a labelled set that is classified rightly."""
    assert image_set.labels is not None
    parts = zip(image_set.images.split(500), image_set.labels.split(500), strict=True)
    right = [int((network(normalise(x.to(device)))[1].argmax(1).cpu() == y).sum()) for x, y in parts]
    return sum(right) / len(image_set.images)


class ClassifierFeatures(Features):
    """A `SmallResNet` fitted once on nine tenths of a labelled data set, tested on the rest, and cached.

    `source`: the data set; `num_images`: how many images the fit looks at, each several times. The network has seen
    its training images: score those of another split where there is one. Other sizes are resized, colour is averaged.
    Raises GantoolError where the data set has no labels.
    """

    name = "classifier"

    def __init__(self, source: Source, num_images: int = 100_000, seed: int = 0, device: str = "cpu") -> None:
        super().__init__()
        if source.vectors:
            raise GantoolError(
                f"features=classifier learns classes, and the labels of {source.name} are vectors: choose other "
                "features, or train on one column of words, dataset.columns=NAME"
            )
        if source.num_classes < 2:
            raise GantoolError(f"features=classifier: {source.name} has no labels to learn; choose a labelled source")
        if num_images < 1:
            raise GantoolError(f"features.num_images={num_images}: a fit needs at least 1")
        self.source, self.num_images, self.seed, self.device = source, num_images, seed, torch.device(device)
        self.shape = (source.channels, *sides(source.resolution))
        self.class_names = tuple(source.class_names)
        self.network = SmallResNet(self.shape[0], min(self.shape[1:]), source.num_classes)
        self.num_features = self.network.num_features
        self.weights_hash = ""  # until it is fitted
        self.resize = f"bilinear with antialias to {self.shape[1]}"

    def prepare(self) -> None:
        """Fits the network, or takes it from the cache; nothing where that was done."""
        if self.weights_hash:
            return
        image_set = prepare(self.source, on_bad_image="skip")
        settings = [image_set.fingerprint, len(image_set.images), image_set.num_classes]
        key = hashlib.sha256(json.dumps([*settings, self.num_images, self.seed, VERSION]).encode()).hexdigest()[:16]
        path = cache_dir() / "classifiers" / f"{key}.safetensors"
        state = cached(path, lambda: fitted(image_set, self.num_images, self.seed, self.device))
        measured = float(state.pop("held_out_accuracy"))
        self.network.load_state_dict(state)
        content = b"".join(state[name].numpy().tobytes() for name in sorted(state))
        self.weights_hash = hashlib.sha256(content).hexdigest()[:8]
        self.details = {
            "classifier_data": f"{image_set.name} {image_set.split}",
            "classifier_images": self.num_images,
            "classifier_accuracy": round(measured, 4),
        }
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = normalise(images)
        channels, *size = self.shape
        if x.shape[1] != channels:
            x = x.mean(1, keepdim=True)
        if list(x.shape[2:]) != size:
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
        return self.network(x.expand(-1, channels, -1, -1))


def fitted(image_set: ImageSet, num_images: int, seed: int, device: torch.device) -> dict[str, Tensor]:
    """The weights of a network fitted on nine tenths of the set, with their `held_out_accuracy`."""
    log.info("fitting a classifier on %s, once, with %d images", image_set.name, num_images)
    total = len(image_set.images)
    order = shuffled(total, 0)
    held_out = max(round(HELD_OUT * total), 1)
    network = fit(image_set.at(order[held_out:]), num_images=num_images, seed=seed, device=device)
    measured = accuracy(network, image_set.at(order[:held_out]), device)
    log.info("it classifies %.2f %% of %d held-out images correctly", 100 * measured, held_out)
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    return {**state, "held_out_accuracy": torch.tensor(measured, dtype=torch.float64)}


def cached(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors in the file `path`, made and put there by the first process that asks."""
    state = load_tensors(path)
    if state is not None:
        return state
    try:
        with locked(path.with_suffix(".lock"), lambda: log.info("waiting: another process fits the classifier")):
            state = load_tensors(path) or make()
            save_tensors(state, path)
    except OSError as error:
        raise GantoolError(f"cannot write {path.parent} ({error.strerror}): set GANTOOL_CACHE=FOLDER") from error
    return state
