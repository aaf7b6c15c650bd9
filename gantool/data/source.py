"""What a data set says about itself: where its images come from and how to read them, one by one."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from gantool.data.files import Files
from gantool.data.fitting import PLAIN, Fitting
from gantool.errors import GantoolError
from gantool.paths import expanded
from gantool.shapes import Resolution


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
    values: tuple[float, float] | None = None  # the least and greatest, where they are not of 8 bits
    span: tuple[float, float] | None = None  # those that are black and white


@dataclass(frozen=True)
class Decoded:
    """One image as it will be stored."""

    pixels: np.ndarray  # (channels, height, width) uint8, or of 16 bits int16: 0 to 65535, less 32768
    label: int | tuple[float, ...] = 0  # class index, or where the source's labels are vectors one; not used without
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
    resolution: Resolution
    channels: int
    split: str = "all"  # train, test, ... of a published set; 'all' where there are no parts
    class_names: list[str] = []  # noqa: RUF012  # nobody changes it; none: unlabelled
    bits: int = 8  # of a stored pixel: 8, 16
    fitting: Fitting = PLAIN
    vectors: bool = False  # labels are vectors of attributes and numbers, and class_names what these are

    @property
    def num_classes(self) -> int:
        """Classes, or numbers in a label that is a vector; 0 for an unlabelled set."""
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

    def read_from(self, first: int) -> Iterator[Decoded | Damaged]:
        """The same from the `first` image on; a source that can skip faster than by reading says so."""
        return islice(self.read(), first, None)

    @abstractmethod
    def read(self) -> Iterator[Decoded | Damaged]:
        """Every image, always in the same order; raises GantoolError where files cannot be read at all."""


def data_folder(root: str | None) -> Path:
    """`root` as a path; raises GantoolError where it is not set."""
    if not root:  # an empty one would be the working folder
        raise GantoolError("this data set needs a folder: dataset.root=FOLDER")
    return expanded(root)


def stored_channels(channels: int | None, native: int, most: int = 3) -> int:
    """As asked by dataset.channels, by default what the data set has: 1 (greyscale), 3 (RGB), and where pixels may be
    anything, up to `most`."""
    if channels not in (None, 1, 3) and not (most > 3 and channels <= most):
        known = "1 (greyscale) or 3 (RGB)" if most == 3 else f"1 to {most}"
        raise GantoolError(f"dataset.channels={channels}: images are stored with {known} channels")
    return channels or native
