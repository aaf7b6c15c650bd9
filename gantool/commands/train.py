"""gantool train: builds what the configuration says, trains it, and leaves a run folder.

runs/start.py makes the run of it; its rounds are played in training/loop.py.
"""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


def train(cfg: DictConfig) -> float | None:
    """Trains a GAN and returns its last score, for sweeps. Raises as gantool.runs.start.train_run does."""
    from gantool.runs.start import train_run  # torch waits until a command runs

    hydra = HydraConfig.get()
    state = train_run(cfg, Path(hydra.runtime.output_dir), hydra)
    return next(iter(state.metrics.values()), None)
