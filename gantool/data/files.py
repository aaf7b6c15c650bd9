"""Finds the images below a folder, and says what else lies there."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gantool.errors import GantoolError

SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif"}
SUFFIXES |= {".heic", ".heif", ".hif", ".npy", ".npz", ".dcm", ".dicom"}


class Status(NamedTuple):
    """What os.stat says of a file, as far as it matters: sets have millions."""

    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> "Status":
        """Of one file."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class File(NamedTuple):
    """A file that a data set is read from."""

    path: str
    status: Status


Files = Mapping[str, File]  # by a name that does not depend on where the data set lies


@dataclass
class Found:
    """What lies in a folder and below."""

    images: dict[str, File] = field(default_factory=dict)  # by path in the folder, with forward slashes, sorted
    folders: list[str] = field(default_factory=list)  # the immediate sub-folders
    others: Counter[str] = field(default_factory=Counter)  # files that are no images, by ending
    links: list[str] = field(default_factory=list)  # in words: those that were not followed, or lead to the same file

    def digest(self) -> str:
        """Changes with the path, size or modification time of any image."""
        lines = (f"{name}\0{f.status.st_size}\0{f.status.st_mtime_ns}\n" for name, f in self.images.items())
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def find_images(folder: Path) -> Found:
    """Every image file in `folder` and below; links are followed, hidden files are not images.

    Raises GantoolError for a folder that cannot be read and for a link that leads nowhere.
    """
    found = Found()
    seen: set[tuple[int, int]] = set()
    paths: dict[tuple[int, int], str] = {}  # of the images, to tell when one is there twice

    def walk(place: str, prefix: str, above: tuple[tuple[int, int], ...]) -> None:
        status = os.stat(place)
        seen.add(identity := (status.st_dev, status.st_ino))
        with os.scandir(place) as listed:
            # What is there itself comes before what is linked to: which of both is read is no matter of chance.
            entries = sorted(listed, key=lambda entry: (entry.is_symlink(), entry.name))
        for entry in entries:
            if entry.name.startswith("."):
                if not entry.name.startswith("._") and suffix(entry.name) in SUFFIXES:
                    found.others["hidden images"] += 1
                continue
            if entry.is_symlink() and not os.path.exists(entry.path):
                raise GantoolError(f"{entry.path} is a broken link ({os.readlink(entry.path)}): repair or remove it")
            status = entry.stat()
            other = (status.st_dev, status.st_ino)
            if entry.is_dir():
                if not prefix:
                    found.folders.append(entry.name)
                if other in (*above, identity):
                    found.links.append(f"{prefix}{entry.name} leads back to a folder above it")
                elif other in seen:
                    found.links.append(f"{prefix}{entry.name} leads to a folder that is read already")
                else:
                    walk(entry.path, f"{prefix}{entry.name}/", (*above, identity))
            elif entry.is_file() and suffix(entry.name) in SUFFIXES:
                found.images[prefix + entry.name] = File(entry.path, Status.of(status))
                if (first := paths.setdefault(other, prefix + entry.name)) != prefix + entry.name:
                    found.links.append(f"{prefix}{entry.name} is the same file as {first}")
            else:
                found.others[suffix(entry.name) or "no ending"] += 1

    try:
        walk(str(folder), "", ())
    except OSError as error:
        raise GantoolError(f"cannot read {error.filename}: {error.strerror}") from error
    found.images = dict(sorted(found.images.items()))
    found.folders.sort()
    return found


def holds_images(place: Path) -> bool:
    """Whether `place` is a zip, or an image file lies in it or below: it looks until it has found one."""
    if place.is_file():
        return suffix(place.name) == ".zip"
    walked = (name for _, _, names in os.walk(place) for name in names)
    return any(suffix(name) in SUFFIXES and not name.startswith(".") for name in walked)


def status_of(path: Path) -> File:
    """One file beside the images; raises GantoolError where it cannot be read."""
    try:
        return File(str(path), Status.of(path.stat()))
    except OSError as error:
        raise GantoolError(f"cannot read {path}: {error.strerror}") from error


def read_whole(path: Path) -> bytes:
    """The content of one file; raises GantoolError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise GantoolError(f"cannot read {path}: {error.strerror}") from error


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def suffix(name: str) -> str:
    """'.png'; of a million names ten times as fast as pathlib."""
    return os.path.splitext(name)[1].lower()
