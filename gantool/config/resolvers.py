"""What `${...}` in conf may call besides Hydra's own: started, file_name, classes."""

import re
import time
from datetime import datetime

from omegaconf import OmegaConf


def file_name(text: str) -> str:
    """`text` as one path component that needs no quoting in a shell or in Hydra."""
    return re.sub(r"[^\w.+-]+", "-", text.replace("=", "-").replace(",", "_")).strip("-_.")[:100] or "run"


def num_classes(conditional: bool, in_data: int | None) -> int | None:
    """The classes that the networks know: those of the data for a conditional model, else none."""
    return in_data if conditional else 0


def register_resolvers(started: float | None = None) -> None:
    """Makes the resolvers known; `started` (seconds since 1970) is the time that names run folders."""
    clock = datetime.fromtimestamp(time.time() if started is None else started)
    OmegaConf.register_new_resolver("started", clock.strftime, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("file_name", file_name, replace=True)
    OmegaConf.register_new_resolver("classes", num_classes, replace=True)
