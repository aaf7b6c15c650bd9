"""Composes the configuration of gantool train as the command line does, for tests that look at it."""

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gantool.config import Train, Written, read
from gantool.paths import conf_dir


def composed(*overrides: str) -> tuple[DictConfig, DictConfig]:
    """The configuration with these overrides, and Hydra's own."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        whole = compose("train", overrides=list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(whole)
    cfg = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    return cfg, whole.hydra


def typed(*overrides: str) -> Train:
    """The same as the code gets it."""
    cfg, hydra = composed(*overrides)
    return read(cfg, Written.of(hydra))
