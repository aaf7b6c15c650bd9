"""gantool interpolate: paths on the sphere or the line, ends that are the latents' own images, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from extent import some
from gantool.cli.main import main
from gantool.games.gan import GAN
from gantool.runs.interpolation import blended, spherical
from gantool.runs.trained import load_run
from runs import train


def test_the_great_circle() -> None:
    torch.manual_seed(0)
    start, end = torch.randn(2, 5, 64, dtype=torch.float64)
    assert torch.allclose(spherical(start, end, 0.0), start) and torch.allclose(spherical(start, end, 1.0), end)
    middle = spherical(start, end, 0.5)
    assert torch.allclose(middle.norm(dim=1), (start.norm(dim=1) + end.norm(dim=1)) / 2)
    bisector = start / start.norm(dim=1, keepdim=True) + end / end.norm(dim=1, keepdim=True)
    assert torch.allclose(torch.cosine_similarity(middle, bisector), torch.ones(5, dtype=torch.float64))
    assert torch.equal(spherical(start, start, 0.3), start), "no direction between equal latents"


def test_a_grid_and_an_animation(in_tmp: Path) -> None:
    train(in_tmp / "run", "model.conditional=true", "optimizer.lr=0.01", model="mlp", rounds=4)
    words = ["interpolate", f"run={in_tmp / 'run'}", "rows=4", "steps=5"]
    assert main(words) == 0 and main([*words, "path=linear"]) == 0
    round_way, straight = sorted((in_tmp / "run" / "interpolated").rglob("path.png"), reverse=True)
    a, b = (np.asarray(Image.open(path)).astype(int) for path in (round_way, straight))
    a, b = (picture[::3, ::-3][:, ::-1] for picture in (a, b))  # as enlarged
    named = a.shape[1] - (5 * 34 + 2)  # the names of the rows stand on the left
    assert a.shape[0] == 4 * 34 + 2 and named > 0 and a[:, :named].max() > 64
    a, b = a[:, named:], b[:, named:]
    first, middle = slice(0, 34), slice(2 * 34 + 2, 3 * 34)
    assert (a[:, first] == b[:, first]).all() and np.abs(a[:, middle] - b[:, middle]).max() > 1
    assert Image.open(round_way.with_suffix(".gif")).n_frames == 5 + 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", some(["mlp", "dcgan", "resnet", "biggan", "r3gan"], 1))
def test_from_class_to_class(in_tmp: Path, model: str) -> None:
    """The ends of a row are the images of its two classes, and the middle is neither's."""
    run_dir = in_tmp / "run"
    train(run_dir, "model.conditional=true", "optimizer.lr=0.01", model=model, rounds=2)
    words = [
        "interpolate",
        f"run={run_dir}",
        "over=classes",
        "rows=2",
        "steps=3",
        "classes=[3,7]",
        f"out={in_tmp / 'out'}",
    ]
    assert main(words) == 0
    run = load_run(str(run_dir))
    assert isinstance(run.game, GAN)
    three, seven = torch.tensor([3, 3]), torch.tensor([7, 7])
    z = torch.randn(2, run.game.latent.dim)
    with blended(run.generators, run.num_classes, three, seven, 0.0):
        begin = run.game.generate(z, seven, run.generators)
    with blended(run.generators, run.num_classes, three, seven, 1.0):
        end = run.game.generate(z, three, run.generators)
    with blended(run.generators, run.num_classes, three, seven, 0.5):
        middle = run.game.generate(z, three, run.generators)
    assert torch.allclose(begin, run.game.generate(z, three, run.generators), atol=1e-6)
    assert torch.allclose(end, run.game.generate(z, seven, run.generators), atol=1e-6)
    assert not torch.equal(begin, end) and not torch.equal(middle, begin) and not torch.equal(middle, end)
    grid = np.asarray(Image.open(in_tmp / "out" / "path.png"))
    named = grid.shape[1] - 4 * (3 * 34 + 2)
    assert grid.shape[0] == 4 * (2 * 34 + 2) and named > 0
    upper, lower = grid[: 4 * 34, :named], grid[4 * 36 :, :named]
    assert upper.max() == lower.max() == 255 and (upper[: len(lower)] != lower).any(), "3 to 7, and 7 to 3"


def test_an_unconditional_run_has_no_classes(in_tmp: Path, capfd: pytest.CaptureFixture) -> None:
    train(in_tmp / "run", model="mlp", rounds=1)
    assert main(["interpolate", f"run={in_tmp / 'run'}", "over=classes"]) == 1
    assert "is unconditional; train with model.conditional=true" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("word", "message"),
    [("steps=1", "greater than or equal to 2"), ("steps=600", "at most 4096 images"), ("path=round", "'spherical'")],
)
def test_mistakes_are_one_line(in_tmp: Path, word: str, message: str, capfd: pytest.CaptureFixture) -> None:
    assert main(["interpolate", f"run={in_tmp}", word]) == 1
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors and errors.count("\n") == 1
