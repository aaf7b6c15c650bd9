"""What a data set says about itself: where its images come from and how to read them, one by one."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gantool.data.files import Files
from gantool.errors import GantoolError
from gantool.paths import expanded


@dataclass(frozen=True)
class Seen:
    """What one file held before it was fitted."""

    path: str
    kind: str  # PNG, JPEG, ...
    mode: str  # in PIL's words: L, RGB, P, ...
    bits: int  # a channel
    size: tuple[int, int]  # width, height
    peak: float  # the largest stored value, as a part of the largest possible one
    remarks: tuple[str, ...] = ()  # what was done about anything unusual


@dataclass(frozen=True)
class Decoded:
    """One image as it will be stored."""

    pixels: np.ndarray  # (channels, resolution, resolution) uint8
    label: int = 0  # class index; not used where num_classes is 0
    seen: tuple[Seen, ...] = ()  # the files that it was read from, as far as that is known


@dataclass(frozen=True)
class Damaged:
    """One image that could not be decoded."""

    path: str
    reason: str


class Source(Protocol):
    """A data set before it is prepared. Building one checks and lists but decodes and downloads nothing.

    A new data set is one class like this and one file in conf/dataset; what it inherits from here it need not say.
    """

    name: str
    resolution: int
    channels: int
    split: str = "all"  # train, test, ... of a published set; 'all' where there are no parts
    class_names: list[str] = []  # noqa: RUF012  # nobody changes it; none: unlabelled

    @property
    def num_classes(self) -> int:
        """0 for an unlabelled set."""
        return len(self.class_names)

    @property
    def notice(self) -> str:
        """Lines that the user should know, such as that the copy is partial; '' if there is nothing."""
        return ""

    def fetch(self) -> None:
        """Download what is missing; raises GantoolError where that fails."""

    def files(self) -> Files:
        """What `read` reads and others may change: its content is looked at again whenever the set is used."""
        return {}

    @abstractmethod
    def fingerprint(self) -> dict[str, object]:
        """What identifies the files and settings that were read, as JSON; equal fingerprints give equal images."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of images, damaged ones included."""

    @abstractmethod
    def read(self) -> Iterator[Decoded | Damaged]:
        """Every image, always in the same order; raises GantoolError where files cannot be read at all."""


def data_folder(root: str | None) -> Path:
    """`root` as a path; raises GantoolError where it is not set."""
    if not root:  # an empty one would be the working folder
        raise GantoolError("this data set needs a folder: dataset.root=FOLDER")
    return expanded(root)


def stored_channels(channels: int | None, native: int) -> int:
    """1 (greyscale) or 3 (RGB) as asked by dataset.channels, by default what the data set has."""
    if channels not in (None, 1, 3):
        raise GantoolError(f"dataset.channels={channels}: images are stored with 1 (greyscale) or 3 (RGB) channels")
    return channels or native
