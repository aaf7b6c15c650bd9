"""sweep.json: the jobs of a sweep by what was typed for them, so that each keeps its folder, whatever its number."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantool.config.composed import typed_words, without_hydra
from gantool.config.leaves import leaves
from gantool.errors import GantoolError
from gantool.files import read_json, read_plain, write_whole
from gantool.folder import in_use
from gantool.launch import processes
from gantool.lock import locked
from gantool.logging.status import NAME as STATUS
from gantool.logging.status import read_status

NAME, LOCK = "sweep.json", ".sweep.lock"
SETTLED = ("finished", "pruned")  # states of a job that has nothing left to do
ELSEWHERE = "running elsewhere"
_IDLE = re.compile(
    r"(sweep_metric|study|trainer\.time_limit|trainer\.dry_run)(\..+)?"
)  # keys that say nothing of what a job trains
_PLACE = "GANTOOL_JOB"  # in a job's environment: its place, the number of jobs, and when the sweep began


@dataclass(frozen=True)
class Enrolled:
    """One run of a sweep."""

    name: str  # of its folder
    words: tuple[str, ...]  # what was typed for it, as `spelled` gives it
    digest: str  # of the configuration that they composed


def spelled(words: Sequence[str]) -> tuple[str, ...]:
    """The overrides of a run in one spelling and order: 1e-3 and 0.001 are the same, and the last of a key counts."""
    found = {}
    for word in words:
        with suppress(HydraException):
            key, value = spelling(OverridesParser.create().parse_override(word))
            found[key] = value
    return tuple(sorted(f"{key}={value}" for key, value in found.items() if not _IDLE.fullmatch(key)))


def spelling(one: Override) -> tuple[str, str]:
    """The key and the value of an override, each in the one spelling."""
    return one.get_key_element().lstrip("+"), json.dumps(one.value(), default=str)


def check_varied(overrides: Sequence[Override]) -> None:
    """Raises GantoolError for several values of a key that says nothing of what a job trains: they would be one job."""
    for one in overrides:
        key = one.get_key_element().lstrip("+")
        if one.is_sweep_override() and _IDLE.fullmatch(key):
            word = str(one.input_line).lstrip("+")
            raise GantoolError(f"{word}: jobs cannot differ in {key}: give it one value")


def digest(cfg: DictConfig) -> str:
    """Of what a composed configuration trains."""
    own = without_hydra(cfg)
    try:
        plain = OmegaConf.to_container(own, resolve=True)
    except OmegaConfBaseException:  # the job will tell
        plain = OmegaConf.to_container(own)
    plain = {key: value for key, value in leaves(plain).items() if not _IDLE.fullmatch(key)}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:16]


def read_jobs(folder: Path) -> list[Enrolled]:
    """The jobs of the sweep in `folder`, in the order they came; [] where it is none, or of a version without."""
    try:
        known = read_json(read_plain(folder / NAME))["jobs"]
        jobs = [Enrolled(str(one["name"]), tuple(one["words"]), str(one["digest"])) for one in known]
        return [job for job in jobs if Path(job.name).name == job.name != ".."]  # no folder elsewhere
    except (OSError, ValueError, KeyError, TypeError):
        return []


def is_sweep(folder: Path) -> bool:
    """Whether a sweep has begun there, or something that it would take for a job of its own lies there."""
    return any(path for pattern in (NAME, "study.journal", "*/.hydra", f"*/{STATUS}") for path in folder.glob(pattern))


def find_job(folder: Path, words: Sequence[str], composed: str) -> Enrolled | None:
    """The sweep's job that was typed with the same words, or that composed the same configuration."""
    jobs = read_jobs(folder)
    named = {job.name for job in jobs}
    for path in folder.iterdir() if folder.is_dir() else ():  # of a version that wrote no sweep.json
        if path.name not in named and (path / ".hydra").is_dir():
            jobs.append(Enrolled(path.name, spelled(typed_words(path)), ""))
    same = [job for job in jobs if job.words == spelled(words)] or [job for job in jobs if job.digest == composed]
    return same[0] if same else None


def enrol(folder: Path, words: Sequence[str], composed: str, name: Callable[[int], str]) -> Enrolled:
    """The job of these words: the one that is there, or a new one with the `name` of the next free number."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK):
        if (found := find_job(folder, words, composed)) is None:
            names = [path.name for path in folder.iterdir() if path.is_dir()]
            names += [job.name for job in read_jobs(folder)]
            found = Enrolled(name(max(map(number_of, names), default=-1) + 1), spelled(words), composed)
            if Path(found.name).name != found.name:
                raise GantoolError(
                    f"hydra.sweep.subdir={found.name}: a job's folder lies in the sweep's own: leave out /"
                )
        if re.search(r"['\\$]", found.name):  # Hydra would read more in it than a name
            raise GantoolError(f"{folder / found.name}: this is not a job name of gantool's; rename it")
        _write(folder, found)
    return found


def enrol_as(folder: Path, job: Enrolled) -> None:
    """A job whose name is known."""
    with locked(folder / LOCK):
        _write(folder, job)


def _write(folder: Path, job: Enrolled) -> None:
    others = [one for one in read_jobs(folder) if one.name != job.name]
    content = {"jobs": [asdict(one) for one in [*others, job]]}
    write_whole(folder / NAME, json.dumps(content, indent=1) + "\n")


def number_of(name: str) -> int:
    """The number that a job's folder begins with; -1 where there is none."""
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else -1


def standing(job: Path, composed: str) -> str | None:
    """Why there is nothing to do for the job in the folder `job`, whose configuration has the digest `composed`: it is
    finished, pruned or running elsewhere; None where it is to be trained."""
    state = str(read_status(job).get("state"))
    if state in SETTLED and any(one.digest == composed for one in read_jobs(job.parent) if one.name == job.name):
        return state
    alone = processes() == 1  # the first of several ranks holds the lock for them all
    return ELSEWHERE if alone and state == "running" and in_use(job) else None


def place(number: int, total: int, began: float) -> str:
    """The override by which a job knows that it is the `number`-th of `total`; `began`: Unix seconds."""
    return f"+hydra.job.env_set.{_PLACE}={number}/{total}/{int(began)}"


def told_place(job: Path) -> tuple[str, str]:
    """'job 2 of 4' and 'about 0:12:00 left for the sweep' of the job in the folder `job` that runs in this process;
    empty where it is of no sweep, or where no other job of it has ended yet."""
    if (text := os.environ.get(_PLACE)) is None:
        return "", ""
    number, total, began = map(int, text.split("/"))
    ended = [path for path in job.parent.glob(f"*/{STATUS}") if path.stat().st_mtime >= began]
    done = len([path for path in ended if read_status(path.parent).get("state") != "running"])
    left = timedelta(seconds=round((time.time() - began) / done * (total - number + 1))) if done else None
    return f"job {number} of {total}", "" if left is None else f"about {left} left for the sweep"
