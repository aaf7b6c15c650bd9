"""Stops by signal or by the clock: the round is finished, a checkpoint written, and the process leaves."""

import os
import signal
import threading
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gantool.ranks import rank

# HUP: the terminal is gone; PIPE: nobody reads what is printed any more (train | head). Windows lacks some.
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGPIPE")
LATE = 1  # the time is over: what comes after every signal
_FIRST = 1000
SIGNALS = tuple(number for number in signal.valid_signals() if getattr(number, "name", "") in _NAMES)


class StopSignal:
    """A context that remembers the first signal; a second SIGINT leaves at once. LATE counts as one, where `is_late`
    says that the time is over.

    Whoever had a handler before (submitit requeues on SIGUSR2) gets the signal once the checkpoint is written. Outside
    the main thread, which alone may handle signals, the clock counts alone.
    """

    def __init__(self, is_late: Callable[[], bool] = lambda: False) -> None:
        self.is_late = is_late
        self._came = 0
        self._before: dict[int, Any] = {}

    @property
    def number(self) -> int:
        """What ends the run, 0 where it is to go on. Of several ranks' the largest counts: SIGUSR1 and SIGUSR2 before
        SIGTERM, LATE after all."""
        return _FIRST - self._came if self._came else LATE if self.is_late() else 0

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS if not _is_shut_out(number)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self._came and number == signal.SIGINT:
            if rank() == 0:
                with suppress(OSError):  # not print: the signal may have come in one
                    os.write(2, b"left at once: nothing is saved since the last checkpoint\n")
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._came = self._came or number

    def leave(self, number: int, error: Exception | None = None) -> None:
        """Hands the signal to an older handler that is neither Python's nor the system's, then exits with its code; it
        only returns after LATE, and where there was none.

        `number`, as above, may be another rank's; `error` is what ended the run before the signal could: no handler
        is to queue it again then.
        """
        if number <= LATE:
            return
        number = _FIRST - number
        handler = self._before.get(number)
        if error is None and callable(handler) and handler is not signal.default_int_handler:
            handler(number, None)
        raise SystemExit(128 + number) from error


def _is_shut_out(number: int) -> bool:
    """Whether who started this process shut that signal out, as nohup does SIGHUP; Python itself ignores SIGPIPE."""
    return signal.getsignal(number) is signal.SIG_IGN and signal.Signals(number).name != "SIGPIPE"
