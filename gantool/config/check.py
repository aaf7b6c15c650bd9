"""All that can be said about a configuration before anything is built from it."""

from functools import partial
from typing import Any

from omegaconf import DictConfig

from gantool.config.schema import resolve, validate
from gantool.config.targets import check_targets
from gantool.errors import GantoolError


def check(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers; raises GantoolError with the mistakes in gantool's own keys (validate)
    and in those of every `_target_` (check_targets) together."""
    plain = resolve(cfg)
    lines: list[str] = []
    for find_mistakes in (partial(validate, cfg), partial(check_targets, plain)):
        try:
            find_mistakes()
        except GantoolError as error:
            lines += str(error).splitlines()
    if lines:
        raise GantoolError("\n".join(dict.fromkeys(lines)))
    return plain
