"""The history of generated images: how it fills, what it keeps, and what it gives back."""

import pytest
import torch
from torch import Tensor

from gantool.batch import Draws
from gantool.games.image_pool import ImagePool
from gantool.images import normalise


def grey(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous() / 127.5 - 1


def test_the_pool_fills_first_and_then_keeps_every_second_image() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50, (1, 2, 2))
    draws = Draws(100, torch.device("cpu"))
    new = grey(*[200.0] * 100)
    pool.push(grey(*range(30)))
    assert torch.equal(pool(new, draws), new), "no history before it is full"
    assert pool.images[:30, 0, 0, 0].tolist() == list(range(30)) and int(pool.count) == 30
    pool.push(grey(*range(30, 60)))
    held = pool.images[:, 0, 0, 0].tolist()
    late = sum(value >= 50 for value in held)
    assert 1 <= late <= 9 and len(set(held)) == 50 == int(pool.count), "about five of the last ten replace others"
    mixed = ((pool(new, draws)[:, 0, 0, 0] + 1) * 127.5).round()
    assert 30 < (mixed == 200).sum() < 70 and set(mixed.tolist()) <= {200.0, *map(float, held)}
    assert len(set(mixed.tolist())) > 20, "old images are drawn from all of it"
    for value in range(100, 250):
        pool.push(grey(value))
    rest = [value for value in pool.images[:, 0, 0, 0].tolist() if value < 100]
    assert len(rest) < 25, "(1 - 0.5/50)^150 is 22 % of them"


def test_a_pool_larger_than_none_or_smaller_than_a_batch() -> None:
    none, small_pool = ImagePool(0, (1, 2, 2)), ImagePool(3, (1, 2, 2))
    for pool in (none, small_pool):
        pool.push(grey(*range(8)))
    assert torch.equal(none(grey(1, 2), Draws(2, torch.device("cpu"))), grey(1, 2)) and int(small_pool.count) == 3


@pytest.mark.parametrize("bits", [8, 16])
def test_a_pool_is_as_deep_as_the_data(bits: int) -> None:
    torch.manual_seed(0)
    made, new = torch.rand(64, 1, 2, 2) * 2 - 1, torch.full((640, 1, 2, 2), 9.0)
    pool = ImagePool(16, (1, 2, 2), bits)
    pool.push(made)
    given = pool(new, Draws(640, torch.device("cpu")))
    old = given[given != 9]
    assert old.numel() > 64 and torch.equal(old.unique(), normalise(pool.images).unique())
    assert (old[:, None] - made.flatten()).abs().min(1).values.max() <= 1.01 / (2**bits - 1)
