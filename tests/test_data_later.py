"""Images that a run looks at later are read as those of its training: pages, and black and white."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from composing import composed
from gantool import load_run
from gantool.cli.main import main
from gantool.config import Written
from gantool.config import read as read_config
from gantool.data.folder import Folder
from gantool.runs.sources import build_source, fill_in
from gantool.runs.translation import read_folder
from runs import small
from test_data_numbers import noise, ramp, read


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_channels_that_are_filled_in_turn_no_pages_into_channels(tmp_path: Path) -> None:
    pages = [Image.fromarray(page) for page in noise(256, 3, 8, 8)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert read(tmp_path, None).images.shape == (3, 3, 8, 8) and read(tmp_path, 3).images.shape == (1, 3, 8, 8)
    for asked, count in (("null", 3), ("3", 1)):
        words = ["dataset=folder", f"dataset.root={tmp_path}", f"dataset.channels={asked}", "score=none"]
        cfg, hydra = composed(*words)
        for _ in range(2):  # as it was typed, and as the run's folder has it
            source = build_source(read_config(cfg, Written.of(hydra)).dataset)
            fill_in(cfg, source)
            assert isinstance(source, Folder) and (len(source), source.channels, cfg.dataset.channels) == (count, 3, 3)


def test_a_range_that_was_found_is_that_of_other_images_too(in_tmp: Path) -> None:
    root, run = in_tmp / "images", in_tmp / "run"

    def save(name: str, top: int) -> None:
        """Three pages, which nobody asked to be channels."""
        pages = [Image.fromarray(ramp(top, np.uint16)) for _ in range(3)]
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pages[0].save(root / name, save_all=True, append_images=pages[1:])

    for name, top in (("train/a.tif", 1000), ("train/b.tif", 900), ("train/c.tif", 800), ("test/d.tif", 4000)):
        save(name, top)
    words = ["dataset=folder", f"dataset.root={root}", "dataset.resolution=8", "dataset.range=auto", "dataset.bits=8"]
    assert main(small(run, *words, "monitor=none", model="mlp", rounds=1)) == 0
    expected = {part: read(root / part, None, range=[0, 1000]).images for part in ("train", "test")}
    opened = load_run(run, device="cpu")
    assert opened.span == (0, 1000) and len(expected["test"]) == 3
    for _ in range(2):
        assert torch.equal(opened.images(split="test").images, expected["test"])
        assert torch.equal(opened.images().images[:9], expected["train"])
        _, images = read_folder(opened, str(root / "test"), "images")
        assert torch.equal(torch.stack(list(images)), expected["test"])
        save("train/e.tif", 2000)  # the set that it was trained on grows
