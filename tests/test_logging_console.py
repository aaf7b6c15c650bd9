"""What a person sees while a run goes on, with a terminal and without."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from composing import composed
from extent import some
from gantool.game import Progress
from gantool.logging.console import Console, place_and_name
from runs import choices

TOTAL = 150_000


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("gantool.logging.console.time.monotonic", lambda: self.now)


def play(console: Console, clock: Clock, rounds: int, seconds: float) -> Progress:
    """Rounds of 1000 images, each taking `seconds`."""
    progress = Progress(total=TOTAL)
    for index in range(rounds):
        progress = progress.advance(1000)
        clock.now += seconds
        console.update(progress, {"loss/generator/total": 0.5 + index, "loss/generator/adversarial": 9.9})
    return progress


def test_plain_lines_are_first_last_and_ten_seconds_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    out, clock = io.StringIO(), Clock(monkeypatch)
    console = Console(TOTAL, file=out)
    play(console, clock, rounds=26, seconds=1)
    console.close()
    lines = out.getvalue().splitlines()
    assert [line.split("/")[0].strip() for line in lines] == ["1.0", "11.0", "21.0", "26.0"]
    assert lines[-1] == " 26.0/150 kimg  17%  1000 images/s  02:04 left  loss G 25.5"
    assert "\x1b" not in out.getvalue()


def test_last_losses_and_scores_stay_on_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out, clock = io.StringIO(), Clock(monkeypatch)
    console = Console(TOTAL, file=out)
    clock.now += 1
    console.update(Progress(nimg=1000, total=TOTAL), {"metrics/fd_digits": 12.345, "discriminator_score/real": 0.5})
    clock.now += 11
    console.update(Progress(nimg=2000, total=TOTAL), {"loss/discriminator/total": 1.2345, "speed/images_per_second": 9})
    console.close()
    assert out.getvalue().splitlines()[-1].endswith("left  fd_digits 12.3  loss D 1.23  real logit 0.5")


@pytest.mark.parametrize("start", [0, 100_000])
def test_the_rate_is_of_the_rounds_after_the_first_of_this_session(monkeypatch: pytest.MonkeyPatch, start: int) -> None:
    """The first one is many times as long, as everything is made in it; a look before it shows nothing to measure."""
    out, clock = io.StringIO(), Clock(monkeypatch)
    console = Console(TOTAL, start=start, file=out)
    for seconds, images in ((20, 0), (90, 32), (10, 1032), (10, 2032)):
        clock.now += seconds
        console.update(Progress(nimg=start + images, total=TOTAL))
    before, first, *lines = out.getvalue().splitlines()
    assert "images/s" not in before + first and " left" not in before + first
    left = {0: ("24:50", "24:40"), 100_000: ("08:10", "08:00")}[start]
    assert [f"  100 images/s  {one} left" in line for one, line in zip(left, lines, strict=True)] == [True, True]


def test_a_last_round_beyond_the_end_leaves_no_negative_time(monkeypatch: pytest.MonkeyPatch) -> None:
    out, clock = io.StringIO(), Clock(monkeypatch)
    console = Console(1000, file=out)
    for nimg in (532, 1064):
        clock.now += 10
        console.update(Progress(nimg=nimg, total=1000))
    assert "106%" not in out.getvalue() and "  00:00 left" in out.getvalue()


def test_other_ranks_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(TOTAL, quiet=True)
    console.update(Progress(nimg=1000, total=TOTAL))
    console.close()
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_one_line_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    out, clock = io.StringIO(), Clock(monkeypatch)
    console = Console(TOTAL, file=out)
    play(console, clock, rounds=3, seconds=1)
    console.close()
    text = out.getvalue()
    assert text.count("kimg") >= 3 and text.count("images/s") >= 2 and text.count("\n") == 1, "nothing scrolls"
    assert "\x1b[?25h" in text, "the cursor stays visible"


def test_eighty_columns_show_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    out, clock = io.StringIO(), Clock(monkeypatch)
    console = Console(TOTAL, file=out)
    console.update(Progress(nimg=1000, total=TOTAL))
    clock.now += 1
    scores = {"metrics/fd_digits": 12.345, "margin/fd_digits": 0.2}
    losses = {f"loss/{player}/total": 0.693 for player in ("discriminator", "generator")}
    console.update(Progress(nimg=148_000, total=TOTAL), losses | scores | {"discriminator_score/real": 0.5})
    console.close()
    assert "00:00 left  fd_digits 12.35 ± 0.20" in out.getvalue()


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("loss/discriminator/total", (1, "loss D")),
        ("loss/translators/total", (1, "loss translators")),
        ("loss/discriminator/r1", None),
        ("discriminator_score/fake", (2, "fake logit")),
        ("metrics/fid", (0, "fid")),
        ("learning_rate/generator", None),
    ],
)
def test_short_names(tag: str, name: tuple[int, str] | None) -> None:
    assert place_and_name(tag) == name


def test_the_console_brings_neither_tensorboard_nor_images_with_it() -> None:
    code = "import sys, gantool.logging.console, gantool.logging.log; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "rich" in modules and not {"tensorboard", "PIL", "torchvision"} & set(modules)


LOGS = [(kind, name) for kind in ("job_logging", "hydra_logging") for name in choices(f"hydra/{kind}")]
BY_FILE = "import json, sys; from logging.config import dictConfig; dictConfig(json.loads(sys.argv[1]))"
BY_API = """
import gantool
try:
    gantool.train(["model=nothing"])
except gantool.GantoolError as error:
    assert "nothing" in str(error), error
"""
DRAWS = "\nimport logging, matplotlib.font_manager\nlogging.getLogger().info('the end')"


@pytest.mark.parametrize(("kind", "name"), some([("api", ""), *LOGS], 3))
def test_matplotlib_does_not_tell_of_its_fonts(kind: str, name: str, tmp_path: Path) -> None:
    code, log = BY_API, "{}"
    if kind != "api":
        code, log = BY_FILE, json.dumps(OmegaConf.to_container(composed(f"hydra/{kind}={name}")[1][kind], resolve=True))
    command = [sys.executable, "-c", code + DRAWS, log]
    env = {**os.environ, "MPLCONFIGDIR": str(tmp_path)}
    said = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    assert list(tmp_path.glob("fontlist*.json"))
    assert (said.stdout + said.stderr).splitlines() == ([] if name == "silent" else ["the end"])
