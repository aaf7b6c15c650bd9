"""STL-10 (Coates 2011), SVHN (Netzer 2011) and EMNIST (Cohen 2017), as torchvision reads them."""

import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gantool.data.download import downloading
from gantool.data.files import Files, status_of
from gantool.data.fitting import PLAIN, Fitting
from gantool.data.mnist import DIGITS, bordered
from gantool.data.pixels import fit_array
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice
from gantool.shapes import Resolution

Arrays = tuple[np.ndarray, np.ndarray]  # images (N, H, W) or (N, H, W, 3) uint8, labels (N,)

_MERGED = [c for c in string.digits + string.ascii_uppercase + string.ascii_lowercase if c not in "cijklmopsuvwxyz"]
_LETTERS = {
    "byclass": list(string.digits + string.ascii_uppercase + string.ascii_lowercase),
    "bymerge": _MERGED,
    "balanced": _MERGED,
    "letters": list(string.ascii_lowercase),
    "digits": DIGITS,
    "mnist": DIGITS,
}
_COUNTS = {
    "byclass": (697_932, 116_323),
    "bymerge": (697_932, 116_323),
    "balanced": (112_800, 18_800),
    "letters": (124_800, 20_800),
    "digits": (240_000, 40_000),
    "mnist": (60_000, 10_000),
}


@dataclass(frozen=True)
class Kind:
    """What is known of a set. `parts`: images in each of torchvision's parts; `splits`: those that a split is made of;
    `files`: of a part, in the root; `open`: reads one, or with `download` fetches it."""

    title: str
    channels: int
    classes: list[str]
    parts: Mapping[str, int]
    splits: Mapping[str, list[str]]
    files: Callable[[str], list[str]]
    open: Callable[[Path, str, bool], Arrays]
    checked: bool  # torchvision compares the published checksums whenever it reads


def _stl10(root: Path, part: str, download: bool) -> Arrays:
    from torchvision.datasets import STL10  # 1.4 s: only while preparing

    read = STL10(str(root), split=part, download=download)
    return read.data.transpose(0, 2, 3, 1), np.asarray(read.labels)


def _svhn(root: Path, part: str, download: bool) -> Arrays:
    from torchvision.datasets import SVHN

    read = SVHN(str(root), split=part, download=download)
    return read.data.transpose(0, 2, 3, 1), read.labels


def emnist(subset: str) -> Kind:
    """One of the six ways in which EMNIST is cut."""
    check_choice("dataset.subset", subset, tuple(_LETTERS))
    names = [f"emnist-{subset}-{{}}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]

    def read(root: Path, part: str, download: bool) -> Arrays:
        from torchvision.datasets import EMNIST

        found = EMNIST(str(root), split=subset, train=part == "train", download=download)
        # Stored with rows and columns in each other's place; letters count from 1.
        return found.data.numpy().transpose(0, 2, 1), found.targets.numpy() - (subset == "letters")

    return Kind(
        "EMNIST",
        1,
        _LETTERS[subset],
        dict(zip(("train", "test"), _COUNTS[subset], strict=True)),
        {"train": ["train"], "test": ["test"], "all": ["train", "test"]},
        lambda part: [f"EMNIST/raw/{name.format(part)}" for name in names],
        read,
        checked=False,
    )


STL10 = Kind(
    "STL-10",
    3,
    ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"],
    {"train": 5000, "test": 8000, "unlabeled": 100_000},
    {"train": ["train"], "test": ["test"], "all": ["train", "test"], "unlabeled": ["unlabeled"]},
    lambda part: [f"stl10_binary/{part}_{kind}.bin" for kind in ("X", "y") if (part, kind) != ("unlabeled", "y")],
    _stl10,
    checked=True,
)
SVHN = Kind(
    "SVHN",
    3,
    DIGITS,
    {"train": 73_257, "test": 26_032, "extra": 531_131},
    {"train": ["train"], "test": ["test"], "extra": ["extra"], "all": ["train", "test", "extra"]},
    lambda part: [f"{part}_32x32.mat"],
    _svhn,
    checked=True,
)


class TorchvisionSet(Source):
    """One of three published sets in `root`, where and as torchvision has it: `variant` STL10, SVHN or EMNIST, of which
    `subset` says how it is cut. EMNIST at 32 pixels has a border of zeros, as MNIST."""

    def __init__(
        self,
        root: str | None,
        variant: str,
        resolution: Resolution = 32,
        split: str = "train",
        download: bool = True,
        channels: int | None = None,
        subset: str = "",
        fitting: Fitting = PLAIN,
    ) -> None:
        check_choice("dataset.variant", variant, ("STL10", "SVHN", "EMNIST"))
        if subset and variant != "EMNIST":
            raise GantoolError(f"dataset.subset={subset}: only EMNIST has subsets; leave it out")
        self.kind = {"STL10": STL10, "SVHN": SVHN}.get(variant) or emnist(subset)
        check_choice("dataset.split", split, tuple(self.kind.splits))
        self.name = "-".join(filter(None, (variant.lower(), subset)))
        self.split, self.resolution, self.fitting = split, resolution, fitting.plain(self.name)
        self.class_names = [] if split == "unlabeled" else self.kind.classes
        self.channels = stored_channels(channels, native=self.kind.channels)
        self.root = data_folder(root)
        if not download and (missing := self._missing()):
            raise GantoolError(f"no {missing[0]} in {self.root}: {self._by_hand()}, or set dataset.download=true")

    def __len__(self) -> int:
        return sum(self.kind.parts[part] for part in self._parts)

    def files(self) -> Files:
        """Of a set whose checksums nobody has published, the files themselves."""
        return {} if self.kind.checked else {name: status_of(self.root / name) for name in self._files()}

    def fingerprint(self) -> dict[str, object]:
        if self.kind.checked:  # nothing is ever read but the files with the published checksums
            return {"published": self.name, "split": self.split}
        self.fetch()  # only the files at hand can say which images they are
        found = {name: [f.status.st_size, f.status.st_mtime_ns] for name, f in self.files().items()}
        return {"files": found, "split": self.split}

    def fetch(self) -> None:
        if self._missing():
            with downloading(self.name, self.root, self._by_hand()):
                for part in self._parts:
                    self.kind.open(self.root, part, True)

    def read(self) -> Iterator[Decoded | Damaged]:
        for part in self._parts:
            try:
                images, labels = self.kind.open(self.root, part, False)
            except (RuntimeError, ValueError, AssertionError, LookupError, TypeError) as error:
                raise GantoolError(
                    f"{self.root / self.kind.files(part)[0]} is damaged (not what was published): delete it, run again"
                ) from error
            except OSError as error:
                raise GantoolError(f"cannot read {self.kind.title} in {self.root}: {error}") from error
            images = bordered(images, self.resolution) if images.ndim == 3 else images
            for image, label in zip(images, labels.tolist(), strict=True):
                yield Decoded(fit_array(image, self.resolution, self.channels, self.fitting), max(label, 0))

    @property
    def _parts(self) -> list[str]:
        return self.kind.splits[self.split]

    def _files(self) -> list[str]:
        return [name for part in self._parts for name in self.kind.files(part)]

    def _missing(self) -> list[str]:
        return [name for name in self._files() if not (self.root / name).is_file()]

    def _by_hand(self) -> str:
        return f"put {', '.join(self._files())} into {self.root} or set dataset.root= to the folder that holds them"
