"""A run's folder that cannot be made, and what can be done once the disk has refused to be written to."""

import errno
import os
from pathlib import Path

import pytest

import gantool
from gantool.cli import main
from gantool.errors import GantoolError
from gantool.folder import way_on
from gantool.runs.output import sole_user

UNMADE = {"file/run": "Not a directory", "a" * 300: "File name too long"}


@pytest.mark.parametrize("place", UNMADE, ids=["below a file", "too long"])
def test_a_folder_that_cannot_be_made_is_one_line(
    place: str, stand_in: None, monkeypatch: pytest.MonkeyPatch, capfd, recwarn: pytest.WarningsRecorder
) -> None:
    """As on a disk that is full or read-only, which root cannot make of a folder."""
    Path("file").touch()
    told = f"({UNMADE[place]}): set hydra.run.dir= or GANTOOL_OUTPUTS="
    assert main(["train", f"hydra.run.dir={place}"]) == 1
    assert capfd.readouterr().err == f"gantool train: error: cannot write {place} {told}\n"
    with pytest.raises(GantoolError) as refused:
        gantool.train([f"hydra.run.dir={place}"])
    assert str(refused.value) == f"cannot write {place} {told}"
    monkeypatch.setenv("GANTOOL_OUTPUTS", place)
    for command in ("train", "sample"):
        assert main([command]) == 1
        err = capfd.readouterr().err
        assert err.startswith(f"gantool {command}: error: cannot write {place}/") and err.endswith(f"{told}\n")
    assert not recwarn.list and [path.name for path in Path().iterdir()] == ["file"]


def test_only_a_run_with_a_checkpoint_is_to_be_resumed(tmp_path: Path) -> None:
    """Asked once the disk has refused, not when the run began."""
    run = tmp_path / "it's mine"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(GantoolError) as refused, sole_user(run):
        raise full
    assert str(refused.value).endswith(f"({full.strerror}): make room and give the same command again")
    with pytest.raises(GantoolError) as refused, sole_user(run):
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "1.pt").touch()
        raise full
    assert str(refused.value).endswith(f"make room and {way_on(run)}")
    assert way_on(Path("a b")) == "give the same command again"
    assert way_on(run).startswith("go on with gantool train 'resume=")
