"""CIFAR-100, SVHN, STL-10, KMNIST, EMNIST and folders like ImageNet's, from small files in the published formats."""

import hashlib
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torchvision.datasets as official
from PIL import Image

from composing import typed
from gantool.data.cifar10 import Cifar10
from gantool.data.folder import Folder
from gantool.data.mnist import Mnist
from gantool.data.source import Decoded, Source
from gantool.data.torchvision_sets import TorchvisionSet
from gantool.errors import GantoolError
from gantool.runs.sources import build_source

COUNT = 6


def noise(*shape: int) -> np.ndarray:
    """The same whenever it is asked for."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def cifar100(root: Path, patch: pytest.MonkeyPatch) -> tuple[np.ndarray, list[int]]:
    folder = root / "cifar-100-python"
    folder.mkdir()
    images, labels = noise(COUNT, 32, 32, 3), [99, 0, 7, 7, 3, 1]
    for name in ("train", "test"):
        rows = {"data": images.transpose(0, 3, 1, 2).reshape(COUNT, -1), "fine_labels": labels}
        (folder / name).write_bytes(pickle.dumps(rows))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": list("abc")}))
    patch.setattr(official.CIFAR100, "train_list", [["train", md5(folder / "train")]])
    patch.setattr(official.CIFAR100, "test_list", [["test", md5(folder / "test")]])
    patch.setattr(official.CIFAR100, "meta", {**official.CIFAR100.meta, "md5": md5(folder / "meta")})
    return images, labels


def svhn(root: Path, patch: pytest.MonkeyPatch) -> tuple[np.ndarray, list[int]]:
    images, labels = noise(COUNT, 32, 32, 3), [0, 9, 5, 1, 1, 2]
    stored = [[label or 10] for label in labels]
    scipy.io.savemat(str(root / "train_32x32.mat"), {"X": images.transpose(1, 2, 3, 0), "y": np.array(stored)})
    known = ["", "train_32x32.mat", md5(root / "train_32x32.mat")]
    patch.setattr(official.SVHN, "split_list", {**official.SVHN.split_list, "train": known})
    return images, labels


def stl10(root: Path, patch: pytest.MonkeyPatch) -> tuple[np.ndarray, list[int]]:
    folder = root / "stl10_binary"
    folder.mkdir()
    images, labels = noise(COUNT, 96, 96, 3), [0, 9, 5, 1, 1, 2]
    for part in ("train", "test", "unlabeled"):
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{part}_y.bin").write_bytes((np.array(labels, np.uint8) + 1).tobytes())
    lists = {part: [[f"{part}_{kind}.bin", md5(folder / f"{part}_{kind}.bin")] for kind in "Xy"] for part in
             ("train", "test", "unlabeled")}  # fmt: skip
    patch.setattr(official.STL10, "train_list", [*lists["train"], lists["unlabeled"][0]])
    patch.setattr(official.STL10, "test_list", lists["test"])
    return images, labels


def emnist(root: Path, patch: pytest.MonkeyPatch) -> tuple[np.ndarray, list[int]]:
    folder = root / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    images, labels = noise(COUNT, 28, 28), [0, 25, 5, 1, 1, 2]
    for part in ("train", "test"):
        head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4) for n in (COUNT, 28, 28))
        (folder / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(head + images.transpose(0, 2, 1).tobytes())
        head = b"\0\0\x08\x01" + COUNT.to_bytes(4)
        stored = (np.array(labels, np.uint8) + 1).tobytes()
        (folder / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(head + stored)
    return images[..., None], labels


Written = Callable[[Path, pytest.MonkeyPatch], tuple[np.ndarray, list[int]]]
SETS: dict[str, tuple[Written, int, int, str]] = {  # the native side, the classes, and a file of it
    "cifar100": (cifar100, 32, 100, "cifar-100-python/train"),
    "svhn": (svhn, 32, 10, "train_32x32.mat"),
    "stl10": (stl10, 96, 10, "stl10_binary/train_X.bin"),
    "emnist": (emnist, 28, 26, "EMNIST/raw/emnist-letters-train-images-idx3-ubyte"),
}


def source(name: str, root: Path, *more: str) -> Source:
    """As gantool train builds it."""
    made: Any = build_source(typed(f"dataset={name}", f"dataset.root={root}", *more).dataset)
    return made


def decoded(made: Source) -> list[Decoded]:
    return [item for item in made.read() if isinstance(item, Decoded)]


@pytest.mark.parametrize("name", SETS)
def test_a_set_by_name_has_the_published_pixels_and_labels(name: str, tmp_path: Path, monkeypatch) -> None:
    write, side, classes, file = SETS[name]
    images, labels = write(tmp_path, monkeypatch)
    made = source(name, tmp_path, f"dataset.resolution={side}", "dataset.download=false")
    items = decoded(made)
    assert (np.stack([item.pixels.transpose(1, 2, 0) for item in items]) == images).all()
    assert [item.label for item in items] == labels and len(set(made.class_names)) == classes
    before = made.fingerprint()
    assert source(name, tmp_path, "dataset.split=test").fingerprint() != before
    assert decoded(source(name, tmp_path, "dataset.resolution=16"))[0].pixels.shape[1:] == (16, 16)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-9])
    with pytest.raises(GantoolError, match="is damaged .*delete it"):
        list(made.read())


@pytest.mark.parametrize("name", [*SETS, "kmnist"])
def test_missing_files_are_named_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(GantoolError, match=r"no .* in .*nowhere: .*dataset.root= .*dataset.download=true") as error:
        source(name, tmp_path / "nowhere", "dataset.download=false")
    assert "\n" not in str(error.value) and not (tmp_path / "nowhere").exists()


def test_unpublished_cifar100_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "trapped",))

    (tmp_path / "cifar-100-python").mkdir()
    for name in ("train", "test", "meta"):
        (tmp_path / "cifar-100-python" / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(GantoolError, match="cifar-100-python is damaged"):
        list(Cifar10(str(tmp_path), download=False, variant="CIFAR100").read())
    assert not (tmp_path / "trapped").exists()


def test_unlabelled_and_oddly_cut_sets(tmp_path: Path, monkeypatch) -> None:
    images, _ = stl10(tmp_path, monkeypatch)
    made = TorchvisionSet(str(tmp_path), "STL10", 96, "unlabeled", download=False)
    assert made.num_classes == 0 and len(list(made.read())) == len(images)
    with pytest.raises(GantoolError, match="dataset.subset=letters: only EMNIST"):
        TorchvisionSet(str(tmp_path), "STL10", subset="letters")
    with pytest.raises(GantoolError, match="did you mean 'letters'"):
        TorchvisionSet(str(tmp_path), "EMNIST", subset="leters")
    assert len(set(TorchvisionSet(str(tmp_path), "EMNIST", subset="balanced").class_names)) == 47


def test_kmnist_is_read_in_its_own_folder(shared_data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(official.KMNIST, "resources", official.MNIST.resources)
    shutil.copytree(shared_data / "mnist" / "MNIST", tmp_path / "KMNIST")  # digits for want of letters
    made = Mnist(str(tmp_path), split="test", download=False, variant="KMNIST")
    assert decoded(made)[0].label == 7 and made.class_names[7] == "ya"


@pytest.mark.parametrize("name", ["imagenet", "folder"])
def test_parts_of_a_folder_share_the_classes_of_training(name: str, tmp_path: Path) -> None:
    for place in ("train/n01/a.JPEG", "train/n02/b.JPEG", "train/n03/c.JPEG", "val/n01/d.JPEG", "val/n03/e.JPEG"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(16, 16, 3)).save(tmp_path / place)
    for empty in ("annotations", "n00/deep"):
        (tmp_path / "train" / empty).mkdir(parents=True)
    for words, files, labels in (([], 3, [0, 1, 2]), (["dataset.split=val"], 2, [0, 2])):
        made = source(name, tmp_path, "dataset.resolution=8", *words)
        assert made.class_names == ["n01", "n02", "n03"] and len(made) == files
        assert [item.label for item in decoded(made)] == labels
    assert len(Folder(str(tmp_path), labels="none", split="all")) == 5
    with pytest.raises(GantoolError, match=r"dataset.split=test: .* has no such part, only train, val"):
        Folder(str(tmp_path), split="test")
