"""What a data set says about itself: where its images come from and how to read them, one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gantool.errors import GantoolError, did_you_mean


@dataclass(frozen=True)
class Decoded:
    """One image as it will be stored."""

    pixels: np.ndarray  # (channels, resolution, resolution) uint8
    label: int = 0  # class index; not used where num_classes is 0


@dataclass(frozen=True)
class Damaged:
    """One image that could not be decoded."""

    path: str
    reason: str


class Source(Protocol):
    """A data set before it is prepared. Building one checks and lists but decodes and downloads nothing.

    A new data set is one class like this and one file in conf/dataset.
    """

    name: str
    split: str  # train, test, ... of a published set; 'all' where there are no parts
    resolution: int
    channels: int
    num_classes: int  # 0: unlabelled
    class_names: list[str]

    @property
    def notice(self) -> str:
        """One line that the user should know, such as that the copy is partial; '' if there is none."""
        ...

    def fingerprint(self) -> dict[str, object]:
        """What identifies the files and settings that were read, as JSON; equal fingerprints give equal images."""
        ...

    def fetch(self) -> None:
        """Download what is missing; raises GantoolError where that fails."""
        ...

    def __len__(self) -> int:
        """The number of images, damaged ones included."""
        ...

    def read(self) -> Iterator[Decoded | Damaged]:
        """Every image, always in the same order; raises GantoolError where files cannot be read at all."""
        ...


def require_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise GantoolError naming `key` unless `value` is one of `choices`."""
    if value not in choices:
        raise GantoolError(f"{key}={value}: choose one of {', '.join(choices)}{did_you_mean(str(value), choices)}")


def data_folder(root: str | None) -> Path:
    """`root` as a path; raises GantoolError where it is not set."""
    if root is None:
        raise GantoolError("this data set needs a folder: dataset.root=FOLDER")
    return Path(root).expanduser()


def stored_channels(channels: int | None, native: int) -> int:
    """1 (greyscale) or 3 (RGB) as asked by dataset.channels, by default what the data set has."""
    if channels not in (None, 1, 3):
        raise GantoolError(f"dataset.channels={channels}: images are stored with 1 (greyscale) or 3 (RGB) channels")
    return channels or native
