"""A run that goes on with other images, labels or folders than it began with: told, and refused where labels moved."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from composing import composed
from extent import some
from gantool.cli.main import main
from gantool.config import make_absolute
from runs import newest, same_training, small, train

WORDS = ["dataset=folder", "dataset.resolution=16", "dataset.channels=1", "monitor=none"]


def draw(path: Path, other: int = 0) -> None:
    """Noise of its own for each place, and for each `other`."""
    noise = np.random.default_rng([*"/".join(path.parts[-3:]).encode(), other])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise.integers(0, 256, (16, 16), np.uint8)).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/{bird,cat}, and runs on it: told of labels, and not."""
    folder = tmp_path_factory.mktemp("made")
    for index in range(6):
        for name in ("bird", "cat"):
            draw(folder / "data" / name / f"{index}.png")
    for kind in ("true", "false"):
        words = [*WORDS, f"dataset.root={folder / 'data'}", f"model.conditional={kind}"]
        train(folder / kind, *words, "optimizer/schedule=linear", model="mlp", rounds=2)
    return folder


@pytest.fixture
def runs(made: Path, in_tmp: Path) -> Path:
    """A copy, whose runs look for their images in the copy of the data."""
    shutil.copytree(made, in_tmp, dirs_exist_ok=True)
    for config in in_tmp.glob("*/.hydra/config.yaml"):
        config.write_text(config.read_text().replace(str(made), str(in_tmp)))
    return in_tmp


def rename(**names: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        for name in names:
            (data / name).rename(data / f"{name}.old")
        for name, other in names.items():
            (data / f"{name}.old").rename(data / other)

    return change


def move(data: Path) -> None:
    (data / "bird" / "0.png").rename(data / "cat" / "new.png")


CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "nothing": (lambda data: None, "", ""),
    "touched": (lambda data: (data / "cat" / "0.png").touch(), "", ""),
    "an image more": (lambda data: draw(data / "cat" / "9.png"), "the images 12 -> 13 (1 added, 0 removed)", ""),
    "an image less": (lambda data: (data / "cat" / "0.png").unlink(), "the images 12 -> 11 (0 added, 1 removed)", ""),
    "another image": (lambda data: draw(data / "cat" / "0.png", 1), "the images 12 -> 12 (1 added, 1 removed)", ""),
    "a file renamed": (lambda data: (data / "cat" / "0.png").rename(data / "cat" / "x.png"), "the order", ""),
    "a class renamed in its place": (rename(cat="kitty"), "class 1 cat -> kitty", ""),
    "a class renamed before the other": (rename(cat="ape"), "", "12 images have another label"),
    "two classes swapped": (rename(cat="bird", bird="cat"), "", "12 images have another label"),
    "an image in another class": (move, "", "1 images have another label"),
}


@pytest.mark.parametrize("what", some(CHANGES, 5))
def test_what_became_of_the_images_is_told(what: str, runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change, told, refused = CHANGES[what]
    change(runs / "data")
    before = newest(runs / "true")
    capfd.readouterr()
    code = main(["train", f"resume={runs / 'true'}", "trainer.duration=3it"])
    out, err = capfd.readouterr()
    if refused:
        assert code == 1 and same_training(newest(runs / "true"), before), "nothing was trained"
        (line,) = [line for line in err.splitlines() if "error" in line]
        assert refused in line and "bring the folders' names back, or start a new run" in line
    else:
        assert code == 0
        lines = [line for line in (out + err).splitlines() if "changed: " in line and "optimizer" not in line]
        lines = [line for line in lines if "trainer.duration" not in line]
        assert len(lines) == bool(told) and all(told in line for line in lines)


def test_a_model_that_is_not_told_of_labels_goes_on(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rename(cat="ape")(runs / "data")
    assert main(["train", f"resume={runs / 'false'}", "trainer.duration=3it"]) == 0
    assert "12 images have another label" in "".join(capfd.readouterr())


def test_another_number_of_classes_is_refused_by_name(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    draw(runs / "data" / "dog" / "1.png")
    assert main(["train", f"resume={runs / 'true'}", "trainer.duration=3it"]) == 1
    assert "folder has 3 (bird, cat, dog): leave it out, or bring back the classes" in capfd.readouterr().err


def test_what_a_schedule_gives_is_told_from_what_to_what(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    saved = newest(runs / "false")
    lr = saved["config"]["optimizer"]["lr"]
    assert main(["train", f"resume={runs / 'false'}", "trainer.duration=4it"]) == 0
    out = "".join(capfd.readouterr())
    assert "changed: trainer.duration 2it -> 4it" in out
    assert f"changed: optimizer.generator.lr at 0.016 kimg 0 -> {lr:.4g}" in out


def test_every_schedule_is_told_of(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ramp = "{_target_: gantool.schedules.Ramp, start: %s, end: %s, until: 1.0}"
    words = [
        f"optimizer.beta2={ramp % (0.9, 0.99)}",
        f"trainer.ema_half_life={ramp % (10, 100)}",
        "optimizer.warmup=4ep",
    ]
    words += ["regularizer=r1", f"regularizer.r1.gamma={ramp % (3, 1)}", "dataset.resolution=16", "monitor=none"]
    words += ["model.growth.growing=1.0"]
    train(in_tmp / "run", *words, model="progan", rounds=2)
    capfd.readouterr()
    assert main(["train", f"resume={in_tmp / 'run'}", "trainer.duration=4it", "optimizer.warmup=2ep"]) == 0
    lines = re.findall(r"changed: (\S.*?) at 0\.0\d+ kimg (\S+) -> (\S+)", "".join(capfd.readouterr()))
    found = {key: (float(before), float(now)) for key, before, now in lines}
    assert found["optimizer.beta2"] == (0.99, pytest.approx(0.945, abs=0.01))
    assert found["trainer.ema_half_life"] == (100, pytest.approx(55, abs=2))
    assert found["regularizer.r1.gamma"] == (1, pytest.approx(2, abs=0.1))
    assert found["the stage of model.growth"] == (2, 1)
    before, now = found["optimizer.generator.lr"]
    assert now == pytest.approx(2 * before, rel=1e-3)
    assert len(found) == 6


def test_a_relative_root_finds_the_same_images_from_anywhere(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for place in ("here", "there"):
        for index in range(4):
            draw(in_tmp / place / "data" / f"{index}.png")
    monkeypatch.chdir(in_tmp / "here")
    words = [*WORDS, "dataset.root=data"]
    train(in_tmp / "run", *words, model="mlp", rounds=2)
    root = str(in_tmp / "here" / "data")
    assert OmegaConf.load(in_tmp / "run" / ".hydra" / "config.yaml").dataset.root == root
    monkeypatch.chdir(in_tmp / "there")
    capfd.readouterr()
    assert main(["train", f"resume={in_tmp / 'run'}", "trainer.duration=3it"]) == 0
    assert "images 4" not in "".join(capfd.readouterr())
    assert main(small(in_tmp / "run", *words, model="mlp", rounds=4)) == 0
    out = "".join(capfd.readouterr())
    assert f"changed: dataset.root {root} -> {in_tmp / 'there' / 'data'}" in out
    assert "changed: the images 4 -> 4 (4 added, 4 removed)" in out


@pytest.mark.parametrize("dataset", ["celeba", "cifar10", "mnist", "fashion-mnist"])
def test_the_folder_of_published_sets_is_stored_absolute(
    dataset: str, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANTOOL_DATA", "mine")
    cfg, _ = composed(
        f"dataset={dataset}",
        *(["features=inception", "features.weights='~/w.pth'"] if dataset == "celeba" else ["score=none"]),
    )
    make_absolute(cfg)
    monkeypatch.setenv("GANTOOL_DATA", "other")
    assert cfg.dataset.root == str(in_tmp / "mine")
    if dataset == "celeba":
        assert cfg.features.weights == str(Path("~/w.pth").expanduser())


def test_sides_that_were_swapped_are_refused(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(in_tmp / "run", "monitor=none", model="cyclegan", rounds=1)
    rename(trainA="trainB", trainB="trainA")(in_tmp / "sides")
    capfd.readouterr()
    assert main(["train", f"resume={in_tmp / 'run'}", "trainer.duration=2it"]) == 1
    assert "24 images have another side" in capfd.readouterr().err
