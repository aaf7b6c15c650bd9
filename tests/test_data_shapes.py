"""Images of any shape: how they are fitted, rectangles in every network, and refusals that name the nearest sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from composing import typed
from extent import some
from gantool import load, load_run
from gantool.augment.adaptive import ScheduledADA
from gantool.augment.diffaugment import DiffAugment
from gantool.augment.jitter import Jitter
from gantool.augment.transforms import proportioned, resample, turn
from gantool.batch import Draws
from gantool.cli.main import main
from gantool.data.cache import prepare
from gantool.data.fitting import Fitting
from gantool.data.folder import Folder
from gantool.data.pixels import fit_array
from gantool.errors import GantoolError
from gantool.runs.build import build_game
from gantool.shapes import first_map
from runs import TRANSLATORS, WIDTHS, choices, small

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


def gradient(root: Path, width: int, height: int, name: str = "a.png") -> Path:
    """Red grows to the right, green downwards, by 1 a pixel."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = np.arange(width), np.arange(height)[:, None], 255
    root.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(root / name)
    return root


def fitted(root: Path, resolution: Any, **how: Any) -> np.ndarray:
    """(C, H, W) of its only image."""
    source = Folder(str(root), resolution=resolution, fitting=Fitting(**how))
    return prepare(source, progress=False).images[0].numpy()


def test_a_set_is_known_by_its_pixels_wherever_it_lies(tmp_path: Path) -> None:
    gradient(gradient(tmp_path / "here", 40, 24), 24, 40, "b.png")
    gradient(gradient(tmp_path / "there", 24, 40, "0.png"), 40, 24, "1.png")  # the same, called and ordered otherwise
    gradient(gradient(tmp_path / "others", 40, 24), 24, 42, "b.png")

    def known(root: str, resolution: int = 16, channels: int = 3, **how: Any) -> tuple[torch.Size, str]:
        made = prepare(Folder(str(tmp_path / root), resolution=resolution, channels=channels, fitting=Fitting(**how)))
        return made.images.shape[1:], made.pixels_hash

    first = known("here")
    assert known("there") == first == known("here") and len(first[1]) == 8
    ways = [known("others"), known("here", 8), known("here", channels=1), known("here", crop=20)]
    ways += [known("here", fit="stretch"), known("here", fit="pad"), known("here", range=(0, 128))]
    assert len({first, *ways}) == len(ways) + 1


@pytest.mark.parametrize(("width", "height"), [(40, 24), (24, 40), (40, 40)])
def test_a_crop_takes_the_centre_before_anything_else(width: int, height: int, tmp_path: Path) -> None:
    made = fitted(gradient(tmp_path, width, height), 16, crop=16)
    left, top = (width - 16) // 2, (height - 16) // 2
    assert made[0, 0].tolist() == list(range(left, left + 16)) and made[1, :, 0].tolist() == list(range(top, top + 16))
    rectangle = fitted(tmp_path, [8, 16], crop=[8, 16])
    assert rectangle.shape == (3, 8, 16) and rectangle[0, 0].tolist() == list(range(left, left + 16))


@pytest.mark.parametrize(
    ("size", "resolution"), [((40, 20), 20), ((20, 40), 20), ((30, 30), [20, 10]), ((9, 9), [8, 24])]
)
def test_fitting_keeps_pads_or_stretches(size: tuple[int, int], resolution: Any, tmp_path: Path) -> None:
    root = gradient(tmp_path, *size)
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    crop, pad, stretch = (fitted(root, resolution, fit=fit) for fit in ("crop", "pad", "stretch"))
    for made in (crop, pad, stretch):
        assert made.shape == (3, height, width)
    assert (crop[2] == 255).all() and (stretch[2] == 255).all()
    span = stretch[0, 0, -1].astype(int) - stretch[0, 0, 0]
    assert abs(span - (size[0] - 1)) <= max(2, size[0] / width)  # all of it, from side to side
    scale = min(width / size[0], height / size[1])
    assert (pad[2] == 255).sum() == round(size[0] * scale) * round(size[1] * scale) and pad[2, 0, 0] in (0, 255)


def test_what_is_smaller_than_the_crop_is_named(tmp_path: Path) -> None:
    with pytest.raises(GantoolError, match="1 damaged image: a.png .*20x30 pixels, fewer than dataset.crop=24"):
        fitted(gradient(tmp_path, 20, 30), 16, crop=24)


@pytest.mark.parametrize("crop", [40, (20, 40)])
@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 3)])
def test_nor_is_a_crop_larger_than_the_images_of_a_published_set(shape: tuple[int, ...], crop: Any) -> None:
    with pytest.raises(GantoolError, match=r"^images have 32x32 pixels, fewer than dataset.crop=.*: choose a smaller"):
        fit_array(np.zeros(shape, np.uint8), 32, 1, Fitting(crop=crop))


def test_the_account_knows_the_fit(tmp_path: Path, capsys) -> None:
    root = gradient(tmp_path, 100, 20)
    prepare(Folder(str(root), resolution=16))
    assert "the centre square of a typical picture (100x20) is 20 % of it" in capsys.readouterr().err
    for how, resolution in ((Fitting("pad"), 16), (Fitting(), (4, 20)), (Fitting("stretch"), 16)):
        prepare(Folder(str(root), resolution=resolution, fitting=how))
        assert "crop" not in (said := capsys.readouterr().err) and "lost" not in said


ENLARGED = [  # width and height, resolution, what else is asked for, whether any side gets more pixels than it has
    ((64, 32), 64, {"fit": "pad"}, False),
    ((40, 32), 64, {"fit": "pad"}, True),
    ((64, 32), 64, {"fit": "crop"}, True),
    ((64, 32), 64, {"fit": "stretch"}, True),
    ((32, 64), [64, 32], {}, False),
    ((100, 90), 48, {"crop": 32}, True),
    ((100, 90), 32, {"crop": 32}, False),
    ((100, 90), 64, {}, False),
]


@pytest.mark.parametrize(("size", "resolution", "how", "enlarged"), ENLARGED)
def test_what_is_enlarged_is_told(
    size: tuple[int, int], resolution: Any, how: dict[str, Any], *, enlarged: bool, tmp_path: Path, capsys
) -> None:
    prepare(Folder(str(gradient(tmp_path, *size)), resolution=resolution, fitting=Fitting(**how)))
    said = capsys.readouterr().err
    assert ("1 of 1 images are enlarged: choose a lower" in said) == enlarged == ("enlarged" in said)
    assert said.count("enlarged") == enlarged, "once"


def test_a_square_may_be_two_numbers(tmp_path: Path) -> None:
    root = str(gradient(tmp_path, 9, 9))
    sets = [prepare(Folder(root, resolution=size), progress=False) for size in (8, [8, 8])]
    assert sets[0].fingerprint == sets[1].fingerprint, "prepared once"


NETWORKS = [m for m in choices("model") if m not in TRANSLATORS]
RECTANGLE = {"infogan-mnist": "[12,20]"}


@pytest.mark.parametrize("model", NETWORKS)
def test_every_network_makes_and_judges_rectangles(model: str) -> None:
    words = [*WIDTHS[model], f"dataset.resolution={RECTANGLE.get(model, '[48,32]')}", "dataset.num_classes=3"]
    size = (12, 20) if model in RECTANGLE else (48, 32)
    words += ["model.conditional=true"] if not model.startswith("infogan") else []
    game: Any = build_game(typed(f"model={model}", "dataset.channels=3", *words)).eval()
    labels = torch.tensor([0, 1]) if "model.conditional=true" in words else None
    with torch.no_grad():
        images = game.generate(game.latent.sample(Draws(2, CPU)), labels, game.generators)
        assert images.shape == (2, 3, *size) and game.discriminator(game.shrunk(images), labels).shape == (2, 1)


@pytest.mark.parametrize("model", some(["dcgan", "mlp", "resnet", "r3gan", "progan", "pix2pix", "cyclegan"], 1))
def test_a_run_of_rectangles_goes_all_the_way(model: str, in_tmp: Path) -> None:
    run, images = in_tmp / "run", in_tmp / "sides" / "trainA"
    for name in ("0.png", "1.png", "2.png"):
        (in_tmp / "sides").mkdir(exist_ok=True)
        for side in ("trainA", "trainB"):
            gradient(in_tmp / "sides" / side, 70, 50, name)
    source = (
        [f"dataset.root={in_tmp / 'sides'}"] if model in TRANSLATORS else ["dataset=folder", f"dataset.root={images}"]
    )
    more = ["dataset.flip=true", "dataset.zoom=1.2", "dataset.shift=2", "dataset.rotation=10", "augment=diffaugment"]
    words = [*source, "dataset.resolution=[32,48]", "trainer.batch_size=2", *more]
    assert main(small(run, *words, model=model, rounds=2)) == 0
    if model in TRANSLATORS:
        assert main(["sample", f"run={run}", f"source={images}", f"out={in_tmp / 'a'}"]) == 0
        return
    assert load_run(run, device="cpu").sample(3).shape == (3, 3, 32, 48)
    assert main(["export", f"run={run}", "format=snapshot"]) == 0
    assert load(run / "exported").sample(2).shape == (2, 3, 32, 48)
    assert main(["interpolate", f"run={run}", "rows=2", "steps=2"]) == 0


REFUSED = {
    "model=dcgan dataset.resolution=48": "makes 32, 64 or 128 pixels, or rectangles; the nearest: 32 or 64",
    "model=dcgan dataset.resolution=[50,70]": "the nearest: [48,72] or [48,64]",
    "model=resnet dataset.resolution=[96,161]": "the nearest: [96,160]",
    "model=biggan dataset.resolution=[16,64]": "the nearest: [32,64]",
    "model=r3gan dataset.resolution=[9,33]": "the nearest: [",
    "model=progan dataset.resolution=33": "4, 8, 16, ... pixels, or rectangles; the nearest: 32",
    "model=infogan-mnist dataset.resolution=[30,41]": "the nearest: [32,40]",
}


@pytest.mark.parametrize("words", REFUSED)
def test_other_sizes_are_refused_with_the_nearest(words: str) -> None:
    with pytest.raises(GantoolError) as error:
        build_game(typed(*words.split(), "dataset.channels=1", "dataset.num_classes=10"))
    assert REFUSED[words] in str(error.value), error.value


def test_the_nearest_sizes_are_possible() -> None:
    for size in ((50, 70), (33, 200), (100, 101), (35, 36), (31, 500)):
        with pytest.raises(GantoolError) as error:
            first_map(size, "dcgan", range(3, 6))
        for text in str(error.value).rpartition("nearest: ")[2].split(" or "):
            listed = [int(side) for side in text.strip("[]").split(",")]
            levels, first = first_map(listed if len(listed) > 1 else listed * 2, "dcgan", range(3, 6))
            assert 3 <= levels <= 5 and min(first) >= 4


def test_a_wrong_resolution_is_one_line(in_tmp: Path, capfd) -> None:
    for value in ("[32]", "[32,48,64]", "[2,32]", "x", "3"):
        assert main(["train", f"dataset.resolution={value}"]) == 1
        assert "dataset.resolution" in (said := capfd.readouterr().err) and "Traceback" not in said


def test_geometry_of_rectangles() -> None:
    images = torch.rand(4, 2, 16, 32) * 2 - 1
    quarter = torch.full((4,), torch.pi / 2)

    def rotate(angle: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(turn(angle), (0, 1))

    for half in range(2):  # a half turn is both mirrors
        turned = resample(images, rotate(quarter * (2 if half else 4)))
        assert torch.allclose(turned, images.flip(2, 3) if half else images, atol=1e-3)
    square = torch.rand(4, 1, 16, 16)
    assert proportioned(rotate(quarter), square) is not None
    centre = torch.zeros(1, 1, 16, 32)
    centre[..., 4:12, 12:20] = 1  # a square in the middle stays one under a quarter turn
    turned = resample(centre, rotate(quarter[:1]))[..., 8:24]  # beside it the border mirrors
    assert torch.allclose(turned, centre[..., 8:24], atol=1e-3)
    for augment in (DiffAugment(), ScheduledADA(probability=1.0), Jitter()):
        if isinstance(augment, ScheduledADA):
            augment.p.fill_(1.0)
        assert augment(images, Draws(4, CPU)).shape == images.shape
