"""A zip of images, such as StyleGAN's dataset.zip, read where it lies."""

import hashlib
import io
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from gantool.data.files import SUFFIXES, File, Found, Status
from gantool.errors import GantoolError

LARGEST = 2**30  # bytes of one file in it, unpacked


class Archive:
    """The files in a zip, by name. Raises GantoolError for a file that is no zip."""

    def __init__(self, path: Path) -> None:
        try:
            self.path, self.zip, status = path, ZipFile(path), Status.of(path.stat())
        except OSError as error:
            raise GantoolError(f"cannot read {path}: {error.strerror}") from error
        except (BadZipFile, ValueError, NotImplementedError) as error:
            raise GantoolError(f"{path} is no sound zip ({error}): make it again, or name a folder") from error
        entries = [e for e in self.zip.infolist() if not e.is_dir() and not _hidden(e.filename)]
        self.found = Found()
        for entry in sorted(entries, key=lambda e: e.filename):
            ending = os.path.splitext(entry.filename)[1].lower()
            if ending in SUFFIXES:
                self.found.images[entry.filename] = File(f"{path}/{entry.filename}", status)
            else:
                self.found.others[ending or "no ending"] += 1
        self.found.folders = sorted({name.split("/")[0] for name in self.found.images if "/" in name})
        marks = (f"{e.filename}\0{e.file_size}\0{e.CRC}\n" for e in sorted(entries, key=lambda e: e.filename))
        self.digest = hashlib.sha256("".join(marks).encode(errors="surrogateescape")).hexdigest()
        self.names = frozenset(e.filename for e in entries)

    def __reduce__(self) -> tuple[Callable[[Path], "Archive"], tuple[Path]]:
        """Another process opens it again, once."""
        return archive, (self.path,)

    def read(self, name: str) -> bytes:
        """The content of one file; raises ValueError where it is damaged or too large to be an image."""
        if self.zip.getinfo(name).file_size > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes once unpacked")
        try:
            return self.zip.read(name)
        except (BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise ValueError(str(error)) from error

    def open(self, name: str) -> io.BytesIO:
        """One file, as `read` gives it."""
        return io.BytesIO(self.read(name))


@lru_cache(maxsize=2)
def archive(path: Path) -> Archive:
    """The same one for a path."""
    return Archive(path)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
