"""gantool bench: times the composed training step against a plain PyTorch loop of the same networks."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gantool.config import Written


def bench(cfg: DictConfig) -> float:
    """How many times as fast as the plain loop the composed step is; see compare."""
    from gantool.bench.compare import compare  # torch waits until a command runs
    from gantool.runs.fitting import settle_batch

    hydra = HydraConfig.get()
    written = Written.of(hydra)
    settle_batch(cfg, written, Path(hydra.runtime.output_dir))
    return compare(cfg, written)
