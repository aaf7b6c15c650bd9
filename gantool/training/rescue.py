"""What is done about a run that goes wrong: a warning, an end, or a return to the last good state at lower rates."""

import logging
import shlex
from typing import Literal

from gantool.errors import GantoolError
from gantool.game import Progress
from gantool.ranks import from_first, rank
from gantool.training.checkpoint import Checkpoints
from gantool.training.measurements import Breakdown
from gantool.training.recorder import Recorder
from gantool.training.state import State

log = logging.getLogger(__name__)

_TOLD = 8  # of the last things noticed

Action = Literal["warn", "stop", "rollback", "off"]


class Rescue:
    """Acts on what the watchdog notices and on a breakdown (numbers that are not finite).

    `warn` tells; `stop` ends the run; `rollback` goes back to the last state at which the watchdog saw no sign, at most
    `max_rollbacks` times in a run, and multiplies every learning rate by `rate_factor` each time. When good states are
    kept depends on position alone, so a run that was killed goes back to where one that was not does.
    """

    def __init__(
        self, state: State, checkpoints: Checkpoints, *, action: Action, max_rollbacks: int, rate_factor: float
    ) -> None:
        self.state, self.checkpoints, self.action = state, checkpoints, action
        self.max_rollbacks, self.rate_factor = max_rollbacks, rate_factor

    def begin(self, recorder: Recorder) -> None:
        """Keeps the state that a run begins with, where none is kept yet."""
        if not from_first(lambda: any(self.checkpoints.folder.glob("good-*.pt"))):
            self.keep(recorder)

    def keep(self, recorder: Recorder) -> None:
        """The state as it is now is one to go back to, and to go on from."""
        if self.action in ("stop", "rollback"):
            recorder.keep("good", self.state)

    def act(self, text: str, progress: Progress) -> None:
        """Told of a sign that has lasted; raises Breakdown unless it is only to warn."""
        text = f"watchdog at {progress.nimg / 1000:g} kimg: {text}"
        self._note(text)
        if self.action in ("stop", "rollback"):
            raise Breakdown(text)
        if rank() == 0:
            log.warning("%s", text)

    def after(self, trouble: Breakdown) -> None:
        """Goes back; raises GantoolError where the run is to end instead."""
        shares = self.state.unshare()
        back = from_first(self.checkpoints.go_back) if self.action in ("stop", "rollback") else None
        if back is None:
            raise GantoolError(f"{trouble}; {self._way_on()}") from trouble
        state, done = self.state, self.state.watch.get("rollbacks", 0)
        kimg = back["progress"]["nimg"] / 1000
        if self.action == "stop" or done == self.max_rollbacks:
            tried = f" after {done} rollbacks" if done else ""
            end = f"{trouble}; stopped{tried}: resume= continues from {kimg:g} kimg, before the trouble"
            raise GantoolError(end) from trouble
        best, ways = state.best, state.ways  # the best checkpoint stays, whatever came after it
        noticed = [text for text in state.watch.get("noticed", []) if text != str(trouble)]  # told again below
        factor = state.rate_factor * self.rate_factor  # of now: a good state from before a rollback has a higher one
        state.load_state_dict(back)
        if shares:
            state.share()
        state.forget_other_scores(ways)  # the good state may be of an earlier session
        state.best, state.rate_factor = best, factor
        state.watch |= {"rollbacks": done + 1, "noticed": noticed}
        text = f"{trouble}; back to {kimg:g} kimg with learning rates times {state.rate_factor:g}"
        self._note(f"{text} (rollback {done + 1} of {self.max_rollbacks})")
        saved = state.state_dict()
        if rank() == 0:
            log.warning("%s", state.watch["noticed"][-1])
            self.checkpoints.save(saved, state.progress.nimg)

    def _way_on(self) -> str:
        run = self.checkpoints.folder.parent
        if (nimg := from_first(self.checkpoints.newest_nimg)) is None:
            return "there is no checkpoint from before: start again"
        return f"gantool train {shlex.quote(f'resume={run}')} goes on from {nimg / 1000:g} kimg"

    def _note(self, text: str) -> None:
        watch = self.state.watch
        watch["noticed"] = [*watch.get("noticed", []), text][-_TOLD:]
