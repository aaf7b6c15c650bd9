"""What `${...}` in conf may call besides Hydra's own: started, file_name, chosen, norm, times."""

import re
import time
from collections.abc import Iterable
from datetime import datetime

from omegaconf import DictConfig, OmegaConf


def file_name(text: str) -> str:
    """`text` as one path component that needs no quoting in a shell or in Hydra."""
    return (
        re.sub(r"[^\w.+-]+", "-", text.replace("++", "").replace("=", "-").replace(",", "_")).strip("-_.")[:100]
        or "run"
    )


def targets(words: Iterable[str]) -> dict[str, str]:
    """{group: class} of every class that was typed over the one that a group's choice brings: loss._target_=mine.L."""
    pairs = (str(word).lstrip("+").partition("=") for word in words)
    typed = {key: name.strip("'\"") for key, _, name in pairs if re.fullmatch(r"\w+\._target_", key)}
    return {key.removesuffix("._target_"): name for key, name in typed.items()}


def chosen(group: str, otherwise: str, *, _root_: DictConfig) -> str:
    """What a run's folder calls the part of a group: the choice, or the class that was typed over the choice's."""
    hydra = _root_.hydra
    typed = OmegaConf.to_container(OmegaConf.create(hydra.overrides.task))  # with their ${...}
    own = targets(map(str, typed)) if isinstance(typed, list) else {}
    return own.get(group) or str(hydra.runtime.choices.get(group) or otherwise)


def norm(first: str, *others: str, _root_: DictConfig) -> str:
    """The discriminator's norm that the loss asks for (recipe.discriminator_norm) if it is among these, else the first:
    a network of a paper that has no batch norm keeps its own."""
    wanted = _root_.recipe.discriminator_norm
    return wanted if wanted in others else first


def times(value: object, factor: object) -> object:
    """The product of two numbers; the value itself where one of them is none, which the schema then says."""
    if not (isinstance(value, int | float) and isinstance(factor, int | float)) or factor == 1:
        return value
    return float(f"{value * factor:.12g}")  # 7e-4, not 6.999999999999999e-4


def register_resolvers(started: float | None = None) -> None:
    """Makes the resolvers known; `started` (seconds since 1970) is the time that names run folders."""
    clock = datetime.fromtimestamp(time.time() if started is None else started)
    OmegaConf.register_new_resolver("started", clock.strftime, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("file_name", file_name, replace=True)
    OmegaConf.register_new_resolver("chosen", chosen, replace=True)
    OmegaConf.register_new_resolver("norm", norm, replace=True)
    OmegaConf.register_new_resolver("times", times, replace=True)
