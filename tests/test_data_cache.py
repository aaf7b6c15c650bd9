"""The cache of prepared images: made once, whole or not at all, whatever happens to the processes that make it."""

import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from extent import thorough
from gantool.data.cache import prepare
from gantool.data.folder import Folder
from gantool.data.mnist import Mnist5k
from gantool.errors import GantoolError

# Prepares a folder; writes a line to a log for every image read, and stops for good after `pause` of them.
PREPARE = """
import sys, time
from gantool.data.cache import prepare
from gantool.data.folder import Folder

class Logged(Folder):
    def read(self):
        for number, item in enumerate(super().read()):
            if number == int(sys.argv[3]):
                open(sys.argv[2], "a").write("paused\\n")
                time.sleep(600)
            open(sys.argv[2], "a").write(f"{item.label}\\n")
            yield item

print(prepare(Logged(sys.argv[1], resolution=16)).images.float().mean().item())
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """40 small images."""
    folder = tmp_path / "images"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(noise.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def start():
    """Start a process that prepares a folder; none outlives the test."""
    processes = []

    def run(root: Path, log: Path, pause: int = -1) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PREPARE, str(root), str(log), str(pause)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def test_images_come_back_as_they_were_read(cache: Path) -> None:
    source = Mnist5k()
    image_set = prepare(source, progress=False)
    assert image_set.images.shape == (5000, 1, 32, 32) and image_set.images.dtype == torch.uint8
    assert image_set.labels is not None and image_set.labels.dtype == torch.int64
    for i, item in enumerate(source.read()):
        assert (image_set.images[i].numpy() == item.pixels).all() and image_set.labels[i] == item.label  # pyright: ignore
    assert image_set.name == "mnist-5k" and image_set.num_classes == 10


def test_the_second_time_nothing_is_read(root: Path, monkeypatch, capsys) -> None:
    first = prepare(Folder(str(root), resolution=16))
    assert "preparing folder at 16x16: 0 of 40 images" in capsys.readouterr().err
    monkeypatch.setattr(Folder, "read", lambda self: pytest.fail("read again"))
    second = prepare(Folder(str(root), resolution=16))
    assert second.fingerprint == first.fingerprint and torch.equal(second.images, first.images)
    assert capsys.readouterr().err == "folder: 40 images: 40 PNG RGB 8-bit\n"


@pytest.mark.parametrize("name", [":car:", "[red]a[/red]"])
def test_the_bar_tells_a_name_as_it_is(name: str, root: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(Folder, "name", name)
    prepare(Folder(str(root), resolution=16))
    assert f"preparing {name} at 16x16" in capsys.readouterr().err


def test_other_settings_or_files_have_another_cache(root: Path, cache: Path) -> None:
    sets = [prepare(Folder(str(root), resolution=r), progress=False) for r in (16, 8)]
    sets.append(prepare(Folder(str(root), resolution=16, channels=1), progress=False))
    (root / "00.png").unlink()
    sets.append(prepare(Folder(str(root), resolution=16), progress=False))
    shutil.copy(root / "02.png", root / "01.png")
    sets.append(prepare(Folder(str(root), resolution=16), progress=False))
    assert len({image_set.fingerprint for image_set in sets}) == 5 == len(list(cache.glob("*/meta.json")))


@thorough
def test_two_processes_prepare_once(start, root: Path, tmp_path: Path) -> None:
    processes = [start(root, tmp_path / "log") for _ in range(2)]
    means = [process.communicate(timeout=60)[0] for process in processes]
    assert means[0] == means[1] != "" and [process.returncode for process in processes] == [0, 0]
    assert len((tmp_path / "log").read_text().splitlines()) == 40


def test_another_takes_over_from_a_killed_preparation(start, root: Path, tmp_path: Path, cache: Path) -> None:
    log = tmp_path / "log"
    first = start(root, log, pause=20)
    wait_for(lambda: log.exists() and "paused" in log.read_text(), first)
    second = start(root, tmp_path / "second")
    assert second.stderr is not None and "another process prepares folder" in second.stderr.readline()
    assert not (tmp_path / "second").exists() and list(cache.glob("*.partial"))
    first.send_signal(signal.SIGKILL)
    mean = float(second.communicate(timeout=60)[0])
    assert mean == prepare(Folder(str(root), resolution=16), progress=False).images.float().mean().item()
    assert not list(cache.glob("*.partial"))


def test_a_cache_cut_short_is_made_again(root: Path, cache: Path) -> None:
    images = prepare(Folder(str(root), resolution=16), progress=False).images.clone()
    (file,) = cache.glob("*/images.u8")
    file.write_bytes(file.read_bytes()[:-1])
    assert torch.equal(prepare(Folder(str(root), resolution=16), progress=False).images, images)


def test_a_full_disk_is_one_line_and_leaves_nothing(root: Path, cache: Path, monkeypatch) -> None:
    usage = namedtuple("usage", "free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage(1000))
        with pytest.raises(GantoolError, match="make room or set GANTOOL_CACHE"):
            prepare(Folder(str(root), resolution=16), progress=False)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # the disk fills up while it writes
    try:
        with pytest.raises(GantoolError, match=r"File too large.*make room or set GANTOOL_CACHE"):
            prepare(Folder(str(root), resolution=16), progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(cache.glob("*.partial")) and not list(cache.glob("*/meta.json"))
    assert len(prepare(Folder(str(root), resolution=16), progress=False).images) == 40


def test_a_cache_that_cannot_be_written_is_one_line(root: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "file"))
    with pytest.raises(GantoolError, match="GANTOOL_CACHE=FOLDER"):
        prepare(Folder(str(root), resolution=16), progress=False)
