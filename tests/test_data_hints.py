"""What is told to a user who names images otherwise than gantool wants it."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from gantool.cli import main
from gantool.data.mnist import Mnist5k
from gantool.data.two_sided import Paired
from gantool.errors import GantoolError

pytestmark = pytest.mark.usefixtures("in_tmp")


def draw(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("L", (8, 8)).save(folder / name)
    return folder


@pytest.mark.parametrize("place", ["tree", "my data/tree", "data/tree.zip", "/HERE/tree", "nothing", "notes.txt"])
def test_images_in_the_place_of_a_choice_name_both_words(place: str, in_tmp: Path, capfd) -> None:
    draw(in_tmp / "tree" / "a", "1.png")
    shutil.copytree("tree", "my data/tree")
    shutil.make_archive("data/tree", "zip", "tree")
    Path("notes.txt").touch()
    place = place.replace("/HERE", str(in_tmp))
    assert main(["train", f"dataset={place}"]) == 1
    err = capfd.readouterr().err
    word = f"'dataset.root={place}'" if " " in place else f"dataset.root={place}"
    hint = "" if place in ("nothing", "notes.txt") else f" (did you mean dataset=folder {word}?)"
    assert f"no '{place}' in config group 'dataset'{hint}; choices: celeba, " in err and err.count("\n") == 1


def test_a_root_of_the_default_set_names_the_sets_that_read_one(tmp_path: Path) -> None:
    draw(tmp_path / "tree" / "a", "1.png")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "train-images-idx3-ubyte.gz").touch()
    shutil.make_archive(str(tmp_path / "images"), "zip", tmp_path / "tree")
    for place, other in (
        ("tree", "dataset=folder or dataset=mnist"),
        ("images.zip", "dataset=folder or dataset=mnist"),
        ("raw", "dataset=mnist"),
        ("gone", "dataset=mnist"),
    ):
        with pytest.raises(GantoolError) as refused:
            Mnist5k(root=str(tmp_path / place))
        assert str(refused.value).endswith(f"{place}: mnist-5k reads no folder; did you mean {other}?")


def test_sides_that_share_no_name_are_sent_to_the_set_without_pairs(in_tmp: Path) -> None:
    a, b, c = (
        str(draw(in_tmp / name, *(f"{number}.png" for number in numbers))) for name, *numbers in ("a01", "b12", "c23")
    )
    fix = "; for folders without pairs: model=cyclegan dataset=unpaired"
    for other, has in ((b, False), (c, True)):
        with pytest.raises(GantoolError) as refused:
            Paired(a=a, b=other)
        assert str(refused.value).endswith(f"pairs need equal names{fix * has}")
