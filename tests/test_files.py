"""Files that are whole or not there."""

import os
import shutil
from pathlib import Path

import pytest

from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.files import write_whole
from gantool.runs.output import output, stamp


@pytest.mark.parametrize("content", ["é\n", b"12", memoryview(b"12")], ids=["text", "bytes", "memory"])
def test_a_file_is_replaced(tmp_path: Path, content: str | bytes | memoryview) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    write_whole(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync", full) if call == "fsync" else (Path, "replace", full)))
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_where_results_go(tmp_path: Path) -> None:
    with output(tmp_path, "sampled", stamp(12_500, 3, "png"), None) as out:
        assert out == tmp_path / "sampled" / "000012.500-seed3-png" and out.is_dir()
    with output(tmp_path, "exported", "", str(tmp_path / "there")) as out:
        assert out == tmp_path / "there"
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "a"
    refused = pytest.raises(GantoolError, match=r"file/a \(Not a directory\): make room or choose out=FOLDER")
    with refused, output(tmp_path, "sampled", "", str(place)):
        pass


@pytest.mark.parametrize("place", ["run", "."])
def test_a_file_of_another_program_is_not_written_over(
    place: str, in_tmp: Path, trained_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Such as pytest-html's, which has the same name; gantool's own is."""
    runs = [str(shutil.copytree(trained_run, in_tmp / name)) for name in ("run", "other")]
    words = ["report", f"run={runs[0]}" if place == "run" else f"run=[{','.join(runs)}]"]
    theirs = in_tmp / place / "report.html"
    theirs.write_text("<title>tests</title>")
    assert main(words) == 1 and theirs.read_text() == "<title>tests</title>"
    assert f"{theirs} exists and was not written by gantool: choose another" in capfd.readouterr().err
    theirs.unlink()
    assert main(words) == 0 == main(words) and "gantool" in theirs.read_text()
