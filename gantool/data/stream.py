"""The training images in order: position in the run -> batches, gathered, normalised and augmented on the device."""

from collections.abc import Mapping
from functools import cache, lru_cache

import torch
from torch import Tensor

from gantool.batch import Batch, Draws
from gantool.data.fixed import rows_by_class
from gantool.data.image_set import ImageSet
from gantool.data.memory import machine_memory
from gantool.data.moves import flip, rotate, shift, zoom
from gantool.data.shelf import Shelf
from gantool.errors import GantoolError
from gantool.game import Player
from gantool.images import normalise
from gantool.randomness import shuffled

_SIDES = 2  # of an unpaired set, each with an order of its own


class Stream:
    """Endless epochs over an image set, each in a new order that depends on (seed, epoch) alone.

    `device_resident`: keep all images on the device, True, False, or 'auto', which does if they take no more than a
    quarter of its memory. `zoom` enlarges images so many times and crops them at random, `flip` mirrors every second
    one, `shift` moves them by up to so many pixels (reflecting at the border), `rotation` turns them by up to so many
    degrees. This rank gets its share of the rows of each batch.

    Where images are translated, each batch has a `source` too: both sides of a pair are augmented alike; sides that
    are not paired have an order and an augmentation each.
    """

    def __init__(
        self,
        image_set: ImageSet,
        *,
        seed: int,
        device: torch.device | str,
        device_resident: bool | str = "auto",
        zoom: float = 1.0,
        flip: bool = False,
        shift: int = 0,
        rotation: float = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.num_images, self.channels, *self.size = image_set.images.shape
        short = min(self.size)
        self.num_classes = image_set.num_classes
        check_moves(short, shift, zoom)
        self.zoomed = round(short * zoom)
        self.device = torch.device(device)
        self.flip, self.shift, self.rotation = flip, shift, rotation
        self.rank, self.world = rank, world
        source, self._paired = image_set.source, image_set.paired
        if device_resident == "auto":
            size = image_set.images.nbytes + (0 if source is None else source.nbytes)
            device_resident = size <= _memory(self.device, world) / 4
        home = self.device if device_resident else torch.device("cpu")
        self._images = Shelf(image_set.images.to(home, copy=bool(device_resident)), self.device)
        self._labels = None if image_set.labels is None else image_set.labels.to(home)
        self._source = None if source is None else Shelf(source.to(home, copy=bool(device_resident)), self.device)
        self._reads_ahead = not device_resident
        num_sources = None if source is None or image_set.paired else len(source)

        def orders(deck: int) -> tuple[_Order, _Order]:
            order = _Order(self.num_images, seed, _SIDES * deck, home)
            return order, order if num_sources is None else _Order(num_sources, seed, _SIDES * deck + 1, home)

        self._orders = cache(orders)
        self._shown = image_set.test or image_set

    def deal(self, position: int, players: Mapping[str, Player], *, size: int) -> dict[str, list[Batch]]:
        """Each player's batches for the round that starts `position` images into the run, as `take` gives them.

        The players share batches of `size` images over all ranks, each having the last of them; one with a batch of its
        own draws from an order of its own, at a place that follows from `position`.
        """
        asked = _asked(position, players, size)
        taken = {deck: self.take(start, count=count, size=own, deck=deck) for deck, start, count, own in asked}
        if self._reads_ahead:
            _, _, count, _ = asked[0]
            self._expect(_asked(position + count * size, players, size))
        numbered = enumerate(players.items(), 1)
        return {name: taken.get(deck, taken[0])[-player.updates :] for deck, (name, player) in numbered}

    def take(self, position: int, *, count: int, size: int, deck: int = 0) -> list[Batch]:
        """`count` batches of `size` images over all ranks, the first of which starts `position` images into the run.

        Order is a function of (seed, position, deck), augmentation of torch's global random state.
        Images are float32 in [-1, 1], (N, C, H, W).
        """
        images_order, source_order = self._orders(deck)
        first, last = self._share(size)
        shown = self._rows(images_order, position, count, size)
        images, labels, source = self._images.take(shown), None, None
        if self._labels is not None:
            labels = self._labels.index_select(0, shown).to(self.device, non_blocking=True)
        if self._source is not None:
            source = self._source.take(self._rows(source_order, position, count, size))
        batches = []
        for number in range(count):
            rows = slice(number * (last - first), (number + 1) * (last - first))
            cut = (None if stored is None else stored[rows] for stored in (labels, source))
            batch = Batch(images[rows], *cut, position=position + number * size, offset=first, total=size)
            self._augment_batch(batch)
            batches.append(batch)
        return batches

    def _share(self, size: int) -> tuple[int, int]:
        """This rank's rows of a batch: from the first on, before the second."""
        return self.rank * size // self.world, (self.rank + 1) * size // self.world

    def _rows(self, order: "_Order", position: int, count: int, size: int) -> Tensor:
        """The indices of this rank's images in `count` batches of `size` from `position` on."""
        return order(position, count * size).view(count, size)[:, slice(*self._share(size))].flatten()

    def _expect(self, asked: list[tuple[int, int, int, int]]) -> None:
        """The next round is likely to take these."""
        for shelf, side in ((self._images, 0), (self._source, 1)):
            if shelf is not None:
                shelf.expect([self._rows(self._orders(deck)[side], *taken) for deck, *taken in asked])

    def fixed(self, count: int, *, classes: int = 0) -> Batch:
        """The same `count` images whenever it is called, unaugmented: for grids and statistics.

        They are of the test part where there is one, and all of one side before any comes again. With `classes`, so
        many of each of the first classes in turn, looked for among all images; black ones for a class without any.
        """
        shown = self._shown
        if classes:
            assert shown.labels is not None, "a conditional game has labelled data"
            order = _permutation(len(shown.images), seed=0, epoch=-1)
            rows = rows_by_class(shown.labels, order, classes, count)
            images = normalise(shown.images[rows.clamp(min=0)].to(self.device))
            images[(rows < 0).to(self.device)] = -1
            return Batch(images, torch.arange(classes, device=self.device).repeat_interleave(count))
        rows = _repeated(len(shown.images), count)
        batch = Batch(normalise(shown.images[rows].to(self.device)))
        if shown.labels is not None:
            batch.labels = shown.labels[rows].to(self.device)
        if shown.source is not None:
            rows = rows if shown.paired else _repeated(len(shown.source), count, deck=1)
            batch.source = normalise(shown.source[rows].to(self.device))
        return batch

    def _augment_batch(self, batch: Batch) -> None:
        draws = batch.draws
        if batch.source is not None and self._paired:
            both = self._augment(torch.cat([batch.source, batch.images], 1), draws)
            batch.source, batch.images = (side.contiguous() for side in both.chunk(2, 1))
            return
        batch.images = self._augment(batch.images, draws)
        if batch.source is not None:
            batch.source = self._augment(batch.source, draws)

    def _augment(self, images: Tensor, draws: Draws) -> Tensor:
        """As it is stored as long as possible: a quarter of the memory traffic."""
        if self.zoomed > min(self.size):
            height, width = self.size
            large = (round(height * self.zoomed / min(self.size)), round(width * self.zoomed / min(self.size)))
            if height == width:
                corners = draws.randint(self.zoomed - height + 1, 2)
            else:
                room = torch.tensor([large[0] - height + 1, large[1] - width + 1])
                corners = (draws.rand(2) * room.to(self.device, non_blocking=True)).long()
            images = zoom(images, large, corners)
        if self.flip:
            images = flip(images, draws.rand() < 0.5)
        if self.shift:
            images = shift(images, draws.randint(2 * self.shift + 1, 2) - self.shift)
        images = normalise(images)
        if self.rotation:
            images = rotate(images, (2 * draws.rand() - 1) * self.rotation)
        return images


def check_moves(short: int, shift: int, zoom: float) -> None:
    """Raises GantoolError for moves that images with a shorter side of `short` pixels cannot make."""
    if not 0 <= shift < short:
        raise GantoolError(f"dataset.shift={shift}: choose 0 to {short - 1} pixels at this resolution")
    if (zoom == 1) != (round(short * zoom) == short):
        least = f"{1 + 1 / short:.5g}"
        raise GantoolError(f"dataset.zoom={zoom}: it adds no pixel to {short}: set 1, or {least} or more")


def _asked(position: int, players: Mapping[str, Player], size: int) -> list[tuple[int, int, int, int]]:
    """Deck, position, number and size of the batches of the round that starts there: those that players share, deck 0,
    and then of each one that has its own."""
    count = max(player.updates for player in players.values())
    asked = [(0, position, count, size)]
    for deck, player in enumerate(players.values(), 1):
        if player.own_batch is not None:
            own = player.batch_size(size)
            asked.append((deck, position * player.updates * own // (count * size), player.updates, own))
    return asked


class _Order:
    """Which of `count` images stands where in the run: epochs, each in an order that depends on (seed, epoch, deck)
    alone."""

    def __init__(self, count: int, seed: int, deck: int, device: torch.device) -> None:
        self.count = count
        # A batch may straddle two epochs.
        self._epoch = lru_cache(maxsize=2)(lambda epoch: _permutation(count, seed, epoch, deck).to(device))

    def __call__(self, start: int, count: int) -> Tensor:
        """(count,) indices of the images from position `start` on."""
        parts = []
        while count:
            epoch, first = divmod(start, self.count)
            parts.append(self._epoch(epoch)[first : first + count])
            start, count = start + len(parts[-1]), count - len(parts[-1])
        return torch.cat(parts)


def _repeated(num_images: int, count: int, deck: int = 0) -> Tensor:
    """(count,) indices in an order that no epoch has, from the start again where they are not enough."""
    return _permutation(num_images, seed=0, epoch=-1, deck=deck).repeat(-(-count // num_images))[:count]


def _permutation(count: int, seed: int, epoch: int, deck: int = 0) -> Tensor:
    """An order of `count` images. The seed mixes all numbers, so that seed 1 is not seed 0 an epoch later."""
    mixed = (seed * 0x9E3779B97F4A7C15 + (epoch + 1) * 0xC2B2AE3D27D4EB4F + deck * 0x165667B19E3779F9) % 2**63
    return shuffled(count, mixed)


def _memory(device: torch.device, world: int) -> float:
    """Bytes this rank may count on: its GPU's, or its part of the machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return machine_memory() / world
