"""What gantool embed says of memorisation, of few samples and of many."""

import pytest
import torch

from gantool.runs.embedding import compare, verdict


@pytest.mark.parametrize("num", [2, 5, 10, 20, 50, 100, 400])
def test_new_images_are_hardly_ever_called_memorised_and_copies_always(num: int) -> None:
    torch.manual_seed(0)
    wrong = 0
    for _ in range(20):
        training, new = torch.randn(2000, 8), torch.randn(num, 8)
        wrong += "memorised" in verdict("rows", compare(new, training, 3).closeness, num)
        copies = training[torch.randperm(2000)[:num]] + 1e-3
        assert "memorised" in verdict("rows", compare(copies, training, 3).closeness, num)
    assert wrong <= 1
