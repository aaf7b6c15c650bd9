"""A batch of the generator's own: how large, which images, and that it is a function of position alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from composing import composed
from gantool.batch import Batch
from gantool.cli.arguments import add_arguments
from gantool.cli.main import main
from gantool.config import Written
from gantool.data.cache import prepare
from gantool.data.stream import Stream
from gantool.game import Outcome, Player
from gantool.runs.build import build_state, build_stream, set_up
from gantool.runs.monitors import build_measurements
from gantool.training.loop import Settings, play_round
from runs import Composed, same, same_training, small
from test_data_stream import numbered

LAYERS = ["model.generator.norm=layer", "model.discriminator.norm=layer"]


def players(own_batch: float | None, n_critic: int = 2) -> dict[str, Player]:
    def nothing(batch: Batch) -> Outcome:
        return Outcome({})

    return {"discriminator": Player([], nothing, n_critic), "generator": Player([], nothing, own_batch=own_batch)}


def labels(batches: list[Batch]) -> list[int]:
    return [int(i) for batch in batches for i in batch.labels]  # pyright: ignore


@pytest.mark.parametrize("own_batch", [0.5, 1, 1.5, 2])
def test_its_images_come_in_an_order_of_their_own_each_once_an_epoch(own_batch: float) -> None:
    stream, size = Stream(numbered(48), seed=0, device="cpu"), round(4 * own_batch)
    rounds = [stream.deal(8 * n, players(own_batch), size=4) for n in range(48 // size)]
    own = [i for dealt in rounds for i in labels(dealt["generator"])]
    assert sorted(own) == list(range(48)) and {len(dealt["generator"][0]) for dealt in rounds} == {size}
    plain = [stream.deal(8 * n, players(None), size=4) for n in range(48 // size)]
    for dealt, without in zip(rounds, plain, strict=True):
        assert labels(dealt["discriminator"]) == labels(without["discriminator"])
        assert labels(without["generator"]) == labels(without["discriminator"])[-4:]
    assert own[:24] != labels(stream.take(0, count=1, size=24))
    again = Stream(numbered(48), seed=0, device="cpu").deal(8 * 5, players(own_batch), size=4)
    assert labels(again["generator"]) == own[5 * size : 6 * size]


def test_batches_that_grow_and_shrink_leave_no_image_out() -> None:
    stream, position, own = Stream(numbered(48), seed=0, device="cpu"), 0, []
    for size in (8, 8, 4, 4, 2, 2, 2, 2):
        own += labels(stream.deal(position, players(1.5), size=size)["generator"])
        position += 2 * size
    assert sorted(own) == list(range(48))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_have_the_whole(world: int) -> None:
    def dealt(rank: int = 0, world: int = 1) -> Batch:
        torch.manual_seed(0)
        stream = Stream(numbered(60), seed=1, device="cpu", flip=True, shift=2, rank=rank, world=world)
        return stream.deal(16, players(1.5), size=5)["generator"][0]

    whole, parts = dealt(), [dealt(rank=rank, world=world) for rank in range(world)]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert {part.total for part in parts} == {whole.total} == {8} and {p.position for p in parts} == {whole.position}


def seen(folder: Path, *words: str, microbatch: int | None = None) -> tuple[list[tuple[str, int, Tensor]], int]:
    """(player, images in the whole batch, real images) of each turn of two rounds, and nimg after them."""
    cfg, hydra = composed(*add_arguments(small(folder, *words)[1:]))
    setup = set_up(cfg, Written.of(hydra))
    turns = []
    for name, player in setup.game.players.items():

        def loss(batch: Batch, name: str = name, player: Player = player) -> Outcome:
            turns.append((name, batch.total, batch.images))
            return player.loss(batch)

        setup.game.players[name] = replace(player, loss=loss)
    image_set = prepare(setup.source)
    data, state = build_stream(setup, image_set), build_state(setup, len(image_set.images))
    measurements = build_measurements(setup, state, len(image_set.images))
    for _ in range(2):
        play_round(state, data, measurements, Settings(seed=0, batch_size=8, microbatch=microbatch))
    return turns, state.progress.nimg


def test_the_generators_turn_has_it_and_nothing_else_changes(in_tmp: Path) -> None:
    words = ["loss.n_critic=2", "loss=relativistic", "dataset.flip=true", *LAYERS]
    with_own, nimg = seen(in_tmp / "own", *words, "trainer.generator_batch=2")
    without, before = seen(in_tmp / "none", *words)
    assert [(name, total) for name, total, _ in with_own] == 2 * [*2 * [("discriminator", 8)], ("generator", 16)]
    assert nimg == before == 32, "images drawn for the generator alone are not counted as shown"
    assert all(torch.equal(a[2], b[2]) for a, b in zip(with_own, without, strict=True) if a[0] == "discriminator")
    fresh, shown = with_own[2][2], torch.cat([with_own[0][2], with_own[1][2]])
    assert not any(torch.equal(image, other) for image in fresh for other in shown)
    assert torch.equal(without[2][2], without[1][2])
    parts, _ = seen(in_tmp / "parts", *words, "trainer.generator_batch=2", microbatch=3)
    own = torch.cat([images for name, _, images in parts[: len(parts) // 2] if name == "generator"])
    assert torch.equal(own, fresh)


def test_a_run_that_goes_on_is_one_that_was_never_stopped(in_tmp: Path) -> None:
    run = Composed(
        in_tmp, "trainer.generator_batch=1.5", "loss=relativistic", "dataset.shift=2", "model.conditional=true"
    )
    whole = run.train("whole")
    run.train("parts", rounds=2)
    parts = run.train("parts")
    assert same_training(whole, parts) and same(whole["progress"], parts["progress"])


def test_a_game_without_such_a_player_refuses_it(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(small(in_tmp / "run", "trainer.generator_batch=2", model="cyclegan")) == 1
    assert "trainer.generator_batch=2.0: gantool.games.cyclegan.CycleGAN takes no" in capsys.readouterr().err
    assert not (in_tmp / "run").exists()
