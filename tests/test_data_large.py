"""Large sets: prepared by processes, gone on with after a kill, and a hundred thousand images with GANTOOL_TESTS=all
(cost.py prepares a million)."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cost import draw
from extent import some, thorough
from gantool.data import decoding, stored
from gantool.data.cache import prepare
from gantool.data.folder import Folder

PREPARE = """
import sys
from gantool.data import decoding, stored
from gantool.data.cache import prepare
from gantool.data.folder import Folder
decoding.MANY, decoding.CHUNK, stored.KEPT = int(sys.argv[2]), 20, 100
prepare(Folder(sys.argv[1], resolution=8))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


def test_processes_decode_what_threads_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = draw(tmp_path / "images", 90)
    (root / "a" / "bad.png").write_bytes(b"?")
    by_threads = list(Folder(str(root), resolution=8).read())
    monkeypatch.setattr(decoding, "MANY", 1)
    monkeypatch.setattr(decoding, "CHUNK", 7)
    by_processes = list(Folder(str(root), resolution=8).read())
    assert len(by_threads) == len(by_processes) == 91
    for one, other in zip(by_threads, by_processes, strict=True):
        assert type(one) is type(other)
        assert all(np.array_equal(vars(one)[key], vars(other)[key]) for key in vars(one))


@thorough
@pytest.mark.parametrize("many", some([1, 10**9], 1))
def test_a_killed_preparation_is_gone_on_with(many: int, tmp_path: Path, cache: Path) -> None:
    root = draw(tmp_path / "images", 4000)
    command = [sys.executable, "-c", PREPARE, str(root), str(many)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not list(cache.glob("*.partial/left.json")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(cache.glob("*.partial/left.json")) and not list(cache.glob("*/meta.json"))
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True).stderr
    assert "going on with a preparation that was stopped after " in done
    assert "4,000 images in 2 classes of 2,000: 4,000 PPM RGB 8-bit" in done and not list(cache.glob("*.partial"))
    resumed = prepare(Folder(str(root), resolution=8), progress=False)
    os.environ["GANTOOL_CACHE"] = str(tmp_path / "other")
    whole = prepare(Folder(str(root), resolution=8), progress=False)
    assert torch.equal(resumed.images, whole.images) and torch.equal(resumed.rows, whole.rows)
    assert resumed.fingerprint == whole.fingerprint


def test_what_is_left_of_other_content_is_not_used(tmp_path: Path, cache: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(stored, "KEPT", 10)
    root = draw(tmp_path / "images", 50)
    source = Folder(str(root), resolution=8)

    def stop(first: int = 0):
        yield from list(Folder(str(root), resolution=8).read_from(first))[:25]
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "read", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, progress=False)
    (left,) = cache.glob("*.partial/left.json")
    left.write_text(left.read_text().replace('"key": "', '"key": "0'))
    images = prepare(Folder(str(root), resolution=8)).images
    assert "going on" not in capsys.readouterr().err and len(images) == 50


@thorough
def test_a_hundred_thousand_images(tmp_path: Path, capsys) -> None:
    root = draw(tmp_path / "images", 100_000)
    image_set = prepare(Folder(str(root), resolution=8))
    assert image_set.images.shape == (100_000, 3, 8, 8) and image_set.labels is not None
    with Image.open(root / "b" / "0099999.ppm") as last:
        assert (image_set.images[-1].permute(1, 2, 0).numpy() == np.asarray(last)).all()
    assert "100,000 images in 2 classes of 50,000" in capsys.readouterr().err
    again = prepare(Folder(str(root), resolution=8))
    assert again.fingerprint == image_set.fingerprint and torch.equal(again.images[::997], image_set.images[::997])
