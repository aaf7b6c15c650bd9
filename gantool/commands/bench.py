"""gantool bench: times the composed training step against a plain PyTorch loop of the same networks."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gantool.config import Written
from gantool.errors import GantoolError

_IDLE = ("init", "sweep_metric", "score", "features", "monitor.scores", "logger")  # keys that nothing timed here reads
_IDLE += ("trainer.dry_run", "trainer.stop", "trainer.target", "trainer.time_limit")


def bench(cfg: DictConfig) -> float:
    """How many times as fast as the plain loop the composed step is; see compare. Raises GantoolError for a key that
    changes nothing of it."""
    from gantool.bench.compare import compare  # torch waits until a command runs
    from gantool.runs.fitting import settle_batch

    hydra = HydraConfig.get()
    written = Written.of(hydra)
    for key in sorted(written.typed):
        if any(f"{key}.".startswith(f"{idle}.") and OmegaConf.select(cfg, idle) for idle in _IDLE):
            raise GantoolError(f"{key} changes nothing that gantool bench times: leave it out")
    settle_batch(cfg, written, Path(hydra.runtime.output_dir))
    return compare(cfg, written)
