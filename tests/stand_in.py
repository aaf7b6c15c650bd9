"""A command that stands for gantool train in the tests of the command line."""

import json
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gantool.config import Written, read, save_composed
from gantool.errors import GantoolError, InUse


def train(cfg: DictConfig) -> float:
    """Stands for a command: what it does is chosen by the seed."""
    hydra = HydraConfig.get()
    config = read(cfg, Written.of(hydra))
    seed, run = config.trainer.seed, Path(hydra.runtime.output_dir)
    if seed == 13:
        raise RuntimeError("a bug")
    if seed == 14:
        raise GantoolError("the data is not there\nnor is the network")
    if seed == 19:
        return cfg.nothing
    save_composed(cfg, run, hydra)
    (run / "checkpoints").mkdir(exist_ok=True)
    (run / "checkpoints" / "1.pt").touch()
    scores = {"fd_digits": 10.0 - seed, "is_digits": float(seed)}
    status = {"state": "running", "error": None, "progress": {"nimg": 2000}, "metrics": scores, "best": None}
    status["higher_is_better"] = ["is_digits"]
    (run / "status.json").write_text(json.dumps(status))
    if seed == 15:
        raise RuntimeError("a later bug")
    if seed == 16:
        (run / "status.json").write_text(json.dumps({**status, "state": "stopped"}))
        raise SystemExit(143)
    if seed == 17:
        raise KeyboardInterrupt
    if seed == 18:
        raise SystemExit(3)
    if seed == 20:
        raise InUse(f"{run} is in use")
    (run / "status.json").write_text(json.dumps({**status, "state": "finished"}))
    rate, batch_size = config.optimizer.lr, config.trainer.batch_size
    print(f"lr {rate:g} batch {batch_size} model {cfg.model.generator._target_}")
    return scores["fd_digits"]


def runs(root: Path = Path("outputs")) -> list[Path]:
    """Folders with a status.json."""
    return sorted(path.parent for path in root.rglob("status.json"))
