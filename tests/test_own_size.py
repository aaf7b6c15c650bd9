"""Translations at the size of each image: padded, in tiles, with names and depth kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from extent import some
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.networks.translators import ResNet, UNet
from gantool.runs.own_size import translate
from runs import train

SIZES = [(28, 28), (37, 61), (3, 200), (1, 1), (100, 64)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CycleGAN of one round on grey digits."""
    folder = tmp_path_factory.mktemp("own") / "run"
    train(folder, "dataset.channels=1", model="cyclegan", rounds=1)
    return folder


def made(run: Path, source: Path, out: Path, *words: str) -> dict[str, np.ndarray]:
    assert main(["sample", f"run={run}", "format=png", f"source={source}", f"out={out}", *words]) == 0
    return {path.relative_to(out).as_posix(): np.asarray(Image.open(path)) for path in sorted(out.rglob("*.png"))}


def test_names_sizes_and_depths_are_kept(run: Path, in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0)
    (in_tmp / "images" / "deep").mkdir(parents=True)
    for height, width in SIZES[1:3]:
        pixels = noise.integers(0, 256, (height, width), np.uint8)
        Image.fromarray(pixels).save(in_tmp / "images" / f"{height}.bmp")
    fine = noise.integers(0, 65536, (50, 40)).astype(np.uint16)
    Image.fromarray(fine).save(in_tmp / "images" / "deep" / "fine.png")
    files = made(run, in_tmp / "images", in_tmp / "out")
    assert {name: (a.shape, a.dtype.itemsize) for name, a in files.items()} == {
        "37.png": ((37, 61), 1),
        "3.png": ((3, 200), 1),
        "deep/fine.png": ((50, 40), 2),
    }
    assert len(np.unique(files["deep/fine.png"])) > 256, "more shades than 8 bits have"
    tiled = made(run, in_tmp / "images", in_tmp / "tiled", "tile=32")
    assert {name: a.shape for name, a in tiled.items()} == {name: a.shape for name, a in files.items()}
    (in_tmp / "images" / "broken.png").write_bytes(b"none")
    assert main(["sample", f"run={run}", "format=png", f"source={in_tmp / 'images'}", f"out={in_tmp / 'x'}"]) == 1
    error = capfd.readouterr().err
    assert "broken.png is damaged" in error and error.count("\n") == 1
    assert main(["sample", f"run={run}", "tile=32"]) == 1 and "leave it out" in capfd.readouterr().err


class Brighter(nn.Module):
    """Each pixel by itself, in tiles that are multiples of 8 and hold at most `most` pixels."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.seen = most, []

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        assert height % 8 == width % 8 == 0
        if height * width > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.seen.append((height, width))
        return images * 0.5 + 0.1


def test_tiles_that_are_too_small_are_no_lack_of_memory() -> None:
    with pytest.raises(GantoolError, match="tile=8: this network takes tiles of 16 pixels or more"):
        translate(nn.Identity(), torch.zeros(3, 64, 64), step=4, least=16, tile=8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("most", [10**9, 64 * 64, 16 * 16])
def test_tiles_are_joined_without_a_seam(size: tuple[int, int], most: int) -> None:
    network, image = Brighter(most), torch.rand(3, *size) * 2 - 1
    torch.testing.assert_close(translate(network, image, step=8, least=8), image * 0.5 + 0.1)
    assert all(height * width <= most for height, width in network.seen)
    assert (len(network.seen) == 1) == (network.seen[0][0] >= size[0] and network.seen[0][1] >= size[1])


NETWORKS = {"resnet": (ResNet, 4, 16), "unet": (UNet, 32, 32)}


@pytest.mark.parametrize("kind", some(NETWORKS, 2))
def test_real_translators_take_every_size(kind: str) -> None:
    network, step, least = NETWORKS[kind]
    built = network(resolution=32, channels=3, width=2).eval()
    for size in SIZES:
        image = torch.rand(3, *size) * 2 - 1
        assert translate(built, image, step=step, least=least).shape == image.shape
    square = torch.rand(3, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(translate(built, square, step=step, least=least), built(square[None])[0])
