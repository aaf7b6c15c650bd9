"""What is printed: texts of files and folders, without the characters by which they would steer the terminal."""

import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but the tab and the end of a line


def shown(text: str) -> str:
    """`text` with ? for every control character: a name that somebody else gave moves no cursor and sets no title."""
    return _STEERING.sub("?", text)


def cut(text: str, most: int) -> str:
    """`text`, or of a longer one the beginning."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


class Plain(logging.Formatter):
    """The lines of the log, as `shown` gives them."""

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


def screen(*, soft_wrap: bool = False) -> "Console":
    """rich's console, which prints what it is given as `shown` has it, and [words] and :words: as they are; its own
    colours stay."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Screen(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for one in super().render(renderable, options):
                yield one if one.control else one._replace(text=shown(one.text))

    return Screen(markup=False, emoji=False, soft_wrap=soft_wrap, highlight=False)
