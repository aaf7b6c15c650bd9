"""Checkpoints: written whole or not at all, told sound from damaged, the newest few and the best kept.

A checkpoint is one torch file of plain tensors and containers, named `<nimg>-<first 16 hex of its sha256>.pt`: the
rename that makes it visible also makes its checksum known, so no moment to be killed at leaves a false one.

What is in it is training/state.py, and what of it is refused training/sound.py. What may change in a run that goes on
is runs/resuming.py.
"""

import hashlib
import io
import logging
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch

from gantool.errors import GantoolError, out_of_memory
from gantool.files import whole_files, write_whole
from gantool.folder import way_on
from gantool.training.sound import Unsound

log = logging.getLogger(__name__)


_STEM = re.compile(r"(?:(good|best)-)?([0-9]+)-[0-9a-f]{16}")  # before .pt, .damaged or .abandoned


def nimg_of(path: Path) -> int | None:
    """Images seen by the state in a file, as its name tells; None where it is no checkpoint's."""
    match = _STEM.fullmatch(path.stem)
    return int(match[2]) if match else None


class Checkpoints:
    """The checkpoints of one run folder. `keep`: how many of the newest stay; `check` raises Unsound for a state that
    is not this run's."""

    def __init__(self, run_dir: Path, keep: int = 2, check: Callable[[Any], None] = lambda state: None) -> None:
        self.folder, self.keep, self.check = run_dir / "checkpoints", keep, check
        self.passed_over: list[Path] = []

    def save(self, state: dict, nimg: int) -> Path:
        """Writes `state` as the newest checkpoint, then removes those that are no longer kept.

        Raises GantoolError when the disk refuses it; the older ones then stand as they were.
        """
        for leftover in self.folder.glob(".*.partial*"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)
        path = self._write(state, f"{nimg:012d}")
        _remove([old for old in self._newest_first("") if old != path][self.keep - 1 :])
        _remove(self._newest_first("best")[1:])
        return path

    def save_as(self, kind: Literal["best", "good"], state: dict, nimg: int) -> Path:
        """Writes `state` as the best checkpoint, or as the good one to go back to, in place of the one before; the best
        that the newest checkpoint tells of stays until there is a newer one, as a run that is killed goes on from it.
        """
        path = self._write(state, f"{kind}-{nimg:012d}")
        others = [old for old in self._newest_first(kind) if old != path]
        settled = [old for old in others if kind == "best" and (nimg_of(old) or 0) <= nimg][-1:]
        _remove([old for old in others if old not in settled])
        return path

    def keep_best(self, nimg: int | None) -> None:
        """Of the best states, those after the one at `nimg` are removed where that is there: a run goes on that has
        not come so far."""
        found = self._newest_first("best")
        if any(nimg_of(path) == nimg for path in found):
            _remove([path for path in found if (nimg_of(path) or 0) > (nimg or 0)])

    def go_back(self) -> dict | None:
        """The state that was good; those after it are renamed to .abandoned, so that a resume does not find them, and
        the newest few of these stay. None where there is none."""
        for good in self._newest_first("good"):
            if (state := self._sound(good)) is not None:
                for path in self._newest_first(""):
                    if _order(path)[0] > _order(good)[0]:
                        path.replace(path.with_suffix(".abandoned"))
                abandoned = sorted(self.folder.glob("*.abandoned"), key=_written, reverse=True)
                _remove(abandoned[self.keep :])
                return state
        return None

    def load_newest(self) -> dict | None:
        """The newest sound state, on the CPU; the best where no other is left; None where there is no checkpoint.

        The folder is only read: those that were passed over, with a warning each, are in `passed_over`. Raises
        GantoolError if none is sound.
        """
        found = whole_files(self.folder, "*.pt")
        for path in found:
            if nimg_of(path) is None:
                log.warning("%s is not named as a checkpoint; skipped", path)
        for path in [*self._newest_first("", "good"), *self._newest_first("best")]:
            if (state := self._sound(path)) is not None:
                return state
        if found:
            raise GantoolError(f"no checkpoint in {self.folder} is sound: start anew in another hydra.run.dir")
        return None

    def newest_nimg(self) -> int | None:
        """Images seen by the newest checkpoint; None where there is none."""
        return next((_order(path)[0] for path in self._newest_first("")), None)

    @property
    def best(self) -> Path | None:
        """The file of the best state by score; None where there is none."""
        return next(iter(self._newest_first("best")), None)

    def load_best(self) -> dict:
        """The best state by score; raises GantoolError where there is none or it is not sound."""
        if self.best is None:
            raise GantoolError(f"{self.folder} has no best checkpoint, as it was never scored: take checkpoint=newest")
        return self.load(self.best)

    def load(self, path: Path) -> dict:
        """The state in one file; raises GantoolError that names it where it is not sound."""
        state = load(path)
        try:
            self.check(state)
        except GantoolError as error:
            raise type(error)(f"checkpoint {path}: {error}") from error
        return state

    def set_aside(self) -> None:
        """Renames what was passed over to .damaged: it takes the place of no checkpoint to come."""
        for path in self.passed_over:
            with suppress(OSError):  # a folder that takes no new names says so when it is written to
                path.rename(path.with_suffix(".damaged"))

    def _sound(self, path: Path) -> dict | None:
        try:
            return self.load(path)
        except Unsound as error:
            log.warning("%s; using the one before", error)
            self.passed_over.append(path)
        return None

    def _newest_first(self, *kinds: str) -> list[Path]:
        """Of kinds "" (the newest few), good, best."""
        named = [(path, _STEM.fullmatch(path.stem)) for path in whole_files(self.folder, "*.pt")]
        return sorted([p for p, match in named if match and (match[1] or "") in kinds], key=_order, reverse=True)

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
                f"could not write checkpoint {path}: {error.strerror}; make room and {way_on(self.folder.parent)}"
            ) from error
        return path


def _order(path: Path) -> tuple[int, int]:
    """Images seen, then when it was written."""
    return nimg_of(path) or 0, _written(path)


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # it is gone, or leads nowhere
        return 0


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with suppress(OSError):  # a folder by the name of a checkpoint
            path.unlink()


def load(path: Path) -> dict:
    """What is in a checkpoint file, after its checksum is checked; nothing in it is executed.

    Raises Unsound if it is damaged or cannot be read.
    """
    try:
        content = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise Unsound(f"cannot read checkpoint {path}: {error.strerror}") from error
    if content is None:
        raise Unsound(f"checkpoint {path} is not a file")
    if hashlib.sha256(content).hexdigest()[:16] != path.stem.rpartition("-")[2]:
        if nimg_of(path) is None:
            raise Unsound(f"checkpoint {path} has no checksum in its name: give it back its original name")
        raise Unsound(f"checkpoint {path} is damaged (its checksum is not the one in its name)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of a kind of pickle that it then refuses
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch, zipfile and pickle raise a dozen kinds for bytes that are no checkpoint
        if out_of_memory(error) is not None:
            raise
        reason = "it holds more than tensors" if "weights_only" in str(error).lower() else type(error).__name__
        raise Unsound(f"checkpoint {path} was not written by gantool ({reason})") from error
