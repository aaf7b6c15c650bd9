"""How commands begin and end in bad company: nobody who reads, full disks, odd names, places that are not theirs."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from extent import some, thorough
from gantool.cli.main import main
from gantool.launch import agree_on_start
from processes import Process
from runs import newest, small, train, wait_for_rounds

QUICK = ["trainer.log_every=1it", "score=none", "monitor=none", "trainer.checkpoint_seconds=1000"]


def stopped(run: Path) -> bool:
    """The status says so, and is right about where the run is."""
    status = json.loads((run / "status.json").read_text())
    return status["state"] == "stopped" and status["progress"]["nimg"] == newest(run)["progress"]["nimg"] > 0


@thorough
@pytest.mark.parametrize("reader", ["gone", "full"])
def test_a_run_that_nobody_reads_stops_with_a_checkpoint(in_tmp: Path, reader: str) -> None:
    os.mkfifo(in_tmp / "pipe")
    stdout = "/dev/full" if reader == "full" else str(in_tmp / "pipe")
    process = Process(small(in_tmp / "run", *QUICK, rounds=100_000), in_tmp / "err", stdout)
    if reader == "gone":  # as `gantool train | head -1`
        with (in_tmp / "pipe").open() as pipe:
            assert pipe.readline()
    text = process.wait()
    assert process.code == 141 and stopped(in_tmp / "run")
    lines = [line for line in text.splitlines() if "stopped at" in line]
    assert len(lines) == 1 and f"go on: gantool train resume={in_tmp / 'run'}" in lines[0] and "Traceback" not in text


def test_a_run_without_an_output_goes_on_to_its_end(in_tmp: Path) -> None:
    process = Process(small(in_tmp / "run", *QUICK, rounds=3), in_tmp / "err", "")
    text = process.wait()
    assert process.code == 0 and "Traceback" not in text, text
    assert json.loads((in_tmp / "run" / "status.json").read_text())["state"] == "finished"


def test_a_lost_terminal_leaves_a_checkpoint(in_tmp: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where nohup started the tests
    try:
        process = Process(small(in_tmp / "run", *QUICK, rounds=100_000), in_tmp / "out")
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for_rounds(in_tmp / "run")
    process.send(signal.SIGHUP)
    assert "stopped at" in process.wait()
    assert process.code == 129 and stopped(in_tmp / "run")


def test_no_two_starts_have_one_second(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(in_tmp))
    starts: list[int] = []
    threads = [threading.Thread(target=lambda: starts.append(int(agree_on_start(claim=True)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(starts)) == 8


def test_what_every_job_would_get_wrong_is_told_once(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["train", "-m", "model=mlp", "loss=hinge,lsgan,minimax"]
    assert main([*words, "trainer.batch_size=-1"]) == 1
    assert capfd.readouterr().err == "gantool train: error: trainer.batch_size=-1: should be greater than 0\n"
    assert main(["train", "-m", "dataset=folder", "dataset.root=nowhere", "trainer.seed=0,1"]) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "dataset.root=" in err and not list(in_tmp.iterdir())


NAMES = ["a b", "a=b", "a,b", "(x)", "[y]", "{z}", "it's", 'say "x"', "é", "日本", "a#b", "a:b", "~x", "a\\b", "b\\'c"]
NAMES += ["x;y&z|w", "*?", "a\nb", "100%", "@x", "$y"]


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(folder / "run", model="mlp", rounds=1)
    return folder / "run"


@pytest.mark.parametrize("first", range(3))
def test_a_folder_may_have_any_name(in_tmp: Path, trained_run: Path, first: int, capfd) -> None:
    inner = in_tmp.joinpath(*NAMES[first::3])
    inner.mkdir(parents=True)
    run = inner / "run"
    trained_run.rename(run)
    try:
        out = inner / "made"
        assert main(["sample", f"run={run}", "num=2", f"out={out}"]) == 0, capfd.readouterr().err
        assert (out / "grid.png").is_file()
        assert main(["train", f"resume={run}", "trainer.duration=1it"]) == 0, capfd.readouterr().err
        assert main(["sample", f"run={run}-x"]) == 1
        assert "no such folder" in capfd.readouterr().err
    finally:
        run.rename(trained_run)


@pytest.mark.parametrize(
    "key", ["hydra.run.dir", "dataset.root", "model", "trainer.duration", "resume", "hydra.sweep.dir"]
)
def test_an_empty_value_is_refused(in_tmp: Path, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"{key}="]) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and key in err and not list(in_tmp.iterdir())


@pytest.mark.parametrize(
    "command",
    some(["sample", "interpolate", "truncation", "project", "evaluate", "embed", "explain", "export", "report"], 3),
)
def test_where_to_write_is_looked_at_first(
    in_tmp: Path, trained_run: Path, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gantool.runs.trained.open_run", lambda *words, **more: pytest.fail("work was begun"))
    monkeypatch.setattr("gantool.page.render.page_of_run", lambda *words, **more: pytest.fail("a page was made"))
    (in_tmp / "mine").mkdir()
    (in_tmp / "mine" / "notes.txt").write_text("mine")
    (in_tmp / "file").write_text("mine")
    for out in ("/proc/x", "file/below", "file", "mine" if command != "report" else "file"):
        assert main([command, f"run={trained_run}", f"out={out}"]) == 1, out
        err = capfd.readouterr().err
        assert err.count("\n") == 1 and f"out={out}" in err and "Traceback" not in err
    assert (in_tmp / "file").read_text() == "mine" and len(list((in_tmp / "mine").iterdir())) == 1


def test_without_a_home_or_a_working_folder(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.delenv("GANTOOL_CACHE", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert main(["train", "trainer.duration=1it"]) == 1
    assert capfd.readouterr().err.endswith("set GANTOOL_CACHE=FOLDER\n") and not list(in_tmp.iterdir())
    (in_tmp / "gone").mkdir()
    monkeypatch.chdir(in_tmp / "gone")
    (in_tmp / "gone").rmdir()
    assert main(["list"]) == 2
    assert capfd.readouterr().err == "gantool: error: the current folder no longer exists: cd to another one\n"


def test_a_name_that_is_no_text_is_refused(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", os.fsdecode(b"dataset.root=\xff")]) == 2
    assert "rename the file or folder" in capfd.readouterr().err
