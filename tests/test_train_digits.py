"""The command that made the digit classifier which ships with gantool: it can be run again."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

from gantool.metrics import train_digits
from gantool.metrics.digits import DigitClassifier
from gantool.metrics.train_digits import main
from runs import same


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST's files with 200 and 50 digits that are bars, each at the place of its class."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(train_digits, "EPOCHS", 4)
    monkeypatch.setattr(train_digits, "BATCH_SIZE", 20)
    monkeypatch.setattr(train_digits, "augment", lambda images: images)
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 200), ("t10k", 50)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[:, 2 * label + 4 : 2 * label + 7] = 255
        head = b"\0\0\x08\x03" + b"".join(side.to_bytes(4) for side in images.shape)
        (raw / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
        tags = b"\0\0\x08\x01" + count.to_bytes(4) + labels.tobytes()
        (raw / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(tags))
    sums = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in raw.iterdir()]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", sums)
    return tmp_path / "data"


def test_the_classifier_can_be_made_again(root: Path, tmp_path: Path, capsys) -> None:
    made = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in made:
        assert main([str(root), str(file)]) == 0
    one, other = map(load_file, made)
    assert same(one, other), "the same machine gives the same bits"
    DigitClassifier().load_state_dict(one)
    with safe_open(made[0], "pt") as opened:
        known = opened.metadata()
    assert known["trained_on"] == "MNIST train, 200 images" and float(known["test_accuracy"]) > 0.5
    assert known["test_accuracy"] in capsys.readouterr().out


@pytest.mark.parametrize("words", ["", "data", "data a b"])
def test_other_words_are_told_what_it_takes(words: str, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert "usage: python -m gantool.metrics.train_digits" in capsys.readouterr().err


def test_damaged_digits_are_one_line(root: Path, tmp_path: Path, capsys) -> None:
    (root / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz").write_bytes(b"none")
    assert main([str(root), str(tmp_path / "c.safetensors")]) == 1
    error = capsys.readouterr().err
    assert "error: " in error and error.count("\n") == 1 and not (tmp_path / "c.safetensors").exists()
