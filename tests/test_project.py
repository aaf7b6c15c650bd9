"""The latents behind images: found again where the images are the generator's own, and used to go between them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from composing import typed
from gantool.cli.main import main
from gantool.games.gan import GAN, stage_of
from gantool.runs.build import build_game
from gantool.runs.projection import Projected, project
from gantool.runs.trained import TrainedRun, load_run
from runs import WIDTHS, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional GAN of digits, large enough to make different images."""
    folder = tmp_path_factory.mktemp("projected") / "run"
    wide = ["model.generator.hidden=[32,64]", "model.conditional=true", "optimizer.lr=5e-3"]
    train(folder, *wide, "model.latent.dim=6", model="mlp", rounds=120)
    return folder


def found(run: Path, **how: float) -> tuple[torch.Tensor, Projected]:
    """Eight images of the run's own, and what was found for them."""
    loaded = load_run(run)
    assert isinstance(loaded.game, GAN)
    images = loaded.sample(8, seed=3).float() / 127.5 - 1
    settings = {"seed": 0, "steps": 60, "starts": 40, "lr": 0.05, "feature_weight": 0.5} | how
    return images, project(loaded.game, loaded, images, labels=torch.arange(10), **settings)  # type: ignore[arg-type]


def test_its_own_images_are_found_again(run: Path) -> None:
    images, searched = found(run)
    _, begun = found(run, steps=1)
    spread = float((images[None] - images[:, None]).square().mean((2, 3, 4)).sqrt().mean())
    assert float(searched.errors.mean()) < 0.6 * float(begun.errors.mean()) < spread
    assert searched.z.shape == (8, 6) and searched.images.shape == images.shape
    _, again = found(run)
    assert torch.equal(again.z, searched.z), "the same seed finds the same"
    _, pixels = found(run, feature_weight=0.0)
    assert not torch.equal(pixels.z, searched.z)


def test_a_folder_is_projected_and_its_images_are_gone_between(run: Path, in_tmp: Path, capfd) -> None:
    (in_tmp / "mine").mkdir()
    for number, pixels in enumerate(load_run(run).sample(3, seed=5)):
        Image.fromarray(pixels[0].numpy()).resize((40, 40)).save(in_tmp / "mine" / f"{number}.png")
    words = [f"run={run}", "images=mine", f"out={in_tmp / 'out'}", "steps=20", "starts=40"]
    assert main(["project", *words]) == 0
    errors = json.loads((in_tmp / "out" / "errors.json").read_text())
    assert list(errors) == ["0.png", "1.png", "2.png"] and all(0 < error < 1 for error in errors.values())
    with np.load(in_tmp / "out" / "latents.npz") as arrays:
        assert arrays["z"].shape == (3, 6) and arrays["labels"].shape == (3,)
    assert Image.open(in_tmp / "out" / "grid.png").size[0] == 3 * (6 * 34 + 2)
    way = ["interpolate", f"run={run}", f"latents={in_tmp / 'out'}", f"out={in_tmp / 'way'}", "steps=4"]
    assert main(way) == 0
    path, seen = (np.asarray(Image.open(in_tmp / name)) for name in ("way/path.png", "out/grid.png"))
    path, seen = path[:: path.shape[1] // 138, :: path.shape[1] // 138], seen[::3, ::3]
    for row in range(3):  # each begins with what was found for its image, and ends with that of the next
        first = path[2 + 34 * row : 34 + 34 * row, 2:34].astype(int)
        last = path[2 + 34 * row : 34 + 34 * row, 104:136].astype(int)
        assert np.abs(first - seen[2:34, 36 + 68 * row : 68 + 68 * row]).max() <= 1
        after = (row + 1) % 3
        assert np.abs(last - seen[2:34, 36 + 68 * after : 68 + 68 * after]).max() <= 1
    capfd.readouterr()
    for wrong, line in (
        (["project", f"run={run}"], "which images? images=FOLDER"),
        (["project", f"run={run}", "images=none"], "images=none is not a folder"),
        (["interpolate", f"run={run}", "latents=mine"], "cannot be read: name the folder or file"),
        ([*way, "classes=3"], "latents= brings its own classes"),
    ):
        assert main(wrong) == 1
        error = capfd.readouterr().err
        assert line in error and error.count("\n") == 1


@pytest.mark.parametrize("stage", [0.0, 1.5, 3.0])
def test_a_run_that_grows_is_looked_at_at_its_own_stage(tmp_path: Path, stage: float) -> None:
    """Of a checkpoint only the networks' buffers say it: the game itself was built at the first one."""
    config = typed("model=progan", *WIDTHS["progan"], "dataset.resolution=32", "dataset.channels=1")
    game = build_game(config).eval().requires_grad_(False)
    assert isinstance(game, GAN)
    for network in (game.generators["generator"], game.discriminator):
        stage_of(network).fill_(stage)
    run = TrainedRun(tmp_path, config, game, game.generators, True, 64, torch.device("cpu"))
    images = torch.rand(2, 1, 32, 32) * 2 - 1
    assert game.discriminator(game.shrunk(images), None).shape == (2, 1)
    found = project(game, run, images, labels=None, seed=0, steps=3, starts=4, lr=0.05, feature_weight=0.5)
    assert found.images.shape == images.shape and bool(found.errors.isfinite().all())
