"""The loop that single-file scripts have, to be timed against.

Float32, contiguous tensors, gradients for every network in every turn, a DataLoader without workers over torchvision's
transforms, torch's default Adam, `.item()` for the log.
"""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from gantool.batch import Batch
from gantool.data.image_set import ImageSet
from gantool.images import normalise
from gantool.runs.build import Setup, build_state
from gantool.training.hardware import default_allocator, to_memory_format


def copied(setup: Setup) -> Setup:
    """The same with networks of its own, which its players refer to."""
    return replace(setup, game=copy.deepcopy(setup.game))


class PlainLoop:
    """One round as a single-file script plays it, of a copy of the composed game."""

    def __init__(self, setup: Setup, image_set: ImageSet) -> None:
        self.device, self.size = setup.device, setup.game.batch_size(setup.config.trainer.batch_size)
        setup = copied(setup)
        self.game = setup.game
        to_memory_format(self.game, channels_last=False)
        optimizer = setup.config.optimizer
        kernels = {key: None for key in ("fused", "foreach") if key in (optimizer.model_extra or {})}  # torch's default
        config = setup.config.model_copy(update={"optimizer": optimizer.model_copy(update=kernels)})
        state = build_state(replace(setup, config=config), len(image_set.images))
        self.progress = state.progress  # its rounds are counted, its images are not
        self.game.requires_grad_(True)
        self.optimizers = {name: o.optimizer for name, o in state.optimizers.items()}
        self.batches = whole_batches(Items(image_set), self.size)
        self.loading: list[float] = []  # seconds that each round waited for its batches

    def play(self) -> None:
        """One round."""
        default_allocator()
        start = time.perf_counter()
        shared = self._drawn(self.size, self.game.batches_per_round)
        batches = {
            name: shared[-player.updates :]
            if player.own_batch is None
            else self._drawn(player.batch_size(self.size), player.updates)
            for name, player in self.game.players.items()
        }
        self.loading.append(time.perf_counter() - start)
        self.game.begin_round(self.progress)
        for name, player in self.game.players.items():
            for batch in batches[name]:
                self.optimizers[name].zero_grad()
                terms = player.loss(batch).terms
                loss = torch.stack(list(terms.values())).sum()
                loss.backward()
                self.optimizers[name].step()
                player.after_update()
                loss.item()
        self.progress = replace(self.progress, rounds=self.progress.rounds + 1)

    def _drawn(self, size: int, count: int) -> list[Batch]:
        """The next `count` batches of `size` images, each of as many of the loader's as it needs, in their place."""
        batches, before = [], self.progress.rounds * count
        for number in range(before, before + count):
            drawn = [next(self.batches) for _ in range(-(-size // self.size))]
            rows: list[Any] = [torch.cat(parts)[:size].to(self.device) for parts in zip(*drawn, strict=True)]
            batches.append(Batch(*rows, position=number * size))
        return batches


def whole_batches(items: "Items", size: int, **how: Any) -> Iterator[Any]:
    """Endless batches of `size` items in a random order, by a DataLoader with these settings; the rest of an epoch is
    left out, and of fewer items than a batch some come twice."""
    order = RandomSampler(items, num_samples=max(len(items), size))
    return chain.from_iterable(repeat(DataLoader(items, size, sampler=order, drop_last=True, **how)))


class Items(Dataset):
    """Images, and their sources if there are any, one by one through PIL, ToTensor and Normalize, as torchvision's data
    sets give them; those that PIL cannot hold without it."""

    def __init__(self, image_set: ImageSet) -> None:
        from torchvision.transforms import Compose, Normalize, ToTensor

        self.images, self.source, labels = image_set.images, image_set.source, image_set.labels
        self.labels = torch.zeros(len(self.images), dtype=torch.int64) if labels is None else labels
        self.transform = Compose([ToTensor(), Normalize(0.5, 0.5)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        item = self._read(self.images[index]), self.labels[index]
        if self.source is None:
            return item
        return *item, self._read(self.source[index % len(self.source)])

    def _read(self, image: Tensor) -> Any:
        if image.dtype != torch.uint8 or len(image) > 4:
            return normalise(image)
        return self.transform(Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()))
