"""Every command's keys: declared once, and from there in its help, its completion and its check."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import pytest
from omegaconf import OmegaConf
from pydantic import PositiveInt

from extent import some
from gantool.cli.main import COMMANDS, COMPOSED, main
from gantool.config.options import CommandOptions, group, key, read_options
from gantool.errors import GantoolError

OPTIONS: dict[str, type[CommandOptions]] = {
    name: import_module(target.partition(":")[0]).Options
    for name, (target, _) in COMMANDS.items()
    if name not in COMPOSED
}
pytestmark = pytest.mark.usefixtures("in_tmp")


@pytest.mark.parametrize("command", some(OPTIONS, 3))
def test_every_key_is_in_the_help_and_in_the_completion(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = OPTIONS[command]
    assert set(kind.keys()) == set(kind.model_fields), "all of them, in the order of the help"
    assert [name for name, field in kind.model_fields.items() if not field.description] == []
    assert main([command, "--help"]) == 0
    help_text = capsys.readouterr().out
    assert f"usage: gantool {command} {kind.usage}\n" in help_text
    shown = [line.split()[0] for line in help_text.splitlines() if line.startswith("  ")]
    assert [name for name in kind.model_fields if shown.count(name) != 1] == []
    monkeypatch.setenv("COMP_LINE", f"gantool {command} ")
    assert main(["-sc", "query=bash"]) == 0
    offered = {word.rstrip("=.") for word in capsys.readouterr().out.split()}
    assert set(kind.model_fields) <= offered


@pytest.mark.parametrize("command", OPTIONS)
def test_a_value_of_the_wrong_type_is_one_line_for_every_key(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    kind = OPTIONS[command]
    fields = {name: field for name, field in kind.model_fields.items() if name not in kind.groups()}
    lists = [name for name, field in fields.items() if isinstance(field.get_default(), list)]  # refused by Hydra, alone
    for names in [[name for name in fields if name not in lists], *([name] for name in lists)]:
        assert main([command, *(f"{name}={{a:[1]}}" for name in names)]) == 1
        out, err = capfd.readouterr()
        lines = [re.fullmatch(rf"gantool {command}: error: (\w+).*: should be .+", line) for line in err.splitlines()]
        assert sorted(line[1] for line in lines if line) == sorted(names) and all(lines), err
        assert out == "" and not list(Path.cwd().iterdir())


def test_a_key_of_another_command_names_that(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "trainer.seed=3"]) == 1
    line = "unknown key 'trainer'; trainer= is a key of gantool train"
    assert capfd.readouterr().err == f"gantool sample: error: {line}\n"


def test_all_mistakes_are_told_together_each_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "num=0", "classes=1.5", "+sed=1", "format=gif"]) == 1
    assert sorted(line.partition("error: ")[2] for line in capfd.readouterr().err.splitlines()) == [
        "classes=1.5: should be a valid list or a valid integer or a valid string",
        "format=gif: should be 'grid', 'png' or 'npz'",
        "num=0: should be greater than 0",
        "unknown key 'sed' (did you mean 'seed'?)",
    ]


class Options(CommandOptions):
    """Counts.

    That is all.
    """

    usage: ClassVar[str] = "[key=value]"
    features: dict = group("digits", "what is looked with")
    count: PositiveInt = key(3, "how many")
    names: list[str] = key(["a"], "of whom")


def mine(options: Options) -> None:
    """A command of one file and one line."""
    Path("told.json").write_text(json.dumps(options.model_dump()))


@pytest.fixture
def own_command(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(COMMANDS, "mine", ("test_cli_options:mine", "counts"))
    yield


def test_a_command_is_one_file_and_one_line(own_command: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", "count=4"]) == 0
    told = json.loads(Path("told.json").read_text())
    assert told == {"features": {"_target_": "gantool.metrics.digits.DigitFeatures"}, "count": 4, "names": ["a"]}
    assert main(["mine", "-m", "count=5,6", "hydra.sweep.dir=sweep"]) == 0 and not Path("sweep").exists()
    assert main(["mine", "-m", "count=0,6", "hydra.sweep.dir=sweep"]) == 1
    assert json.loads(Path("told.json").read_text())["count"] == 6
    capsys.readouterr()
    assert main(["mine", "--cfg", "job"]) == 0
    features = "features:\n  _target_: gantool.metrics.digits.DigitFeatures\n"
    assert capsys.readouterr().out == f"{features}count: 3\nnames:\n- a\n"


def test_groups_of_the_users_own_folder(own_command: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "conf" / "features").mkdir(parents=True)
    (tmp_path / "conf" / "features" / "own.yaml").write_text("# Mine\nwidth: 7  # of the net\n")
    words = ["mine", "--config-dir", str(tmp_path / "conf"), "features=own"]
    assert main(words) == 0 and json.loads(Path("told.json").read_text())["features"] == {"width": 7}
    assert main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert "inception-clean, own, " in out and " [own]" in out and "of the net [7]" in out


def test_options_are_checked_without_a_command_line() -> None:
    assert read_options(OmegaConf.create({"count": 1}), Options).count == 1
    with pytest.raises(GantoolError, match=r"^count=0: should be .* 0\nnames=\[1\]: should be a valid string$"):
        read_options(OmegaConf.create({"count": 0, "names": [1]}), Options)


@pytest.mark.parametrize("safe", some([True, False], 1))
def test_the_console_script_sees_the_folder_it_is_started_in(safe: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine_loss.py").write_text(
        "from gantool.losses import Hinge\n\nclass Loss(Hinge):\n    def __init__(self, wrong: int): ...\n"
    )
    script = Path(sys.executable).with_name("gantool")
    if not script.exists():
        pytest.skip("gantool is not installed")
    if safe:
        monkeypatch.setenv("PYTHONSAFEPATH", "1")
    words = ["train", "loss._target_=mine_loss.Loss", "+loss.wrong=a"]
    done = subprocess.run([str(script), *words], capture_output=True, text=True)
    expected = "loss._target_=mine_loss.Loss cannot be used" if safe else "loss.wrong=a"
    assert done.returncode == 1 and expected in done.stderr, done.stderr
