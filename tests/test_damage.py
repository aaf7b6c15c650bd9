"""Every file of a run's folder, damaged in every way: each command works or says so in a line, and loses nothing.

GANTOOL_FUZZ=1 runs every command on every damage, in half an hour; without it each file meets a few, with
GANTOOL_TESTS=all some more.
"""

import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

import gantool
from extent import ALL, FUZZ, some
from gantool.cli import main
from gantool.cli.arguments import resume
from gantool.errors import GantoolError
from gantool.page.reading import RunFolder
from gantool.page.render import page_of_run, page_of_runs
from gantool.runs.housekeeping import read_runs
from runs import READS_ALL

FILES = [".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "status.json", "metrics.jsonl", "events*"]
FILES += ["checkpoints/0*", "checkpoints/best*", "samples/*", "evaluated/*/*.json", "evaluated/*/*.csv", "checkpoints"]
COMMANDS = {
    "sample": ["run=run", "num=1", "out=elsewhere"],
    "report": ["run=run", "out=elsewhere.html"],
    "train": ["resume=run", "trainer.duration=3it"],
    "evaluate": ["run=run", "num=20", "num_real=20", "score=fd", "out=elsewhere"],
    "interpolate": ["run=run", "animation=false", "out=elsewhere"],
    "export": ["run=run", "format=snapshot", "out=elsewhere"],
    "truncation": ["run=run", "num=10", "thresholds=[1.0]", "plot=false", "out=elsewhere"],
    "explain": ["run=run", "out=elsewhere"],
    "embed": ["run=run", "num=20", "out=elsewhere"],
}


def flipped(content: bytes, seed: int) -> bytes:
    """One bit in each of a few places."""
    chosen, changed = random.Random(seed), bytearray(content)
    for _ in range(1 + seed % 3):
        changed[chosen.randrange(len(changed))] ^= 1 << chosen.randrange(8)
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "cut at the end": lambda content: content[:-1],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "noise": lambda content: random.Random(0).randbytes(300),
    "a number": lambda content: b"7\n",
    "a list": lambda content: b"[1, [2, {a: 3}]]\n",
    "JSON of another kind": lambda content: (
        b'{"progress": [1], "metrics": 3, "nimg": "x", "scores": [], "state": {}}\n'
    ),
    "deep": lambda content: b"[" * 50_000,
    "a YAML of another kind": lambda content: b"model: 3\ntrainer: [1]\nrecipe: {}\nhydra: {runtime: [1]}\n",
    "a python object": lambda content: b"!!python/object/apply:os.mkdir [owned]\n",
    "numbers that no float holds": lambda content: re.sub(rb"(?<=: )\d[\d.e+-]*", b"1" + b"0" * 400, content),
    "lists in the place of texts": lambda content: re.sub(rb'"[^"]*"(?=[,\]}\n])', b"[[1]]", content),
    "nested": lambda content: re.sub(rb"(?<=: )(null|false|true)", b"[" * 700 + b"]" * 700, content),
    "twice": lambda content: content + content,
    **{f"flipped {seed}": lambda content, seed=seed: flipped(content, seed) for seed in range(6)},
}
PLACES = ["a folder", "gone", "unreadable", "a pipe"]


def damage(path: Path, how: str) -> None:
    if how == "unreadable":
        path.chmod(0)
    elif path.is_dir() or how == "gone":
        (shutil.rmtree if path.is_dir() else Path.unlink)(path)
        path.write_bytes(b"x") if how != "gone" else None
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "a pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes()))


def assert_clear(lines: list[str], case: str) -> None:
    """One line for each mistake: a file that was changed in several places may have as many."""
    assert 1 <= len(lines) <= 3 and all(0 < len(line) < 400 for line in lines), (case, lines)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and os.access(path, os.R_OK)}


@pytest.fixture(scope="module")
def whole(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was scored, with a checkpoint of a third round."""
    folder = shutil.copytree(trained_run, tmp_path_factory.mktemp("whole") / "run")
    assert main(["evaluate", f"run={folder}", "num=20", "num_real=20", "score=fd"]) == 0
    return folder


@pytest.fixture
def hurt(whole: Path, in_tmp: Path) -> Callable[[str, str], Path]:
    """Makes a copy of the run, called run, in the working folder, with one file damaged."""

    def copy(file: str, how: str) -> Path:
        subprocess.run(["chmod", "-R", "u+rwX", "."], check=True)
        for old in ("run", "elsewhere"):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(whole, "run")
        damage(sorted(Path("run").glob(file))[-1], how)
        return Path("run")

    return copy


def damages(file: str) -> list[str]:
    """That can be done to a file, by whoever runs the tests."""
    ways = [*PLACES, *(DAMAGES if file != "checkpoints" else [])]
    return [how for how in ways if how != "unreadable" or not READS_ALL]


READERS: list[Callable[[Path], object]] = [
    lambda run: gantool.load_run(run, device="cpu"),
    lambda run: gantool.load_run(run, device="cpu", checkpoint="best"),
    lambda run: page_of_run(RunFolder.open(run)),
    lambda run: page_of_runs("two", [run, run], None),
    lambda run: resume([], [f"resume={run}"]),
    lambda run: read_runs(run.parent),
]


def read_in_every_way(run: Path, case: str) -> None:
    """As commands do first."""
    before = contents(run)
    for read in READERS:
        try:
            read(run)
        except GantoolError as error:
            assert_clear(str(error).splitlines(), case)
    assert contents(run) == before, case


@pytest.mark.parametrize("file", FILES if FUZZ else some(FILES, 4))
def test_what_reads_a_run_reads_it_or_says_why_not(file: str, hurt: Callable[[str, str], Path]) -> None:
    for how in damages(file) if FUZZ else some(damages(file)[FILES.index(file) % 6 :: 6], 2):
        read_in_every_way(hurt(file, how), f"{file} {how}")
    assert not Path("owned").exists()


@pytest.mark.parametrize("file", some(FILES, 4))
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(file: str, hurt: Callable[[str, str], Path]) -> None:
    """Nobody writes into it, so reading it would never end."""
    previous = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"{file} as a pipe is waited for"))
    signal.alarm(60)
    try:
        read_in_every_way(hurt(file, "a pipe"), f"{file} a pipe")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("file", FILES if FUZZ else some(FILES, 6))
def test_every_command_works_or_ends_in_a_line(
    file: str, hurt: Callable[[str, str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    ways, commands, wrong = damages(file), list(COMMANDS), []
    turns = [FILES.index(file) + k * len(FILES) for k in range(2 if ALL else 1)]  # so every run does the same
    few = [(ways[(11 * turn) % len(ways)], commands[turn % len(commands)]) for turn in turns]
    for how, command in product(ways, commands) if FUZZ else few:
        run = hurt(file, how)
        before = contents(run)
        capfd.readouterr()
        code = main([command, *COMMANDS[command]])
        out, err = capfd.readouterr()
        lines = [line.partition(f"gantool {command}: error: ") for line in err.splitlines()]
        clear = code == 0 or (code == 1 and all(error for _, error, _ in lines))
        if code:
            assert_clear([text for _, _, text in lines], f"{command} with {file} {how}")
        after = contents(run)
        kept = before == after
        if command == "train":  # it goes on in the folder; where it cannot, it leaves the checkpoints
            kept = code == 0 or {p for p in before if p.suffix == ".pt"} <= after.keys()
        if not clear or not kept or "Traceback" in out + err or "Logging error" in err or Path("owned").exists():
            wrong.append(f"{command} with {file} {how}: {code}, kept: {kept}\n{err}")
    assert not wrong, "\n".join(wrong)
