"""Data sets with two sides, A and B, for games that translate: unpaired folders (CycleGAN), or pairs (pix2pix)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gantool.data.arrays import MOST
from gantool.data.decoding import decode_each
from gantool.data.files import Files, Found
from gantool.data.fitting import PLAIN, Fitting
from gantool.data.folder import Folder, images_in, remarks
from gantool.data.image_set import ImageSet
from gantool.data.pieces import first_of, pieces_of
from gantool.data.pixels import Piece, decode
from gantool.data.sides import side_folders, split_folders
from gantool.data.source import Damaged, Decoded, Seen, Source, data_folder, stored_channels
from gantool.errors import GantoolError, check_choice
from gantool.shapes import Resolution

DIRECTIONS = ("a2b", "b2a")


class TwoSided(ABC):
    """A data set before it is prepared, made of plain ones: `parts`, which are prepared each by itself and joined.

    A part is 'train' or 'test' alone, or with a side ('train_a').
    """

    num_classes = 0
    vectors = False
    class_names: tuple[str, ...] = ()
    parts: dict[str, Source]

    bits: int  # of the pixels of all parts

    def __init__(self, name: str, resolution: Resolution, channels: int | None, fitting: Fitting) -> None:
        self.name, self.resolution, self.channels = name, resolution, stored_channels(channels, native=3, most=MOST)
        if fitting.range == "auto":
            raise GantoolError(
                f"dataset.range=auto: the two sides of {name} may have different ranges; set [black,white] or full"
            )

    def _take(self, made: Mapping[str, Callable[[Fitting], Source]], fitting: Fitting) -> None:
        """Makes the parts, of 16 bits all where one has more than 8."""
        self.parts = {name: make(fitting) for name, make in made.items()}
        self.bits = max(part.bits for part in self.parts.values())
        if any(part.bits != self.bits for part in self.parts.values()):
            self.parts = {name: make(replace(fitting, bits=self.bits)) for name, make in made.items()}

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
        resolution: Resolution = 64,
        channels: int | None = None,
        fitting: Fitting = PLAIN,
    ) -> None:
        super().__init__("unpaired", resolution, channels, fitting)
        shape: dict[str, Any] = {"resolution": resolution, "channels": self.channels}

        def side(key: str, folder: Path, fitting: Fitting) -> Source:
            return Folder(str(folder), labels="none", key=key, split="all", fitting=fitting, **shape)

        folders = side_folders(root, a, b, test_a, test_b)
        self._take({part: partial(side, *place) for part, place in folders.items()}, fitting)

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
        resolution: Resolution = 64,
        channels: int | None = None,
        fitting: Fitting = PLAIN,
    ) -> None:
        super().__init__("paired", resolution, channels, fitting)
        check_choice("dataset.direction", direction, DIRECTIONS)
        self.direction = direction
        if side_by_side == "auto":
            side_by_side = not (a or b or (root and (data_folder(root) / "trainA").is_dir()))
        shape: dict[str, Any] = {"resolution": resolution, "channels": self.channels}
        if side_by_side:
            if folder := a or b or test_a or test_b:
                raise GantoolError(f"dataset.side_by_side=true takes dataset.root=FOLDER, not the side {folder}")
            made = {split: partial(halves, folder, **shape) for split, folder in split_folders(root).items()}
        else:
            folders = side_folders(root, a, b, test_a, test_b)
            splits = sorted({part.removesuffix("_a").removesuffix("_b") for part in folders})
            pair = {split: (folders[f"{split}_a"], folders[f"{split}_b"]) for split in splits}
            made = {split: partial(partners, *both, **shape) for split, both in pair.items()}
        self._take(made, fitting)

    def join(self, parts: Mapping[str, ImageSet]) -> ImageSet:
        """Images of the side that `direction` leads to; their source are those of the other."""

        def joined(split: str, test: ImageSet | None) -> ImageSet:
            pairs = parts[split]
            a, b = pairs.images[:, : self.channels], pairs.images[:, self.channels :]
            source, images = (a, b) if self.direction == "a2b" else (b, a)
            fingerprint, skipped = f"{pairs.fingerprint} {self.direction}", pairs.num_skipped
            # Scores tell the name: those of one side are none of the other. That of a2b is as earlier versions told it.
            name = self.name if self.direction == DIRECTIONS[0] else f"{self.name} {self.direction}"
            return ImageSet(images, None, [], fingerprint, name, split, skipped, source, True, test, pairs.rows)

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
        resolution: Resolution,
        channels: int,
        fitting: Fitting,
    ) -> None:
        self.found, self.names, self._read = found, names, read
        self.resolution, self.channels, self.fitting = resolution, 2 * channels, fitting
        self.bits = fitting.bits or 8

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


def partners(a: tuple[str, Path], b: tuple[str, Path], fitting: Fitting, **shape: Any) -> Pairs:
    """The pairs of two folders, each given with the key that names it: files of one name, whatever their endings; of
    several images in a file, those of one number. `shape`: resolution and channels."""
    found = {"a": images_in(*a), "b": images_in(*b)}
    sides = [
        by_stem(key, folder, pieces_of(folder, list(side.images), shape["channels"]))
        for (key, folder), side in zip((a, b), found.values(), strict=True)
    ]
    if odd := sorted(sides[0].keys() ^ sides[1].keys()):
        more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        shared = sides[0].keys() & sides[1].keys()
        fix = "" if shared else "; for folders without pairs: model=cyclegan dataset=unpaired"
        told = f"{odd[0]}{more} is in only one: pairs need equal names{fix}"
        raise GantoolError(f"{a[0]}={a[1]} and {b[0]}={b[1]}: {told}")
    firsts = [(folder, next(iter(side.values()))) for (_, folder), side in zip((a, b), sides, strict=True)]
    fitting = replace(fitting, bits=fitting.bits or max(first_of(*first)[1] for first in firsts))

    def read(name: str) -> tuple[np.ndarray, tuple[Seen, ...]]:
        (left, seen_a), (right, seen_b) = (
            decode(folder / side[name].name, fitting=fitting, page=side[name].page, **shape)
            for (_, folder), side in zip((a, b), sides, strict=True)
        )
        return np.concatenate([left, right]), seen_a + seen_b

    return Pairs(found, list(sides[0]), read, fitting=fitting, **shape)


def by_stem(key: str, folder: Path, pieces: list[Piece]) -> dict[str, Piece]:
    """The images in `folder` by their paths in it without the ending, and their numbers in the file."""
    found = {str(piece._replace(name=piece.name.rpartition(".")[0])): piece for piece in pieces}
    if len(found) < len(pieces):
        raise GantoolError(f"{key}={folder} has files that differ only in their ending: pairs are found by name")
    return found


def halves(folder: Path, fitting: Fitting, **shape: Any) -> Pairs:
    """The pairs of images that show both sides, A on the left. `shape`: resolution and channels."""
    found = images_in("dataset.root", folder)
    pieces = {str(piece): piece for piece in pieces_of(folder, list(found.images), shape["channels"])}
    fitting = replace(fitting, bits=fitting.bits or first_of(folder, next(iter(pieces.values())))[1])

    def read(name: str) -> tuple[np.ndarray, tuple[Seen, ...]]:
        piece = pieces[name]
        return decode(folder / piece.name, fitting=fitting, page=piece.page, halves=True, **shape)

    return Pairs({"side by side": found}, list(pieces), read, fitting=fitting, **shape)
