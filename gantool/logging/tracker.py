"""What a choice of the group logger= is: it keeps the records of a run in a form of its own, and may fail."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from gantool.errors import said
from gantool.files import write_whole
from gantool.game import Progress
from gantool.logging.record import Record

log = logging.getLogger(__name__)

_NAME = "trackers.json"


class Tracker(ABC):
    """Built with run_dir, first (images from which on the run goes on; 0: it begins), hparams and config_text;
    and with `metrics`, the tags of the run's scores, where its signature has it."""

    needs: ClassVar[str | None] = None  # a package that gantool has as an extra of the same name

    @abstractmethod
    def write(self, record: Record, progress: Progress) -> None:
        """Keeps `record` as what was seen at `progress`."""

    def flush(self) -> None:  # noqa: B027
        """Everything that was written is kept: a resume may start from here."""

    def rewind(self, progress: Progress) -> None:  # noqa: B027
        """The run went back to `progress`: it is closed next, and another writes the points after that anew."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more comes."""


class Guarded:
    """A tracker that warns once where it fails, and is then left out: a run never ends by it."""

    def __init__(self, name: str, make: Callable[[], Tracker]) -> None:
        self.name, self.tracker = name, None
        self._do(lambda: setattr(self, "tracker", make()))

    def write(self, record: Record, progress: Progress) -> None:
        """As the tracker's."""
        if (tracker := self.tracker) is not None:
            self._do(lambda: tracker.write(record, progress))

    def flush(self) -> None:
        """As the tracker's."""
        if (tracker := self.tracker) is not None:
            self._do(tracker.flush)

    def rewind(self, progress: Progress) -> None:
        """As the tracker's."""
        if (tracker := self.tracker) is not None:
            self._do(lambda: tracker.rewind(progress))

    def close(self) -> None:
        """As the tracker's."""
        if (tracker := self.tracker) is not None:
            self._do(tracker.close)

    def _do(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # whatever a service and its library raise
            self.tracker = None
            log.warning("logger=%s failed and is left out from here on; training goes on: %s", self.name, said(error))


class Sent:
    """What was sent to a tracker's run, in `run_dir`/trackers.json: the run's id, and the last point.

    A run that goes on makes the same points again up to where it was: those were sent and are not sent twice. One that
    went back to try again makes others: see `rewind`.
    """

    def __init__(self, run_dir: Path, name: str, first: int) -> None:
        self.path, self.name = run_dir / _NAME, name
        known = self._read().get(name, {}) if first else {}
        self.id = known.get("id") if isinstance(known.get("id"), str) else None
        found = (known.get(key) for key in ("nimg", "count"))
        self.nimg, self.count = (value if isinstance(value, int) else -1 for value in found)
        self._seen = (-1, 0)  # nimg of the records that came now, and how many had that one

    def is_new(self, progress: Progress) -> bool:
        """Whether the next record at `progress` was not sent before; to be asked once for each."""
        nimg, count = self._seen
        self._seen = (progress.nimg, count + 1 if nimg == progress.nimg else 1)
        return self._seen > (self.nimg, self.count)

    def save(self) -> None:
        """Notes that all records which came were sent to the run `id`."""
        self.nimg, self.count = max(self._seen, (self.nimg, self.count))
        own = {"id": self.id, "nimg": self.nimg, "count": self.count}
        write_whole(self.path, json.dumps(self._read() | {self.name: own}, indent=2) + "\n")

    def rewind(self, progress: Progress) -> None:
        """The points after `progress` are new when they come again."""
        self.nimg, self.count = self._seen = min((progress.nimg, 0), (self.nimg, self.count))
        self.save()

    def _read(self) -> dict[str, dict]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return (
            {key: value for key, value in found.items() if isinstance(value, dict)}
            if isinstance(found, Mapping)
            else {}
        )
