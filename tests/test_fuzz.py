"""Whatever is typed, a command does it or ends soon, in a few clear lines, with a code, and leaves nothing behind.

Some twenty cases, a few hundred with GANTOOL_TESTS=all; `GANTOOL_FUZZ=5000 pytest tests/test_fuzz.py` runs as many,
GANTOOL_SEED=1 others.
"""

import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from extent import ALL, FUZZ
from fuzzing import BROKEN, command_cases, train_cases
from gantool.cli.main import main
from runs import train

TOGETHER = 20 if FUZZ or ALL else 10  # cases of one test, which runs in one process
NUM, SEED = FUZZ or (120 if ALL else 20), int(os.environ.get("GANTOOL_SEED", "0"))
SECONDS = 150  # on a busy machine: most take less than one, scores in features of natural images a minute


class Slow(BaseException):
    """Nothing catches it."""


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raises Slow after so many seconds."""

    def ring(number: int, frame: object) -> None:
        raise Slow

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def faults(cases: Iterable[list[str]], root: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[str]:
    """What is wrong about how each case ended."""
    for words in cases:
        before = there(root)
        capfd.readouterr()
        try:
            with limit(SECONDS):
                code = main(words)
        except BaseException as error:
            yield f"{words} raised {error!r}"
            continue
        finally:
            logging.root.handlers.clear()
        out, err = capfd.readouterr()
        lines, new = [line for line in err.splitlines() if line.strip()], there(root) - before
        if "Traceback" in out + err:
            yield f"{words}: {err[-1500:]}"
        if code and not 1 <= len(lines) <= 22:  # every mistake has a line
            yield f"{words}: {len(lines)} lines: {err[:1500]}"
        if code and new and "training broke down" not in err:
            yield f"{words}: {lines[-1:]}, and leaves {sorted(new)[:5]}"
        for path in sorted(new, key=len):
            shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink(missing_ok=True)


def there(root: Path) -> set[str]:
    """All files and folders."""
    return {str(path) for path in root.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture
def working_folder(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """With classes of one's own that do everything wrong."""
    (in_tmp / "broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(in_tmp))
    yield in_tmp
    sys.modules.pop("broken", None)


@pytest.mark.parametrize("part", range(max(1, NUM * 3 // 4 // TOGETHER)))
def test_training(part: int, working_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cases = train_cases(Random(f"{SEED} {part}"), TOGETHER)
    run = working_folder / "run"
    found = list(faults(([*words, f"hydra.run.dir={run}"] for words in cases), working_folder, capfd))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("part", range(max(1, NUM // 4 // TOGETHER)))
def test_commands_on_a_run(part: int, working_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(working_folder / "trained", "model.conditional=true", model="mlp", rounds=2)
    cases = command_cases(Random(f"{SEED} {part}"), TOGETHER, working_folder / "trained")
    found = list(faults(cases, working_folder, capfd))
    assert not found, "\n".join(found)
