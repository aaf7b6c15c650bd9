"""The command line: gantool COMMAND [group=choice] [key=value] [-m]. Heavy imports wait until a command runs."""

import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gantool import __version__, beside, collector
from gantool.errors import GantoolError, did_you_mean, first_line, name_too_long

if TYPE_CHECKING:
    from gantool.config.options import CommandOptions

# name -> (module:function, what it does). A module has a class Options too, which declares the command's keys;
# the keys of COMPOSED are those of conf/train.yaml.
COMMANDS = {
    "train": ("gantool.commands.train:train", "train a GAN; resume=RUN_FOLDER continues a run, -m sweeps over values"),
    "sample": ("gantool.commands.sample:sample", "images of a trained run, or its translations: run=RUN_FOLDER"),
    "interpolate": ("gantool.commands.interpolate:interpolate", "paths between latents of a run: run=RUN_FOLDER"),
    "project": ("gantool.commands.project:project", "latents that reproduce images: run=RUN_FOLDER images=FOLDER"),
    "truncation": ("gantool.commands.truncation:truncation", "variety against fidelity by truncation: run=RUN_FOLDER"),
    "evaluate": ("gantool.commands.evaluate:evaluate", "every score of trained runs, ranked: run=[RUN_FOLDER,...]"),
    "calibrate": ("gantool.commands.calibrate:calibrate", "check FID: CIFAR-10's training against its test images"),
    "embed": ("gantool.commands.embed:embed", "a map of real and generated images, and neighbours: run=RUN_FOLDER"),
    "explain": ("gantool.commands.explain:explain", "what latents change, which pixels drive scores: run=RUN_FOLDER"),
    "export": ("gantool.commands.export:export", "generators as snapshot, ONNX or torch.export: run=RUN_FOLDER"),
    "report": ("gantool.commands.report:report", "a run or a sweep as one HTML page: run=FOLDER"),
    "bench": ("gantool.commands.bench:bench", "time the training step against a plain PyTorch loop"),
}
COMPOSED = ("train", "bench")
# Those that read their own words: no key=value of Hydra's.
OTHERS = {
    "list": ("gantool.commands.list:list_choices", "every choice of every group: gantool list [GROUP]"),
    "runs": ("gantool.commands.runs:runs", "the runs in a folder, as a table: gantool runs [FOLDER] [state=failed]"),
    "diff": ("gantool.commands.diff:diff", "the settings and scores in which two runs differ: gantool diff A B"),
    "cache": ("gantool.commands.cache:cache", "list the cache, or clean it: gantool cache [clean]"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (default: sys.argv) and returns its exit code: 0 done, 1 failed, 2 no such command,
    128 + signal when stopped."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["train"]:
        collector.hold()  # until the rounds
    try:
        code = _main(words)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("gantool: error: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of gantool train --help | head; what is still buffered must not fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    finally:
        collector.release()


def _main(words: list[str]) -> int:
    if trouble := _start_trouble(words):
        print(f"gantool: error: {trouble}", file=sys.stderr)
        return 2
    beside.look_in(None if sys.flags.safe_path else os.getcwd())  # for _target_: mine.Loss
    first = words[0] if words else ""
    if first in ("-sc", "--shell-completion"):
        from gantool.cli.completion import complete

        return complete(words, COMMANDS, OTHERS, _run)
    if first in ("", "-h", "--help"):
        print(usage())
        return 0 if first else 2
    if first in ("-V", "--version"):
        print(f"gantool {__version__}")
        return 0
    if first not in (*COMMANDS, *OTHERS):
        known = ", ".join((*COMMANDS, *OTHERS))
        hint = did_you_mean(first, (*COMMANDS, *OTHERS))
        print(f"gantool: error: unknown command '{first}'{hint}; commands: {known}", file=sys.stderr)
        return 2
    return _run(first, words[1:])


def usage() -> str:
    """What `gantool --help` prints."""
    commands = {name: text for name, (_, text) in (COMMANDS | OTHERS).items()}
    lines = "\n".join(f"  {name:<11}  {text}" for name, text in commands.items())
    return f"""usage: gantool COMMAND [group=choice] [key=value] [-m] [flags]

{lines}

  gantool train --help       groups and keys of a command
  gantool train --cfg job    the whole configuration that a command would run with
  gantool --version
  eval "$(gantool -sc install=bash)" completes groups, choices and keys with the tab key"""


def _start_trouble(words: list[str]) -> str | None:
    """What keeps every command from running; None where nothing does."""
    try:
        os.getcwd()
        "".join(words).encode()
    except FileNotFoundError:
        return "the current folder no longer exists: cd to another one"
    except UnicodeEncodeError:
        if sys.getfilesystemencoding() != "utf-8":
            return "the locale allows ASCII only, and a name here has other characters: set LC_ALL=C.UTF-8"
        return f"{os.fsencode(' '.join(words))!r} holds a name that is not UTF-8: rename the file or folder"
    return None


def _run(command: str, words: list[str]) -> int:
    from gantool.cli import folders
    from gantool.cli.job import SHARED, tell
    from gantool.cli.sweep import report
    from gantool.launch import is_first_rank

    if not is_first_rank() and command not in SHARED:
        return 0  # before Hydra makes a folder: the first rank takes its own away meanwhile
    folders.forget()
    try:
        code = _hydra(command, words)
    except (GantoolError, OSError) as error:
        line = str(error) if isinstance(error, GantoolError) else name_too_long(error)
        if line is None:
            raise
        if is_first_rank():
            tell(command, line)
        code = 1
    except KeyboardInterrupt:
        tell(command, "interrupted")
        code = 130
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    finally:
        folders.remove_unused()
    if (sweep := folders.sweep) and sweep.folder.is_dir() and is_first_rank() and (sweep.begun or code != 1):
        # A command on a run leaves nothing in a job's folder unless it failed, and was told then.
        trains = command in COMPOSED
        failed = report(sweep) if trains else any(sweep.folder.glob("*/status.json"))
        if trains and code > 128:
            again = f"the same command with hydra.sweep.dir={sweep.folder} goes on"
            print(f"gantool {command}: the sweep was stopped; {again}", file=sys.stderr)
        code = code or int(failed > 0)
    return code


def _hydra(command: str, words: list[str]) -> int:
    """Runs the command, under Hydra but for OTHERS; raises GantoolError for what is wrong with its words."""
    if command in OTHERS:
        module, _, name = OTHERS[command][0].partition(":")
        getattr(importlib.import_module(module), name)(words)
        return 0

    import hydra

    from gantool.cli import arguments, folders
    from gantool.cli.job import Job
    from gantool.config.options import register_options
    from gantool.config.resolvers import register_resolvers
    from gantool.config.wording import in_one_line
    from gantool.launch import agree_on_start, is_first_rank
    from gantool.paths import conf_dir, settle_outputs

    settle_outputs()
    flags, overrides = arguments.split(words)
    overrides = arguments.keep_secret(overrides)
    options, config_name = _options(command), "train"
    if options is not None:
        config_name = command
        register_options(command, options)
    elif any(word.startswith("resume=") for word in overrides):
        config_name, flags, overrides = arguments.resume(flags, overrides)
    overrides = arguments.quote_paths(flags, overrides)
    arguments.check_values(overrides)
    arguments.check_mode(flags, overrides)
    arguments.check_launcher(overrides)
    arguments.check_study(command, flags, overrides)
    arguments.reach_classes(overrides)
    overrides = arguments.add_arguments(overrides)
    if arguments.is_sweep(flags):
        overrides = arguments.name_jobs_by_what_varies(overrides)
    if not is_first_rank():
        overrides += ["hydra/job_logging=silent", "hydra/hydra_logging=silent"]
    makes_folder = command in COMPOSED and not arguments.LOOKS & set(flags)
    register_resolvers(agree_on_start(claim=makes_folder))
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    job = Job(command, COMMANDS[command][0], options, full_error, beside.place())
    with _as_hydra_sees_it([*overrides, f"hydra.job.name={command}", *flags]):
        try:
            if "--help" in flags or "-h" in flags:
                from gantool.cli.help import help_text

                print(help_text(command, config_name, flags, overrides, options), flush=True)
                return 0
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()
        except Exception as error:
            if full_error:
                raise
            if line := folders.refused(error) or in_one_line(error):
                raise GantoolError(line + _whose(line, command)) from error
            if folders.sweep is None:
                raise
            reason = f"{type(error).__name__}: {first_line(error)}"  # the launcher's: a job's process died
            raise GantoolError(f"the sweep was cut short: {reason}") from error
    return 0


def _whose(line: str, command: str) -> str:
    """What to add to a line about an unknown key where it is one of another command."""
    from gantool.config.schema import Train

    if (found := re.fullmatch(r"unknown key '(\w+)(\.[^']*)?'", line)) is None:
        return ""  # or the line says what is meant
    if command == "train" and found[1] == "trust":
        return "; trust= goes with resume=RUN_FOLDER"
    kinds = {name: _options(name) for name in COMMANDS if name != command}
    owners = [name for name, kind in kinds.items() if kind and found[1] in kind.model_fields]
    owners = ["train"] if command not in COMPOSED and found[1] in Train.model_fields else owners
    return f"; {found[1]}= is a key of gantool {', '.join(owners[:3])}" if owners else ""


def _options(command: str) -> "type[CommandOptions] | None":
    """What declares the command's keys; None where they are those of conf/train.yaml."""
    if command in COMPOSED:
        return None
    return importlib.import_module(COMMANDS[command][0].partition(":")[0]).Options


@contextmanager
def _as_hydra_sees_it(words: list[str]) -> Iterator[None]:
    """Hydra reads sys.argv. With HYDRA_FULL_ERROR it lets every error out instead of printing some of them itself."""
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR", "0")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = ["gantool", *words], "1"
    try:
        yield
    finally:
        sys.argv, os.environ["HYDRA_FULL_ERROR"] = argv, full_error
