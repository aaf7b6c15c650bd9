"""Any folder of images: formats, labels, what is ignored and what is damaged."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantool.data.cache import prepare
from gantool.data.folder import Folder
from gantool.data.source import Damaged, Decoded
from gantool.errors import GantoolError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def photo() -> Image.Image:
    """Brighter downwards and to the right, with noise; 178 x 218 as a face of CelebA."""
    down, right = np.mgrid[:218, :178]
    noise = np.random.default_rng(0).integers(0, 30, (218, 178, 3))
    return Image.fromarray((np.dstack([down, right, (down + right) // 2]) + noise).astype(np.uint8))


def only(source: Folder) -> np.ndarray:
    (item,) = source.read()
    assert isinstance(item, Decoded), item
    return item.pixels


def test_sub_folders_are_classes_and_greyscale_becomes_rgb(shared_data: Path, root: Path) -> None:
    for name, side in (("horse", "testA"), ("zebra", "trainB")):
        (root / name).symlink_to(shared_data / "horse2zebra_128" / side)
    source = Folder(str(root), resolution=32)
    assert source.class_names == ["horse", "zebra"]
    image_set = prepare(source, progress=False)
    assert image_set.labels is not None and image_set.labels.bincount().tolist() == [120, 1334]
    grey = (image_set.images[:, 0] == image_set.images[:, 1]).flatten(1).all(1)
    assert grey[image_set.labels == 1].sum() >= 7
    assert Folder(str(root), labels="none").num_classes == 0


def test_greyscale_on_request(root: Path, photo: Image.Image) -> None:
    photo.save(root / "a.png")
    pixels = only(Folder(str(root), resolution=218, channels=1))
    assert pixels.shape == (1, 218, 218) and pixels.std() > 10


def test_nested_folders_without_two_classes_are_unlabelled(root: Path, photo: Image.Image) -> None:
    (root / "a" / "b").mkdir(parents=True)
    photo.save(root / "a" / "b" / "1.jpg")
    assert Folder(str(root)).num_classes == 0
    (root / "c").mkdir()
    photo.save(root / "c" / "2.JPG")
    assert Folder(str(root)).class_names == ["a", "c"]
    photo.save(root / "beside.webp")
    assert Folder(str(root)).num_classes == 0 and len(Folder(str(root))) == 3


def test_what_is_no_image_is_ignored(root: Path, photo: Image.Image) -> None:
    photo.save(root / "a.jpg")
    for name in ("notes.txt", "._a.jpg", ".DS_Store", "model.pt"):
        (root / name).write_text("no image")
    (root / "loop").symlink_to(root)
    assert len(Folder(str(root))) == 1


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.tif", "a.ppm"])
def test_lossless_formats_keep_every_pixel(root: Path, photo: Image.Image, name: str) -> None:
    square = photo.crop((0, 20, 178, 198))
    photo.save(root / name, lossless=True)
    assert (only(Folder(str(root), resolution=178)).transpose(1, 2, 0) == np.asarray(square)).all()


def test_transparency_lies_on_white(root: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (200, 0, 0, 255)
    Image.fromarray(pixels).save(root / "a.png")
    result = only(Folder(str(root), resolution=8))
    assert (result[:, :, 4:] == 255).all() and (result[0, :, :4] == 200).all() and (result[1:, :, :4] == 0).all()


def test_palettes_give_their_colours(root: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 4, 8))
    image.save(root / "a.png", transparency=0)
    result = only(Folder(str(root), resolution=8))
    assert (result[:, :, :4] == 255).all() and result[:, 0, 7].tolist() == [10, 20, 30]


def test_exif_turns_the_image(root: Path, photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    photo.save(root / "a.png", exif=exif)
    turned = photo.rotate(-90, expand=True).crop((20, 0, 198, 178))
    assert (only(Folder(str(root), resolution=178)).transpose(1, 2, 0) == np.asarray(turned)).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_to_eight(root: Path, name: str) -> None:
    ramp = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(ramp).save(root / name)
    result = only(Folder(str(root), resolution=8, channels=1))[0]
    assert result[0, 0] == 0 and result[-1, -1] == 255 and np.abs(result - ramp / 257).max() <= 0.5


def test_cmyk_and_black_and_white_are_read(root: Path, photo: Image.Image) -> None:
    photo.convert("CMYK").save(root / "a.jpg")
    photo.convert("1").save(root / "b.png")
    assert all(isinstance(item, Decoded) for item in Folder(str(root)).read())


def test_damaged_images_stop_the_run_by_name_or_are_left_out(root: Path, photo: Image.Image, capsys) -> None:
    for i in range(3):
        photo.save(root / f"{i}.jpg")
    whole = (root / "1.jpg").read_bytes()
    (root / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "text.png").write_text("no image")
    (root / "zero.gif").touch()
    damaged = [item.path for item in Folder(str(root)).read() if isinstance(item, Damaged)]
    assert damaged == ["1.jpg", "text.png", "zero.gif"]
    for _ in range(2):  # the second time from the cache
        with pytest.raises(GantoolError, match=r"3 damaged images: 1\.jpg .*text\.png .*on_bad_image=skip") as error:
            prepare(Folder(str(root)))
        assert "\n" not in str(error.value)
    image_set = prepare(Folder(str(root)), on_bad_image="skip")
    assert len(image_set.images) == 2
    assert "3 damaged images: 1.jpg" in capsys.readouterr().err


def test_nothing_but_damage_is_an_error_even_when_skipping(root: Path) -> None:
    (root / "a.png").write_text("no image")
    with pytest.raises(GantoolError, match=r"1 damaged image: a\.png"):
        prepare(Folder(str(root)), on_bad_image="skip")


def test_mistakes_are_found_at_once(root: Path, tmp_path: Path) -> None:
    for none in (None, ""):  # an empty one is not the working folder
        with pytest.raises(GantoolError, match=r"dataset\.root=FOLDER"):
            Folder(none)
    with pytest.raises(GantoolError, match="is not a folder"):
        Folder(str(tmp_path / "nowhere"))
    with pytest.raises(GantoolError, match="holds no images"):
        Folder(str(root))
    with pytest.raises(GantoolError, match=r"dataset\.labels"):
        Folder(str(root), labels="folder")
    with pytest.raises(GantoolError, match=r"dataset\.channels=17"):
        (root / "a.png").touch()
        Folder(str(root), channels=17)
    with pytest.raises(GantoolError, match="did you mean 'skip'"):
        prepare(Folder(str(root)), on_bad_image="skipp")
    (root / "labels.csv").write_text("file,age\na.png,1\n")
    for labels in ("none", "folders"):
        with pytest.raises(GantoolError, match=f"dataset.columns=age .*and dataset.labels={labels} .*auto"):
            Folder(str(root), labels=labels, columns=["age"])
