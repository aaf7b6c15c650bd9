"""Every command that README shows is right: it composes as it stands, and runs, made small, with GANTOOL_TESTS=all."""

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import gantool
from cost import draw
from extent import ALL, thorough
from gantool.cli.main import COMMANDS, COMPOSED, OTHERS, main
from gantool.metrics.digits import WEIGHTS
from presets import files_of
from runs import choices

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = ["trainer.batch_size=8", "trainer.duration=1it", "monitor=[scores]", "monitor.scores.num=20", "score=[fd]"]
SMALLER = {  # of commands on a run, which the table of README lists
    "sample": ["num=4"],
    "interpolate": ["rows=1", "steps=2"],
    "truncation": ["num=20", "thresholds=[0.5,null]"],
    "project": ["images=images", "num=1", "steps=2", "starts=4"],
    "evaluate": ["num=20"],
    "embed": ["num=20", "perplexity=3"],
    "explain": ["latents=2", "shown=1", "images=1", "integral_steps=2"],
    "export": ["format=snapshot"],  # the others: tests/test_export.py
    "report": [],
}
# Words that stand for something of the reader's.
THEIRS = {"FOLDER": "run", "A": "run", "B": "run", "D": "made", "FILE": "weights.pth", "LOSS": "hinge", "NAME": "sngan"}


def shown() -> Iterator[str]:
    """Commands, in the order of README, each once."""
    blocks = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]  # which may go on in the next line
    for text in dict.fromkeys([*blocks, *spans]):
        text = re.sub(r"^.*(&& |bin/|-m )(?=gantool)", "", text).partition("  #")[0].strip()
        words = shlex.split(text) if text.startswith("gantool ") else []
        if len(words) > 1 and words[1] in {**COMMANDS, **OTHERS} and "COMMAND" not in words:
            yield text


def listed() -> list[str]:
    """The commands in README's table of those that take run=FOLDER."""
    rows = README.partition("| `gantool COMMAND run=FOLDER` |")[2].partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def own(word: str) -> str:
    """A word with what stands for something of the reader's replaced."""
    key, equals, value = word.partition("=")
    if value.startswith("outputs/"):
        value = "run"
    if key == "dataset.root":
        value = "images"
    return f"{THEIRS.get(key, key)}{equals}{re.sub(r'[A-Z]+', lambda found: THEIRS.get(found[0], found[0]), value)}"


def one_job(words: list[str]) -> list[str]:
    """Of a sweep or a search: the first value of each."""
    kept = [word for word in words if word != "-m" and not word.startswith(("hydra/sweeper", "study."))]
    kept = [re.sub(r"=tag\(.*", "=1e-3", word) for word in kept]
    return [word if "[" in word else word.partition(",")[0] for word in kept] if kept != words else words


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of these tests alone, as `gantool cache` is one of the commands."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def theirs(trained_run: Path, in_tmp: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run and images."""
    shutil.copytree(trained_run, in_tmp / "run")
    draw(in_tmp / "images", 40)
    monkeypatch.setenv("GANTOOL_CACHE", str(cache))
    return in_tmp


@pytest.mark.parametrize("command", dict.fromkeys(shown()))
def test_a_command_that_readme_shows_is_right(command: str, theirs: Path, request: pytest.FixtureRequest) -> None:
    _, name, *words = (own(word) for word in shlex.split(command) if word not in ("...", "[settings]"))
    if "--config-dir" in words or "my_loss" in command or "--help" in words or "-sc" in words:
        return  # tests/test_examples.py and test_completion.py run these
    if name in OTHERS:
        assert main([name, *words, *(["run"] if name == "runs" and not words else [])]) == 0
        return
    if not any(word.startswith(("run=", "resume=")) for word in words) and name not in (*COMPOSED, "calibrate"):
        words.append("run=run")
    if any(word.startswith("resume=") for word in words):
        assert main([name, *(re.sub("duration=.*", "duration=4it", word) for word in words)]) == 0
        return
    assert main([name, *one_job(words), *([] if "--cfg" in words else ["--cfg", "job"])]) == 0
    if not ALL or name in ("bench", "calibrate"):  # which tests/test_bench.py and test_calibrate.py run
        return
    if "run=made" in words:
        assert main(["train", "-m", "model=mlp,dcgan", *SMALL, "hydra.sweep.dir=made"]) == 0
    if "dataset=celeba" in words:
        words.append(f"dataset.root={files_of('celeba', request.getfixturevalue('shared_data'), theirs)}")
    if name == "train":
        words = [re.sub("study.trials=.*", "study.trials=2", word) for word in [*words, *SMALL]]
        words += [] if "-m" in words else ["hydra.run.dir=made"]
    smaller = SMALLER.get(name, [])
    if name == "sample" and "num=" in command:  # how many go with its format
        smaller = []
    else:
        words = [word for word in words if not word.startswith("num=")]
    assert main([name, *words, *smaller]) == 0


@thorough
@pytest.mark.parametrize("name", listed())
def test_a_command_of_the_table_runs(name: str, theirs: Path) -> None:
    assert main([name, "run=run", *SMALLER[name]]) == 0


def test_there_are_commands_and_the_table_has_all_that_take_a_run() -> None:
    assert len(list(shown())) > 15
    assert sorted(listed()) == sorted(SMALLER) == sorted(COMMANDS.keys() - {*COMPOSED, "calibrate"})


def test_what_readme_lists_and_counts_is_so() -> None:
    """Choices, but for `none`; extras; lines of the examples; how good the classifier of digits is."""
    for row in README.partition("| group | choices |\n|---|---|\n")[2].partition("\n\n")[0].splitlines():
        groups, told = re.findall(r"`(\w+)`", row.split("|")[1]), re.findall(r"`([a-z0-9_-]+)`", row.split("|")[2])
        groups += [sub for sub in ("loss/top", "optimizer/schedule") if sub.split("/")[0] in groups]
        assert {*told} - {"every", "none"} == {name for group in groups for name in choices(group)} - {"none"}, groups
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {*re.findall(r"`(\w+)`", README.partition("Extras: ")[2])} == extras.keys() - {"test"}
    examples = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "tests" / "examples").glob("my_*.py")}
    lines = {name: int(count) for name, count in re.findall(r"`(my_\w+\.py)`\s+\((?:[^)]*, )?(\d+)", README)}
    assert lines == {name: count for name, count in examples.items() if name != "my_loss.py"}, "which is shown whole"
    with safe_open(WEIGHTS, "pt") as file:
        assert f"{100 * float(file.metadata()['test_accuracy']):.2f} %" in README


@thorough
def test_the_lines_of_python_run(theirs: Path) -> None:
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "gantool.train" in block)
    (snapshot,) = (theirs / "run").rglob("*.safetensors")
    for theirs_says, ours in (
        (r'"trainer.duration=\w+"', ", ".join(map(repr, [*SMALL, "hydra.run.dir=made"]))),
        (r'"outputs/[^"]*"', repr("run")),
        (r'"snapshot.safetensors"', repr(str(snapshot))),
    ):
        lines, count = re.subn(theirs_says, ours, lines)
        assert count == 1
    names: dict[str, object] = {"gantool": gantool}
    exec(lines, names)
    images = names["images"]
    assert isinstance(images, Tensor) and images.shape == (64, 1, 32, 32) and images.dtype == torch.uint8
    assert {"run", "generator"} <= names.keys() and (theirs / "made" / "status.json").exists()
