"""The cache is used only as it was written, and only for source files of the same content."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantool.data import stored
from gantool.data.cache import prepare
from gantool.data.celeba import ATTRIBUTE_NAMES, CelebA
from gantool.data.folder import Folder
from gantool.data.image_set import ImageSet
from gantool.data.source import Source
from gantool.data.two_sided import Paired, TwoSided, Unpaired
from gantool.metrics.tensors import load_tensors, save_tensors

STORED = ("images.u8", "rows.npy", "files.json", "meta.json")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


def draw(path: Path, other: int = 0) -> None:
    """Noise of its own for each place, and for each `other`; uncompressed, so that all has the same size."""
    noise = np.random.default_rng([*"/".join(path.parts[-2:]).encode(), other])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise.integers(0, 256, (16, 16, 3), np.uint8)).save(path)


def unnoticed(path: Path, change: Callable[[], object]) -> None:
    """Makes a change after which size and time are as they were."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of four images, and what every other data set of folders needs."""
    noise = np.random.default_rng(0)
    for i in range(4):
        for part in ("cats", "dogs"):
            draw(tmp_path / "classes" / part / f"{i}.bmp")
        for part in ("trainA", "trainB", "celeba/img_align_celeba"):
            draw(tmp_path / part / f"{i}.bmp")
        Image.fromarray(noise.integers(0, 256, (16, 32, 3), np.uint8)).save(tmp_path / f"{i}.bmp")
    rows = [f"{i}.bmp" + " -1" * 40 for i in range(4)]
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text("\n".join(["4", " ".join(ATTRIBUTE_NAMES), *rows]))
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text("\n".join(f"{i}.bmp 0" for i in range(4)))
    return tmp_path


def classes(root: Path) -> ImageSet:
    return prepare(Folder(str(root / "classes"), resolution=16))


def flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 4
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "first bit": lambda path: flip(path, 0),
    "middle bit": lambda path: flip(path, 0.5),
    "last bit": lambda path: flip(path, 1),
    "text": lambda path: path.write_text("<html>"),
    "list": lambda path: path.write_text("[1, 2]"),
    "of another set": lambda path: path.write_bytes((path.parents[2] / "other" / path.name).read_bytes()),
}


@pytest.mark.parametrize("name", STORED)
def test_a_damaged_cache_is_made_again(name: str, root: Path, cache: Path, capsys: pytest.CaptureFixture) -> None:
    prepare(Folder(str(root / "trainA"), resolution=16))
    (other,) = cache.glob("folder-*/")
    shutil.move(other, cache.parent / "other")
    first = classes(root)
    images, labels = first.images.clone(), first.labels
    (folder,) = cache.glob("folder-*/")
    for what, damage in DAMAGES.items():
        capsys.readouterr()
        damage(folder / name)
        again = classes(root)
        assert "its cache is damaged" in capsys.readouterr().err, what
        assert torch.equal(again.images, images) and torch.equal(again.labels, labels), what  # pyright: ignore
        assert again.fingerprint == first.fingerprint, what
    classes(root)
    assert "damaged" not in capsys.readouterr().err, "the control: what was made again is sound"


def test_a_bit_of_any_piece_is_noticed(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(stored, "PIECE", 1000)
    classes(root)
    (folder,) = cache.glob("folder-*/")
    for place in (0, 0.3, 0.6, 0.99):
        path = folder / "images.u8"
        unnoticed(path, lambda: flip(path, place))  # noqa: B023
        capsys.readouterr()
        classes(root)
        assert "its cache is damaged (images.u8)" in capsys.readouterr().err


SOURCES: dict[str, tuple[str, Callable[[Path], Source | TwoSided]]] = {
    "folder": ("classes/dogs/2.bmp", lambda root: Folder(str(root / "classes"), resolution=16)),
    "unpaired": ("trainB/3.bmp", lambda root: Unpaired(str(root), resolution=16)),
    "partners": ("trainA/1.bmp", lambda root: Paired(str(root), resolution=16)),
    "halves": ("0.bmp", lambda root: Paired(str(root / "halves"), side_by_side=True, resolution=16)),
    "celeba": ("celeba/img_align_celeba/2.bmp", lambda root: CelebA(str(root), resolution=16, download=False)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_changed_pixels_of_the_same_size_and_time_are_noticed(kind: str, root: Path, capsys) -> None:
    name, build = SOURCES[kind]
    if kind == "halves":
        (root / "halves").mkdir()
        for path in root.glob("*.bmp"):
            path.rename(root / "halves" / path.name)
        name = "halves/0.bmp"
    first = prepare(build(root))
    path = root / name
    pixels = np.asarray(Image.open(path))
    unnoticed(path, lambda: Image.fromarray(255 - pixels).save(path))
    capsys.readouterr()
    second = prepare(build(root))
    assert f"{path.name} changed, though not in size and time" in capsys.readouterr().err
    both = [torch.cat([s.images, s.images if s.source is None else s.source]) for s in (first, second)]
    assert (both[0] != both[1]).flatten(1).any(1).sum() in (1, 2), "the one image is another one now"
    assert second.fingerprint != first.fingerprint, "or its old statistics would be taken for those of the new ones"


def test_changed_labels_of_the_same_size_and_time_are_noticed(root: Path) -> None:
    def labels() -> list[int]:
        made = prepare(CelebA(str(root), resolution=16, download=False, attributes=["Smiling", "Young"]))
        assert made.labels is not None
        return made.labels.tolist()

    assert labels() == [0, 0, 0, 0]
    path = root / "celeba" / "list_attr_celeba.txt"
    lines = path.read_text().splitlines()
    for i in (2, 4):  # " -1" becomes "  1"
        lines[i] = lines[i][:-2] + " 1"
    unnoticed(path, lambda: path.write_text("\n".join(lines)))
    assert labels() == [1, 0, 1, 0]


def test_of_many_files_those_that_were_touched_last_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "NEWEST", 2)
    monkeypatch.setattr(stored, "SPREAD", 2)
    first = classes(root)
    path = root / "classes" / "cats" / "3.bmp"
    unnoticed(path, lambda: draw(path, 1))
    assert classes(root).fingerprint != first.fingerprint


def test_names_times_and_settings_have_a_cache_of_their_own_and_a_copy_the_same(root: Path) -> None:
    first = classes(root)
    shutil.copytree(root / "classes", root / "copy" / "classes")
    assert classes(root / "copy").fingerprint == first.fingerprint


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name not in ("removed", "list")])
def test_damaged_statistics_and_weights_are_not_used(damage: str, tmp_path: Path) -> None:
    path, other = tmp_path / "cache" / "a" / "1.safetensors", tmp_path / "other" / "2.safetensors"
    tensors = {"features": torch.randn(7, 5), "logits": torch.ones(7)}
    save_tensors(tensors, path)
    save_tensors({**tensors, "logits": torch.zeros(7)}, other)
    other.rename(other.with_name(path.name))
    loaded = load_tensors(path)
    assert loaded is not None and torch.equal(loaded["features"], tensors["features"])
    DAMAGES[damage](path)
    assert load_tensors(path) is None


def test_no_bit_of_statistics_can_change_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "1.safetensors"
    save_tensors({"features": torch.randn(4, 3)}, path)
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        assert load_tensors(path) is None, place


def test_of_many_pieces_a_sample_is_read_another_one_each_time(root: Path, cache: Path, monkeypatch) -> None:
    monkeypatch.setattr(stored, "PIECE", 100)
    monkeypatch.setattr(stored, "SAMPLE", 3)
    classes(root)
    (folder,) = cache.glob("folder-*/")
    path = folder / "images.u8"
    meta = json.loads((folder / "meta.json").read_text())["meta"]

    def noticed() -> bool:
        try:
            stored.check(folder, meta["key"], {})
        except stored.Stale:
            return True
        return False

    assert not any(noticed() for _ in range(20))
    flip(path, 0.5)
    found = [noticed() for _ in range(300)]
    assert any(found) and not all(found)
    older = {name: value for name, value in meta.items() if name != "pieces"}
    (folder / "meta.json").write_text(json.dumps({"meta": older, "sum": stored._sum(older)}))
    assert all(noticed() for _ in range(10)), "what an older gantool wrote is read whole"
    flip(path, 0.5)
    assert not noticed()
    (folder / "meta.json").write_text(json.dumps({"meta": meta, "sum": stored._sum(meta)}))
    os.truncate(path, path.stat().st_size - 1)
    assert all(noticed() for _ in range(10)), "the size is always looked at"
