"""Numbers that a schedule gives: whether their keys take them, at the start of a run and at its end."""

import inspect
import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from gantool.config import Train, build
from gantool.config.messages import plain_message
from gantool.config.parts import find, nodes
from gantool.errors import GantoolError
from gantool.schedules import check_schedule

_GROUPS = ("loss", "regularizer", "optimizer", "trainer")  # where schedules stand that the schema knows ranges of
_NOT_NEGATIVE = ("optimizer.schedule", "trainer.ema_half_life")  # of which no plain number is typed


def is_schedule(target: Callable[..., Any]) -> bool:
    """True for a class whose objects are called with a position and the length of a run."""
    kinds = target.__mro__ if inspect.isclass(target) else ()
    call = next((vars(kind)["__call__"] for kind in kinds if "__call__" in vars(kind)), None)
    return call is not None and [*inspect.signature(call).parameters][1:] == ["nimg", "total"]


def check_schedules(config: Train, total: int) -> None:
    """Raises GantoolError for each schedule that gives a number, before the first of `total` images or after the last,
    which could not be typed in its place."""
    plain = config.model_dump(by_alias=True, exclude_unset=True)
    lines: dict[tuple[str, str], str] = {}  # one for a schedule that stands in several places
    for path, node in nodes({group: plain[group] for group in _GROUPS}):
        if not is_schedule(find(node["_target_"], path)):
            continue
        schedule = build(node, path)
        check_schedule(schedule, path)
        for nimg, place in ((0, "start"), (total, "end")):
            number = schedule(nimg, total)
            if why := _refusal(plain, path, number):
                lines.setdefault((str(node), why), f"{path} is {number:g} at its {place}: {why}")
                break
    if lines:
        raise GantoolError("\n".join(lines.values()))


def _refusal(plain: dict[str, Any], path: str, number: float) -> str | None:
    """Why the schema refuses a number in the place of a schedule; None where it does not."""
    if path in _NOT_NEGATIVE:
        return None if 0 <= number < math.inf else "should be a finite number, 0 or more"
    place: Any = deepcopy(plain)
    whole, (*parents, last) = place, path.split(".")
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    place[int(last) if isinstance(place, list) else last] = number
    try:
        Train.model_validate(whole)
    except ValidationError as error:
        return plain_message(error.errors()[0])
    return None
