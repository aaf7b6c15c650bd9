"""The lists beside CelebA's images: written in other ways they are read, damaged ones are refused by name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gantool.data.cache import prepare
from gantool.data.celeba import ATTRIBUTE_NAMES, CelebA
from gantool.errors import GantoolError
from test_data_neighbours import draw


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


ROWS = [f"{i}.png" + " -1" * 39 + f" {(-1, 1)[i % 2]}" for i in range(4)]
GOOD = {
    "list_attr_celeba.txt": "\n".join(["4", " ".join(ATTRIBUTE_NAMES), *ROWS]),
    "list_eval_partition.txt": "\n".join(f"{i}.png 0" for i in range(4)),
}


def celeba(tmp_path: Path) -> CelebA:
    draw(tmp_path / "img_align_celeba", 4)
    for name, text in GOOD.items():
        if not (tmp_path / name).exists():
            (tmp_path / name).write_text(text)
    return CelebA(str(tmp_path), resolution=8, download=False, attributes=["Young"])


WRITTEN: dict[str, Callable[[str], bytes]] = {
    "mark": lambda text: text.encode("utf-8-sig"),
    "windows": lambda text: text.replace("\n", "\r\n").encode(),
    "mark, windows": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "spaces": lambda text: ("\n" + text.replace(" ", "   ") + "  \n\n").encode(),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("how", WRITTEN)
def test_lists_may_be_written_in_other_ways(name: str, how: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(WRITTEN[how](GOOD[name]))
    image_set = prepare(celeba(tmp_path), progress=False)
    assert image_set.labels is not None and image_set.labels.tolist() == [0, 1, 0, 1]


DAMAGED: dict[str, Callable[[str], bytes]] = {
    "utf-16": lambda text: text.encode("utf-16"),
    "bytes": lambda text: b"\xff\xfe\xfa" + text.encode(),
    "commas": lambda text: text.replace(" ", ",").encode(),
    "a short row": lambda text: text.rpartition(" ")[0].encode(),
    "a value more": lambda text: f"{text} 1".encode(),
    "another value": lambda text: f"{text[:-2]} 7".encode(),
    "a name twice": lambda text: (text + "\n" + text.splitlines()[-1]).encode(),
    "html": lambda text: b"<html>\n<body>404</body>\n</html>",
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("how", DAMAGED)
def test_damaged_lists_are_refused_by_name(name: str, how: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(DAMAGED[how](GOOD[name]))
    with pytest.raises(GantoolError, match=f"{name}.*put that file there|{name}.*put the official file there") as error:
        prepare(celeba(tmp_path), progress=False)
    assert "\n" not in str(error.value)


def test_images_that_no_list_names_are_told_of(tmp_path: Path, capsys) -> None:
    (tmp_path / "list_eval_partition.txt").write_text("\n".join(f"{i}.png {i % 3}" for i in range(3)))
    prepare(celeba(tmp_path))
    assert "note: 1 images are not in list_eval_partition.txt and so in no split" in capsys.readouterr().err
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(GOOD["list_attr_celeba.txt"].splitlines()[:1]))
    with pytest.raises(GantoolError, match="is not the official list"):
        prepare(celeba(tmp_path), progress=False)
