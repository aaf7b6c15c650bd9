"""Data sets with two sides: what is found and refused, which source stands beside which image, and augmentation."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from extent import thorough
from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.data.stream import Stream
from gantool.data.two_sided import Paired, Unpaired
from gantool.errors import GantoolError
from runs import two_sides


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))


def sides(num_a: int, num_b: int, *, paired: bool = False, size: int = 8) -> ImageSet:
    """Random images of B; those of A are their negatives where they are paired."""
    draw = torch.Generator().manual_seed(0)
    b = torch.randint(256, (num_b, 3, size, size), dtype=torch.uint8, generator=draw)
    a = 255 - b if paired else torch.randint(256, (num_a, 3, size, size), dtype=torch.uint8, generator=draw)
    return ImageSet(b, None, [], "", "two", source=a, paired=paired)


def which(images: Tensor, among: Tensor) -> list[int]:
    """The index of each image in a set of uint8 images."""
    bytes_ = ((images + 1) * 127.5).round().to(torch.uint8)
    return [int((among == image).flatten(1).all(1).nonzero()[0]) for image in bytes_]


@thorough
def test_the_sides_of_horse2zebra(shared_data: Path) -> None:
    image_set = prepare(Unpaired(str(shared_data / "horse2zebra_128"), resolution=16), progress=False)
    assert image_set.source is not None and image_set.test is not None and image_set.test.source is not None
    sizes = [len(part) for part in (image_set.source, image_set.images, image_set.test.source, image_set.test.images)]
    assert sizes == [1067, 1334, 120, 140] and not image_set.paired
    grey = (image_set.images[:, 0] == image_set.images[:, 2]).flatten(1).all(1)
    assert grey.sum() >= 7, "the greyscale zebras have become RGB"


def test_any_two_folders(in_tmp: Path) -> None:
    root = two_sides(in_tmp / "sides")
    image_set = prepare(Unpaired(a=str(root / "trainB"), b=str(root / "testA"), resolution=28), progress=False)
    assert image_set.source is not None and image_set.source.float().mean() > 127 > image_set.images.float().mean()
    assert (len(image_set.source), len(image_set.images), image_set.test) == (12, 6, None)


def test_sets_are_known_by_the_side_that_is_scored(in_tmp: Path) -> None:
    """Scores are told with the name and the hash: those against one side are none against the other."""
    root = two_sides(in_tmp / "sides")
    shutil.copytree(root, in_tmp / "again")

    def known(kind: type[Unpaired | Paired], *places: object, **how: Any) -> set[tuple[str, str]]:
        made = [prepare(kind(str(place), **how, resolution=28), progress=False) for place in places]
        tests = [one.test for one in made if one.test is not None]
        assert len(tests) == len(made)
        return {(one.name, one.pixels_hash) for one in (*made, *tests)}

    for ways in (
        [known(Paired, root, in_tmp / "again", direction=direction) for direction in ("a2b", "b2a")],
        [known(Unpaired, root, in_tmp / "again"), known(Unpaired, root, **turned(root))],
    ):
        assert [len(way) for way in ways] == [2, 2] and len(set.union(*ways)) == 4


def turned(root: Path) -> dict[str, str]:
    """The same folders, each as the other side."""
    other = {"a": "trainB", "b": "trainA", "test_a": "testB", "test_b": "testA"}
    return {key: str(root / folder) for key, folder in other.items()}


def test_each_side_goes_through_epochs_of_its_own() -> None:
    image_set = sides(7, 10)
    assert image_set.source is not None
    batches = Stream(image_set, seed=0, device="cpu").take(0, count=14, size=5)
    a = [i for batch in batches for i in which(batch.source, image_set.source)]  # type: ignore[arg-type]
    b = [i for batch in batches for i in which(batch.images, image_set.images)]
    assert all(sorted(a[i : i + 7]) == list(range(7)) for i in range(0, 70, 7)), "every epoch shows every image of A"
    assert all(sorted(b[i : i + 10]) == list(range(10)) for i in range(0, 70, 10)), "and of B"
    assert a[:7] != a[7:14] and a[:7] != [i for i in b if i < 7][:7]
    (again,) = Stream(image_set, seed=0, device="cpu").take(35, count=1, size=5)
    assert which(again.source, image_set.source) == a[35:40], "position alone decides"  # type: ignore[arg-type]
    (other,) = Stream(image_set, seed=1, device="cpu").take(35, count=1, size=5)
    assert which(other.source, image_set.source) != a[35:40]  # type: ignore[arg-type]


def test_sides_of_equal_size_are_in_different_orders() -> None:
    image_set = sides(40, 40)
    stream = Stream(image_set, seed=0, device="cpu")
    for batch in (*stream.take(0, count=2, size=40), stream.fixed(40)):
        assert which(batch.source, image_set.source) != which(batch.images, image_set.images)  # type: ignore[arg-type]


@pytest.mark.parametrize("resident", [True, False])
def test_a_pair_stays_one_under_every_augmentation(resident: bool) -> None:
    options = {"seed": 0, "device": "cpu", "flip": True, "shift": 3, "rotation": 20, "device_resident": resident}
    torch.manual_seed(0)
    (batch,) = Stream(sides(10, 10, paired=True), **options, zoom=1.2).take(0, count=1, size=40)
    assert batch.source is not None and torch.allclose(batch.source, -batch.images, atol=1.01 / 127.5)  # uint8
    whole = Stream(sides(10, 10, paired=True), seed=0, device="cpu").take(0, count=1, size=40)[0]
    assert (whole.images - batch.images).abs().flatten(1).amax(1).gt(0.1).all(), "the control: they were augmented"


def test_sides_without_pairs_are_augmented_each_by_itself() -> None:
    image_set = sides(1, 1)
    torch.manual_seed(0)
    (batch,) = Stream(image_set, seed=0, device="cpu", flip=True).take(0, count=1, size=64)
    (zoomed,) = Stream(image_set, seed=0, device="cpu", zoom=1.3).take(0, count=1, size=64)
    assert zoomed.source is not None and not torch.allclose(zoomed.source, -zoomed.images, atol=0.1)
    (plain,) = Stream(image_set, seed=0, device="cpu").take(0, count=1, size=64)
    assert batch.source is not None and plain.source is not None
    mirrored = [(x != y).flatten(1).any(1) for x, y in ((batch.source, plain.source), (batch.images, plain.images))]
    assert all(16 < side.sum() < 48 for side in mirrored) and not torch.equal(*mirrored)


def test_ranks_share_the_rows_of_both_sides() -> None:
    for paired in (False, True):
        options = {"seed": 1, "device": "cpu", "flip": True, "shift": 2}
        torch.manual_seed(0)
        (whole,) = Stream(sides(9, 9, paired=paired), **options).take(12, count=1, size=6)
        parts = []
        for rank in range(2):
            torch.manual_seed(0)
            stream = Stream(sides(9, 9, paired=paired), **options, rank=rank, world=2)
            parts.append(stream.take(12, count=1, size=6)[0])
        for side in ("source", "images"):
            assert torch.equal(torch.cat([getattr(part, side) for part in parts]), getattr(whole, side))


def test_grids_are_of_the_test_part(in_tmp: Path) -> None:
    image_set = prepare(Paired(str(two_sides(in_tmp / "sides")), resolution=28), progress=False)
    assert image_set.test is not None and image_set.test.source is not None
    batch = Stream(image_set, seed=0, device="cpu", flip=True).fixed(9)
    found = which(batch.images, image_set.test.images)
    assert sorted(found[:6]) == list(range(6)) and found[6:] == found[:3]
    assert found == which(batch.source, image_set.test.source)  # type: ignore[arg-type]


def test_partners_have_equal_names_whatever_their_endings(in_tmp: Path) -> None:
    root = two_sides(in_tmp / "sides")
    Image.open(root / "trainA" / "3.png").save(root / "trainA" / "3.bmp")
    (root / "trainA" / "3.png").unlink()
    image_set = prepare(Paired(str(root), resolution=28, channels=1), progress=False)
    assert image_set.source is not None and image_set.paired and len(image_set.images) == 12
    assert (image_set.source == 255 - image_set.images).all()


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_images_side_by_side(in_tmp: Path, direction: str) -> None:
    for split, count in (("train", 3), ("val", 2)):
        (in_tmp / split).mkdir()
        for index in range(count):
            halves = np.concatenate([np.full((20, 20), index), np.full((20, 20), 200 + index)], 1)
            Image.fromarray(halves.astype(np.uint8)).save(in_tmp / split / f"{index}.png")
    image_set = prepare(Paired(str(in_tmp), direction=direction, resolution=16), progress=False)
    assert image_set.test is not None and image_set.source is not None and len(image_set.test.images) == 2
    left, right = (image_set.source, image_set.images) if direction == "a2b" else (image_set.images, image_set.source)
    assert left[:, 0, 0, 0].tolist() == [0, 1, 2] and right[:, 2, 9, 9].tolist() == [200, 201, 202]
    assert left.shape == (3, 3, 16, 16)


def test_a_damaged_partner_takes_its_pair_along(in_tmp: Path) -> None:
    root = two_sides(in_tmp / "sides")
    (root / "trainB" / "5.png").write_text("no image")
    source = Paired(str(root), resolution=28)
    with pytest.raises(GantoolError, match="1 damaged image: 5"):
        prepare(source, progress=False)
    image_set = prepare(source, on_bad_image="skip", progress=False)
    assert image_set.source is not None and len(image_set.images) == 11
    assert (image_set.source == 255 - image_set.images).all()


def test_mistakes_are_found_at_once(in_tmp: Path) -> None:
    root = two_sides(in_tmp / "sides")
    (in_tmp / "empty").mkdir()
    (in_tmp / "square").mkdir()
    Image.new("RGB", (20, 20)).save(in_tmp / "square" / "a.png")
    for make, message in (
        (lambda: Unpaired(), "two sides are needed: dataset.root= with trainA and trainB"),
        (lambda: Unpaired(str(in_tmp)), f"dataset.root={in_tmp}/trainA is not a folder"),
        (lambda: Unpaired(a=str(root / "trainA"), b="nowhere"), "dataset.b=nowhere is not a folder"),
        (lambda: Unpaired(str(root), a=str(in_tmp / "empty")), f"dataset.a={in_tmp}/empty holds no images"),
        (lambda: Unpaired(a=str(root / "trainA"), b=str(root / "trainB"), test_a=str(root)), "dataset.test_b=FOLDER"),
        (
            lambda: Unpaired("nowhere", a=str(root / "trainA"), b=str(root / "trainB")),
            "dataset.root=nowhere holds none",
        ),
        (lambda: Unpaired(str(root), channels=17), "dataset.channels=17"),
        (lambda: Paired(str(root), direction="a2c"), "dataset.direction=a2c: choose one of a2b, b2a"),
        (lambda: Paired(a=str(root / "trainA"), b=str(root / "testB")), r"10 (and 5 more) is "),
        (lambda: Paired(str(in_tmp / "nowhere")), "dataset.root=.*nowhere is not a folder"),
        (lambda: Paired(str(in_tmp / "empty")), "empty holds no images"),
        (lambda: Paired(str(root), a=str(root), side_by_side=True), "takes dataset.root=FOLDER, not the side"),
        (lambda: prepare(Paired(str(in_tmp / "square"))), "20x20 pixels are not two images side by side"),
    ):
        with pytest.raises(GantoolError, match=message.replace("(", r"\(").replace(")", r"\)")) as raised:
            make()
        assert "\n" not in str(raised.value)
