"""Batches as a function of position: order, epochs, ranks, and the augmentation of real images."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gantool.batch import Batch
from gantool.data.fixed import fixed_images
from gantool.data.image_set import ImageSet
from gantool.data.shelf import Shelf
from gantool.data.stream import Stream
from gantool.errors import GantoolError
from gantool.game import Outcome, Player


def numbered(count: int, size: int = 8, channels: int = 1) -> ImageSet:
    """Image i is filled with the value i and labelled i."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, channels, size, size).contiguous()
    return ImageSet(images, torch.arange(count), [str(i) for i in range(count)], "", "numbered")


def noise(count: int = 16, height: int = 8, width: int = 8) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=generator)
    return ImageSet(images, None, [], "", "noise")


def labels(stream: Stream, position: int, count: int, size: int) -> list[int]:
    return [int(i) for batch in stream.take(position, count=count, size=size) for i in batch.labels]  # pyright: ignore


def plain(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def test_every_epoch_shows_every_image_in_a_new_order() -> None:
    stream = Stream(numbered(10), seed=0, device="cpu")
    shown = labels(stream, 0, count=10, size=3)  # three epochs in batches that straddle them
    epochs = [shown[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_batch_is_a_function_of_seed_and_position() -> None:
    stream = Stream(numbered(10), seed=3, device="cpu")
    shown = labels(stream, 0, count=20, size=4)
    fresh = Stream(numbered(10), seed=3, device="cpu")
    assert labels(fresh, 52, count=2, size=4) == shown[52:60]
    assert labels(fresh, 8, count=2, size=4) == shown[8:16]  # and back again
    assert labels(Stream(numbered(10), seed=4, device="cpu"), 0, count=20, size=4) != shown


def test_images_labels_and_places_go_together() -> None:
    first, second = Stream(numbered(200), seed=0, device="cpu").take(64, count=2, size=32)
    assert (first.position, second.position, first.offset, first.total) == (64, 96, 0, 32)
    assert first.images.dtype == torch.float32 and first.labels is not None
    assert torch.allclose(first.images, plain(first.labels).view(-1, 1, 1, 1).expand(32, 1, 8, 8), atol=1e-6)


def test_white_is_one_and_black_minus_one() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    batch = Stream(ImageSet(images, None, [], "", ""), seed=0, device="cpu").fixed(2)
    assert batch.labels is None and batch.images.min() == -1 and abs(batch.images.max() - 1) < 1e-6


def test_fewer_images_than_a_batch_go_round() -> None:
    shown = labels(Stream(numbered(5), seed=0, device="cpu"), 0, count=1, size=17)
    assert [sorted(shown[i : i + 5]) for i in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3 and len(shown) == 17


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_see_what_one_process_sees(world: int) -> None:
    options = {"seed": 1, "device": "cpu", "zoom": 1.3, "flip": True, "shift": 2, "rotation": 20}
    torch.manual_seed(0)
    whole = Stream(noise(), **options).take(12, count=2, size=12)
    parts = []
    for rank in range(world):
        torch.manual_seed(0)
        parts.append(Stream(noise(), **options, rank=rank, world=world).take(12, count=2, size=12))
    for i in range(2):
        assert torch.equal(torch.cat([part[i].images for part in parts]), whole[i].images)
        assert [part[i].offset for part in parts] == [12 // world * rank for rank in range(world)]
        assert {part[i].total for part in parts} == {12}


def test_resident_or_not_the_images_are_the_same() -> None:
    batches = []
    for resident in (True, False, "auto"):
        torch.manual_seed(0)
        stream = Stream(noise(), seed=0, device="cpu", device_resident=resident, flip=True)
        batches.append(stream.take(0, count=1, size=8)[0].images)
    assert torch.equal(batches[0], batches[1]) and torch.equal(batches[0], batches[2])


@pytest.mark.parametrize(("rank", "paired"), [(0, False), (1, False), (0, True)])
def test_images_that_are_not_resident_are_read_a_round_ahead_and_are_the_same(rank, paired, monkeypatch) -> None:
    real, readers = Shelf._gather, []
    monkeypatch.setattr(
        Shelf, "_gather", lambda s, rows: (readers.append(threading.current_thread()), real(s, rows))[1]
    )

    def turn(batch: Batch) -> Outcome:
        return Outcome({})

    players = {"one": Player([], turn, updates=3), "two": Player([], turn), "three": Player([], turn, own_batch=1.5)}
    images = replace(noise(), source=noise(16 if paired else 11).images.flip(0), paired=paired)
    how = {"seed": 0, "device": "cpu", "flip": True, "rank": rank, "world": 2}
    resident, read = (Stream(images, device_resident=resident, **how) for resident in (True, False))
    # Epochs end within a batch; the run goes back, as after a rollback, and its batches grow.
    rounds = [(0, 6), (18, 6), (36, 6), (54, 6), (18, 6), (36, 6), (54, 8), (78, 8)]
    ahead = [True] * len(rounds)
    for place in (0, 4, 6):
        ahead[place] = False
    for (position, size), expected in zip(rounds, ahead, strict=True):
        dealt = []
        for stream in (resident, read):
            readers.clear()
            torch.manual_seed(position)
            dealt.append(stream.deal(position, players, size=size))
        shelves = [shelf for shelf in (read._images, read._source) if shelf is not None]
        assert [len(shelf.ahead) for shelf in shelves] == [2, 2]
        assert (threading.main_thread() not in readers) == expected, (position, size)
        for name in players:
            for batch, same in zip(*(round[name] for round in dealt), strict=True):
                assert torch.equal(batch.images, same.images) and torch.equal(batch.source, same.source)
                assert (batch.position, batch.offset, batch.total) == (same.position, same.offset, same.total)


SHAPES = pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 24), (24, 16)])


@SHAPES
def test_flip_mirrors_about_half(height: int, width: int) -> None:
    image_set = noise(height=height, width=width)
    torch.manual_seed(0)
    batch = Stream(image_set, seed=0, device="cpu", flip=True).take(0, count=1, size=400)[0]
    original = Stream(image_set, seed=0, device="cpu").take(0, count=1, size=400)[0]
    same = (batch.images == original.images).flatten(1).all(1)
    mirrored = (batch.images == original.images.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all() and 150 < mirrored.sum() < 250


@SHAPES
def test_shift_is_a_crop_of_the_image_padded_by_reflection(height: int, width: int) -> None:
    torch.manual_seed(0)
    image_set = noise(height=height, width=width)
    batch = Stream(image_set, seed=0, device="cpu", shift=3).take(0, count=1, size=400)[0]
    original = Stream(image_set, seed=0, device="cpu").take(0, count=1, size=400)[0]
    padded = torch.nn.functional.pad(original.images, [3] * 4, mode="reflect")
    crops = torch.stack([padded[:, :, y : y + height, x : x + width] for y in range(7) for x in range(7)])
    found = (crops == batch.images).flatten(2).all(2)
    assert found.any(0).all(), "an image is none of its crops"
    assert found.any(1).all(), "a crop never occurs"


@SHAPES
def test_zoom_is_a_crop_of_the_image_enlarged_by_pil(height: int, width: int) -> None:
    torch.manual_seed(0)
    image_set = noise(height=height, width=width)
    image_set = replace(image_set, images=image_set.images // 2 + 64)  # PIL clips between its two passes
    batch = Stream(image_set, seed=0, device="cpu", zoom=286 / 256).take(0, count=1, size=200)[0]
    (rows,) = Stream(numbered(16), seed=0, device="cpu").take(0, count=1, size=200)
    assert rows.labels is not None and batch.images.shape == (200, 3, height, width)
    place, large_of = {}, {16: 18, 24: 27}
    down, right = (range(large_of[side] - side + 1) for side in (height, width))
    for image, row in zip(batch.images, rows.labels.tolist(), strict=True):
        pixels = image_set.images[row].permute(1, 2, 0).numpy()
        whole = Image.fromarray(pixels).resize((large_of[width], large_of[height]), Image.Resampling.BICUBIC)
        large = torch.from_numpy(np.array(whole)).permute(2, 0, 1)
        crops = {(y, x): large[:, y : y + height, x : x + width] for y in down for x in right}
        errors = {corner: (plain(crop) - image).abs().max().item() * 127.5 for corner, crop in crops.items()}
        corner = min(errors, key=lambda corner: errors[corner])
        assert errors[corner] < 1.01, "an image is none of its crops, to a grey value"
        place[corner] = place.get(corner, 0) + 1
    assert len(place) == len(down) * len(right) and min(place.values()) > 5, "a crop hardly ever occurs"


def test_zoom_keeps_the_brightness_of_a_flat_image_and_the_sides_of_larger_sets() -> None:
    for size, zoom, side in ((256, 286 / 256, 286), (64, 286 / 256, 72), (8, 1.5, 12)):
        stream = Stream(numbered(4, size=size), seed=0, device="cpu", zoom=zoom)
        (batch,) = stream.take(0, count=1, size=4)
        assert stream.zoomed == side and batch.labels is not None
        assert torch.equal(batch.images, plain(batch.labels).view(-1, 1, 1, 1).expand_as(batch.images))


@pytest.mark.parametrize(("height", "width"), [(33, 33), (33, 49), (49, 33)])
def test_rotation_turns_about_the_centre_and_stays_within_its_angle(height: int, width: int) -> None:
    images = torch.zeros(1, 1, height, width, dtype=torch.uint8)
    images[..., height // 2, width // 2 + 6 : width // 2 + 14] = 255  # a hand pointing right
    torch.manual_seed(0)
    stream = Stream(ImageSet(images, None, [], "", ""), seed=0, device="cpu", rotation=30)
    turned = stream.take(0, count=1, size=200)[0].images[:, 0] + 1
    y, x = torch.meshgrid(torch.arange(height) - height // 2, torch.arange(width) - width // 2, indexing="ij")
    mass = turned.sum((1, 2))
    down, right = ((turned * place).sum((1, 2)) / mass for place in (y, x))
    assert (torch.hypot(down, right) - 9.5).abs().max() < 0.2, "as far from the centre as before"
    angles = torch.atan2(down, right).rad2deg()
    assert -31 < angles.min() < -25 and 25 < angles.max() < 31 and angles.abs().mean() > 10


def test_fixed_images_are_always_the_same_and_untouched() -> None:
    image_set = noise()
    stream = Stream(image_set, seed=0, device="cpu", flip=True, shift=2, rotation=10)
    state = torch.get_rng_state()
    first, again = stream.fixed(10), Stream(image_set, seed=9, device="cpu").fixed(10)
    assert torch.equal(first.images, again.images) and torch.equal(state, torch.get_rng_state())
    distance = (first.images[:, None] - plain(image_set.images)[None]).abs().flatten(2).amax(2)
    assert (distance.amin(1) < 1e-6).all() and len(distance.argmin(1).unique()) == 10
    assert len(stream.fixed(40).images) == 40


def test_every_class_has_a_row_of_its_own_images_however_many_there_are() -> None:
    """1,000 classes in any order: of class 3 there are two images, of class 4 none."""
    labels = torch.randperm(12_000, generator=torch.Generator().manual_seed(0)) % 1000
    kept = (labels != 4) & ((labels != 3) | ((labels == 3).cumsum(0) <= 2))
    numbers = torch.arange(len(labels))[kept]
    images = torch.stack([numbers % 256, numbers // 256], 1).to(torch.uint8)[:, None, :, None]
    image_set = ImageSet(images, labels[kept], [str(name) for name in range(1000)], "", "")
    batch = fixed_images(Stream(image_set, seed=0, device="cpu").fixed, 1000)
    assert batch.labels is not None and batch.labels.tolist() == [label for label in range(20) for _ in range(10)]
    shown = ((batch.images + 1) * 127.5).round().long()[:, 0, :, 0]
    rows = (shown[:, 0] + 256 * shown[:, 1]).view(20, 10)
    for label, row in enumerate(rows):
        assert len(row.unique()) == {3: 2, 4: 1}.get(label, 10)
        assert (labels[row] == label).all() or (label == 4 and not row.any())
    again = fixed_images(Stream(image_set, seed=9, device="cpu").fixed, 1000)
    assert torch.equal(again.images, batch.images)


def test_a_shift_beyond_the_image_and_a_zoom_of_nothing_are_refused() -> None:
    with pytest.raises(GantoolError, match=r"dataset\.zoom=1\.01: .*1\.125 or more"):
        Stream(noise(), seed=0, device="cpu", zoom=1.01)
    with pytest.raises(GantoolError, match=r"dataset\.shift=8"):
        Stream(noise(), seed=0, device="cpu", shift=8)
