"""What a run's folder has to show: its configuration, curves, scores and pictures."""

import base64
import io
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image

from gantool.config.composed import choices, find_run, read_saved, typed_words
from gantool.config.trust import looks_around
from gantool.files import read_json, read_plain, whole_files
from gantool.logging.jsonl import read_metrics, seconds
from gantool.logging.protocol import ways
from gantool.logging.status import read_status

_LARGEST = 1200  # pixels of a side
_HEAVIEST = 600_000  # bytes of a picture that is inlined as it is
_HIGHEST = 1e100  # of a value that is drawn
_FRAMES = 1_500_000  # bytes of an animation


@dataclass(frozen=True)
class RunFolder:
    """A run as its files tell it; nothing is built and no checkpoint read."""

    path: Path
    trusted: bool = False  # the configuration may look into this machine

    @classmethod
    def open(cls, folder: str | Path, trusted: bool = False) -> "RunFolder":
        """Raises GantoolError unless `folder` is a run's."""
        otherwise = "is neither a run's folder (.hydra/config.yaml) nor a sweep's"
        return cls(find_run(folder, otherwise=otherwise).resolve(), trusted)

    @cached_property
    def config_text(self) -> str:
        """The configuration as YAML, resolved where that needs nothing of this machine."""
        config = read_saved(self.path)
        if self.trusted or not looks_around(OmegaConf.to_container(config)):
            with suppress(OmegaConfBaseException, RecursionError):  # a ${oc.env:...} of another machine
                return OmegaConf.to_yaml(config, resolve=True)
        return OmegaConf.to_yaml(config)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The same as plain containers, the groups of keys in it."""
        config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(self.config_text)))
        return {key: value for key, value in config.items() if isinstance(value, dict)}

    @cached_property
    def choices(self) -> dict[str, str]:
        """What was chosen in each group."""
        return choices(self.path)

    @cached_property
    def overrides(self) -> list[str]:
        """What was typed on the command line."""
        return typed_words(self.path)

    @cached_property
    def status(self) -> dict[str, Any]:
        """status.json, or {}."""
        return read_status(self.path)

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """metrics.jsonl."""
        return read_metrics(self.path)

    @cached_property
    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """(kimg, value) by tag."""
        curves: dict[str, list[tuple[float, float]]] = {}
        for line in self.lines:
            for tag, value in line.items():
                if "/" in tag and isinstance(value, int | float) and abs(value) < _HIGHEST:
                    curves.setdefault(tag, []).append((line["kimg"], float(value)))
        return curves

    def measured(self, tag: str) -> list[list[tuple[float, float]]]:
        """The points of a score, a list for each way it was measured, the last way last."""
        lines = [line for line in self.lines if isinstance(v := line.get(tag), int | float) and abs(v) < _HIGHEST]
        told = [protocol if isinstance(protocol := line.get("protocol"), dict) else None for line in lines]
        found: dict[str, list[tuple[float, float]]] = {}
        for line, way in zip(lines, ways(told, tag.partition("/")[2]), strict=True):
            found[way] = [*found.pop(way, []), (line["kimg"], float(line[tag]))]
        return list(found.values())

    @property
    def kimg(self) -> float:
        """Thousand images seen."""
        progress = self.status.get("progress") or {}
        return progress.get("nimg", self.lines[-1]["nimg"] if self.lines else 0) / 1000

    @property
    def seconds(self) -> float:
        """Time spent on rounds."""
        return seconds(self.lines)

    @property
    def protocols(self) -> list[dict[str, Any]]:
        """How the scores were measured, without repeats, the latest last."""
        found = [line["protocol"] for line in self.lines if isinstance(line.get("protocol"), dict)]
        return [_sound(json.loads(text)) for text in dict.fromkeys(json.dumps(p, sort_keys=True) for p in found)]

    def grids(self, name: str) -> list[tuple[float, Path]]:
        """(kimg, file) of the pictures called `name` in samples/, oldest first."""
        found = [
            (float(match[1]), path)
            for path in (self.path / "samples").glob(f"{name}-*.png")
            if (match := re.fullmatch(re.escape(name) + r"-(\d+\.\d+)\.png", path.name))
        ]
        return sorted(found)

    def grid_names(self) -> list[str]:
        """What there are pictures of in samples/."""
        names = {path.stem.rpartition("-")[0] for path in whole_files(self.path / "samples", "*-*.png")}
        return sorted(names)

    def results(self, kind: str) -> list[dict[str, Any]]:
        """The JSON files under RUN/<kind>, whole ones only, oldest first."""
        found = []
        for path in sorted(whole_files(self.path / kind, "**/*.json"), key=lambda path: path.stat().st_mtime):
            try:
                content = read_json(read_plain(path))
            except (OSError, ValueError):
                continue
            found += [content] if isinstance(content, dict) else []
        return found

    def newest_pictures(self, kind: str) -> list[Path]:
        """The PNG and GIF files of the newest folder under RUN/<kind>."""
        folders = [path for path in (self.path / kind).glob("*") if path.is_dir()]
        if not folders:
            return []
        newest = max(folders, key=lambda path: path.stat().st_mtime)
        return sorted(path for path in whole_files(newest, "*") if path.suffix in (".png", ".gif"))


def _sound(protocol: dict[str, Any]) -> dict[str, Any]:
    """A protocol without scores of real images that are not numbers."""
    floor, better = protocol.get("floor"), protocol.get("higher_is_better")
    numbers = floor.items() if isinstance(floor, dict) else ()
    return protocol | {
        "floor": {name: v for name, v in numbers if isinstance(v, int | float) and abs(v) < _HIGHEST} or None,
        "higher_is_better": [name for name in better if isinstance(name, str)] if isinstance(better, list) else None,
    }


def inlined(path: Path, largest: int = _LARGEST) -> str | None:
    """A picture as a data: address of bounded size; None where it cannot be read, as one that is being written."""
    try:
        content = read_plain(path)
        with Image.open(
            io.BytesIO(content), formats=("PNG", "GIF")
        ) as image:  # no other: PIL has programs run for some
            image.load()
            if path.suffix == ".gif":
                return _address(content, "gif") if len(content) <= _FRAMES else None
            if max(image.size) <= largest and len(content) <= _HEAVIEST:
                return _address(content, "png")
            image.thumbnail((largest, largest))
            png, jpeg = _saved(image, "png", optimize=True), _saved(image.convert("RGB"), "jpeg", quality=88)
    except Exception:  # PIL's plugins raise OSError, SyntaxError, ValueError, struct.error, ...
        return None
    return _address(png, "png") if len(png) <= max(len(jpeg), _HEAVIEST // 4) else _address(jpeg, "jpeg")


def rows_of(path: Path) -> tuple[str, ...]:
    """What the rows of a picture are, from the top, as far as its file tells."""
    try:
        with Image.open(path, formats=("PNG", "GIF")) as image:
            rows = json.loads(image.info.get("rows", "[]"))
    except Exception:  # as for `inlined`
        return ()
    return tuple(map(str, rows)) if isinstance(rows, list) else ()


def width_of(path: Path) -> int:
    """Pixels from the left to the right of a picture."""
    with Image.open(path) as image:
        return image.width


def _saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def _address(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
