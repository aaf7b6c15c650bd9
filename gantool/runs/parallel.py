"""How rounds are played: compiled, and shared by the ranks, as trainer asks for, and whether they can be."""

import math

from gantool.config import build
from gantool.errors import GantoolError
from gantool.game import Regularizer
from gantool.ranks import world
from gantool.runs.build import Setup
from gantool.runs.compiling import compile_game
from gantool.training.graphs import CudaCapture, Graphs
from gantool.training.loop import Settings
from gantool.training.shards import check_stepwise
from gantool.training.state import State
from gantool.training.synchronised import check_synchronised, synchronise


def check_parallel(setup: Setup) -> None:
    """Raises GantoolError for ranks that are missing, or too many, and for what cannot be shared."""
    trainer, optimizer = setup.config.trainer, setup.config.optimizer
    if trainer.parallel == "players" and world() > 1:
        raise GantoolError("trainer.parallel=players is for one process: take trainer.parallel=data under torchrun")
    if trainer.sync_batch_norm:
        check_synchronised(setup.game, trainer.microbatch)
    if trainer.parallel != "sharded":
        return
    if world() == 1:
        raise GantoolError(
            "trainer.parallel=sharded is for several ranks: start with torchrun --nproc-per-node=2 -m gantool, or take "
            "trainer.parallel=data"
        )
    if setup.precision.name == "fp16":
        raise GantoolError("trainer.parallel=sharded: no trainer.precision=fp16; take bf16 or fp32")
    for player in setup.game.players:
        check_stepwise(build({**optimizer.of(player), "_partial_": True}, f"optimizer.{player}"), player)


def arrange(setup: Setup, state: State) -> None:
    """Compiles the game, synchronises its batch norms and shares the state, as `setup` says: once, before any round
    that is to be like those of the run, and after weights are loaded."""
    trainer = setup.config.trainer
    if trainer.sync_batch_norm:
        synchronise(state.game)
    if trainer.compile is True:
        compile_game(state.game)
    if trainer.parallel == "sharded":
        state.share()


def settings_of(setup: Setup) -> Settings:
    """How the rounds of a state that was arranged are played."""
    trainer = setup.config.trainer
    graphs = Graphs(CudaCapture(setup.device)) if trainer.compile == "graphs" else None
    return Settings(trainer.seed, trainer.batch_size, trainer.microbatch, graphs)


def period_of(setup: Setup) -> int:
    """The rounds after which penalties that are not taken in every update come round again."""
    parts = [
        build(part.node, f"regularizer.{name}", kind=Regularizer) for name, part in setup.config.regularizer.items()
    ]
    parts += [part for loss in setup.game.losses for part in loss.regularizers.values()]
    return math.lcm(*(part.every for part in parts))
