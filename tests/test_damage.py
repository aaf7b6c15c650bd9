"""Every file of a run's folder, damaged in every way: each command works or says so in a line, and loses nothing.

GANTOOL_FUZZ=1 runs every command on every damage; without it each damage meets one command, and all are met.
"""

import os
import random
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from gantool.cli import main

FILES = [".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "status.json", "metrics.jsonl", "events*"]
FILES += ["checkpoints/0*", "checkpoints/best*", "samples/*", "evaluated/*/*.json", "evaluated/*/*.csv", "checkpoints"]
COMMANDS = {
    "sample": ["run=run", "num=1"],
    "report": ["run=run"],
    "train": ["resume=run", "trainer.duration=3it"],
    "evaluate": ["run=run", "num=20", "num_real=20", "score=fd"],
    "interpolate": ["run=run", "animation=false"],
    "export": ["run=run", "format=snapshot"],
    "truncation": ["run=run", "num=10", "thresholds=[1.0]", "plot=false"],
    "explain": ["run=run", "out=elsewhere"],
    "embed": ["run=run", "num=20", "out=elsewhere"],
    "list": ["model"],
}
turns = count()


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
    "twice": lambda content: content + content,
    **{f"flipped {seed}": lambda content, seed=seed: flipped(content, seed) for seed in range(8)},
}
PLACES = ["a folder", "gone", "unreadable"]


def damage(path: Path, how: str) -> None:
    if how == "unreadable":
        path.chmod(0)
    elif path.is_dir() or how == "gone":
        (shutil.rmtree if path.is_dir() else Path.unlink)(path)
        path.write_bytes(b"x") if how != "gone" else None
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes()))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and os.access(path, os.R_OK)}


@pytest.fixture
def run(trained_run: Path, in_tmp: Path) -> Path:
    shutil.copytree(trained_run, in_tmp / "whole")
    assert main(["evaluate", "run=whole", "num=20", "num_real=20", "score=fd"]) == 0
    return in_tmp / "whole"


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file(file: str, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hows = [*(DAMAGES if file != "checkpoints" else ["a file"]), *PLACES[: 3 if os.geteuid() else 2]]
    for how in hows:
        names = list(COMMANDS)
        for command in names if os.environ.get("GANTOOL_FUZZ") else [names[next(turns) % len(names)]]:
            copy = Path(shutil.copytree(run, run.parent / "run"))
            (path,) = copy.glob(file)
            damage(path, how)
            before = contents(copy)
            capfd.readouterr()
            code = main([command, *COMMANDS[command]])
            out, err = capfd.readouterr()
            told = f"{command} with {file} {how}: {code}\n{err}"
            assert "Traceback" not in out + err and "Logging error" not in err, told
            assert code in (0, 1) and (code == 0 or (err.count("\n") == 1 and f"gantool {command}: error: " in err)), (
                told
            )
            assert not Path("owned").exists() and not (copy / "owned").exists()
            after = contents(copy)
            if command != "train":
                results = {
                    path for path in before if path.parts[1:2] not in (("evaluated",),) and "evaluated" in path.parts
                }
                assert {p: c for p, c in before.items() if p not in results}.items() <= after.items(), told
            elif code:
                assert {p: c for p, c in before.items() if "checkpoints" in p.parts}.items() <= after.items(), told
            path.chmod(0o700) if path.exists() else None
            shutil.rmtree(copy)
            shutil.rmtree("elsewhere", ignore_errors=True)
