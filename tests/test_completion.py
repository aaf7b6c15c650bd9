"""The tab key in a real bash."""

import fcntl
import os
import pty
import select
import shutil
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from extent import some, thorough
from gantool.cli.main import main

_PROMPT = "READY> "
BASH = shutil.which("bash") or ""


class Terminal:
    """An interactive bash, typed into as a person does."""

    def __init__(self, home: Path) -> None:
        program = home / "bin" / "gantool"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gantool "$@"\n')
        program.chmod(0o755)
        root = Path(__file__).resolve().parents[1]
        more = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(root), "TERM": "dumb"}
        more |= {"PS1": _PROMPT}
        pid, self.screen = pty.fork()
        if pid == 0:
            os.chdir(home)
            os.execve(BASH, [BASH, "--norc", "--noprofile", "-i"], {**os.environ, **more})
        self.pid, self.lines = pid, 0
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))
        self.type('bind "set enable-bracketed-paste off"; bind "set completion-query-items 0"\n')
        self.type('bind "set page-completions off"; eval "$(gantool -sc install=bash)"; echo rea""dy\n')
        self.read(until=f"ready\r\n{_PROMPT}")
        time.sleep(0.2)

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def read(self, until: str = "", seconds: float = 60.0) -> str:
        """What appears, until `until` is in it."""
        text, end = "", time.monotonic() + seconds
        while time.monotonic() < end and not (until and until in text):
            if select.select([self.screen], [], [], 0.2)[0]:
                text += os.read(self.screen, 65536).decode(errors="replace")
        return text

    def line_after_tab(self, typed: str, tabs: int = 1) -> str:
        """All that stands on the screen once the tab key was pressed and the line was given up."""
        self.type(typed + "\t" * tabs + "#END")  # the end appears behind what was completed
        text = self.read(until="#END")
        self.type("\x15")  # which empties the line
        self.lines += 1
        self.type(f'echo do""ne{self.lines}\n')
        self.read(until=f"done{self.lines}\r\n{_PROMPT}", seconds=5)
        return text.replace("\a", "").replace("\r", "")


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    if not BASH:
        pytest.skip("no bash")
    home = tmp_path_factory.mktemp("home")
    for run in ("outputs/day/one", "outputs/day/two"):
        (home / run / ".hydra").mkdir(parents=True)
        (home / run / ".hydra" / "config.yaml").touch()
    (home / "images" / "my cats").mkdir(parents=True)
    terminal = Terminal(home)
    yield terminal
    terminal.type("\x03exit\n")
    os.close(terminal.screen)
    os.waitpid(terminal.pid, 0)


WHOLE = {
    "gantool tra": "gantool train #END",
    "gantool train experim": "gantool train experiment=#END",
    "gantool train experiment=small/inf": "gantool train experiment=small/infogan #END",
    "gantool sample run=outp": "gantool sample run=outputs/#END",
    "gantool train resume=outputs/day/t": "gantool train resume=outputs/day/two #END",
    "gantool train trainer.dur": "gantool train trainer.duration=#END",
    "gantool sample source=images/": "gantool sample source=images/my\\ cats/#END",
    "gantool evaluate run=[outputs/day/one,outputs/day/t": "gantool evaluate run=[outputs/day/one,outputs/day/two#END",
    "gantool train loss=hin": "gantool train loss=hinge #END",
    "gantool runs sta": "gantool runs state=#END",
    "gantool train optimizer.l": "gantool train optimizer.lr=#END",
    "gantool sample form": "gantool sample format=#END",
}


@pytest.mark.parametrize("typed", some(WHOLE, 3))
def test_the_tab_key_ends_the_word(bash: Terminal, typed: str) -> None:
    assert WHOLE[typed] in bash.line_after_tab(typed)


OFFERED = {
    "gantool train trainer.watchdog.action=": ["off", "rollback", "stop", "warn"],
    "gantool train -m trainer.watchdog.action=stop,w": ["stop,warn"],
    "gantool train trainer.compile=": ["false", "graphs", "true"],
    "gantool train ++study.sampler=c": ["cmaes"],
    "gantool sample format=": ["grid", "npz", "png"],
    "gantool sample format=p": ["png"],
    "gantool interpolate path=": ["linear", "spherical"],
    "gantool runs state=f": ["failed", "finished"],
}


def offered(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What stands behind the last = of the words that are offered."""
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.delenv("COMP_POINT", raising=False)
    assert main(["-sc", "query=bash"]) == 0
    return [word.strip().rpartition("=")[2] for word in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("line", OFFERED)
def test_the_values_that_a_type_lists_are_offered(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered(line, capsys, monkeypatch) == OFFERED[line]


def test_runs_of_gantool_outputs_are_offered(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = in_tmp / "far away"
    for run in ("day/one", "day/two", "sweep/none"):
        (place / run / ".hydra").mkdir(parents=True)
        if run != "sweep/none":
            (place / run / ".hydra" / "config.yaml").touch()
    (in_tmp / "here" / "conf").mkdir(parents=True)
    monkeypatch.chdir(in_tmp / "here")
    monkeypatch.setenv("GANTOOL_OUTPUTS", str(place))
    found = offered("gantool sample run=", capsys, monkeypatch)
    runs = [str(place / run).replace(" ", "\\ ") for run in ("day/one", "day/two")]
    assert found == [*runs, "conf/"]
    assert offered("gantool sample run=co", capsys, monkeypatch) == ["conf/"]
    assert offered("gantool sample out=", capsys, monkeypatch) == ["conf/"]


@thorough
def test_several_choices_are_listed(bash: Terminal) -> None:
    shown = bash.line_after_tab("gantool train mod", tabs=3)
    assert "model=" in shown and "model." in shown
