"""The parts that a data set comes in: training, validation and test images, each in a folder by that name."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from gantool.data.archive import Archive
from gantool.data.files import SUFFIXES, find_images, suffix
from gantool.errors import GantoolError

_PART = r"""(train|training|val|valid|validation|test|testing|dev|eval|holdout)([ _-]?(set|data|split|images|[ab]|\d+))?
    |images|masks|annotations|thumbs|thumbnails|ground[ _-]?truth"""
SPLITS = {"train": "train(ing)?", "val": "val(id(ation)?)?|dev", "test": "test(ing)?"}


def top_of(place: Path | Archive) -> tuple[list[str], bool]:
    """The folders in a folder or zip that are not hidden, sorted, and whether images lie beside them."""
    if isinstance(place, Archive):
        return place.found.folders, any("/" not in name for name in place.found.images)
    try:
        with os.scandir(place) as listed:
            entries = [entry for entry in listed if not entry.name.startswith(".")]
            folders = sorted(entry.name for entry in entries if entry.is_dir())
            return folders, any(suffix(entry.name) in SUFFIXES and entry.is_file() for entry in entries)
    except OSError as error:
        raise GantoolError(f"cannot read {error.filename}: {error.strerror}") from error


def parts_of(folders: Sequence[str]) -> dict[str, str]:
    """The folders train, val and test of a data set by these names, however they are spelled; of several of one, as in
    a set with two sides, that which is spelled so, or none."""
    found: dict[str, str] = {}
    for part, spelled in SPLITS.items():
        these = [name for name in folders if _is_split(name, spelled)]
        if name := next((name for name in these if name.lower() == part), these[0] if len(these) == 1 else None):
            found[part] = name
    return found


def below(place: Path | Archive, part: str) -> Path | Archive:
    """One of the folders in a folder or zip, or all of it where `part` is ''."""
    if not part:
        return place
    return place.below(part) if isinstance(place, Archive) else place / part


def has_images(place: Path | Archive, folder: str) -> bool:
    """Whether images lie in that folder of a folder or zip, or below it."""
    if isinstance(place, Archive):
        return any(name.startswith(f"{folder}/") for name in place.found.images)
    return bool(find_images(place / folder).images)


def has_file(place: Path | Archive, name: str) -> bool:
    """Whether a folder or zip has a file of this name, not counting what is in its folders."""
    return name in place.names if isinstance(place, Archive) else (place / name).is_file()


def _is_split(name: str, spelled: str) -> bool:
    return re.fullmatch(rf"({spelled})([ _-]?(set|data|split|images|\d+))?", name, re.IGNORECASE) is not None


def looks_like_a_part(name: str) -> bool:
    """True for train, val, testA, ...: the parts that data sets come in."""
    return re.fullmatch(_PART, name, re.IGNORECASE | re.VERBOSE) is not None


def training_of(parts: Sequence[str]) -> str:
    """That which is to be trained on, as its name says."""
    return next((name for name in parts if name.lower().startswith("train")), parts[0])
