"""gantool interpolate: paths on the sphere or the line, ends that are the latents' own images, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantool.cli.main import main
from gantool.commands.interpolate import spherical
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
    a, b = np.asarray(Image.open(round_way)).astype(int), np.asarray(Image.open(straight)).astype(int)
    assert a.shape == (4 * 34 + 2, 5 * 34 + 2)
    first, middle = slice(0, 34), slice(2 * 34 + 2, 3 * 34)
    assert (a[:, first] == b[:, first]).all() and np.abs(a[:, middle] - b[:, middle]).max() > 1
    assert Image.open(round_way.with_suffix(".gif")).n_frames == 5 + 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("word", "message"),
    [("steps=1", "greater than or equal to 2"), ("steps=600", "at most 4096 images"), ("path=round", "'spherical'")],
)
def test_mistakes_are_one_line(in_tmp: Path, word: str, message: str, capfd: pytest.CaptureFixture) -> None:
    assert main(["interpolate", f"run={in_tmp}", word]) == 1
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors and errors.count("\n") == 1
