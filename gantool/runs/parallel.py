"""Whether a run can be shared as trainer.parallel asks for."""

from gantool.config import build
from gantool.errors import GantoolError
from gantool.ranks import world
from gantool.runs.build import Setup
from gantool.training.shards import check_stepwise
from gantool.training.synchronised import check_synchronised


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
