"""gantool sample on runs that translate: files of a folder, both directions, every format, and what it refuses."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantool.cli.main import main
from gantool.runs.trained import load_run
from runs import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("translated") / "run"
    train(run, "optimizer.lr=0.01", model="cyclegan", rounds=1)
    return run


@pytest.fixture
def run(trained: Path, in_tmp: Path) -> Path:
    """A copy of it, beside one of its images."""
    shutil.copytree(trained.parent / "sides", in_tmp / "sides")
    return Path(shutil.copytree(trained, in_tmp / "run"))


def made(run: Path, out: Path, *words: str) -> dict[str, np.ndarray]:
    """The translations as files, by path."""
    assert main(["sample", f"run={run}", "format=png", f"out={out}", *words]) == 0
    return {path.relative_to(out).as_posix(): np.asarray(Image.open(path)) for path in sorted(out.rglob("*.png"))}


def test_a_folder_is_translated_in_both_directions(run: Path) -> None:
    folder = run.parent / "photos"
    (folder / "deep").mkdir(parents=True)
    digit = Image.open(run.parent / "sides" / "testA" / "0.png")
    digit.save(folder / "a.png")
    digit.resize((50, 60)).save(folder / "deep" / "b.bmp")
    there = made(run, run / "1", f"source={folder}", "size=run")
    back = made(run, run / "2", f"source={folder}", "direction=b2a", "size=run")
    assert list(there) == ["a.png", "deep/b.png"] == list(back)
    assert (there["a.png"] != back["a.png"]).any() and there["a.png"].shape == (32, 32, 3)
    loaded = load_run(str(run))
    pixels = torch.tensor(np.asarray(digit.resize((32, 32), Image.Resampling.LANCZOS).convert("RGB"))).permute(2, 0, 1)
    with torch.no_grad():
        expected = loaded.generators["b2a"](pixels[None].float() / 127.5 - 1)[0]
    difference = ((expected + 1) * 127.5).permute(1, 2, 0).numpy() - back["a.png"]
    assert np.abs(difference).max() < 1.01
    (folder / "a.bmp").write_bytes((folder / "deep" / "b.bmp").read_bytes())
    assert list(made(run, run / "3", f"source={folder}")) == ["a.bmp.png", "a.png.png", "deep/b.bmp.png"]


def test_test_images_by_default_whatever_the_batch_size(run: Path) -> None:
    whole, parts = made(run, run / "1"), made(run, run / "2", "batch_size=4")
    assert list(whole) == [f"{index:06d}.png" for index in range(6)]
    assert all(np.abs(whole[name].astype(int) - parts[name]).max() <= 1 for name in whole)
    assert main(["sample", f"run={run}", "num=5"]) == 0
    (grid,) = (run / "sampled").rglob("grid.png")
    assert Image.open(grid).size == (2 * (8 * 34 + 2), 2 * (2 * 34 + 2)) and "a2b-test" in grid.parent.name
    tile = np.asarray(Image.open(grid))[::2, ::2][2:34, 36:68]
    assert np.abs(tile.astype(int) - whole["000000.png"]).max() <= 1, "each source has its translation on its right"
    assert main(["sample", f"run={run}", "format=npz", f"out={run / '3'}"]) == 0
    with np.load(run / "3" / "samples.npz") as archive:
        assert np.abs(archive["arr_0"][5].astype(int) - whole["000005.png"]).max() <= 1


def test_folders_of_one_name_are_translated_apart(run: Path) -> None:
    for place in ("here", "there"):
        shutil.copytree(run.parent / "sides" / "testA", run.parent / place / "testA")
        assert main(["sample", f"run={run}", "format=png", f"source={run.parent / place / 'testA'}", "num=2"]) == 0
    assert [len(list(place.rglob("*.png"))) for place in (run / "sampled").iterdir()] == [2, 2]


def test_pix2pix_translates_the_way_it_was_taught(in_tmp: Path, capfd: pytest.CaptureFixture) -> None:
    train(in_tmp / "run", "dataset.direction=b2a", model="pix2pix", rounds=1)
    folder = in_tmp / "sides" / "testB"
    taught = made(in_tmp / "run", in_tmp / "1", f"source={folder}", "direction=b2a")
    assert len(taught) == 6 and taught["12.png" if "12.png" in taught else "0.png"].std() > 0
    again = made(in_tmp / "run", in_tmp / "2", f"source={folder}")
    assert all((taught[name] == again[name]).all() for name in taught), "the seed decides its dropout"
    assert main(["sample", f"run={in_tmp / 'run'}", f"source={folder}", "direction=a2b"]) == 1
    assert "was trained to translate b2a" in capfd.readouterr().err


def test_mistakes_are_one_line(run: Path, capfd: pytest.CaptureFixture) -> None:
    (run.parent / "empty").mkdir()
    (run.parent / "damaged").mkdir()
    (run.parent / "damaged" / "a.png").write_text("no image")
    train(run.parent / "gan", model="mlp", rounds=1)
    for command, words, message in (
        ("sample", ["run=run", "classes=3"], "classes=3: run is a CycleGAN or pix2pix run"),
        ("sample", ["run=run", "truncation=0.5"], "truncation=0.5: run is a CycleGAN or pix2pix run"),
        ("evaluate", ["run=run", "truncation=0.5"], "truncation=0.5: run is a CycleGAN or pix2pix run"),
        ("sample", ["run=run", "direction=c2a"], "direction=c2a: should be 'a2b' or 'b2a'"),
        ("sample", ["run=run", "source=nowhere"], "source=nowhere is not a folder"),
        ("sample", ["run=run", "source=empty"], "source=empty holds no images"),
        ("sample", ["run=run", "source=damaged"], "source=damaged: a.png is damaged"),
        ("sample", ["run=gan", "source=empty"], "source=empty: gan makes images from noise"),
        ("sample", ["run=gan", "direction=a2b"], "direction=a2b: gan makes images from noise"),
        ("interpolate", ["run=run"], "run is a CycleGAN or pix2pix run: gantool interpolate needs a latent"),
    ):
        assert main([command, *words]) == 1
        errors = capfd.readouterr().err
        assert message in errors and "Traceback" not in errors, (words, errors)
