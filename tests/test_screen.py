"""What is printed steers no terminal, whoever has written it: names of folders, states, errors, lines of the log."""

import json
import logging
import re
import shutil
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.text import Text

import gantool
from gantool.cli.folders import Sweep
from gantool.cli.job import tell
from gantool.cli.main import main
from gantool.cli.sweep import report
from gantool.data.cache import _tell
from gantool.game import Progress
from gantool.logging.console import Console
from gantool.logging.status import read_status, write_status
from gantool.margins import Estimate
from gantool.runs.evaluations import Evaluation, print_table, ranked
from gantool.screen import Plain, screen, shown
from gantool.sweeps.ranking import Group, Ranking
from gantool.sweeps.tables import print_seeds

EVIL = "\x1b]0;x\x07\x1b[2J\x9b31m\r\x08"
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def test_every_control_character_is_replaced() -> None:
    kept = [chr(code) for code in range(0x180) if shown(chr(code)) == chr(code)]
    assert not STEERING.search("".join(kept)) and {"\t", "\n", "é", "a", "\xa0"} <= {*kept}
    assert shown(EVIL) == "?]0;x??[2J?31m??" and len(kept) == 0x180 - 63


@pytest.fixture
def folder(trained_run: Path, in_tmp: Path) -> Path:
    """A sweep of two runs whose every text is a stranger's."""
    for name in (f"0-{EVIL}", f"1-{EVIL}"):
        run = in_tmp / f"sweep{EVIL}" / name
        shutil.copytree(trained_run, run)
        scores = {f"fd{EVIL}": 1.0, "is": 2.0}
        protocol = {"metrics": EVIL, "warning": EVIL}
        told = {"state": f"failed{EVIL}", "error": EVIL, "metrics": scores, "best": {"metric": EVIL, "value": 1.0}}
        write_status(run, **{**read_status(run), **told})
        with (run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"nimg": 16, "kimg": 0.016, "protocol": protocol}) + "\n")
        path = run / ".hydra" / "hydra.yaml"
        hydra = yaml.safe_load(path.read_text())
        hydra["hydra"]["runtime"]["choices"].update(model=EVIL, dataset=EVIL)
        path.write_text(yaml.safe_dump(hydra))
    write_status(run, **{**read_status(run), "state": "failed"})
    return in_tmp / f"sweep{EVIL}"


def test_nothing_that_is_printed_steers_the_terminal(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (str(path) for path in sorted(folder.iterdir()))
    monkeypatch.setenv("GANTOOL_CACHE", str(folder.parent / "cache"))
    (folder.parent / "cache" / "features" / f"x{EVIL}").mkdir(parents=True)
    for words in (["runs", str(folder)], ["diff", a, b], ["cache"], ["report", f"run={a}"], ["sample", f"run={EVIL}"]):
        main(words)
    report(Sweep(folder, None))
    tell("train", EVIL)
    _tell(EVIL)
    out, err = capfd.readouterr()
    assert not STEERING.search(out) and not STEERING.search(err)
    assert out.count("?]0;x") > 20 and err.count("?]0;x") >= 3  # rich itself leaves BEL out
    assert "report.html  " in out, "through the log"


def test_brackets_and_colons_of_a_name_are_printed_as_they_are(folder: Path, capfd) -> None:
    """rich takes [/b] for the end of something, which is an error where nothing began, and :car: for a picture."""
    odd, name = "[/b]:car:", "[b]:car:"
    runs = [path.rename(folder / f"{path.name[0]}-{name}") for path in sorted(folder.iterdir())]
    for run in runs:
        write_status(run, **{**read_status(run), "state": "stopped", "metrics": {f"fd{odd}": 1.0, f"is{odd}": 1.0}})
    report(Sweep(folder, None))
    for words in (["runs", str(folder)], ["diff", *map(str, runs)]):
        assert main(words) == 0
    out = capfd.readouterr().out
    assert out.count(odd) == 4 and out.count(name) >= 4  # long paths are folded
    print_seeds(screen(), Ranking(odd, [], [], [Group(odd, odd, {odd: Estimate.of_seeds([1.0, 2.0])})], [odd]))
    assert capfd.readouterr().out.count(odd) == 4
    scores: dict[str, float] = dict.fromkeys(("fd", f"fd/{odd}", f"is{odd}"), 1.0)
    for metric in scores:
        places = [Path(f"{one}{odd}/a") for one in "xy"]  # of one name, so that the whole path is told
        found, order = ranked([Evaluation(place, 8, scores, scores, {"extractor": odd}) for place in places], metric)
        print_table(found, metric, order)
        assert capfd.readouterr().out.count(odd) >= 6
    Console(16, title=odd, file=(said := StringIO())).update(Progress(16, 16), {f"metrics/fd{odd}": 1.0})
    assert said.getvalue().count(odd) == 2


def test_nor_does_what_a_run_says_while_it_trains() -> None:
    said = StringIO()
    Console(16, file=said).update(Progress(16, 16), {f"metrics/fd{EVIL}": 1.0})
    assert "fd?]0;x??[2J" in said.getvalue() and not STEERING.search(said.getvalue())


def test_the_log_in_python_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    with pytest.raises(gantool.errors.GantoolError):
        gantool.train(["model=nothing"])
    assert [type(handler.formatter) for handler in logging.root.handlers] == [Plain]


def test_its_own_colours_stay(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen().print(Text.from_markup("[bold]a[/bold]").append(EVIL))
    assert capfd.readouterr().out.startswith("\x1b[1ma\x1b[0m?]0;x")
