"""gantool list [GROUP]: every choice of every group, with the first comment of its file.

For `model` and `experiment` also what the presets reached here and what was published.
"""

import re
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path

from gantool.errors import GantoolError, did_you_mean
from gantool.paths import conf_dir, expanded


def list_choices(words: Sequence[str]) -> None:
    """Prints the choices of one group, or of all; those of `--config-dir` are added to gantool's own.

    Raises GantoolError for an unknown group or folder, and SystemExit after --help and for words that cannot be read.
    """
    parser = ArgumentParser("gantool list", allow_abbrev=False)
    parser.add_argument("group", nargs="?", metavar="GROUP", help="such as loss; default: all groups")
    parser.add_argument("--config-dir", "-cd", metavar="FOLDER", action="append", default=[], type=Path)
    given = parser.parse_args(words)
    folders = [conf_dir(), *(expanded(folder) for folder in given.config_dir)]
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise GantoolError(f"--config-dir {missing[0]}: no such folder")
    groups: dict[str, dict[str, str]] = {}
    for folder in folders:
        for group, choices in _groups(folder):
            groups.setdefault(group, {}).update(choices)
    wanted = given.group and given.group.strip("/")
    if wanted is not None and wanted not in groups:
        raise GantoolError(f"no group '{wanted}'{did_you_mean(wanted, groups)}; groups: {', '.join(sorted(groups))}")
    width = max(len(choice) for choices in groups.values() for choice in choices)
    for group in [wanted] if wanted else sorted(groups):
        print(group)
        for choice, line in sorted(groups[group].items()):
            print(f"  {choice:<{width}}  {line}".rstrip())
            if wanted in ("model", "experiment"):
                for figure in _figures(wanted, choice, folders):
                    print(f"  {'':<{width}}    {figure}")


def _groups(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for path in sorted(path for path in folder.rglob("*") if path.is_dir()):
        group = path.relative_to(folder).as_posix()
        if not group.startswith(("hydra", "experiment/")) and (choices := dict(_of(group, folder))):
            yield group, choices


def _of(group: str, folder: Path) -> Iterator[tuple[str, str]]:
    deep = "**/" if group == "experiment" else ""  # experiment=cifar10/dcgan
    for path in (folder / group).glob(f"{deep}*.yaml"):
        yield path.relative_to(folder / group).with_suffix("").as_posix(), first_comment(path)


def _figures(group: str, choice: str, folders: Sequence[Path]) -> Iterator[str]:
    """What an experiment, or each one of a model, has measured and published, as its comments say."""
    for folder in folders:
        for preset, _ in sorted(_of("experiment", folder)):
            path = folder / "experiment" / f"{preset}.yaml"
            named = "" if group == "experiment" else f"experiment={preset}: "
            if choice == (preset if group == "experiment" else _model(path)):
                lines = (line for line in _comments(path) if line.startswith(("measured here:", "published:")))
                yield from (named + line for line in lines)


def _model(preset: Path) -> str | None:
    chosen = re.search(r"override /model: (\S+)", preset.read_text(encoding="utf-8"))
    return chosen[1] if chosen else None


def _comments(path: Path) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return (line[1:].strip() for line in lines if line.startswith("#"))


def first_comment(path: Path) -> str:
    """The first comment line of a YAML file that is not a directive to Hydra ('# @package _global_')."""
    return next((line for line in _comments(path) if line and not line.startswith("@")), "")
