"""Files with nothing in them: one line where nothing else is there, and no matter beside others."""

from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from gantool.data.cache import prepare
from gantool.data.folder import Folder
from gantool.data.source import Source
from gantool.data.two_sided import Paired, TwoSided, Unpaired
from gantool.errors import GantoolError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


def zip_of_nothing(path: Path) -> None:
    ZipFile(path, "w").close()


EMPTY: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no images": ("a.npy", lambda path: np.save(path, np.zeros((0, 8, 8, 3), np.uint8))),
    "no grey images": ("a.npy", lambda path: np.save(path, np.zeros((0, 8, 8), np.uint8))),
    "no images in an archive": ("a.npz", lambda path: np.savez(path, np.zeros((0, 8, 8, 3), np.uint8))),
    "no pixels": ("a.npy", lambda path: np.save(path, np.zeros((2, 0, 8, 3), np.uint8))),
    "no pixels of one": ("a.npy", lambda path: np.save(path, np.zeros((0, 8), np.uint8))),
    "no array": ("a.npz", zip_of_nothing),
    "no bytes of an array": ("a.npy", Path.touch),
    "no bytes of an archive": ("a.npz", Path.touch),
    "no pages": ("a.tif", lambda path: path.write_bytes(b"II*\0" + bytes(4))),
    "no bytes of a tiff": ("a.tif", Path.touch),
    "no bytes": ("a.png", Path.touch),
    "nothing in a zip": ("a.zip", zip_of_nothing),
}


@pytest.mark.parametrize("kind", EMPTY)
def test_nothing_but_what_is_empty_is_one_line(kind: str, in_tmp: Path) -> None:
    """Wherever images are looked for. Pairs are named without their endings."""
    name, made = EMPTY[kind]
    for folder in ("a", "b", "c/train"):
        (in_tmp / folder).mkdir(parents=True)
        made(in_tmp / folder / name)
    root = f"a/{name}" if name.endswith(".zip") else "a"
    sources: list[Callable[[], Source | TwoSided]] = [
        lambda: Folder(root, resolution=8),
        lambda: Unpaired(a="a", b="b", resolution=8),
        lambda: Paired(a="a", b="b", resolution=8),
        lambda: Paired("c", resolution=8),
    ]
    for source in sources:
        with pytest.raises(GantoolError, match=rf"\b{name}|image: a |a\[0\]|\.zip") as error:
            prepare(source(), progress=False)
        told = str(error.value)
        assert "\n" not in told and not any(word in told for word in ("index", "Error", "reduction")), told


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("labels.csv", "", "the first line should be a header such as file,class"),
        ("labels.csv", "\n \n", "the first line should be a header such as file,class"),
        ("labels.csv", "file,class\n", "labels.csv .* a.png: add it"),
        ("labels.csv", "file,class,age\n", "labels.csv .* a.png: add it"),
        ("dataset.json", "", "dataset.json is not .*: mend or remove it"),
        ("dataset.json", "{}", "dataset.json is not .*: mend or remove it"),
    ],
)
def test_a_file_of_no_labels_is_one_line(name: str, content: str, told: str, tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    (tmp_path / name).write_text(content)
    with pytest.raises(GantoolError, match=told) as error:
        Folder(str(tmp_path), resolution=8)
    assert "\n" not in str(error.value)


def test_an_array_of_none_beside_others_is_no_matter(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 8, 8, 1), np.uint8))
    np.save(tmp_path / "b.npy", np.arange(192, dtype=np.uint8).reshape(3, 8, 8, 1))
    assert len(prepare(Folder(str(tmp_path), resolution=8, channels=1), progress=False).images) == 3
