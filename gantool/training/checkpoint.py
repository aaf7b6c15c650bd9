"""Checkpoints: written whole or not at all, told sound from damaged, the newest few and the best kept.

A checkpoint is one torch file of plain tensors and containers, named `<nimg>-<first 16 hex of its sha256>.pt`: the
rename that makes it visible also makes its checksum known, so no moment to be killed at leaves a false one.
"""

import hashlib
import io
import logging
from pathlib import Path
from typing import Literal

import torch

from gantool.errors import GantoolError
from gantool.files import write_whole

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run folder. `keep`: how many of the newest stay."""

    def __init__(self, run_dir: Path, keep: int = 2) -> None:
        self.folder = run_dir / "checkpoints"
        self.keep = keep

    def save(self, state: dict, nimg: int) -> Path:
        """Writes `state` as the newest checkpoint, then removes those that are no longer kept.

        Raises GantoolError when the disk refuses it; the older ones then stand as they were.
        """
        for leftover in self.folder.glob(".*.partial"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)
        path = self._write(state, f"{nimg:012d}")
        for old in self._newest_first()[self.keep :]:
            old.unlink(missing_ok=True)
        return path

    def save_as(self, kind: Literal["best", "good"], state: dict, nimg: int) -> Path:
        """Writes `state` as the best checkpoint, or as the good one to go back to, in place of the one before."""
        path = self._write(state, f"{kind}-{nimg:012d}")
        for old in self.folder.glob(f"{kind}-*.pt"):
            if old != path:
                old.unlink(missing_ok=True)
        return path

    def go_back(self) -> dict | None:
        """The state that was good; those after it are renamed to .abandoned, so that a resume does not find them. None
        where there is none."""
        good = max(self.folder.glob("good-*.pt"), default=None)
        if good is None:
            return None
        state = load(good)
        for path in self._newest_first():
            if _nimg(path) > _nimg(good):
                path.replace(path.with_suffix(".abandoned"))
        return state

    def load_newest(self) -> dict | None:
        """The newest sound state, on the CPU; the best where no other is left; None where there is no checkpoint.

        A damaged one is renamed to .damaged with a warning. Raises GantoolError if all are damaged.
        """
        newest = sorted([*self._newest_first(), *self.folder.glob("good-*.pt")], key=_nimg, reverse=True)
        candidates = [*newest, *self.folder.glob("best-*.pt")]
        for path in candidates:
            try:
                return load(path)
            except GantoolError as error:
                log.warning("%s; going on with the one before", error)
                path.rename(path.with_suffix(".damaged"))
        if candidates:
            raise GantoolError(f"no checkpoint in {self.folder} is sound: start anew in another hydra.run.dir")
        return None

    def newest_nimg(self) -> int | None:
        """Images seen by the newest checkpoint; None where there is none."""
        return next((_nimg(path) for path in self._newest_first()), None)

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.pt"), reverse=True)

    def _write(self, state: dict, stem: str) -> Path:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getbuffer()
        path = self.folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}.pt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise GantoolError(
                f"could not write checkpoint {path}: {error.strerror}; make room and run the same command with "
                f"resume={self.folder.parent} to go on from the checkpoint before"
            ) from error
        return path


def _nimg(path: Path) -> int:
    """Images seen by the state in a checkpoint file: '<nimg>-<hash>.pt' or 'good-<nimg>-<hash>.pt'."""
    return int(path.stem.split("-")[-2])


def load(path: Path) -> dict:
    """The state in a checkpoint file, after its checksum is checked; nothing in it is executed.

    Raises GantoolError if it is damaged or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GantoolError(f"cannot read checkpoint {path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest()[:16] != path.stem.rpartition("-")[2]:
        raise GantoolError(f"checkpoint {path} is damaged (its checksum is not the one in its name)")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
