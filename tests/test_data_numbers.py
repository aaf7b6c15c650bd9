"""Pixels that are not 8-bit colours: 16 bits, floats, arrays, stacks, DICOM, HEIC, 1 to 16 channels, all the way."""

import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image

from extent import thorough
from gantool import load_run
from gantool.augment.adaptive import ScheduledADA
from gantool.augment.diffaugment import DiffAugment
from gantool.batch import Draws
from gantool.cli.main import main
from gantool.data.arrays import _kept, count_images, one_image
from gantool.data.cache import prepare
from gantool.data.fitting import Fitting
from gantool.data.folder import Folder
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.images import normalise, shown, to_stored, to_uint8
from gantool.logging.grid import grid, save_png
from runs import small


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


def read(root: Path, channels: int | None = 1, **how: Any) -> ImageSet:
    fitting = Fitting(**{"bits": 8, **how})
    return prepare(Folder(str(root), resolution=8, channels=channels, fitting=fitting), progress=False)


def noise(top: int, *shape: int) -> np.ndarray:
    """Whole numbers below `top`, the same whenever they are asked for."""
    return np.random.default_rng(0).integers(0, top, shape, np.uint8 if top <= 256 else np.uint16)


def ramp(top: float, dtype: Any, *shape: int) -> np.ndarray:
    """From 0 to `top`."""
    shape = shape or (8, 8)
    return np.linspace(0, top, int(np.prod(shape))).reshape(shape).astype(dtype)


RANGES = {  # what is saved, dataset.range, and what of 8 bits the first and the last value are
    "12 bits by hand": (ramp(4095, np.uint16), [0, 4095], 0, 255),
    "12 bits found": (ramp(4095, np.uint16), "auto", 0, 255),
    "half of it": (ramp(4095, np.uint16), [0, 8190], 0, 128),
    "cut at both ends": (ramp(1000, np.uint16), [400, 600], 0, 255),
    "16 bits": (ramp(65535, np.uint16), "full", 0, 255),
    "floats found": (ramp(3, np.float32) - 1, "auto", 0, 255),
    "floats of 0 and 1": (ramp(1, np.float32), "full", 0, 255),
    "32 bits": (ramp(10**6, np.int32), "auto", 0, 255),
    "one value": (np.full((8, 8), 7, np.uint16), "auto", 0, 0),
}


@pytest.mark.parametrize("ending", [".tif", ".npy"])
@pytest.mark.parametrize("kind", RANGES)
def test_a_range_is_taken_as_told_or_found(kind: str, ending: str, tmp_path: Path, capsys) -> None:
    values, told, first, last = RANGES[kind]
    path = tmp_path / f"a{ending}"
    np.save(path, values) if ending == ".npy" else Image.fromarray(values).save(path)
    made = read(tmp_path, range=told).images[0, 0]
    assert abs(int(made[0, 0]) - first) <= 1 and abs(int(made[-1, -1]) - last) <= 1
    deep = read(tmp_path, range=told, bits=16).images
    assert deep.dtype == torch.int16 and (to_uint8(deep)[0, 0].int() - made.int()).abs().max() <= 1
    prepare(Folder(str(tmp_path), resolution=16, channels=1, fitting=Fitting(range=told)))
    assert f"values range from {values.min():g} to {values.max():g}; " in capsys.readouterr().err


def test_sixteen_bits_are_kept_where_they_came_in(tmp_path: Path) -> None:
    values = noise(65536, 8, 8)
    values[0, :2] = 0, 65535
    Image.fromarray(values).save(tmp_path / "a.png")
    made = read(tmp_path, bits=None)
    assert (made.images[0, 0].numpy().astype(int) + 32768 == values).all()
    assert read(tmp_path).images.dtype == torch.uint8
    floats = normalise(made.images)
    assert floats.min() == -1 and floats.max() == 1 and torch.equal(to_stored(floats, 16), made.images)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_deep_png_keeps_every_bit(channels: int, tmp_path: Path) -> None:
    stored = torch.randint(-32768, 32768, (channels, 8, 8)).to(torch.int16)
    save_png(stored, tmp_path / "a.png")
    assert torch.equal(read(tmp_path, channels, bits=16).images[0], stored)


ARRAYS = {  # what is saved, channels asked for, and (N, C)
    "images": (noise(256, 5, 8, 8, 3), None, (5, 3)),
    "grey images": (noise(256, 5, 20, 20), None, (5, 1)),
    "one image": (noise(256, 20, 20, 3), None, (1, 3)),
    "one grey image": (noise(256, 8, 8), None, (1, 1)),
    "two channels": (noise(256, 5, 8, 8, 2), None, (5, 2)),
    "sixteen channels": (noise(256, 5, 8, 8, 16), 16, (5, 16)),
    "colours to grey": (noise(256, 5, 8, 8, 3), 1, (5, 1)),
}


@pytest.mark.parametrize("ending", ["npy", "npz"])
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_are_images(kind: str, ending: str, tmp_path: Path) -> None:
    array, channels, shape = ARRAYS[kind]
    path = tmp_path / f"a.{ending}"
    np.save(path, array) if ending == "npy" else np.savez(path, arr_0=array, arr_1=np.zeros(len(array)))
    for root in (tmp_path, path):
        images = read(root, channels).images
        assert images.shape == (*shape, 8, 8)
        if kind in ("images", "two channels", "sixteen channels"):
            assert (images.permute(0, 2, 3, 1).numpy() == array).all()


def test_nothing_in_an_array_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "trapped",))

    np.save(tmp_path / "a.npy", np.array([[Trap()]], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", np.array([[Trap()]], dtype=object))
    with pytest.raises(GantoolError, match="2 damaged images: a.npy .*allow_pickle"):
        read(tmp_path)
    assert not (tmp_path / "trapped").exists()


WRONG = {
    "text": (np.array(["a"]), "not an image: save numbers"),
    "five dimensions": (np.zeros((1, 2, 3, 4, 5), np.uint8), "N, H, W, C. .*1 to 16 channels"),
    "channels first": (np.zeros((5, 3, 40, 40), np.uint8), "N, H, W, C. .*1 to 16 channels"),
    "colours first": (np.zeros((3, 8, 8), np.uint8), r"3x8x8 may be one .* or 3 grey ones: save .H, W, C. or"),
    "and opacity": (np.zeros((4, 40, 40), np.uint8), r"4x40x40 may be one .* or 4 grey ones: save .H, W, C. or"),
    "not finite": (np.full((8, 8), np.nan, np.float32), "not finite"),
    "floats without a range": (
        ramp(1, np.float32),
        "floating-point pixels have no agreed range: .* or set dataset.range",
    ),
    "signed": (ramp(9, np.int16), "16-bit signed integers have no agreed range: .* or set dataset.range=auto"),
    "other channels": (np.zeros((8, 8, 5), np.uint8)[None], "5 channels where dataset.channels=1"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_image_is_one_line(kind: str, tmp_path: Path) -> None:
    array, told = WRONG[kind]
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(GantoolError, match=told) as error:
        read(tmp_path)
    assert "\n" not in str(error.value) and "a.npy" in str(error.value)


def test_pages_of_a_tiff_are_images_or_channels(tmp_path: Path) -> None:
    pages = [Image.fromarray(page) for page in noise(65536, 5, 8, 8)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    images = read(tmp_path, bits=16).images
    assert images.shape == (5, 1, 8, 8) and (images[3, 0].numpy().astype(int) + 32768 == np.asarray(pages[3])).all()
    stacked = read(tmp_path, 5, bits=16).images
    assert torch.equal(stacked[0], images[:, 0])


def test_an_archive_that_changed_is_read_again(tmp_path: Path) -> None:
    for value in (100, 200):
        np.savez(tmp_path / "a.npz", np.full((2, 8, 8, 1), value, np.uint8))
        assert one_image(tmp_path / "a.npz", 1).max() == value
        assert read(tmp_path).images.float().mean() == value
        assert _kept.cache_info().currsize == 0, "its memory is free again"


def test_what_an_archive_unpacks_to_is_told_by_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file may claim any size, and hold it too."""
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((7, 8, 8, 2), np.uint8), labels=np.zeros(7))
    with ZipFile(tmp_path / "b.npz", "w") as archive, archive.open("images.npy", "w") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 100, 100, 3)}
        np.lib.format.write_array_header_1_0(file, header)
    with monkeypatch.context() as patch:
        patch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda archive, key: pytest.fail("it is unpacked"))
        assert count_images(tmp_path / "a.npz") == 7
        with pytest.raises(GantoolError, match="1 damaged image: b.npz .240,000.0 GB once unpacked.* save .npy"):
            read(tmp_path / "b.npz")
    assert read(tmp_path / "a.npz", 2).images.shape == (7, 2, 8, 8)


def test_heic_and_avif_are_read(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    image = Image.fromarray(np.full((16, 16, 3), (200, 100, 50), np.uint8))
    image.save(tmp_path / "a.heic")
    image.save(tmp_path / "b.avif")
    images = read(tmp_path, 3).images.float().mean((2, 3))
    assert (images - torch.tensor([200.0, 100.0, 50.0])).abs().max() < 6


@pytest.mark.parametrize(("ending", "module"), [(".dcm", "pydicom"), (".heic", "pillow_heif")])
def test_a_missing_extra_is_named_before_any_work(ending: str, module: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / f"a{ending}").write_bytes(b"?")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(GantoolError, match=rf"needs {module}: pip install 'gantool\[(dicom|heic)\]'"):
        Folder(str(tmp_path))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
def test_pictures_of_any_number_of_channels_show(channels: int, tmp_path: Path) -> None:
    images = torch.rand(6, channels, 8, 12) * 2 - 1
    seen = shown(images)
    assert seen.shape[1] in (1, 3) and grid(images).shape[0] in (1, 3)
    if channels not in (1, 3, 4):
        assert all(torch.equal(seen[0, 0, :8, 12 * c : 12 * c + 12], images[0, c]) for c in range(2))
    save_png(to_uint8(images[0]), tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size[0] >= 12
    for augment in (DiffAugment(), ScheduledADA(policy={"color": 1.0}, probability=1.0)):
        if isinstance(augment, ScheduledADA):
            augment.p.fill_(1.0)
        changed = augment(images, Draws(6, torch.device("cpu")))
        assert changed.shape == images.shape
    colour = DiffAugment(["color"])(images, Draws(6, torch.device("cpu")))
    assert torch.equal(colour, images) == (channels not in (1, 3))


@thorough
def test_five_channels_of_sixteen_bits_go_all_the_way(in_tmp: Path) -> None:
    np.save(in_tmp / "images.npy", noise(4096, 12, 8, 8, 5))
    run = in_tmp / "run"
    words = [
        "dataset=folder",
        f"dataset.root={in_tmp / 'images.npy'}",
        "dataset.resolution=8",
        "dataset.range=[0,4095]",
    ]
    words += ["monitor=[samples,scores]", "score=fd", "features=efficientnet", "monitor.scores.num=6"]
    assert main(small(run, *words, "augment=ada", "dataset.flip=true", model="mlp", rounds=2)) == 0
    assert load_run(run, device="cpu").bits == 16
    for kind in ("grid", "png", "npz"):
        assert main(["sample", f"run={run}", "num=4", f"format={kind}", f"out={in_tmp / kind}"]) == 0
    with np.load(in_tmp / "npz" / "samples.npz") as made:
        assert made["arr_0"].shape == (4, 8, 8, 5) and made["arr_0"].dtype == np.uint16 and made["arr_0"].max() > 255
    assert Image.open(in_tmp / "png" / "000000.png").mode.startswith("I")
    assert read(in_tmp / "npz", 5, bits=None).images.shape == (4, 5, 8, 8)
