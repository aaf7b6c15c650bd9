"""The parts of a data set, in folders and in zips, what lies beside them, and the file of labels above them."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from gantool.data.archive import Archive
from gantool.data.cache import prepare
from gantool.data.folder import Folder
from gantool.errors import GantoolError
from test_data_labels import draw


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


def drawn(tmp_path: Path, folders: str, texts: Mapping[str, str] | None = None) -> Path:
    """Two images in each of some folders, all of other names, and files of text."""
    names = [f"{folder}/{2 * place + index}.png" for place, folder in enumerate(folders.split()) for index in range(2)]
    root = draw(tmp_path / "images", names)
    for name, text in (texts or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def packed(root: Path, top: str = "") -> Path:
    """A zip of what lies in `root`, below a folder of it."""
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for found in sorted(path for path in root.rglob("*") if path.is_file()):
            file.write(found, f"{top}{found.relative_to(root)}")
    return path


@pytest.mark.parametrize("top", ["", "my/", "my/own/"])
@pytest.mark.parametrize("settings", [{}, {"split": "train"}, {"split": "test"}, {"split": "all", "labels": "none"}])
def test_a_zip_is_read_as_its_folder_would_be(top: str, settings: dict[str, str], tmp_path: Path) -> None:
    root = drawn(tmp_path, "train/a train/b test/a test/b")
    one, other = (Folder(str(place), resolution=8, **settings) for place in (root, packed(root, top)))  # pyright: ignore
    assert one.class_names == other.class_names and one.split == other.split and one.notice
    made, zipped = prepare(one, progress=False), prepare(other, progress=False)
    assert torch.equal(made.images, zipped.images) and torch.equal(made.rows, zipped.rows)


@pytest.mark.parametrize("top", ["", "my/", "my/own/"])
def test_classes_and_labels_of_a_zip_may_lie_in_one_folder(top: str, tmp_path: Path) -> None:
    root = drawn(tmp_path, "a b")
    assert Folder(str(packed(root, top))).class_names == ["a", "b"]
    (root / "labels.csv").write_text("file,kind\na/0.png,x\na/1.png,y\nb/2.png,y\nb/3.png,z\n")
    source = Folder(str(packed(root, top)), resolution=8)
    labels = prepare(source, progress=False).labels
    assert source.class_names == ["x", "y", "z"] and labels is not None and labels.tolist() == [0, 1, 1, 2]


def test_advice_about_a_zip_can_be_followed(tmp_path: Path) -> None:
    root = drawn(tmp_path, "my/a my/b", {"README.txt": "?"})
    assert "no labels, as there is only one folder: a zip of my makes " in Folder(str(packed(root))).notice
    (root / "README.txt").unlink()
    assert Folder(str(packed(root))).class_names == ["a", "b"]
    sides = packed(drawn(tmp_path / "sides", "trainA trainB"))
    with pytest.raises(
        GantoolError, match="parts of a data set and not classes; take one of them, a zip of trainA, or"
    ):
        Folder(str(sides))
    with pytest.raises(GantoolError, match=r"dataset.split=val: .*zip has no such part, only test, train: choose all"):
        Folder(str(packed(drawn(tmp_path / "parts", "train test"))), split="val")


def test_a_part_of_a_zip_is_opened_again_by_another_process(tmp_path: Path) -> None:
    part = Archive(packed(drawn(tmp_path, "train test"), "my/")).below("test")
    again = pickle.loads(pickle.dumps(part))
    assert list(again.found.images) == ["2.png", "3.png"] and again.read("2.png") == part.read("2.png")
    assert again.digest == part.digest != Archive(part.path).digest


BESIDE = ["devkit", "cats", "train2017", ".hidden", "0.png"]


@pytest.mark.parametrize("beside", BESIDE)
def test_a_part_that_is_named_is_found_whatever_lies_beside_it(beside: str, tmp_path: Path) -> None:
    root = drawn(tmp_path, "train/a train/b val/a", {"train/masks/0.txt": "no class"})
    draw(root, [beside if beside.endswith(".png") else f"{beside}/9.png"])
    for place in (root, packed(root)):
        train, val = (Folder(str(place), split=split) for split in ("train", "val"))
        assert (len(train), len(val)) == (4, 2) and train.class_names == val.class_names == ["a", "b"]
        assert f"dataset.split=train: the images in {place / 'train'}; there is val too" in train.notice


@pytest.mark.parametrize("folders", ["train1 train2", "trainA trainB", "trainer", "training train_set"])
def test_a_part_that_is_several_or_none_is_refused(folders: str, tmp_path: Path) -> None:
    there = ", ".join(sorted(folders.split()))
    with pytest.raises(GantoolError, match=f"dataset.split=train: .* has no such part, only {there}: choose all"):
        Folder(str(drawn(tmp_path, folders)), split="train")


def test_a_part_of_images_without_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GantoolError, match=r"dataset.split=train: .* has no such part, and no folders: choose all"):
        Folder(str(draw(tmp_path, ["1.png"])), split="train")


LISTED = {  # of images 0 and 1 in train, 2 and 3 in test
    "paths": "file,kind\ntrain/0.png,x\ntrain/1.png,y\ntest/2.png,z\ntest/3.png,x\n",
    "paths, the other part first": "test/2.png,z\ntest/3.png,x\ntrain/0.png,x\ntrain/1.png,y\n",
    "names": "file,kind\n0.png,x\n1.png,y\n2.png,z\n3.png,x\n",
    "paths from above": "file,kind\nd/train/0.png,x\nd/train/1.png,y\nd/test/2.png,z\nd/test/3.png,x\n",
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("case", LISTED)
def test_a_file_of_labels_beside_the_parts_is_for_all_of_them(case: str, zipped: bool, tmp_path: Path) -> None:
    root = drawn(tmp_path, "train test", {"labels.csv": LISTED[case]})
    place = packed(root, "my/") if zipped else root
    for settings, expected in (({}, [0, 1]), ({"split": "train"}, [0, 1]), ({"split": "test"}, [2, 0])):
        source = Folder(str(place), resolution=8, **settings)  # pyright: ignore
        labels = prepare(source, progress=False).labels
        assert source.class_names == ["x", "y", "z"] and labels is not None and labels.tolist() == expected
        assert "not there" not in source.notice and f"dataset.split={source.split}" in source.notice
    assert Folder(str(place), labels="none").num_classes == 0


def test_files_of_the_same_name_in_two_parts_are_told_apart(tmp_path: Path) -> None:
    root = draw(tmp_path, ["train/0.png", "test/0.png"])
    (root / "labels.csv").write_text("file,kind\ntrain/0.png,x\ntest/0.png,y\n")
    labels = [
        prepare(Folder(str(root), split=split, resolution=8), progress=False).labels for split in ("train", "test")
    ]
    assert [one.tolist() for one in labels if one is not None] == [[0], [1]]


def test_a_parts_own_file_of_labels_comes_first(tmp_path: Path) -> None:
    own, above = "file,kind\n0.png,x\n1.png,y\n", "file,age\ntrain/0.png,0.1\ntrain/1.png,0.2\n"
    root = drawn(tmp_path, "train test", {"train/labels.csv": own, "labels.csv": above})
    assert Folder(str(root)).class_names == ["x", "y"]
    with pytest.raises(GantoolError, match=r"labels.csv .*test/2.png, test/3.png: add them, .*dataset.labels="):
        Folder(str(root), split="test")
    (root / "train" / "labels.csv").unlink()
    source = Folder(str(root), columns=["age"])
    assert source.vectors and source.class_names == ["age"] and "skipped: " not in source.notice
