"""Lists the image files below a folder and identifies them without reading them."""

import hashlib
import os
from pathlib import Path

from gantool.errors import GantoolError

SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif"}

Listing = dict[str, os.stat_result]  # path relative to the folder, with forward slashes -> size and time


def list_images(folder: Path) -> Listing:
    """Every image file in `folder` and below, sorted by path; links are followed, hidden files are not images.

    Raises GantoolError if a folder cannot be read.
    """
    found: Listing = {}
    seen: set[tuple[int, int]] = set()  # a link to a folder above must not go round for ever

    def walk(place: Path, prefix: str) -> None:
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    walk(place / entry.name, f"{prefix}{entry.name}/")
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file():
                    found[prefix + entry.name] = entry.stat()

    try:
        walk(folder, "")
    except OSError as error:
        raise GantoolError(f"cannot read {error.filename}: {error.strerror}") from error
    return dict(sorted(found.items()))


def images_in(key: str, folder: Path) -> Listing:
    """The images in `folder`; raises GantoolError that calls it `key` where there are none."""
    if not (listing := list_images(folder)):
        raise GantoolError(f"{key}={folder} holds no images (png, jpg, webp, tif, bmp, gif, ...)")
    return listing


def digest(listing: Listing) -> str:
    """Changes with any path, size or modification time in the listing."""
    lines = (f"{name}\0{s.st_size}\0{s.st_mtime_ns}\n" for name, s in listing.items())
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
