"""Networks of the full presets have as many weights as those of their authors, network by network.

The numbers are the reference code's own, not ours: counted by running it where it is PyTorch, else added up from the
layers that it lists (a convolution c_in * c_out * k * k and its biases, two numbers a channel of a norm).
"""

from dataclasses import dataclass, field

import pytest
import torch

from composing import typed
from extent import some
from gantool.runs.build import build_game
from presets import PRESETS


@dataclass(frozen=True)
class Reference:
    """Weights of the authors' networks, and what ours have beyond them."""

    generator: int
    discriminator: int
    more: dict[str, int] = field(default_factory=dict)


# Biases that change nothing where the reference has none, or has them once a map; two numbers of an instance norm where
# the reference has one bias. Both are part of what was compared with copied weights.
DCGAN_BIASES = {"generator": 3, "discriminator": 64 + 1}
PLACES = {"generator": 15 * 512}  # ProGAN's first layer: a bias for each of 16 places, theirs for each of 512 maps
INSTANCE_NORMS = {"generator": 64 + 128 + 256 + 18 * 256 + 128 + 64, "discriminator": 128 + 256 + 512}
OUTER_BIASES = {"generator": 64 + 512}

REFERENCES = {
    # soumith/dcgan.torch, main.lua: nz 100, ngf and ndf 64, convolutions without biases (noBias).
    "celeba/dcgan": Reference(3_576_704, 2_765_568, DCGAN_BIASES),
    # tkarras/progressive_growing_of_gans, networks.py: G_paper and D_paper, fmap_base 8192, fmap_max 512, all levels.
    "celeba/progan-64": Reference(22_490_383, 22_498_049, PLACES),
    "celeba/progan-128": Reference(22_933_394, 22_941_313, PLACES),
    "celeba/progan-256": Reference(23_044_309, 23_052_353, PLACES),
    # kwotsin/mimicry, nets/sngan/sngan_64.py, as pfnet-research/sngan_projection's resnet_64.py and snresnet_64.py.
    "celeba/sngan": Reference(12_220_675, 10_141_441),
    # kwotsin/mimicry, nets/sngan/sngan_32.py.
    "cifar10/sngan": Reference(4_276_739, 1_053_825),
    # kwotsin/mimicry, nets/cgan_pd/cgan_pd_32.py, 10 classes.
    "cifar10/projection": Reference(4_304_387, 1_055_105),
    # igul222/improved_wgan_training, gan_cifar_resnet.py: DIM_G and DIM_D 128, without classes.
    "cifar10/wgan-gp": Reference(1_204_483, 1_053_825),
    # ajbrock/BigGAN-PyTorch, BigGAN.py under launch_cifar_ema.sh: G_ch and D_ch 64, dim_z 128, neither shared nor hier.
    "cifar10/biggan": Reference(4_304_387, 4_207_361),
    # brownvc/R3GAN, R3GAN/Networks.py under train.py --preset=CIFAR10 --cond=True.
    "cifar10/r3gan": Reference(20_781_952, 21_280_512),
    # openai/InfoGAN, models/regularized_gan.py: network_type mnist, 74 numbers of latent.
    "mnist/infogan": Reference(6_652_481, 6_559_169),
    # junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py: unet_256 (its log says 54.414M) and a PatchGAN of 6
    # channels with batch norm (2.769M).
    "facades/pix2pix": Reference(54_413_955, 2_768_705, OUTER_BIASES),
    # The same: resnet_9blocks (11.378M) and a PatchGAN of 3 channels (2.765M) with instance norm.
    "horse2zebra/cyclegan": Reference(11_378_179, 2_764_737, INSTANCE_NORMS),
}
# Full presets whose networks are nobody else's.
OURS = {
    "cifar10/acgan": "DCGAN's networks at 32 pixels; the paper has its own",
    "cifar10/dcgan": "the paper has no network for 32 pixels",
    "mnist/conditional": "an MLP; the paper has maxout layers",
}


def counts(preset: str) -> dict[str, int]:
    """Weights of each network, all of a player's heads but the discriminator's own left out."""
    grey = preset.startswith("mnist/")
    config = typed(f"experiment={preset}", f"dataset.channels={1 if grey else 3}", "dataset.num_classes=10")
    with torch.device("meta"):  # shapes without numbers
        networks = build_game(config).networks()
    return {name: sum(weight.numel() for weight in net.parameters()) for name, net in networks.items()}


def test_every_full_preset_has_a_reference() -> None:
    assert {preset for preset in PRESETS if not preset.startswith("small/")} == REFERENCES.keys() | OURS.keys()


@pytest.mark.parametrize("preset", some(REFERENCES, 5))
def test_networks_have_as_many_weights_as_those_of_their_authors(preset: str) -> None:
    reference, found = REFERENCES[preset], counts(preset)
    heads = found.pop("heads", None)
    assert found, "networks of two players"
    for name, weights in found.items():
        role = "discriminator" if "discriminator" in name else "generator"
        assert weights == getattr(reference, role) + reference.more.get(role, 0), name
    if (
        preset == "mnist/infogan"
    ):  # 1024 to 128 to 10 logits and 2 means; theirs has a batch norm and 2 fixed deviations
        assert heads == 1024 * 128 + 128 + 128 * 12 + 12
