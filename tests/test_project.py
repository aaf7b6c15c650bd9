"""The latents behind images: found again where the images are the generator's own, and used to go between them."""

import json
import os
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from composing import typed
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.games.gan import GAN, stage_of
from gantool.latents import Structured
from gantool.losses import Hinge
from gantool.networks.mlp import Discriminator, Generator
from gantool.randomness import seed_torch
from gantool.runs.build import build_game
from gantool.runs.projection import Projected, _Search, load_latents, project
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


def test_every_label_is_looked_at_however_many_there_are(run: Path) -> None:
    loaded = load_run(run)
    assert isinstance(loaded.game, GAN)
    images = loaded.sample(20, seed=3).float() / 127.5 - 1
    how: dict[str, Any] = {"labels": torch.arange(10), "seed": 0, "steps": 1, "lr": 0.05, "feature_weight": 0.5}
    few, enough = (project(loaded.game, loaded, images, starts=starts, **how).labels for starts in (1, 10))
    assert few is not None and enough is not None and torch.equal(few, enough) and len(set(few.tolist())) > 1


@pytest.mark.parametrize("noise", ["normal", "uniform"])
@pytest.mark.parametrize("std", [0.1, 2.0])
def test_the_search_is_as_wide_as_the_latent(run: Path, noise: str, std: float) -> None:
    """What is made of a latent in units of its noise, the same units find."""
    loaded = load_run(run)
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    how: dict[str, Any] = {"labels": None, "seed": 0, "steps": 40, "starts": 20, "lr": 0.2, "feature_weight": 0.0}

    def searched(std: float) -> Projected:
        latent = Structured(dim=11, categories=[3], continuous=2, noise_std=std, noise=noise)
        network = Generator(latent_dim=11, resolution=8, channels=1, num_classes=0, hidden=[16])
        torch.manual_seed(0)
        first = next(module for module in network.modules() if isinstance(module, torch.nn.Linear))
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        with torch.no_grad():
            first.weight[:, :6] /= std
        judge = Discriminator(resolution=8, channels=1, num_classes=0, hidden=[8])
        game = GAN(network, judge, latent, Hinge()).eval()
        game.requires_grad_(False)
        return project(game, replace(loaded, game=game, generators=game.generators), images, **how)

    wide, plain = searched(std), searched(1.0)
    torch.testing.assert_close(wide.z[:, :6], std * plain.z[:, :6], rtol=1e-2, atol=1e-2 * std)
    assert noise == "normal" or float(wide.z[:, :6].abs().max()) <= 1.2 * std


def test_a_folder_is_projected_and_its_images_are_gone_between(run: Path, in_tmp: Path, capfd) -> None:
    (in_tmp / "mine").mkdir()
    for number, pixels in enumerate(load_run(run).sample(3, seed=5)):
        Image.fromarray(pixels[0].numpy()).resize((40, 40)).save(in_tmp / "mine" / f"{number}.png")
    words = [f"run={run}", "images=mine", f"out={in_tmp / 'out'}", "steps=20", "starts=40"]
    assert main(["project", *words]) == 0
    told = capfd.readouterr().out
    assert "RMS pixel error 0." in told and "(pixels range from -1 to 1)" in told
    errors = json.loads((in_tmp / "out" / "errors.json").read_text())
    assert list(errors) == ["0.png", "1.png", "2.png"] and all(0 < error < 1 for error in errors.values())
    with np.load(in_tmp / "out" / "latents.npz") as arrays:
        assert arrays["z"].shape == (3, 6) and arrays["labels"].shape == (3,)
    assert Image.open(in_tmp / "out" / "grid.png").size[0] == 3 * (6 * 34 + 2)
    (line,) = [line for line in told.splitlines() if line.startswith("go on: ")]
    way = [*shlex.split(line.removeprefix("go on: gantool ")), f"out={in_tmp / 'way'}", "steps=4"]
    assert way[:3] == ["interpolate", f"run={run}", f"latents={in_tmp / 'out'}"]
    assert main(way) == 0
    path, seen = (np.asarray(Image.open(in_tmp / name)) for name in ("way/path.png", "out/grid.png"))
    times = path.shape[0] // (3 * 34 + 2)
    path, seen = path[::times, -138 * times :: times], seen[::3, ::3]
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


def test_the_newest_of_the_folders_that_project_has_made_is_taken(run: Path, in_tmp: Path, caplog) -> None:
    loaded, made = load_run(run), in_tmp / "made"
    with pytest.raises(GantoolError, match="name the folder or file that gantool project wrote"):
        load_latents(in_tmp, loaded, 6)
    for age, name in ((9, "two"), (5, "three"), (7, "one")):
        (made / name).mkdir(parents=True)
        labels = torch.full((2,), age)
        Projected(torch.zeros(2, 6), labels, torch.zeros(2, 1, 1, 1), torch.zeros(2)).save(made / name, loaded)
        written = time.time() - age
        os.utime(made / name / "latents.safetensors", (written, written))
    with caplog.at_level("INFO", "gantool"):
        _, labels = load_latents(made, loaded, 6)
    assert labels is not None and labels.tolist() == [5, 5]
    assert caplog.messages == [f"using the latents of {made / 'three'}, the newest of 3"]
    _, labels = load_latents(made / "one", loaded, 6)
    assert labels is not None and labels.tolist() == [7, 7]
    caplog.clear()
    load_latents(made / "one", replace(loaded, ema=False), 6)
    whose = f"{run.name} at 0.96 kimg, ema="
    (told,) = caplog.messages
    assert told.endswith(f"latents.safetensors are of {whose}true; {whose}false makes other images of them")


def test_where_the_search_begins_is_the_same_beside_other_images(run: Path) -> None:
    loaded = load_run(run)
    assert isinstance(loaded.game, GAN)
    images, begun = loaded.sample(3, seed=3).float() / 127.5 - 1, []
    images[0] = torch.rand_like(images[0])  # unlike the others
    for some in (images, images[1:]):
        seed_torch("project", 0)
        search = _Search(loaded.game, loaded, some, 0.5)
        z, _ = search.best_starts(40, torch.arange(10))
        begun.append((z, search.scales.T))
    (z, scales), (own, own_scales) = begun
    assert torch.equal(z[1:], own) and torch.allclose(scales[1:], own_scales) and scales.std(0).min() > 0


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
