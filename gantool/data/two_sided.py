"""Data sets with two sides, A and B, for games that translate: unpaired folders (CycleGAN), or pairs (pix2pix)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from gantool.data.files import Listing, digest, images_in
from gantool.data.folder import Folder
from gantool.data.image_set import ImageSet
from gantool.data.pixels import decode, decode_each, fit, opened
from gantool.data.source import Damaged, Decoded, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice

DIRECTIONS = ("a2b", "b2a")


class TwoSided(ABC):
    """A data set before it is prepared, made of plain ones: `parts`, which are prepared each by itself and joined.

    A part is 'train' or 'test' alone, or with a side ('train_a').
    """

    num_classes = 0
    parts: dict[str, Source]

    def __init__(self, name: str, resolution: int, channels: int | None) -> None:
        self.name, self.resolution, self.channels = name, resolution, stored_channels(channels, native=3)

    def join(self, parts: Mapping[str, ImageSet]) -> ImageSet:
        """One set whose `source` is the side to be translated, with its test part where there is one."""
        test = self.joined("test", parts) if any(part.startswith("test") for part in parts) else None
        return replace(self.joined("train", parts), test=test)

    @abstractmethod
    def joined(self, split: str, parts: Mapping[str, ImageSet]) -> ImageSet:
        """One split of it."""


class Unpaired(TwoSided):
    """Two folders of images of no relation: A is to be translated into B, and back.

    `root` holds trainA and trainB and, for grids and scores, testA and testB; `a`, `b`, `test_a` and `test_b` name any
    other folder in the place of one of these.
    """

    def __init__(
        self,
        root: str | None = None,
        a: str | None = None,
        b: str | None = None,
        test_a: str | None = None,
        test_b: str | None = None,
        resolution: int = 64,
        channels: int | None = None,
    ) -> None:
        super().__init__("unpaired", resolution, channels)
        folders = side_folders(root, a, b, test_a, test_b)
        self.parts = {
            part: Folder(str(folder), resolution, channels, labels="none", key=key)
            for part, (key, folder) in folders.items()
        }

    def joined(self, split: str, parts: Mapping[str, ImageSet]) -> ImageSet:
        """Images of B; their source are those of A."""
        a, b = parts[f"{split}_a"], parts[f"{split}_b"]
        fingerprint = f"{b.fingerprint} from {a.fingerprint}"
        return ImageSet(b.images, None, [], fingerprint, self.name, split, source=a.images)


class Paired(TwoSided):
    """Images with a partner each: `direction` 'a2b' translates A into B, 'b2a' B into A.

    Either two folders of equal file names, given as to Unpaired, or images of both sides beside each other, A on the
    left, in root/train and root/test (or val). `side_by_side` 'auto': unless there are two folders.
    """

    def __init__(
        self,
        root: str | None = None,
        a: str | None = None,
        b: str | None = None,
        test_a: str | None = None,
        test_b: str | None = None,
        side_by_side: bool | str = "auto",
        direction: str = "a2b",
        resolution: int = 64,
        channels: int | None = None,
    ) -> None:
        super().__init__("paired", resolution, channels)
        check_choice("dataset.direction", direction, DIRECTIONS)
        self.direction = direction
        if side_by_side == "auto":
            side_by_side = not (a or b or (root and (data_folder(root) / "trainA").is_dir()))
        shape = {"resolution": resolution, "channels": self.channels}
        if side_by_side:
            if folder := a or b or test_a or test_b:
                raise GantoolError(f"dataset.side_by_side=true takes dataset.root=FOLDER, not the side {folder}")
            self.parts = {split: halves(folder, **shape) for split, folder in split_folders(root).items()}
        else:
            folders = side_folders(root, a, b, test_a, test_b)
            splits = sorted({part.removesuffix("_a").removesuffix("_b") for part in folders})
            self.parts = {split: partners(folders[f"{split}_a"], folders[f"{split}_b"], **shape) for split in splits}

    def joined(self, split: str, parts: Mapping[str, ImageSet]) -> ImageSet:
        """Images of the side that `direction` leads to; their source are those of the other."""
        pairs = parts[split]
        a, b = pairs.images[:, : self.channels], pairs.images[:, self.channels :]
        source, images = (a, b) if self.direction == "a2b" else (b, a)
        fingerprint = f"{pairs.fingerprint} {self.direction}"
        return ImageSet(images, None, [], fingerprint, self.name, split, source=source, paired=True)


class Pairs(Source):
    """Both sides of each pair as one image of twice the channels, A first: kept, skipped and cached together.

    `read` gives the pixels of the pair with one of the `names`; `files` identifies what it reads.
    """

    name = "pairs"

    def __init__(
        self,
        files: Mapping[str, object],
        names: list[str],
        read: Callable[[str], np.ndarray],
        *,
        resolution: int,
        channels: int,
    ) -> None:
        self.files, self.names, self._read = files, names, read
        self.resolution, self.channels = resolution, 2 * channels

    def __len__(self) -> int:
        return len(self.names)

    def fingerprint(self) -> dict[str, object]:
        return dict(self.files)

    def read(self) -> Iterator[Decoded | Damaged]:
        return decode_each(self.names, [0] * len(self.names), self._read)


def partners(a: tuple[str, Path], b: tuple[str, Path], *, resolution: int, channels: int) -> Pairs:
    """The pairs of two folders, each given with the key that names it: files of one name, whatever their endings."""
    listings = [images_in(key, folder) for key, folder in (a, b)]
    sides = [by_stem(listing, *side) for listing, side in zip(listings, (a, b), strict=True)]
    if odd := sorted(sides[0].keys() ^ sides[1].keys()):
        more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        raise GantoolError(f"{a[0]}={a[1]} and {b[0]}={b[1]}: {odd[0]}{more} is only in one: pairs have equal names")

    def read(name: str) -> np.ndarray:
        return np.concatenate([decode(side[name], resolution, channels) for side in sides])

    files = {"a": digest(listings[0]), "b": digest(listings[1])}
    return Pairs(files, list(sides[0]), read, resolution=resolution, channels=channels)


def by_stem(listing: Listing, key: str, folder: Path) -> dict[str, Path]:
    """The images in `folder` by their path in it without the ending."""
    found = {name.rpartition(".")[0]: folder / name for name in listing}
    if len(found) < len(listing):
        raise GantoolError(f"{key}={folder} has files that differ only in their ending: pairs are found by name")
    return found


def halves(folder: Path, *, resolution: int, channels: int) -> Pairs:
    """The pairs of images that show both sides, A on the left."""

    def read(name: str) -> np.ndarray:
        image = opened(folder / name)
        if 2 * image.width < 3 * image.height or image.width % 2:
            raise ValueError(f"{image.width}x{image.height} pixels are not two images side by side")
        middle = image.width // 2
        left = image.crop((0, 0, middle, image.height))
        right = image.crop((middle, 0, image.width, image.height))
        return np.concatenate([fit(half, resolution, channels) for half in (left, right)])

    listing = images_in("dataset.root", folder)
    return Pairs({"side by side": digest(listing)}, list(listing), read, resolution=resolution, channels=channels)


def side_folders(
    root: str | None, a: str | None, b: str | None, test_a: str | None, test_b: str | None
) -> dict[str, tuple[str, Path]]:
    """The folders of both sides by part, each with the key that names it in messages; test folders where there are any.

    Raises GantoolError where one that is needed is missing.
    """
    if root is None and not (a and b):
        raise GantoolError("two sides are needed: dataset.root= with trainA and trainB, or dataset.a= and dataset.b=")
    found = {}
    for part, value in {"train_a": a, "train_b": b, "test_a": test_a, "test_b": test_b}.items():
        if value is None and root is None:
            continue
        split, side = part.split("_")
        own = "dataset." + part.removeprefix("train_")  # the key of this folder alone
        key = "dataset.root" if value is None else own
        folder = data_folder(root) / f"{split}{side.upper()}" if value is None else data_folder(value)
        if folder.is_dir():
            found[part] = (key, folder)
        elif split == "train" or value is not None:
            raise GantoolError(f"{key}={folder} is no folder: dataset.root= holds trainA and trainB, or name {own}=")
    if ("test_a" in found) != ("test_b" in found):
        there, other = ("test_a", "test_b") if "test_a" in found else ("test_b", "test_a")
        raise GantoolError(f"{found[there][1]} is one side of a test set: name the other with dataset.{other}=FOLDER")
    return found


def split_folders(root: str | None) -> dict[str, Path]:
    """root/train, or root itself, and root/test or root/val if there is one."""
    folder = data_folder(root)
    if not folder.is_dir():
        raise GantoolError(f"dataset.root={root} is no folder: set it to the folder of your images")
    if not (folder / "train").is_dir():
        return {"train": folder}
    tests = [folder / name for name in ("test", "val") if (folder / name).is_dir()]
    return {"train": folder / "train", **({"test": tests[0]} if tests else {})}
