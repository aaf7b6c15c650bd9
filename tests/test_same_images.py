"""Runs on the same pixels in other files are compared; told other labels, a conditional one is not."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantool.cli.main import main
from runs import train


def test_the_same_pixels_may_lie_in_other_files(in_tmp: Path, capfd: pytest.CaptureFixture) -> None:
    """In folders, and with a list that gives them the same labels or others."""
    noise = np.random.default_rng(0)
    lists = {"same": "", "others": ""}
    for index in range(24):
        image, label = Image.fromarray(noise.integers(0, 256, (16, 16), np.uint8)), "ab"[index % 3 == 0]
        for path in (f"tree/{label}/{index}.png", f"same/{23 - index}.png", f"others/{index}.png"):
            (in_tmp / path).parent.mkdir(parents=True, exist_ok=True)
            image.save(in_tmp / path)
        lists["same"] += f"{23 - index}.png,{label}\n"
        lists["others"] += f"{index}.png,{'ab'[index % 2]}\n"
    for name, text in lists.items():
        (in_tmp / name / "labels.csv").write_text(f"file,class\n{text}")
    for run, root, conditional in (("t", "tree", 1), ("s", "same", 1), ("o", "others", 1), ("p", "others", 0)):
        words = [f"dataset.root={root}", "dataset.resolution=16", "dataset.channels=1", "dataset=folder"]
        train(in_tmp / run, *words, f"model.conditional={'true' if conditional else 'false'}", model="mlp", rounds=1)
    words = ["score=[fd]", "features=digits", "num=12"]
    assert main(["evaluate", "run=[t,s,p]", *words, "out=table"]) == 0
    assert len(json.loads(Path("table/results.json").read_text())) == 3
    capfd.readouterr()
    assert main(["evaluate", "run=[t,o]", *words]) == 1
    assert "o and t were told other labels of the same images: evaluate them one by one" in capfd.readouterr().err
