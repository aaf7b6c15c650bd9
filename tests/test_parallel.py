"""trainer.parallel=sharded on two ranks against data parallel on two, and batch norm over both against one process."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from extent import ALL, some, thorough
from gantool.cli.main import main
from gantool.training import loop
from runs import newest, same, same_training, small, train
from test_ranks import keep_the_end, together
from test_watchdog import EXPLODES, LOWER, noticed

SHARDED = ["trainer.parallel=sharded"]
SCORED = ["score=[fd]", "monitor=[samples,scores]", "monitor.scores.num=20", "monitor.scores.every=2it"]
CASES = {
    "dragan": (
        "mlp",
        ["loss=lsgan", "regularizer=[dragan,orthogonal]", "model.discriminator.norm=none"],
    ),
    "wgan-gp": ("dcgan", ["loss=wgan-gp", "model.generator.norm=layer", *SCORED]),
    "spectral": ("dcgan", ["model.discriminator.norm=spectral", "regularizer=[r1,l2]", "optimizer=rmsprop"]),
    "r3gan": ("r3gan", ["regularizer=[]", "optimizer.clip_norm=1"]),
    "progan": ("progan", ["loss=wgan-gp", "model.growth.start=4", "trainer.duration=8it"]),
    "biggan": ("biggan", ["model.conditional=true", "trainer.ema_buffers=average", "trainer.watchdog.action=rollback"]),
    "clipped": (
        "mlp",
        ["loss=wgan", "trainer.microbatch=2", "model.discriminator.norm=none"],
    ),
    "cyclegan": ("cyclegan", ["loss=wgan-gp", "trainer.duration=3it"]),
}
CHANGED = ("wgan-gp", "spectral", "biggan") if ALL else ()  # they change how ranks share on their way


def command(name: str, folder: Path, *more: str) -> list[str]:
    model, words = CASES[name]
    return small(folder, *words, *more, model=model)


def like(a: dict, b: dict, tolerance: float = 0.0) -> list[str]:
    """The tensors of two states that differ by more than so much of their size."""
    found = []
    for part in ("game", "ema"):
        assert a[part].keys() == b[part].keys()
        found += [k for k, v in a[part].items() if not _near(v, b[part][k], tolerance)]
    for player, optimizer in a["optimizers"].items():
        other = b["optimizers"][player]
        assert optimizer["state"].keys() == other["state"].keys()
        assert same(optimizer["param_groups"], other["param_groups"])
        for number, kept in optimizer["state"].items():
            pairs = ((name, value, other["state"][number][name]) for name, value in kept.items())
            found += [f"{player} {number} {name}" for name, x, y in pairs if not _near(x, y, tolerance)]
    return found


def _near(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return a.shape == b.shape and bool((a.double() - b.double()).norm() <= tolerance * a.double().norm())


@pytest.mark.parametrize("name", some(CASES, 1))
def test_sharded_trains_what_data_parallel_does_and_each_goes_on_from_the_other(in_tmp: Path, name: str) -> None:
    together(command(name, in_tmp / "data"), in_tmp / "out")
    together(command(name, in_tmp / "sharded", *SHARDED), in_tmp / "out")
    expected, found = newest(in_tmp / "data"), newest(in_tmp / "sharded")
    assert like(expected, found, 1e-6) == []
    assert expected["metrics"] == found["metrics"]
    if name not in CHANGED:
        return
    half = [f"trainer.duration={expected['progress']['rounds'] // 2}it"]
    together(command(name, in_tmp / "mixed", *SHARDED, *half), in_tmp / "out")
    together(command(name, in_tmp / "mixed"), in_tmp / "out")
    assert like(expected, newest(in_tmp / "mixed"), 1e-6) == []


@thorough
def test_frozen_blocks_are_averaged_alike_however_ranks_share(in_tmp: Path) -> None:
    """They begin with another run's weights, and averages of their own that are to come to them."""
    train(in_tmp / "before", "trainer.ema_half_life=1kimg", rounds=3)
    words = [f"init={in_tmp / 'before'}", "trainer.freeze={generator: 1}", "trainer.ema_half_life=8img"]
    for mode in ("data", "sharded"):
        together(small(in_tmp / mode, *words, f"trainer.parallel={mode}"), in_tmp / "out")
    assert like(newest(in_tmp / "data"), newest(in_tmp / "sharded"), 1e-6) == []


@thorough
def test_a_sharded_run_goes_on_alone_and_on_three(in_tmp: Path) -> None:
    words = ["loss=wgan-gp", "model.generator.norm=layer", "optimizer=sgd", "optimizer.momentum=0.5"]
    together(small(in_tmp / "run", *words, *SHARDED, rounds=2), in_tmp / "out")
    train(in_tmp / "run", *words, rounds=3)
    together(small(in_tmp / "run", *words, *SHARDED, rounds=4), in_tmp / "out", count=3)
    whole = train(in_tmp / "one", *words, rounds=4)
    assert like(whole, newest(in_tmp / "run"), 0.01) == []


@thorough
def test_ranks_that_broke_down_go_back_alike_however_they_share(in_tmp: Path) -> None:
    ended = {}
    for mode in ("data", "sharded"):
        words = small(in_tmp / mode, *EXPLODES, LOWER, f"trainer.parallel={mode}", model="mlp", rounds=20)
        assert together(words, in_tmp / "out", keep_the_end).count("rollback 1 of 2") == 1
        ended[mode], second = (torch.load(in_tmp / f"{mode}-{k}.pt", weights_only=True) for k in (0, 1))
        kept = second if mode == "data" else {part: second[part] for part in ("game", "ema")}  # the first has moments
        saved = newest(in_tmp / mode)
        assert same(kept, {part: ended[mode][part] for part in kept}) and same_training(ended[mode], saved)
        assert saved["progress"]["rounds"] == 20 and saved["rate_factor"] == 1e-6 and saved["watch"]["rollbacks"] == 1
        assert noticed(in_tmp / mode).count("rollback") == 1
    assert like(ended["data"], ended["sharded"], 1e-6) == []


def weigh(words: list[str]) -> int:
    """gantool, which tells how many numbers this rank holds at the end."""
    from gantool.runs import start
    from gantool.training import loop

    def play(state, *rest) -> None:
        loop.train(state, *rest)
        held: dict[int, int] = {}
        tensors = [*state.game.parameters(), *state.ema.generators.parameters()]
        tensors += [own.part for own, _ in state.ema.shards]
        for optimizer in state.optimizers.values():
            tensors += [optimizer.shards.part] if optimizer.shards else []
            tensors += [p.grad for p in optimizer.parameters if p.grad is not None]
            tensors += [v for kept in optimizer.optimizer.state.values() for v in kept.values() if v.ndim]
        for tensor in tensors:
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
        Path(words[-1].partition("=")[2] + ".bytes").write_text(f"{sum(held.values())}")

    start.train = play
    return main(words)


@thorough
def test_a_rank_holds_half_of_what_is_sharded(in_tmp: Path) -> None:
    held = {}
    for mode in ("data", "sharded"):
        words = small(
            in_tmp / mode, f"trainer.parallel={mode}", "model.generator.hidden=[64,64]", model="mlp", rounds=1
        )
        words = [w for w in words if not w.startswith("hydra.run.dir")] + [f"hydra.run.dir={in_tmp / mode}"]
        together(words, in_tmp / "out", weigh)
        held[mode] = int((in_tmp / f"{mode}.bytes").read_text())
    assert held["sharded"] <= 0.51 * held["data"], held


@thorough
@pytest.mark.parametrize("name", ["dcgan", "biggan"])
def test_synchronised_batch_norm_trains_as_one_process_does(in_tmp: Path, name: str) -> None:
    words = ["loss=hinge", "model.generator.norm=batch", "trainer.batch_size=7"] if name == "dcgan" else []
    words = words or ["trainer.batch_size=7", "model.discriminator.norm=none"]
    synced = small(in_tmp / "two", *words, "trainer.sync_batch_norm=true", model=name, rounds=2)
    together(synced, in_tmp / "out", keep_the_end)
    one, two = train(in_tmp / "one", *words, model=name, rounds=2), newest(in_tmp / "two")
    norms = [k for k in one["ema"] if "running" in k]
    # The bias before a batch norm has no gradient but rounding, which Adam enlarges, and moves the mean alone.
    assert norms and all(_near(one["ema"][k], two["ema"][k], 1e-4 if "var" in k else 0.01) for k in norms)
    for player, optimizer in one["optimizers"].items():
        for key, kept in optimizer["state"].items():
            difference = two["optimizers"][player]["state"][key]["exp_avg"] - kept["exp_avg"]
            assert difference.norm() <= 0.01 * kept["exp_avg"].norm() + 1e-6, (player, key)


def uneven(words: list[str]) -> int:
    """gantool, whose second rank has a clock that leaves a dry run at once; notes what the rounds were played of."""
    from gantool.runs import fitting

    played = []

    def look(state, *rest) -> None:
        synchronised = ["forward" in vars(norm) for norm in state.game.modules() if isinstance(norm, _BatchNorm)]
        played.append([all(o.shards is not None for o in state.optimizers.values()), any(synchronised)])
        loop.play_round(state, *rest)

    fitting.play_round, fitting._SECONDS = look, 0.0 if os.environ["RANK"] == "1" else 1e9
    code = main(words)
    Path(f"played.{os.environ['RANK']}").write_text(json.dumps(played))
    return code


def test_a_dry_run_of_ranks_plays_the_rounds_of_the_run_and_as_many_on_each(in_tmp: Path) -> None:
    words = [*SHARDED, "trainer.sync_batch_norm=true", "trainer.dry_run=true", *SCORED]
    words += ["loss=hinge", "model.generator.norm=batch"]
    said = together(small(in_tmp / "run", *words), in_tmp / "out", uneven)
    first, second = (json.loads(Path(f"played.{number}").read_text()) for number in (0, 1))
    assert first == second == [[True, True]] * 2, "one that allocates, and one until the second rank's time is over"
    assert all(f"\n{start} " in said for start in ("parameters", "pace", "monitors", "disk"))
    told = re.search(r"generator ([\d,]+)", said)
    assert told and int(told[1].replace(",", "")) > 1000, "counted while each rank had all of them"


@pytest.mark.parametrize("key", ["trainer.parallel=sharded", "trainer.sync_batch_norm=true"])
def test_a_batch_is_not_sought_for_what_cannot_be(in_tmp: Path, key: str, capfd) -> None:
    assert main(small(in_tmp / "run", key, "trainer.batch_size=auto")) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "is for several ranks: start with torchrun" in error[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.parallel=sharded"], "is for several ranks: start with torchrun"),
        (["trainer.sync_batch_norm=true"], "is for several ranks: start with torchrun"),
        (["trainer.parallel=players"], "needs two GPUs, and there is device cpu: take trainer.parallel=data"),
    ],
)
def test_what_cannot_be_is_refused(in_tmp: Path, words: list[str], message: str, capfd) -> None:
    assert main(small(in_tmp / "run", *words, model="mlp")) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0], error
    assert not (in_tmp / "run").exists()


def test_optimizers_that_look_at_whole_tensors_are_refused(in_tmp: Path) -> None:
    from gantool.errors import GantoolError
    from gantool.training.shards import check_stepwise

    for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD):
        check_stepwise(lambda p, kind=kind: kind(p, lr=0.1), "generator")
    with pytest.raises(GantoolError, match="the generator's optimizer looks at whole tensors"):
        check_stepwise(lambda p: torch.optim.Adafactor(p, lr=0.1), "generator")
