"""Files that are whole or not there, whatever ends the process or the power while they are written."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Flushes a file, or the renames in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes | memoryview | str) -> None:
    """Replaces the file in one step: a reader sees the old content or the new one, never half of it.

    Raises OSError where the disk refuses; the old file then stands as it was.
    """
    content = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
