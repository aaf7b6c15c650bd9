"""Data sets with two sides, A and B, for games that translate: unpaired folders (CycleGAN), or pairs (pix2pix)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gantool.data.files import Files, Found
from gantool.data.folder import Folder, images_in, remarks
from gantool.data.image_set import ImageSet
from gantool.data.pixels import decode, decode_each, fit, open_image
from gantool.data.source import Damaged, Decoded, Seen, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice

DIRECTIONS = ("a2b", "b2a")


class TwoSided(ABC):
    """A data set before it is prepared, made of plain ones: `parts`, which are prepared each by itself and joined.

    A part is 'train' or 'test' alone, or with a side ('train_a').
    """

    num_classes = 0
    class_names: tuple[str, ...] = ()
    parts: dict[str, Source]

    def __init__(self, name: str, resolution: int, channels: int | None) -> None:
        self.name, self.resolution, self.channels = name, resolution, stored_channels(channels, native=3)

    @abstractmethod
    def join(self, parts: Mapping[str, ImageSet]) -> ImageSet:
        """One set whose `source` is the side to be translated."""


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
            part: Folder(str(folder), resolution, channels, labels="none", key=key, split="all")
            for part, (key, folder) in folders.items()
        }

    def join(self, parts: Mapping[str, ImageSet]) -> ImageSet:
        """Images of B; their source are those of A."""

        def joined(split: str, test: ImageSet | None) -> ImageSet:
            a, b = parts[f"{split}_a"], parts[f"{split}_b"]
            fingerprint = f"{b.fingerprint} from {a.fingerprint}"
            skipped = a.num_skipped + b.num_skipped
            rows = torch.cat([a.rows, b.rows + torch.tensor([0, 1])])
            return ImageSet(b.images, None, [], fingerprint, self.name, split, skipped, a.images, False, test, rows)

        return joined("train", joined("test", None) if "test_a" in parts else None)


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

    def join(self, parts: Mapping[str, ImageSet]) -> ImageSet:
        """Images of the side that `direction` leads to; their source are those of the other."""

        def joined(split: str, test: ImageSet | None) -> ImageSet:
            pairs = parts[split]
            a, b = pairs.images[:, : self.channels], pairs.images[:, self.channels :]
            source, images = (a, b) if self.direction == "a2b" else (b, a)
            fingerprint, skipped = f"{pairs.fingerprint} {self.direction}", pairs.num_skipped
            return ImageSet(images, None, [], fingerprint, self.name, split, skipped, source, True, test, pairs.rows)

        return joined("train", joined("test", None) if "test" in parts else None)


class Pairs(Source):
    """Both sides of each pair as one image of twice the channels, A first: kept, skipped and cached together.

    `read` gives the pixels of the pair with one of the `names`, and what they were read from; `found` is what lies in
    the folders of the images, by a name for each.
    """

    name = "pairs"

    def __init__(
        self,
        found: Mapping[str, Found],
        names: list[str],
        read: Callable[[str], tuple[np.ndarray, tuple[Seen, ...]]],
        *,
        resolution: int,
        channels: int,
    ) -> None:
        self.found, self.names, self._read = found, names, read
        self.resolution, self.channels = resolution, 2 * channels

    @property
    def notice(self) -> str:
        return "\n".join(line for found in self.found.values() for line in remarks(found))

    def __len__(self) -> int:
        return len(self.names)

    def files(self) -> Files:
        return {f"{side}/{name}": file for side, found in self.found.items() for name, file in found.images.items()}

    def fingerprint(self) -> dict[str, object]:
        return {side: found.digest() for side, found in self.found.items()}

    def read(self) -> Iterator[Decoded | Damaged]:
        return decode_each(self.names, [0] * len(self.names), self._read)


def partners(a: tuple[str, Path], b: tuple[str, Path], *, resolution: int, channels: int) -> Pairs:
    """The pairs of two folders, each given with the key that names it: files of one name, whatever their endings."""
    found = {"a": images_in(*a), "b": images_in(*b)}
    sides = [
        by_stem(key, folder, list(side.images)) for (key, folder), side in zip((a, b), found.values(), strict=True)
    ]
    if odd := sorted(sides[0].keys() ^ sides[1].keys()):
        more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        raise GantoolError(f"{a[0]}={a[1]} and {b[0]}={b[1]}: {odd[0]}{more} is only in one: pairs have equal names")

    def read(name: str) -> tuple[np.ndarray, tuple[Seen, ...]]:
        (left, seen_a), (right, seen_b) = (decode(side[name], resolution, channels) for side in sides)
        return np.concatenate([left, right]), seen_a + seen_b

    return Pairs(found, list(sides[0]), read, resolution=resolution, channels=channels)


def by_stem(key: str, folder: Path, names: list[str]) -> dict[str, Path]:
    """The images in `folder` by their path in it without the ending."""
    found = {name.rpartition(".")[0]: folder / name for name in names}
    if len(found) < len(names):
        raise GantoolError(f"{key}={folder} has files that differ only in their ending: pairs are found by name")
    return found


def halves(folder: Path, *, resolution: int, channels: int) -> Pairs:
    """The pairs of images that show both sides, A on the left."""

    def read(name: str) -> tuple[np.ndarray, tuple[Seen, ...]]:
        image, seen = open_image(folder / name)
        if 2 * image.width < 3 * image.height or image.width % 2:
            raise ValueError(f"{image.width}x{image.height} pixels are not two images side by side")
        middle = image.width // 2
        sides = [image.crop((left, 0, left + middle, image.height)) for left in (0, middle)]
        half = replace(seen, size=(middle, image.height))
        return np.concatenate([fit(side, resolution, channels) for side in sides]), (half, half)

    found = images_in("dataset.root", folder)
    return Pairs({"side by side": found}, list(found.images), read, resolution=resolution, channels=channels)


def side_folders(
    root: str | None, a: str | None, b: str | None, test_a: str | None, test_b: str | None
) -> dict[str, tuple[str, Path]]:
    """The folders of both sides by part, each with the key that names it in messages; test folders where there are any.

    Raises GantoolError where one that is needed is missing.
    """
    if root is None and not (a and b):
        raise GantoolError("two sides are needed: dataset.root= with trainA and trainB, or dataset.a= and dataset.b=")
    given = {"train_a": a, "train_b": b, "test_a": test_a, "test_b": test_b}
    keys = {"train_a": "dataset.a", "train_b": "dataset.b", "test_a": "dataset.test_a", "test_b": "dataset.test_b"}
    names = {"train_a": "trainA", "train_b": "trainB", "test_a": "testA", "test_b": "testB"}
    found = {}
    for part, value in given.items():
        if value is not None:
            found[part] = (keys[part], data_folder(value))
        elif root is not None:
            found[part] = ("dataset.root", data_folder(root) / names[part])
    for part, (key, folder) in list(found.items()):
        if folder.is_dir():
            continue
        if part.startswith("train") or given[part] is not None:
            raise GantoolError(
                f"{key}={folder} is not a folder: dataset.root= holds trainA and trainB, or name {keys[part]}="
            )
        del found[part]
    if ("test_a" in found) != ("test_b" in found):
        there, other = ("test_a", "test_b") if "test_a" in found else ("test_b", "test_a")
        raise GantoolError(f"{found[there][1]} is one side of a test set: name the other with {keys[other]}=FOLDER")
    return found


def split_folders(root: str | None) -> dict[str, Path]:
    """root/train, or root itself, and root/test or root/val if there is one."""
    folder = data_folder(root)
    if not folder.is_dir():
        raise GantoolError(f"dataset.root={root} is not a folder: set it to the folder of your images")
    parts = [name for name in ("test", "val") if (folder / name).is_dir()]
    if not (folder / "train").is_dir():
        if parts:
            raise GantoolError(f"dataset.root={root} holds {parts[0]} and no train: move the training pairs into train")
        return {"train": folder}
    return {"train": folder / "train", **({"test": folder / parts[0]} if parts else {})}
