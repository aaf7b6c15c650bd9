"""BigGAN: sizes as published, what the latent and the class reach, self-attention against a loop, spectral norm."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from extent import thorough
from gantool.errors import GantoolError
from gantool.networks import biggan, dcgan, resnet
from gantool.networks.layers import SelfAttention
from runs import train


def generator(**settings) -> biggan.Generator:
    """One of a few channels for 3 classes at 32 pixels, unless the settings say otherwise."""
    shape: dict[str, Any] = {
        "latent_dim": 8,
        "resolution": 32,
        "channels": 1,
        "num_classes": 3,
        "width": 2,
        "shared_dim": 4,
    }
    return biggan.Generator(**{**shape, **settings})


@thorough
def test_as_many_parameters_as_published() -> None:
    """At 128 pixels, as Google's compare_gan counts them in its reproduction (architectures/resnet_biggan.py)."""
    shape: dict[str, Any] = {"resolution": 128, "channels": 3, "num_classes": 1000, "width": 96, "attention": 64}
    with torch.device("meta"):
        networks = (
            biggan.Generator(latent_dim=120, initialisation="normal", **shape),
            resnet.Discriminator(initialisation="normal", **shape),
        )
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [70_433_988, 87_982_370]


@pytest.mark.parametrize("resolution", [32, 64, 128])
@pytest.mark.parametrize("num_classes", [0, 3])
def test_makes_and_scores_images_in_bf16(resolution: int, num_classes: int) -> None:
    shape: dict[str, Any] = {
        "resolution": resolution,
        "channels": 3,
        "num_classes": num_classes,
        "width": 1,
        "attention": 16,
    }
    network = biggan.Generator(latent_dim=60, **shape)
    discriminator = resnet.Discriminator(initialisation="orthogonal", **shape)
    labels = torch.arange(2) if num_classes else None
    with torch.autocast("cpu", torch.bfloat16):
        images = network(torch.randn(2, 60), labels)
        score = discriminator(images, labels)
    assert images.shape == (2, 3, resolution, resolution) and images.abs().max() <= 1 and score.shape == (2, 1)
    assert images.dtype == score.dtype == torch.float32
    score.sum().backward()
    assert not [n for net in (network, discriminator) for n, p in net.named_parameters() if p.grad is None]


@pytest.mark.parametrize(
    ("settings", "labelled"),
    [
        ({}, True),
        ({"num_classes": 0, "shared_dim": None}, False),
        ({"hierarchical": False}, True),
        ({"hierarchical": False, "shared_dim": 0}, True),
        ({"hierarchical": False, "num_classes": 0, "shared_dim": None}, False),
    ],
)
def test_every_part_of_the_latent_and_the_label_reach_the_image(settings: dict, labelled: bool) -> None:
    torch.manual_seed(0)
    network = generator(**settings).eval()
    z = torch.randn(1, 8, requires_grad=True)
    zeros, ones = (torch.full((1,), label) if labelled else None for label in (0, 1))
    images = network(z, zeros)
    (gradient,) = torch.autograd.grad(images.sum(), z)
    assert (gradient != 0).all()
    assert torch.equal(images, network(z, ones)) is not labelled


def test_a_chunk_speaks_to_its_own_block_alone() -> None:
    network = generator().eval()
    z, labels = torch.randn(1, 8), torch.zeros(1, dtype=torch.long)
    moved = [z.clone() for _ in range(4)]
    for index in range(4):
        moved[index][:, 2 * index : 2 * index + 2] += 1
    outputs: list[list[Tensor]] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, given, made: outputs[-1].append(made))  # pyright: ignore[reportArgumentType]
    for latent in (z, *moved):
        outputs.append([])
        network(latent, labels)
    still, *others = outputs
    same = [[torch.equal(a, b) for a, b in zip(still, other, strict=True)] for other in others]
    assert same == [[False] * 3, [False] * 3, [True, False, False], [True, True, False]]


def test_every_weight_has_a_spectral_norm_but_for_the_embedding() -> None:
    network = generator(attention=16)
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == 1 + 3 * (3 + 4) + 4 + 1  # start, convolutions and norms of blocks, attention, image
    assert all(is_parametrized(layer, "weight") for layer in layers)
    assert network.shared is not None and not is_parametrized(network.shared, "weight")


@pytest.mark.parametrize(("how", "std"), [("orthogonal", None), ("normal", 0.02)])
def test_weights_start_as_asked(how: str, std: float | None) -> None:
    torch.manual_seed(0)
    network = generator(width=8, initialisation=how)
    weight = network.blocks[0].first.parametrizations.weight.original.flatten(1)  # type: ignore[union-attr, operator]
    if std is None:
        assert torch.allclose(weight @ weight.T, torch.eye(len(weight)), atol=1e-5)
    else:
        assert weight.std().item() == pytest.approx(std, rel=0.05)


@torch.no_grad()
def test_self_attention_place_by_place() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(16).double()
    x = torch.randn(2, 16, 4, 4, dtype=torch.float64)
    assert torch.equal(layer(x), x), "the gain starts at 0"
    nn.init.constant_(layer.gain, 0.7)
    query, key, value, out = (m.weight[:, :, 0, 0] for m in (layer.query, layer.key, layer.value, layer.out))
    expected = x.clone()
    for image, made in zip(x, expected, strict=True):
        keys, values = (
            torch.stack(
                [
                    torch.stack([weight @ image[:, r + i, c + j] for i in (0, 1) for j in (0, 1)]).amax(0)
                    for r in (0, 2)
                    for c in (0, 2)
                ]
            )
            for weight in (key, value)
        )
        for row in range(4):
            for column in range(4):
                scores = keys @ (query @ image[:, row, column])
                weights = scores.exp() / scores.exp().sum()
                made[:, row, column] += 0.7 * out @ (weights @ values)
    assert torch.allclose(layer(x), expected, atol=1e-6)  # its softmax is in float32


@pytest.mark.parametrize("module", [dcgan, resnet])
def test_attention_stands_where_it_is_asked_for(module) -> None:
    shape: dict[str, Any] = {"resolution": 32, "channels": 1, "width": 8, "attention": 16}
    sides: list[int] = []
    for network, given in (
        (module.Generator(latent_dim=8, **shape), torch.randn(2, 8)),
        (module.Discriminator(**shape), torch.randn(2, 1, 32, 32)),
    ):
        (layer,) = (part for part in network.modules() if isinstance(part, SelfAttention))
        layer.register_forward_hook(lambda layer, given, made: sides.append(made.shape[3]))
        network(given)
    assert sides == [16, 16]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: generator(resolution=48), "32, 64 or 128"),
        (lambda: generator(latent_dim=10), "model.latent.dim=10.*4 equal chunks"),
        (lambda: generator(shared_dim=0), "shared_dim=0"),
        (lambda: generator(num_classes=0), "shared_dim=4: there are no classes"),
        (lambda: generator(attention=12), "attention=12.*8, 16, 32 pixels"),
        (lambda: generator(initialisation="orthgonal"), "did you mean 'orthogonal'"),
        (lambda: resnet.Discriminator(resolution=32, channels=1, attention=32), "attention=32.*8, 16 pixels"),
        (lambda: dcgan.Generator(latent_dim=8, resolution=32, channels=1, attention=32), "choose 4, 8, 16 pixels"),
    ],
)
def test_what_a_network_cannot_be_is_named(make, message: str) -> None:
    with pytest.raises(GantoolError, match=message):
        make()


def test_large_batches_go_through_in_parts(in_tmp: Path) -> None:
    """Not the step of a whole batch, as batch norm sees only its part; but a step of each player for all parts."""
    words = ["regularizer=orthogonal", "model.conditional=true", "trainer.batch_size=32", "trainer.microbatch=8"]
    state = train(in_tmp / "run", *words, model="biggan", rounds=2)
    assert state["progress"]["nimg"] == 64
    for optimizer in state["optimizers"].values():
        assert {int(moments["step"]) for moments in optimizer["state"].values()} == {2}
    seen = [value for name, value in state["game"].items() if name.endswith("num_batches_tracked")]
    # The generator is run on four parts, in each player's turn of two rounds
    assert {int(count) for count in seen} == {2 * 2 * 4}


def test_attention_bears_a_gradient_penalty(in_tmp: Path) -> None:
    words = ["loss=wgan-gp", "model.generator.attention=16", "model.discriminator.attention=16"]
    state = train(in_tmp / "run", *words, model="biggan", rounds=2)
    gains = [value for name, value in state["game"].items() if name.endswith("attention.gain")]
    assert len(gains) == 2 and all(gain.item() != 0 for gain in gains)
