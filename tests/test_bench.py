"""gantool bench runs on real data and prints what it promises; it times nothing that a test would judge."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from composing import composed
from extent import ALL, some, thorough
from gantool.bench import compare as benchmark
from gantool.bench import dcgan_example
from gantool.bench.dcgan_example import Example, Resized
from gantool.bench.plain_loop import Items, PlainLoop
from gantool.cli.arguments import add_arguments
from gantool.cli.main import main
from gantool.config import Written
from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.images import normalise
from gantool.regularizers import GradientPenalty, Orthogonal
from gantool.runs.build import build_stream, set_up
from runs import small


@pytest.mark.parametrize(("model", "loss"), some([("mlp", "wgan-gp"), ("cyclegan", "lsgan")], 1))
def test_bench_prints_every_figure(in_tmp: Path, capfd, monkeypatch, model: str, loss: str) -> None:
    monkeypatch.setattr(benchmark, "SECONDS", 0.01)
    monkeypatch.setattr(benchmark, "ALTERNATIONS", 1)
    for name in ("WARM_UP", "CONVOLUTIONS"):
        monkeypatch.setattr(benchmark, name, 1)
    for name in ("BATCH", "WIDTH"):  # it is large
        monkeypatch.setattr(dcgan_example, name, 4)
    if model == "cyclegan" or not ALL:  # otherwise each side has a process of its own for its memory
        monkeypatch.setattr(benchmark, "_peak_memory", benchmark._play_alone)
    words = [word for word in small(in_tmp / "run", f"loss={loss}", model=model) if not word.startswith("hydra")]
    assert main(["bench", *words[1:]]) == 0
    output = capfd.readouterr().out
    for side in ("plain", "step", "whole loop", "example"):
        assert re.search(rf"^{side} +[\d.]+ ms a round +\d+ images/s$", output, re.MULTILINE), output
    for figure in (r"[\d.]+ times as fast \(fp32\)", r"against step: [+-][\d.]+ %", r"GFLOP/s, \d+ % of the conv"):
        assert re.search(figure, output), output
    assert re.search(r"peak memory: plain \d+ MB, step \d+ MB", output)
    counted = re.search(r"operations of torch a round: (\d+) \((.+)\)", output)
    assert counted and sum(int(part.split()[-1]) for part in counted[2].split(", ")) == int(counted[1])
    assert {"networks", "backward", "optimizers", "losses"} < {part.split()[0] for part in counted[2].split(", ")}
    told = r"whole loop at 32 pixels against PyTorch's DCGAN example at its 64 pixels: [\d.]+ times its images/s"
    assert re.search(told, output), output
    assert re.findall(r"timing 1 of 1: (.+),", output) == ["plain", "step", "whole loop", "example"]
    assert not (in_tmp / "outputs").exists()


def test_rare_penalties_are_as_rare_as_in_training(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["loss=wgan-gp", "loss.regularizers.gradient_penalty.every=4", "loss.n_critic=2"]
    words += ["regularizer=orthogonal", "regularizer.orthogonal.every=3"]
    cfg, hydra = composed(*add_arguments(small(in_tmp / "run", *words, model="mlp")[1:]))
    setup, counts = set_up(cfg, Written.of(hydra)), Counter()

    def counted(kind: type, penalty: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: Any) -> Tensor:
            counts[kind.__name__] += 1
            return penalty(*args)

        return call

    for kind in (GradientPenalty, Orthogonal):
        monkeypatch.setattr(kind, "__call__", counted(kind, kind.__call__))
    image_set, period = prepare(setup.source), benchmark.period_of(setup)
    assert period == 12
    for side in (PlainLoop(setup, image_set), benchmark.BareStep(setup, build_stream(setup, image_set))):
        for _ in range(2 * period):
            side.play()
        assert counts == {"GradientPenalty": 12, "Orthogonal": 8}, "48 updates and 24"
        counts.clear()
    for name, value in {"SECONDS": 0.0, "ALTERNATIONS": 1, "WARM_UP": 0}.items():
        monkeypatch.setattr(benchmark, name, value)
    played: list[int] = []
    benchmark._alternate({"side": lambda: played.append(0)}, setup.device, period)
    assert len(played) == 1 + period, "the first, which is not timed, and a whole period"


@pytest.mark.parametrize(("model", "more"), [("mlp", []), ("progan", ["model.growth.batch_sizes={4:48,8:24}"])])
def test_all_sides_play_as_many_images_as_a_round_of_training(in_tmp: Path, model: str, more: list[str]) -> None:
    """Also of fewer images than a batch, and while a model that grows has other batches."""
    cfg, hydra = composed(*add_arguments(small(in_tmp / "run", *more, model=model)[1:]))
    setup = set_up(cfg, Written.of(hydra))
    size = setup.game.batch_size(setup.config.trainer.batch_size)
    assert size == (48 if more else setup.config.trainer.batch_size)
    image_set = prepare(setup.source)
    few = replace(image_set, images=image_set.images[:5], labels=None)
    plain, step = PlainLoop(setup, few), benchmark.BareStep(setup, build_stream(setup, few))
    assert [len(batch) for batch in plain._drawn(plain.size, 3)] == [size] * 3
    assert {len(batch) for batches in step.batches.values() for batch in batches} == {size}
    plain.play()
    plain.play()
    assert len(plain.loading) == 2, "each round's"
    example = Example(few, setup.device)
    assert [len(next(example.batches)[0]) for _ in range(2)] == [dcgan_example.BATCH] * 2


@thorough
def test_a_batch_that_is_to_be_found_is_found(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SECONDS": 0.0, "ALTERNATIONS": 1, "WARM_UP": 0, "MEMORY_ROUNDS": 1}.items():
        monkeypatch.setattr(benchmark, name, value)
    words = small(in_tmp / "run", "trainer.batch_size=auto-micro", model="mlp")[1:]
    assert main(["bench", *words]) == 0


@pytest.mark.parametrize(
    ("channels", "size", "bits"), [(1, (32, 32), 8), (3, (64, 64), 8), (4, (96, 48), 8), (5, (28, 28), 16)]
)
def test_the_dcgan_example_sees_images_of_every_kind_at_its_64_pixels(
    channels: int, size: tuple[int, int], bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dcgan_example, "BATCH", 2)
    low, high, dtype = (0, 256, torch.uint8) if bits == 8 else (-32768, 32768, torch.int16)
    images = torch.randint(low, high, (3, channels, *size), dtype=dtype)
    image_set = ImageSet(images, None, [], "", "noise")
    example = Example(image_set, torch.device("cpu"))
    shown, _ = Resized(image_set)[1]
    assert shown.shape == (channels, 64, 64) and shown.abs().max() <= 1
    if size == (64, 64):
        torch.testing.assert_close(shown, normalise(images[1]))
    example.batches = iter([(torch.stack([Resized(image_set)[row][0] for row in range(2)]),)])
    example.play()


def test_the_dcgan_example_is_as_large_as_the_original_and_learns() -> None:
    images = torch.full((128, 3, 64, 64), 128, dtype=torch.uint8)
    example = Example(ImageSet(images, None, [], "", "gray"), torch.device("cpu"))
    sizes = [sum(p.numel() for p in network.parameters()) for network in (example.generator, example.discriminator)]
    assert sizes == [3_576_704, 2_765_568]
    first = [next(network.parameters()) for network in (example.generator, example.discriminator)]
    before = [weight.detach().clone() for weight in first]
    example.batches = iter([(torch.zeros(4, 3, 64, 64),)])
    example.play()
    assert not any(torch.equal(old, weight) for old, weight in zip(before, first, strict=True))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
def test_the_plain_loop_is_given_images_of_every_kind(channels: int, bits: int) -> None:
    low, high, dtype = (0, 256, torch.uint8) if bits == 8 else (-32768, 32768, torch.int16)
    images = torch.randint(low, high, (3, channels, 4, 6), dtype=dtype)
    items = Items(ImageSet(images, None, [], "", "noise", source=images.flip(0)))
    for index in range(3):
        image, _, source = items[index]
        torch.testing.assert_close(image, normalise(images[index]))
        torch.testing.assert_close(source, normalise(images[2 - index]))


def test_every_kind_of_accelerator_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    for name in ("cpu", "cuda", "mps"):
        benchmark._now(torch.device(name))
    assert waited == ["cuda", "mps"]
