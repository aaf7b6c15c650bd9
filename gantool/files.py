"""Files that are whole or not there, whatever ends the process or the power while they are written."""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from errno import EINVAL
from io import BufferedReader, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gantool.errors import GantoolError

MARK = ".gantool"  # an empty file in the folders that commands write into


def sync(path: Path) -> None:
    """Flushes a file, or the renames in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file beside `path`, of the same kind, to write into: it takes the place of `path` once the block has ended
    well, so that a reader sees the old content or the new one, never half of it.

    Raises OSError where the disk refuses; the old file then stands as it was.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def open_plain(path: Path) -> BufferedReader:
    """A file to read from; OSError for a pipe or device in its place too, whose end might never come."""
    if path.exists() and not path.is_file():
        raise OSError(EINVAL, "not a file", str(path))
    return path.open("rb")


def read_plain(path: Path) -> bytes:
    """The content of a file that `open_plain` opens."""
    with open_plain(path) as file:
        return file.read()


def whole_files(folder: Path, pattern: str) -> list[Path]:
    """What is in `folder` by that pattern, without what `whole` is writing, or was killed at."""
    return [path for path in folder.glob(pattern) if not path.name.startswith(".")]


def write_whole(path: Path, content: bytes | memoryview | str) -> None:
    """Replaces the file in one step, as `whole` does."""
    with whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(content: object, path: Path) -> None:
    """Numbers that are not finite become null, as JSON has none."""
    write_whole(path, json.dumps(finite_parts(content), indent=2, default=str) + "\n")


def read_json(content: bytes | str) -> Any:
    """What JSON that anybody may have written holds; a whole number that no float holds is infinite. Raises ValueError
    for what is no JSON, or nested too deep."""
    try:
        return json.loads(content, parse_int=lambda digits: int(digits) if len(digits) < 300 else float(digits))
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def finite_parts(value: object) -> object:
    """As JSON has it: None for what is infinite or NaN."""
    if isinstance(value, dict):
        return {key: finite_parts(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite_parts(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_csv(header: Sequence[str], rows: Iterable[Sequence[object]], path: Path) -> None:
    """One line of names, then the rows."""
    text = StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    write_whole(path, text.getvalue())


def check_writable(path: Path, fix: str = "choose another place") -> None:
    """Raises GantoolError that says why nothing can be written below the folder `path`, which need not be there yet."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with TemporaryDirectory(dir=place, prefix=".gantool-"):
            return
    except OSError as error:
        raise GantoolError(f"{path}: cannot be written ({error.strerror} at {place}): {fix}") from error
