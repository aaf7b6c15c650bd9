"""Which keys the user wrote: on the command line, or in YAML files of their own. The rest came with a choice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from gantool.config.leaves import leaves
from gantool.paths import conf_dir


@dataclass(frozen=True)
class Written:
    """Dotted keys that the user wrote. A value that is a group of keys counts for all of them."""

    typed: frozenset[str] = field(default_factory=frozenset)  # on the command line: keys, and groups that were chosen
    in_files: frozenset[str] = field(default_factory=frozenset)
    experiment: str | None = None  # the preset that was chosen

    def has(self, key: str) -> bool:
        """True where the user wrote `key`, or a group of keys that it is in."""
        parts = key.split(".")
        above = {".".join(parts[: end + 1]) for end in range(1, len(parts))} | {key}
        return bool(above & (self.typed | self.in_files))

    @classmethod
    def of(cls, hydra: HydraConf | DictConfig) -> "Written":
        """As Hydra's own configuration of a run (HydraConfig.get()) tells."""
        overrides = OverridesParser.create().parse_overrides(as_typed(hydra))
        typed = frozenset(override.key_or_group for override in overrides if not override.is_delete())
        folders = [Path(s.path) for s in hydra.runtime.config_sources if s.schema == "file" and s.provider != "main"]
        files = {key for folder in folders for key in _in_folder(folder, hydra.runtime.choices)}
        experiment = hydra.runtime.choices.get("experiment")
        return cls(typed, frozenset(files), experiment if isinstance(experiment, str) else None)


def as_typed(hydra: HydraConf | DictConfig) -> list[str]:
    """The overrides of a command as they were typed, with their ${...}."""
    words = OmegaConf.to_container(OmegaConf.create(hydra.overrides.task))
    assert isinstance(words, list)
    return [str(word) for word in words]


def _in_folder(folder: Path, choices: Mapping[Any, Any]) -> Iterator[str]:
    """The keys of the chosen files, and of those that they are based on, that lie in a folder of the user's."""
    if folder.resolve() == conf_dir().resolve():
        return
    for name, choice in choices.items():
        group, _, package = str(name).partition("@")
        for chosen in choice if isinstance(choice, list) else [choice]:
            yield from _in_file(folder / group / f"{chosen}.yaml", package or group.replace("/", "."))


def _in_file(path: Path, package: str) -> Iterator[str]:
    if not path.is_file():
        return
    content = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(content, dict):
        return
    for base in content.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":
            yield from _in_file(path.parent / f"{base}.yaml", package)
    if "@package _global_" in path.read_text(encoding="utf-8").partition("\n")[0]:
        package = ""
    yield from leaves(content, package)
