"""What `${...}` in conf may call besides Hydra's own: started, file_name, classes, as_typed."""

import json
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


def as_typed(value: object) -> str:
    """`value` as it is written on the command line: null, true, [1,2]."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def register_resolvers(started: float | None = None) -> None:
    """Makes the resolvers known; `started` (seconds since 1970) is the time that names run folders."""
    clock = datetime.fromtimestamp(time.time() if started is None else started)
    OmegaConf.register_new_resolver("started", clock.strftime, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("file_name", file_name, replace=True)
    OmegaConf.register_new_resolver("classes", num_classes, replace=True)
    OmegaConf.register_new_resolver("as_typed", as_typed, replace=True)
