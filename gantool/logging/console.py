"""What a training run says while it runs: one live line on a terminal, a plain line now and then elsewhere."""

import re
import signal
import time
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import TextIO

from rich.console import Console as Terminal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gantool.game import Progress
from gantool.margins import written
from gantool.screen import shown

_WINDOW = 60.0  # seconds over which the rate is taken, so monitors and scores count in the time left
_BAR = 12  # characters
_PLAYERS = {"generator": "G", "discriminator": "D"}
_WIDE = 100  # columns from which on there is room for the bar
_SHOWN = ((r"metrics/(.+)", "{}"), (r"loss/(.+)/total", "loss {}"), (r"discriminator_score/(.+)", "{} logit"))


class Console:
    """Shows images done, images/s, time left, and the last losses and scores.

    `total` and `start`: the nimg at which the run ends and this session starts; `quiet` says nothing (ranks other than
    0); `title` stands before each line. The rate counts from the first round that is shown, whose line has none yet: it
    was many times as long as those after it.
    """

    def __init__(
        self, total: int, start: int = 0, *, quiet: bool = False, title: str = "", file: TextIO | None = None
    ) -> None:
        self.terminal = Terminal(file=file, quiet=quiet, highlight=False, markup=False, emoji=False)
        self.total, self.start, self.title = total, start, title
        self.interval = 0.25 if self.terminal.is_terminal else 10.0  # seconds between two lines
        self.marks: deque[tuple[float, int]] = deque(maxlen=max(2, round(_WINDOW / self.interval)))
        self.printed = time.monotonic()
        self.values: dict[tuple[int, str], str] = {}  # by place on the line and name
        self.progress: Progress | None = None
        self.shown: Progress | None = None
        # Redrawn by update() alone: rich's own thread would take time from training.
        self.live = Live(console=self.terminal, auto_refresh=False) if self.terminal.is_terminal else None

    def update(self, progress: Progress, scalars: Mapping[str, float] | None = None) -> None:
        """Tell it where the run is, and what was measured if anything was; cheap enough to call every round."""
        self.progress = progress
        scalars = scalars or {}
        for tag, value in scalars.items():
            if key := place_and_name(tag):
                kind, _, rest = tag.partition("/")
                margin = scalars.get(f"margin/{rest}") if kind == "metrics" else None
                self.values[key] = written(value, margin, digits=3)
        if self.shown is None or time.monotonic() - self.printed >= self.interval:
            self._show(progress)

    def close(self) -> None:
        """Show where the run ended and give the terminal back."""
        if self.progress is not None and self.progress != self.shown:
            self._show(self.progress)
        if self.live is not None:
            self.live.stop()

    def _show(self, progress: Progress) -> None:
        try:
            self._print(progress)
        except (OSError, SystemExit):  # nobody reads it (rich exits at that), or the disk is full
            signal.raise_signal(signal.SIGPIPE)

    def _print(self, progress: Progress) -> None:
        self.shown, self.printed = progress, time.monotonic()
        if progress.nimg > self.start:
            self.marks.append((self.printed, progress.nimg))
        done, rest = self._text(progress)
        if self.live is None:
            self.terminal.print(f"{done}  {rest}".rstrip(), soft_wrap=True)
            return
        line, wide = Table.grid(padding=(0, 1)), self.terminal.width >= _WIDE
        line.add_column(no_wrap=True, min_width=len(done))
        if wide:
            line.add_column(min_width=_BAR)
        line.add_column(no_wrap=True, overflow="ellipsis")
        bar = [ProgressBar(total=self.total, completed=progress.nimg, width=_BAR)] if wide else []
        line.add_row(Text(done), *bar, Text(rest))
        if not self.live.is_started:
            self.live.start()
            self.terminal.show_cursor(True)  # a run that is ended at once would leave it hidden
        self.live.update(line, refresh=True)

    def _text(self, progress: Progress) -> tuple[str, str]:
        """How much is done; rate, time left and the last values."""
        total = f"{self.total / 1000:g}"
        title = f"{self.title}  " if self.title else ""
        done = (
            f"{title}{progress.nimg / 1000:>{len(total) + 2}.1f}/{total} kimg {min(progress.nimg / self.total, 1):4.0%}"
        )
        values = sorted(self.values.items(), key=lambda item: item[0][0])
        text = shown("  ".join(f"{name} {value}" for (_, name), value in values))
        return done, f"{self._pace(progress)}{text}".rstrip()

    def _pace(self, progress: Progress) -> str:
        """Rate and time left, once there is a round to measure."""
        if len(self.marks) < 2:
            return ""
        (since, before), (now, _) = self.marks[0], self.marks[-1]
        rate = (progress.nimg - before) / max(now - since, 1e-9)
        images = max(self.total - progress.nimg, 0)  # the last round may go beyond the end
        left = str(timedelta(seconds=round(images / rate))).removeprefix("0:") if rate > 0 else "?"
        return f"{rate:.0f} images/s  {left} left  "


def place_and_name(tag: str) -> tuple[int, str] | None:
    """Scores ('fid'), then the players' losses ('loss D', 'loss G'), then what the discriminator says, which is no
    probability ('real logit', 'fake logit'); None: not shown."""
    for place, (pattern, name) in enumerate(_SHOWN):
        if match := re.fullmatch(pattern, tag):
            return place, name.format(_PLAYERS.get(match[1], match[1]))
    return None
