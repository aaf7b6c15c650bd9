"""Stops by signal: the round is finished, a checkpoint written, and the process leaves with 128 + signal."""

import signal
import types
from typing import Any

# HUP: the terminal is gone; PIPE: nobody reads what is printed any more (train | head). Windows lacks some.
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGPIPE")
SIGNALS = tuple(number for number in signal.valid_signals() if getattr(number, "name", "") in _NAMES)


class StopSignal:
    """A context that remembers the first signal; a second SIGINT leaves at once.

    Whoever had a handler before (submitit requeues on SIGUSR2) gets the signal once the checkpoint is written.
    """

    def __init__(self) -> None:
        self.number = 0  # 0: none came
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self.number and number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.number = number

    def leave(self, number: int) -> None:
        """Hands the signal to an older handler that is neither Python's nor the system's, then exits with its code.

        `number` may have reached another rank only.
        """
        handler = self._before.get(number)
        if callable(handler) and handler is not signal.default_int_handler:
            handler(number, None)
        raise SystemExit(128 + number)
