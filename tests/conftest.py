"""Fixtures that every test may use."""

import gc
import logging
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import yaml
from hydra._internal.hydra import Hydra

from extent import ALL
from gantool.cli.main import COMMANDS, main
from gantool.config import wording

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: tests are small, and run side by side
# Composing is most of a small run's time. Hydra does it twice, first to see whether hydra.mode is set, which no test
# does; and PyYAML has the same loader in C.
Hydra.get_mode = lambda *words, **more: None
yaml.SafeLoader = yaml.CSafeLoader
os.fsync = lambda descriptor: None  # a fifth of a small run's time, and no test cuts the power


def pytest_configure(config: pytest.Config) -> None:
    """An error where GANTOOL_TESTS is neither unset nor all, or a number is none; a cache that is not the user's own.
    The workers of xdist start after this and find its folder in the environment."""
    if (extent := os.environ.get("GANTOOL_TESTS", "all")) != "all":
        raise pytest.UsageError(f"GANTOOL_TESTS={extent}: leave it unset for a part of the cases, or say all")
    for name in ("GANTOOL_FUZZ", "GANTOOL_SEED"):
        if not (number := os.environ.get(name, "0")).isdecimal():
            raise pytest.UsageError(f"{name}={number}: should be a whole number; leave it unset for the usual cases")
    if not os.environ.get("GANTOOL_CACHE"):
        os.environ["GANTOOL_CACHE"] = cache = tempfile.mkdtemp(prefix="gantool-cache-")
        config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the heavy tests out, unless all are asked for."""
    if not ALL:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("thorough")])
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """At the end, as pytest -q has no header."""
    if not ALL:
        terminalreporter.write_line("This was a part of the cases: GANTOOL_TESTS=all runs every one.")


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """Ends what a test that failed left running (processes.Process): it would take the cores of those that follow."""
    yield
    for process in multiprocessing.active_children():
        if isinstance(process, ForkServerProcess):  # joblib keeps workers of its own, for the next sweep
            process.kill()


@pytest.fixture(autouse=True, scope="module")
def old_objects_stay() -> Iterator[None]:
    """Out of the sight of the collector, which gantool calls where memory ran out: it took a second in the end."""
    yield
    if gc.isenabled():  # players.py does not bear it
        gc.collect()
        gc.freeze()


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data that is not part of the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GANTOOL_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no shared data in {folder}")
    return folder.resolve()


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, in which nothing says where runs go."""
    monkeypatch.chdir(tmp_path)
    for name in ("GANTOOL_OUTPUTS", "GANTOOL_DATA", "HYDRA_FULL_ERROR", "RANK", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, scored, with a snapshot: to be copied, not changed."""
    from runs import train  # torch waits until a test wants it

    run = tmp_path_factory.mktemp("trained") / "run"
    words = ["score=[fd]", "monitor=[samples,scores]", "monitor.scores.every=1it", "monitor.scores.num=20"]
    train(run, "trainer.seed=7", "trainer.log_every=1it", *words, model="mlp", rounds=2)
    assert main(["export", f"run={run}", "format=snapshot"]) == 0
    return run


@pytest.fixture
def stand_in(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts the command of stand_in.py in the place of gantool train, in an empty working folder."""
    monkeypatch.setitem(COMMANDS, "train", ("stand_in:train", "stands for it"))
    monkeypatch.setattr(wording, "PACKAGE", Path(__file__).parent)  # its bugs are gantool's, not a user's
    yield
    logging.root.handlers.clear()  # Hydra's write to this test's stdout
    logging.root.setLevel(logging.WARNING)
