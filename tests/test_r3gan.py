"""R3GAN's relativistic loss against the formula of its paper, and the direction in which each side pushes."""

import torch

from gantool.losses import Relativistic


def test_relativistic_pairs_each_fake_with_a_real() -> None:
    real, fake = torch.randn(50, 1, dtype=torch.float64), torch.randn(50, 1, dtype=torch.float64)
    torch.testing.assert_close(Relativistic().discriminator(real, fake), -torch.sigmoid(real - fake).log().mean())
    torch.testing.assert_close(Relativistic().generator(fake, real), -torch.sigmoid(fake - real).log().mean())


def test_relativistic_pushes_the_right_way() -> None:
    real, fake = torch.tensor([[0.3], [-0.4]]).requires_grad_(), torch.tensor([[0.1], [0.2]]).requires_grad_()
    on_real, on_fake = torch.autograd.grad(Relativistic().discriminator(real, fake), (real, fake))
    assert (on_real < 0).all() and (on_fake > 0).all()
    (on_fake,) = torch.autograd.grad(Relativistic().generator(fake, real), fake)
    assert (on_fake < 0).all()
