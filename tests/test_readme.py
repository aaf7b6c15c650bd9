"""Every command that README shows is right: it composes as it stands, and what needs no data of the user's runs."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from extent import ALL
from gantool.cli.main import COMMANDS, OTHERS, main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMALL = ["trainer.batch_size=8", "trainer.duration=1it", "score=none", "hydra.run.dir=made", "hydra.sweep.dir=made"]
# Words that stand for something of the reader's.
THEIRS = {"FOLDER": "run", "A": "run", "B": "run", "D": "made", "FILE": "weights.pth", "LOSS": "hinge", "NAME": "sngan"}


def shown() -> Iterator[str]:
    """Commands, in the order of README, each once."""
    blocks = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
    for text in dict.fromkeys([*blocks, *spans]):
        text = re.sub(r"^.*(&& |bin/|-m )(?=gantool)", "", text).partition("  #")[0].strip()
        words = shlex.split(text) if text.startswith("gantool ") else []
        if len(words) > 1 and words[1] in {**COMMANDS, **OTHERS} and "COMMAND" not in words:
            yield text


def own(word: str) -> str:
    """A word with what stands for something of the reader's replaced."""
    key, equals, value = word.partition("=")
    if value.startswith("outputs/"):
        value = "run"
    return f"{THEIRS.get(key, key)}{equals}{re.sub(r'[A-Z]+', lambda found: THEIRS.get(found[0], found[0]), value)}"


def one_job(words: list[str]) -> list[str]:
    """Of a sweep or a search: the first value of each."""
    kept = [word for word in words if word != "-m" and not word.startswith(("hydra/sweeper", "study."))]
    kept = [re.sub(r"=tag\(.*", "=1e-3", word) for word in kept]
    return [word if "[" in word else word.partition(",")[0] for word in kept] if kept != words else words


@pytest.mark.parametrize("command", dict.fromkeys(shown()))
def test_a_command_that_readme_shows_is_right(
    command: str, trained_run: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained_run, in_tmp / "run")
    monkeypatch.setenv("GANTOOL_CACHE", str(in_tmp / "cache"))
    _, name, *words = (own(word) for word in shlex.split(command) if word not in ("...", "[settings]"))
    if "--config-dir" in words or "my_loss" in command or "--help" in words or "-sc" in words:
        return  # tests/test_examples.py and test_completion.py run these
    if name in OTHERS:
        assert main([name, *words, *(["run"] if name == "runs" and not words else [])]) == 0
        return
    if not any(word.startswith(("run=", "resume=")) for word in words) and name not in ("train", "bench", "calibrate"):
        words.append("run=run")
    if any(word.startswith("resume=") for word in words):
        assert main([name, *(re.sub("duration=.*", "duration=4it", word) for word in words)]) == 0
        return
    assert main([name, *one_job(words), *([] if "--cfg" in words else ["--cfg", "job"])]) == 0
    if ALL and name == "train" and "dataset=" not in command and "experiment=" not in command:
        assert main([name, *one_job(words), *SMALL]) == 0


def test_there_are_commands() -> None:
    assert len(list(shown())) > 15
