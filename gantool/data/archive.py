"""A zip of images, such as StyleGAN's dataset.zip, read where it lies."""

import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import takewhile
from lzma import LZMAError
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from gantool.data.files import SUFFIXES, File, Found, Status, suffix
from gantool.errors import GantoolError

LARGEST = 2**30  # bytes of one file in it, unpacked


class Archive:
    """The files in a zip, by their paths below the folder that holds all of them, or below `part`, which lies there.
    Raises GantoolError for a file that is no zip. `file`: the same one, opened before."""

    def __init__(self, path: Path, part: str = "", file: ZipFile | None = None) -> None:
        try:
            self.path, self.part, self.zip, status = path, part, file or ZipFile(path), Status.of(path.stat())
        except OSError as error:
            raise GantoolError(f"cannot read {path}: {error.strerror}") from error
        except (BadZipFile, ValueError, NotImplementedError) as error:
            raise GantoolError(f"{path} is not a valid zip ({error}): make it again, or name a folder") from error
        entries = [e for e in self.zip.infolist() if not e.is_dir() and not _hidden(e.filename)]
        entries.sort(key=lambda e: e.filename)
        self.top = _top([e.filename for e in entries]) + (f"{part}/" if part else "")
        entries = [e for e in entries if e.filename.startswith(self.top)]
        self.found = Found()
        for entry in entries:
            name = entry.filename.removeprefix(self.top)
            ending = suffix(name)
            if ending in SUFFIXES:
                self.found.images[name] = File(f"{path}/{entry.filename}", status)
            else:
                self.found.others[ending or "no ending"] += 1
        self.found.folders = sorted({name.split("/")[0] for name in self.found.images if "/" in name})
        marks = (f"{e.filename}\0{e.file_size}\0{e.CRC}\n" for e in entries)
        self.digest = hashlib.sha256("".join(marks).encode(errors="surrogateescape")).hexdigest()
        self.names = frozenset(e.filename.removeprefix(self.top) for e in entries)

    def below(self, part: str) -> "Archive":
        """The files in one of its folders."""
        return Archive(self.path, part, self.zip)

    def __reduce__(self) -> tuple[Callable[[Path, str], "Archive"], tuple[Path, str]]:
        """Another process opens it again, once."""
        return archive, (self.path, self.part)

    def read(self, name: str) -> bytes:
        """The content of one file; raises ValueError where it is damaged or too large to be an image."""
        name = self.top + name
        if self.zip.getinfo(name).file_size > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes once unpacked")
        try:
            return self.zip.read(name)
        except (BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, LZMAError) as error:
            raise ValueError(str(error)) from error
        except OSError as error:
            if error.errno is None:  # it is not the disk's: bz2 says so of damaged data
                raise ValueError(str(error)) from error
            raise

    def open(self, name: str) -> io.BytesIO:
        """One file, as `read` gives it."""
        return io.BytesIO(self.read(name))


@lru_cache(maxsize=2)
def archive(path: Path, part: str = "") -> Archive:
    """The same one for a path."""
    return Archive(path, part)


def _top(names: Sequence[str]) -> str:
    """The folder that holds all of the `names`, which are sorted, with a slash at its end; '' where there is none."""
    first, last = (name.split("/")[:-1] for name in (names[0], names[-1])) if names else ([], [])
    shared = takewhile(lambda both: both[0] == both[1], zip(first, last, strict=False))
    return "".join(f"{folder}/" for folder, _ in shared)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
