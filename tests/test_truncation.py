"""gantool truncation: less variety under tighter latents, scores as the run's own, and what it refuses."""

import csv
import json
import random
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from gantool.cli.main import main
from gantool.margins import written
from gantool.metrics.digits import DigitFeatures
from gantool.runs.truncation import draw
from runs import newest, train

SCORED = ["score=[fd,is]", "monitor=scores", "monitor.scores.num=60", "monitor.scores.batch_size=30"]


def test_scores_grid_and_curve(in_tmp: Path, capfd: pytest.CaptureFixture) -> None:
    words = ["model.conditional=true", "optimizer.lr=0.01", *SCORED]  # far from flat grey
    train(in_tmp / "run", *words, model="mlp", rounds=4)
    ask = ["truncation", f"run={in_tmp / 'run'}", "num=60", "batch_size=30"]
    capfd.readouterr()
    assert main([*ask, "thresholds=[null,0.01,1]"]) == 0
    out = "".join(capfd.readouterr())
    (folder,) = (in_tmp / "run" / "truncation").iterdir()
    told = json.loads((folder / "truncation.json").read_text())
    with (folder / "truncation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["threshold"] for row in rows] == ["0.01", "1.0", ""]
    assert [float(row["fd_digits"]) for row in rows] == [score["fd_digits"] for score in told["scores"]]
    assert told["protocol"]["num_fake"] == 60 and told["protocol"]["ema"] is True
    whole = newest(in_tmp / "run")["metrics"]
    assert told["scores"][-1] == {"threshold": None, **whole}, "whole latents are scored as training does"
    margins = told["margins"]
    assert margins[-1] == json.loads((in_tmp / "run" / "status.json").read_text())["margins"], "so are their margins"
    assert [[float(row[f"{name}_margin"]) for name in whole] for row in rows] == [[*one.values()] for one in margins]
    assert all(one["fd_digits"] > 0 for one in margins)
    for name, value in whole.items():
        assert f"{name} {written(value, margins[-1][name])}" in out
    assert out.count("note on the scores: only 60 generated images: fd_digits is unreliable") == 1
    samples = np.asarray(Image.open(folder / "samples.png")).astype(int)[::2, ::2]
    assert samples.shape == (3 * 34 + 2, 10 * 34 + 2)
    assert Image.open(folder / "curve.png").size[0] > 300


def test_tight_latents_make_images_alike(in_tmp: Path) -> None:
    train(in_tmp / "run", "optimizer.lr=0.01", model="mlp", rounds=4)  # without scores: those of its data set
    words = ["num=20", "plot=false", f"out={in_tmp / 'out'}", "thresholds=[0.01,2,50,null]"]
    assert main(["truncation", f"run={in_tmp / 'run'}", *words]) == 0
    with Image.open(in_tmp / "out" / "samples.png") as image:
        samples = np.asarray(image).astype(float)[::2, ::2]
        assert json.loads(image.info["rows"]) == ["0.01", "2", "50", "whole"]
    assert (samples[70:102] == samples[104:136]).all(), "whole latents are those of a threshold that nothing reaches"
    spreads = []
    for top in (2, 36):
        images = np.stack([samples[top : top + 32, left : left + 32] for left in range(2, 342, 34)])
        spreads.append(images.std(0).mean())
    assert spreads[0] < 0.1 * spreads[1]
    assert not (in_tmp / "out" / "curve.png").exists()


def test_a_space_without_classes_has_precision_in_place_of_the_inception_score(in_tmp: Path, monkeypatch) -> None:
    train(in_tmp / "run", model="mlp", rounds=1)
    monkeypatch.setattr(DigitFeatures, "has_classes", False)
    words = ["num=20", f"out={in_tmp / 'out'}", "thresholds=[0.1,null]"]
    assert main(["truncation", f"run={in_tmp / 'run'}", *words]) == 0
    rows = json.loads((in_tmp / "out" / "truncation.json").read_text())["scores"]
    assert [list(row) for row in rows] == [["threshold", "fd_digits", "precision_digits"]] * 2
    assert (in_tmp / "out" / "curve.png").is_file()


def test_labels_of_the_curve_never_overlap() -> None:
    numbers = random.Random(0)
    rows: list[dict[str, float | None]] = [
        {"threshold": one, "fd": 10 + numbers.random() / 100, "is": 9 + numbers.random() / 100}
        for one in (0.2, 0.25, 0.5, 0.8, 1.0, 1.1, 1.4, 1.7, 2.0, None)
    ]
    figure = draw(rows)
    figure.draw_without_rendering()
    ticks = {t for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.findobj(Text)}
    texts = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text().strip() and t not in ticks]
    boxes = [text.get_window_extent() for text in texts]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert {"0.2", "1.1", "whole"} <= {text.get_text() for text in texts}


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
