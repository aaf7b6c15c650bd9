"""Checkpoints: whole or absent, damage noticed, the newest and the best kept, a full disk survived."""

import os
import resource
from pathlib import Path

import pytest
import torch

from gantool.errors import GantoolError
from gantool.files import whole, whole_files
from gantool.training.checkpoint import Checkpoints, load

STATE = {"weights": torch.arange(1000.0), "progress": {"nimg": 7}}


def test_the_newest_are_kept_and_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for nimg in (100, 2000, 30000):
        checkpoints.save({**STATE, "nimg": nimg}, nimg)
    checkpoints.save_as("best", {**STATE, "nimg": 100}, 100)
    checkpoints.save_as("best", {**STATE, "nimg": 2000}, 2000)
    names = sorted(path.name.rpartition("-")[0] for path in checkpoints.folder.iterdir())
    assert names == ["000000002000", "000000030000", "best-000000000100", "best-000000002000"]
    checkpoints.save({**STATE, "nimg": 30000}, 30000)
    names = sorted(path.name.rpartition("-")[0] for path in checkpoints.folder.iterdir())
    assert names == ["000000002000", "000000030000", "best-000000002000"], "which the newest tells of"
    newest = checkpoints.load_newest()
    assert newest is not None and newest["nimg"] == 30000 and torch.equal(newest["weights"], STATE["weights"])


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_newest_falls_back_with_a_warning(tmp_path: Path, damage: str, caplog) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({**STATE, "nimg": 1}, 1)
    path = checkpoints.save({**STATE, "nimg": 2}, 2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:-100], "flip": content, "empty": b""}[damage])
    state = checkpoints.load_newest()
    assert state is not None and state["nimg"] == 1
    assert "damaged" in caplog.text and path.name in caplog.text
    Checkpoints(tmp_path, keep=1).save({**STATE, "nimg": 3}, 3)  # the damaged one takes nobody's place
    newest = checkpoints.load_newest()
    assert newest is not None and newest["nimg"] == 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("faces.pt", "has no checksum in its name: give it back its original name$"),
        ("000000000001-0123456789abcdef.pt", "is damaged"),
        ("000000000001-0123456789abcdef.damaged", "is damaged"),
        ("good-000000000001-0123456789abcdef.abandoned", "is damaged"),
    ],
)
def test_a_checkpoint_by_another_name_is_not_called_damaged(tmp_path: Path, name: str, told: str) -> None:
    path = Checkpoints(tmp_path).save(STATE, 1)
    with pytest.raises(GantoolError, match=f"^checkpoint {tmp_path / name} {told}"):
        load(path.rename(tmp_path / name))


def test_of_those_that_a_rollback_left_behind_the_newest_few_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save_as("good", STATE, 10)
    for trial in range(4):
        for nimg in (20, 30):
            path = checkpoints.save({**STATE, "trial": trial, "nimg": nimg}, nimg)
            os.utime(path, ns=(trial * 100 + nimg, trial * 100 + nimg))
        assert checkpoints.go_back() is not None
        left = sorted(checkpoints.folder.glob("*.abandoned"), key=lambda path: path.stat().st_mtime_ns)
        assert [path.stat().st_mtime_ns for path in left] == [trial * 100 + 20, trial * 100 + 30]


def test_the_best_serves_where_no_other_is_left(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_as("best", {**STATE, "nimg": 1}, 1)
    checkpoints.save(STATE, 2).write_bytes(b"")
    state = checkpoints.load_newest()
    assert state is not None and state["nimg"] == 1


def test_no_sound_checkpoint_is_an_error_and_none_is_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load_newest() is None
    checkpoints.save(STATE, 1).write_bytes(b"not a checkpoint")
    with pytest.raises(GantoolError, match="no checkpoint in .* is sound"):
        checkpoints.load_newest()


def test_a_disk_that_refuses_leaves_the_older_ones(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    first = checkpoints.save(STATE, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the system refuses to write further, as a full disk does
    try:
        with pytest.raises(GantoolError, match=f"could not write checkpoint .*; make room .*train resume={tmp_path}$"):
            checkpoints.save(STATE, 2)
        with pytest.raises(GantoolError, match="could not write checkpoint .*; make room and give the same command "):
            Checkpoints(tmp_path / "new").save(STATE, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(checkpoints.folder.iterdir()) == [first]
    assert load(first)["progress"] == {"nimg": 7}


def test_two_at_one_position_are_ordered_by_time(tmp_path: Path) -> None:
    """Whatever their hashes are, and whichever kinds they are of; the one just written always stays."""
    for trial in range(20):
        checkpoints = Checkpoints(tmp_path / str(trial), keep=2)
        for number in range(4):
            path = checkpoints.save({"number": 10 * trial + number}, 100)
            os.utime(path, ns=(number, number))
            newest_one = checkpoints.load_newest()
            assert newest_one is not None and newest_one["number"] == 10 * trial + number
        assert len(list(checkpoints.folder.iterdir())) == 2
        os.utime(path, ns=(10**19 // 2, 10**19 // 2))  # the clock was ahead
        assert checkpoints.save({"number": -1}, 100).exists()


def test_what_a_killed_process_was_writing_is_no_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is what another one is writing now; the next one that is saved removes the leftovers."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.folder.mkdir()
    whole_one = checkpoints.folder / "000000000008-0123456789abcdef.pt"
    with whole(whole_one) as partial:
        partial.write_bytes(b"half of it")
        assert checkpoints.load_newest() is None and not caplog.text
        assert whole_files(checkpoints.folder, "*.pt") == [] != list(checkpoints.folder.iterdir())
    whole_one.rename(partial)  # as a kill leaves it
    path = checkpoints.save({"nimg": 16}, 16)
    assert [*checkpoints.folder.iterdir()] == [path] and not caplog.text
