"""What lies beside images (other files, links, parts of a data set, thin classes, lists): told of, or refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantool.data.cache import prepare
from gantool.data.folder import Folder
from gantool.data.two_sided import Paired
from gantool.errors import GantoolError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def draw(folder: Path, count: int = 3, width: int = 8) -> None:
    noise = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(noise.integers(0, 256, (8, width, 3), np.uint8)).save(folder / f"{index}.png")


def told(source: Folder, capsys: pytest.CaptureFixture) -> str:
    capsys.readouterr()
    prepare(source)
    return capsys.readouterr().err


PICTURES = [
    ".zip",
    ".tar",
    ".psd",
    ".jp2",
    ".jxl",
    ".mp4",
    ".ARW",
    ".parquet",
    ".h5",
    ".mdb",
]


@pytest.mark.parametrize("ending", [*PICTURES, ".txt", ".json", ".pt", ""])
def test_files_that_are_passed_over_are_told_of(ending: str, root: Path, capsys) -> None:
    draw(root)
    (root / f"a{ending}").write_bytes(b"?")
    said = told(Folder(str(root), resolution=8), capsys)
    assert f"note: skipped: {ending.lower() or 'no ending'} (1)" in said
    assert ("convert to PNG or JPEG" in said) == (ending in PICTURES)
    assert "skipped: " in told(Folder(str(root), resolution=8), capsys), "from the cache too"


@pytest.mark.parametrize("ending", PICTURES)
@pytest.mark.parametrize("beside", [0, 3])
def test_more_pictures_that_cannot_be_read_than_images_are_refused(ending: str, beside: int, root: Path) -> None:
    draw(root, beside)
    for index in range(4):
        (root / f"{index}{ending}").write_bytes(b"?")
    with pytest.raises(GantoolError, match=r"convert them to PNG or JPEG") as error:
        Folder(str(root))
    assert f"{ending.lower()} (4)" in str(error.value) and "\n" not in str(error.value)


def test_hidden_images_are_told_of_and_the_systems_own_files_not(root: Path, capsys) -> None:
    draw(root)
    for name in (".cat.png", "._a.png", ".DS_Store"):
        (root / name).write_bytes(b"?")
    assert "skipped: hidden images (1)\n" in told(Folder(str(root), resolution=8), capsys)


def test_a_pipe_called_an_image_is_no_image(root: Path, capsys) -> None:
    draw(root)
    os.mkfifo(root / "pipe.png")
    assert "skipped: .png (1)" in told(Folder(str(root), resolution=8), capsys)


LINKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "up": (lambda root: (root / "a" / "up").symlink_to(root), "a/up leads back to a folder above it"),
    "itself": (lambda root: (root / "a" / "up").symlink_to(root / "a"), "a/up leads back to a folder above it"),
    "a folder twice": (lambda root: (root / "0").symlink_to(root / "a"), "0 leads to a folder that is read already"),
    "a file twice": (lambda root: (root / "a" / "x.png").symlink_to("0.png"), "a/x.png is the same file as a/0.png"),
    "a hard link": (lambda root: (root / "a" / "x.png").hardlink_to(root / "a" / "0.png"), "is the same file as"),
}


@pytest.mark.parametrize("kind", LINKS)
def test_links_that_lead_to_what_is_read_are_told_of(kind: str, root: Path, capsys) -> None:
    link, text = LINKS[kind]
    draw(root / "a")
    link(root)
    source = Folder(str(root), resolution=8)
    assert len(source) == 3 + ("x.png" in text or "same file" in text)
    assert f"{text}" in (said := told(source, capsys)) and "remove unintended links" in said


@pytest.mark.parametrize("name", ["a/gone.png", "gone", "a/loop.png", "gone.txt"])
def test_links_to_nothing_are_refused(name: str, root: Path) -> None:
    draw(root / "a")
    target = root / name if "loop" in name else root / "nowhere"
    (root / name).symlink_to(target)
    with pytest.raises(GantoolError, match=f"{name} is a broken link .*: repair or remove it"):
        Folder(str(root))


def test_a_link_to_images_elsewhere_is_followed(root: Path, tmp_path: Path, capsys) -> None:
    draw(tmp_path / "elsewhere")
    (root / "a").symlink_to(tmp_path / "elsewhere")
    source = Folder(str(root), resolution=8)
    assert len(source) == 3 and "note" not in told(source, capsys)


PARTS = [
    ["train", "test"],
    ["train", "val", "test"],
    ["Train", "Validation"],
    ["train_images", "test_images"],
    ["train2017", "val2017"],
    ["trainA", "trainB", "testA", "testB"],
    ["training", "testing"],
    ["dev", "test"],
    ["train set", "test_set"],
    ["images", "masks"],
]


@pytest.mark.parametrize("names", PARTS, ids="-".join)
@pytest.mark.parametrize("inner", ["", "cat"])
def test_parts_of_a_data_set_are_no_classes(names: list[str], inner: str, root: Path, capsys) -> None:
    for name in names:
        draw(root / name / inner)
    assert "are trained on" in told(Folder(str(root), resolution=8, labels="none", split="all"), capsys)
    if names[0].lower().startswith("train") and names[0] != "trainA":
        assert f"dataset.split=train: the images in {root / names[0]}" in told(Folder(str(root), resolution=8), capsys)
        return
    with pytest.raises(GantoolError, match="parts of a data set and not classes; take one of them") as error:
        Folder(str(root))
    assert f"dataset.root={root / names[0]}" in str(error.value)
    Folder(str(root / names[0]))


def test_one_part_among_classes_is_told_of(root: Path, capsys) -> None:
    for name in ("cats", "dogs", "test"):
        draw(root / name)
    assert "note: class test looks like a part" in told(Folder(str(root), resolution=8), capsys)


@pytest.mark.parametrize("names", [["tests", "trains"], ["trainer", "protest"], ["evaluation", "vale"], ["a", "b"]])
def test_classes_are_no_parts(names: list[str], root: Path, capsys) -> None:
    for name in names:
        draw(root / name)
    assert "note" not in told(Folder(str(root), resolution=8), capsys)


def test_classes_in_one_folder_or_beside_images_are_told_of(root: Path, capsys) -> None:
    draw(root / "train" / "cat")
    draw(root / "train" / "dog")
    said = told(Folder(str(root), resolution=8), capsys)
    assert (
        f"no labels, as there is only one folder: dataset.root={root / 'train'} makes its sub-folders the classes"
        in said
    )
    draw(root / "b")
    draw(root, 1)
    said = told(Folder(str(root), resolution=8), capsys)
    assert "no labels, as 1 of the images lie beside the folders b, train" in said


def test_thin_classes_are_told_of(root: Path, capsys) -> None:
    draw(root / "many", 5)
    draw(root / "one", 1)
    draw(root / "lost", 1)
    (root / "none").mkdir()
    (root / "lost" / "0.png").write_bytes(b"?")
    prepare(Folder(str(root), resolution=8), on_bad_image="skip")
    said = capsys.readouterr().err
    assert "in 3 classes of 0 to 5" in said and "note: none holds no images, so it is no class" in said
    assert "note: class one has one image" in said and "note: class lost has no image" in said


def test_pairs_tell_of_their_neighbours_and_know_their_parts(root: Path, capsys) -> None:
    draw(root / "train", width=16)
    (root / "train" / "a.psd").write_bytes(b"?")
    prepare(Paired(str(root), resolution=8))
    assert "paired train: note: skipped: .psd (1)" in capsys.readouterr().err
    (root / "train").rename(root / "test")
    draw(root, width=16)
    with pytest.raises(GantoolError, match="holds test and no train: move the training pairs into train"):
        Paired(str(root))
