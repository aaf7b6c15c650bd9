"""Data sets with two sides take every kind of pixels that a folder takes, and translations come out as deep."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from extent import some
from gantool.cli.main import main
from gantool.data.cache import prepare
from gantool.data.fitting import Fitting
from gantool.data.folder import Folder
from gantool.data.image_set import ImageSet
from gantool.data.two_sided import Paired, Unpaired
from gantool.errors import GantoolError
from gantool.images import normalise
from gantool.logging.grid import save_png
from runs import train

SIDE = 32
Draw = Callable[[Path, np.ndarray], object]  # writes (H, W, 3) numbers from 0 to 1 under the path without its ending


def deep(path: Path, light: np.ndarray) -> None:
    stored = (light * 65535 - 32768).round().astype(np.int16)
    save_png(torch.from_numpy(stored.transpose(2, 0, 1).copy()), path.with_suffix(".png"))


def tiff(path: Path, light: np.ndarray) -> None:
    pages = [Image.fromarray((light[..., c] * 65535).astype(np.uint16)) for c in range(3)]
    pages[0].save(path.with_suffix(".tif"), save_all=True, append_images=pages[1:])


KINDS: dict[str, tuple[Draw, Fitting, int, int]] = {  # and what is stored: channels, bits
    "16 bits in colour": (deep, Fitting(bits=None), 3, 16),
    "16 bits in grey": (lambda p, x: Image.fromarray((x[..., 0] * 65535).astype(np.uint16)).save(p.with_suffix(".png")),
                        Fitting(bits=None), 1, 16),
    "12 bits with a range": (lambda p, x: Image.fromarray((x[..., 0] * 4095).astype(np.uint16)).save(f"{p}.png"),
                             Fitting(bits=None, range=(0, 4095)), 1, 16),
    "arrays of floats": (lambda p, x: np.save(f"{p}.npy", x.astype(np.float32)),
                         Fitting(bits=None, range="full"), 3, 16),
    "arrays of several images": (lambda p, x: np.save(f"{p}.npy", np.stack([x, 1 - x]).astype(np.float32)),
                                 Fitting(bits=8, range="full"), 3, 8),
    "pages as channels": (tiff, Fitting(bits=None, fit="stretch"), 3, 16),
    "8 bits": (lambda p, x: Image.fromarray((x * 255).astype(np.uint8)).save(f"{p}.png"), Fitting(bits=None), 3, 8),
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path / "cache"))


def drawn(folder: Path, draw: Draw, lights: list[np.ndarray]) -> Path:
    folder.mkdir(parents=True)
    for index, light in enumerate(lights):
        draw(folder / str(index), light)
    return folder


def lights(seed: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).random((3, SIDE, SIDE, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_are_what_a_folder_makes_of_them(kind: str, tmp_path: Path) -> None:
    draw, fitting, channels, bits = KINDS[kind]
    left, right = lights(0), lights(1)
    shape = {"resolution": SIDE, "channels": channels, "fitting": fitting}
    alone: list[ImageSet] = []
    for name, side in (("trainA", left), ("trainB", right)):
        folder = drawn(tmp_path / "sides" / name, draw, side)
        alone.append(prepare(Folder(str(folder), labels="none", **shape), progress=False))
    drawn(tmp_path / "beside" / "train", draw, [np.concatenate(pair, 1) for pair in zip(left, right, strict=True)])
    assert (
        alone[0].images.dtype == (torch.int16 if bits == 16 else torch.uint8) and alone[0].images.shape[1] == channels
    )
    for source in (
        Unpaired(str(tmp_path / "sides"), **shape),
        Paired(str(tmp_path / "sides"), **shape),
        Paired(str(tmp_path / "beside"), **shape),
    ):
        assert source.bits == bits
        both = prepare(source, progress=False)
        assert both.source is not None
        for side, found in zip(alone, (both.source, both.images), strict=True):
            assert torch.equal(found, side.images)


def test_a_side_of_8_bits_beside_one_of_16(tmp_path: Path) -> None:
    for seed, (name, kind) in enumerate((("trainA", "8 bits"), ("trainB", "16 bits in colour"))):
        drawn(tmp_path / name, KINDS[kind][0], lights(seed))
    for kind in (Unpaired, Paired):
        both = prepare(kind(str(tmp_path), resolution=SIDE, fitting=Fitting(bits=None)), progress=False)
        assert both.source is not None and both.source.dtype == both.images.dtype == torch.int16
        values = (normalise(both.source) + 1) * 127.5
        torch.testing.assert_close(values, values.round(), rtol=0, atol=0.01)
    with pytest.raises(GantoolError, match=r"dataset.range=auto: .* unpaired .*\[black,white\]"):
        Unpaired(str(tmp_path), fitting=Fitting(range="auto"))


@pytest.mark.parametrize("model", some(["pix2pix", "cyclegan"], 1))
def test_translations_are_as_deep_as_their_images(model: str, in_tmp: Path) -> None:
    noise = np.random.default_rng(2)
    for seed, name in enumerate(("trainA", "trainB")):
        drawn(in_tmp / "sides" / name, deep, lights(seed))
    kind = "paired" if model == "pix2pix" else "unpaired"
    game = train(in_tmp / "run", f"dataset={kind}", "monitor=[samples]", model=model, rounds=1)["game"]
    assert all(value.dtype == torch.int16 for name, value in game.items() if re.fullmatch(r"pools\..\.images", name))
    source = drawn(in_tmp / "source", deep, [noise.random((40, 50, 3))])
    Image.fromarray(noise.integers(0, 256, (20, 24, 3), np.uint8)).save(source / "flat.png")
    words = ["sample", f"run={in_tmp / 'run'}", f"source={source}"]
    assert main([*words, "format=png", f"out={in_tmp / 'own'}"]) == 0
    assert depth(in_tmp / "own" / "0.png") == (16, 50, 40) and depth(in_tmp / "own" / "flat.png") == (8, 24, 20)
    assert main([*words, "format=png", "size=run", f"out={in_tmp / 'run size'}"]) == 0
    assert depth(in_tmp / "run size" / "0.png") == (16, SIDE, SIDE)
    assert main([*words, "format=npz", f"out={in_tmp / 'npz'}"]) == 0
    with np.load(in_tmp / "npz" / "samples.npz") as made:
        assert made["arr_0"].dtype == np.uint16 and len(np.unique(made["arr_0"])) > 256
    assert main([*words, "format=grid", f"out={in_tmp / 'grid'}"]) == 0


def depth(path: Path) -> tuple[int, int, int]:
    """Bits, width and height of a PNG in colour."""
    head = path.read_bytes()[16:26]
    assert head[9] == 2
    return head[8], int.from_bytes(head[:4]), int.from_bytes(head[4:8])
