"""Whatever is not a sound state of the run is passed over with one line, by reading alone, for the one before."""

import hashlib
import io
import os
import pickle
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

import gantool
from extent import some
from gantool.cli import main
from gantool.config import Written
from gantool.config.composed import load_composed
from gantool.errors import GantoolError
from gantool.runs.build import build_state, set_up
from gantool.training.checkpoint import Checkpoints
from gantool.training.state import State
from runs import READS_ALL, newest, train


@pytest.fixture(scope="module")
def state(trained_run: Path) -> State:
    """Of that run, before its first round."""
    return build_state(set_up(load_composed(trained_run), Written()), 5000)


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The state of a run of other networks."""
    return train(tmp_path_factory.mktemp("other") / "run", model="dcgan", rounds=1)


def files(folder: Path) -> dict[str, tuple]:
    """Everything below, with contents and times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() and os.access(path, os.R_OK) else None
        found[str(path.relative_to(folder))] = (path.lstat().st_mtime_ns, content)
    return found


def passed_over(run: Path, caplog: pytest.LogCaptureFixture, check: Callable[[Any], None] | None = None) -> str:
    """The one line that says why the newest was not taken; the state at 16 images was, and the folder is as it was."""
    before = files(run)
    caplog.clear()
    if check is None:
        assert gantool.load_run(run, device="cpu").nimg == 16
    else:
        state = Checkpoints(run, check=check).load_newest()
        assert state is not None and state["progress"]["nimg"] == 16
    assert files(run) == before
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "\n" not in line and len(line) < 400
    return line


def put(run: Path, content: bytes, nimg: int = 24) -> Path:
    """A file under the name that its content has as a checkpoint."""
    path = run / "checkpoints" / f"{nimg:012d}-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    path.write_bytes(content)
    return path


class Evil:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.mkdir, ("owned",)


def as_saved(thing: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


CONTENTS: dict[str, bytes] = {
    "nothing": b"",
    "text": b"a checkpoint",
    "a pickle": pickle.dumps({"game": 1}),
    "a pickle that runs": pickle.dumps(Evil()),
    "one that runs in a torch file": as_saved({"game": Evil()}),
    "half a torch file": as_saved({"game": torch.zeros(1000)})[:900],
    "a zip": b"PK\x05\x06" + bytes(18),
    "a list": as_saved([1, 2]),
    "a number": as_saved(7),
    "a tensor": as_saved(torch.zeros(3)),
    "an empty dictionary": as_saved({}),
    "numbers as keys": as_saved({1: 2}),
}


@pytest.mark.parametrize("content", some(CONTENTS.values(), 5), ids=some(CONTENTS, 5))
def test_what_is_no_state(content: bytes, run: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = put(run, content)
    assert str(path) in passed_over(run, caplog)
    assert not Path("owned").exists()


def damaged(part: str, change: Callable[[dict], object]) -> Callable[[dict], object]:
    return lambda saved: change(saved[part])


def first(part: dict, value: Callable[[torch.Tensor], object]) -> None:
    """Changes the first tensor of some weights."""
    name = next(name for name, tensor in part.items() if tensor.ndim == 2)
    part[name] = value(part[name])


WEIGHTS: dict[str, Callable[[torch.Tensor], object]] = {
    "another shape": lambda tensor: tensor[1:],
    "another type": lambda tensor: tensor.double(),
    "a number": lambda tensor: 1.0,
    "a list": lambda tensor: tensor.tolist(),
    "sparse": lambda tensor: tensor.to_sparse(),
}
STRICT = ("game", "ema", "progress", "optimizers")  # nothing more and nothing less
CHANGES: dict[str, Callable[[dict], object]] = {
    **{f"game: {name}": damaged("game", lambda p, c=change: first(p, c)) for name, change in WEIGHTS.items()},
    **{f"ema: {name}": damaged("ema", lambda p, c=change: first(p, c)) for name, change in WEIGHTS.items()},
    **{f"{part} lacks one": damaged(part, lambda p: p.popitem()) for part in STRICT},
    **{f"{part} has one more": damaged(part, lambda p: p.update(x=1)) for part in STRICT},
    "nimg below zero": damaged("progress", lambda p: p.update(nimg=-1)),
    "nimg is text": damaged("progress", lambda p: p.update(nimg="24")),
    "nimg is no whole number": damaged("progress", lambda p: p.update(nimg=24.5)),
    "a score is text": damaged("metrics", lambda p: p.update(fd="low")),
    "the best is text": damaged("best", lambda p: p.update(value="low")),
    "the rate is text": lambda saved: saved.update(rate_factor="1"),
}
OF_OPTIMIZERS: dict[str, Callable[[dict], object]] = {
    "no state": lambda moments: moments.pop("state"),
    "a list": lambda moments: moments.update(state=[]),
    "fewer parameters": lambda moments: moments["param_groups"][0]["params"].pop(),
    "no groups": lambda moments: moments.update(param_groups=[]),
    "moments of another shape": lambda moments: moments["state"][0].update(exp_avg=torch.zeros(3, 3)),
    "moments that are text": lambda moments: moments["state"][0].update(exp_avg="0"),
    "a parameter without its moments": lambda moments: moments["state"][0].pop("exp_avg"),
    "one parameter too many": lambda moments: moments["state"].update({99: moments["state"][0]}),
}


def test_a_state_with_something_wrong(
    trained_run: Path, state: State, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound = newest(trained_run)
    may_lack = ("format", "config", "watch", "rate_factor", "measured", "data", "margins", "ending", "ways")
    lacking, lists = ([key for key in sound if key not in keys] for keys in (may_lack, ("format", "config")))
    changes = {**CHANGES, **{f"no {key}": lambda saved, key=key: saved.pop(key) for key in lacking}}
    changes |= {f"{key} is a list": lambda saved, key=key: saved.update({key: [1]}) for key in lists}
    for name, change in some(changes.items(), 15):
        saved = deepcopy(sound)
        change(saved)
        path = put(run, as_saved(saved))
        for check in (None, state.check) if not name.startswith("optimizers") else (state.check,):
            line = passed_over(run, caplog, check)
            assert line.startswith(f"checkpoint {path}: its") or f"checkpoint {path}: it " in line, (name, line)
        path.unlink()
    for name, change in some(OF_OPTIMIZERS.items(), 3):
        saved = deepcopy(sound)
        change(saved["optimizers"]["discriminator"])
        path = put(run, as_saved(saved))
        assert "optimizer state does not fit" in passed_over(run, caplog, state.check), name
        path.unlink()
    state.check(sound)  # control: as it is, it is taken


def test_another_models_state(run: Path, state: State, other: dict, caplog: pytest.LogCaptureFixture) -> None:
    put(run, as_saved(other))
    assert "its weights are of other networks" in passed_over(run, caplog)
    assert "its weights are of other networks" in passed_over(run, caplog, state.check)


ODD = ["1.pt", "last.pt", "000000000024.pt", "x-y-z.pt", "-.pt", "000000000024-abc (1).pt", "good.pt"]


@pytest.mark.parametrize("name", [*ODD, "\uff19-0123456789abcdef.pt"])
def test_an_odd_name_is_not_taken_for_a_checkpoint(name: str, run: Path, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = (run / "checkpoints").glob("0*.pt")
    shutil.copy(path, run / "checkpoints" / name)
    assert name in passed_over(run, caplog)


@pytest.mark.parametrize("kind", ["folder", "full folder", "dangling link", "circular link", "pipe"])
def test_what_is_no_file(kind: str, run: Path, state: State, caplog: pytest.LogCaptureFixture) -> None:
    path = put(run, b"x")
    path.unlink()
    if "folder" in kind:
        path.mkdir()
        (path / "file").touch() if kind == "full folder" else None
    elif "link" in kind:
        path.symlink_to(path.parent / "nothing" if kind == "dangling link" else path)
    else:
        os.mkfifo(path)
    assert "is not a file" in passed_over(run, caplog, state.check)


@pytest.mark.skipif(READS_ALL, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_read(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(run, b"x")
    folders = [path for path in (run, *run.rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    assert "not written by gantool" in passed_over(run, caplog)
    assert main(["sample", f"run={run}", "num=1", f"out={run.parent / 'out'}"]) == 0
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.skipif(READS_ALL, reason="root reads everything")
def test_an_unreadable_one(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(run, b"x").chmod(0)
    assert "cannot read" in passed_over(run, caplog)


def test_what_was_passed_over_is_set_aside_and_takes_nobodys_place(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = [put(run, b"x", nimg) for nimg in (24, 32, 40)]
    checkpoints = Checkpoints(run, keep=2)
    state = checkpoints.load_newest()
    assert state is not None and checkpoints.passed_over == bad[::-1]
    checkpoints.set_aside()
    for nimg in (24, 32):
        checkpoints.save(state, nimg)
    names = sorted(path.name[:12] + path.suffix for path in checkpoints.folder.glob("0*"))
    assert names == sorted([f"{n:012d}.damaged" for n in (24, 32, 40)] + [f"{n:012d}.pt" for n in (24, 32)])


def test_where_none_is_sound_nothing_is_renamed(run: Path) -> None:
    for path in (run / "checkpoints").glob("*.pt"):
        path.write_bytes(b"")
    before = files(run)
    with pytest.raises(GantoolError, match="no checkpoint in .* is sound"):
        gantool.load_run(run)
    assert files(run) == before
