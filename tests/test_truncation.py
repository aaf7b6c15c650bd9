"""gantool truncation: less variety under tighter latents, scores as the run's own, and what it refuses."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantool.cli.main import main
from runs import newest, train

SCORED = ["score=[fd,is]", "monitor=scores", "monitor.scores.num=60", "monitor.scores.batch_size=30"]


def test_scores_grid_and_curve(in_tmp: Path) -> None:
    words = ["model.conditional=true", "optimizer.lr=0.01", *SCORED]  # far from flat grey
    train(in_tmp / "run", *words, model="mlp", rounds=4)
    ask = ["truncation", f"run={in_tmp / 'run'}", "num=60", "batch_size=30"]
    assert main([*ask, "thresholds=[null,0.01,1]"]) == 0
    (folder,) = (in_tmp / "run" / "truncation").iterdir()
    told = json.loads((folder / "truncation.json").read_text())
    with (folder / "truncation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["threshold"] for row in rows] == ["0.01", "1.0", ""]
    assert [float(row["fd_digits"]) for row in rows] == [score["fd_digits"] for score in told["scores"]]
    assert told["protocol"]["num_fake"] == 60 and told["protocol"]["ema"] is True
    whole = newest(in_tmp / "run")["metrics"]
    assert told["scores"][-1] == {"threshold": None, **whole}, "whole latents are scored as training does"
    samples = np.asarray(Image.open(folder / "samples.png")).astype(int)[::2, ::2]
    assert samples.shape == (3 * 34 + 2, 10 * 34 + 2)
    assert Image.open(folder / "curve.png").size[0] > 300


def test_tight_latents_make_images_alike(in_tmp: Path) -> None:
    train(in_tmp / "run", "optimizer.lr=0.01", model="mlp", rounds=4)  # without scores: those of its data set
    words = ["num=20", "plot=false", f"out={in_tmp / 'out'}", "thresholds=[0.01,2]"]
    assert main(["truncation", f"run={in_tmp / 'run'}", *words]) == 0
    samples = np.asarray(Image.open(in_tmp / "out" / "samples.png")).astype(float)[::2, ::2]
    spreads = []
    for top in (2, 36):
        images = np.stack([samples[top : top + 32, left : left + 32] for left in range(2, 342, 34)])
        spreads.append(images.std(0).mean())
    assert spreads[0] < 0.1 * spreads[1]
    assert not (in_tmp / "out" / "curve.png").exists()


def test_mistakes_are_one_line(in_tmp: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    train(in_tmp / "run", "model/latent=uniform", rounds=1)
    ask = ["truncation", f"run={in_tmp / 'run'}", "num=10"]
    assert main([*ask, "thresholds=[]"]) == main([*ask, "thresholds=[-1]"]) == main(ask) == 1
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(ask) == 1
    errors = capfd.readouterr().err
    assert "Traceback" not in errors and not (in_tmp / "run" / "truncation").exists()
    told = ("at least 1 item", "greater than 0", "a uniform one has no tails", "pip install 'gantool[analysis]'")
    assert all(text in errors for text in told)
