"""Runs compared: ties within the margin, seeds together, other protocols marked, warnings told; on the screen and on
the page."""

import json
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from gantool.cli.folders import Sweep
from gantool.cli.main import main
from gantool.cli.sweep import report
from gantool.page.reading import RunFolder
from gantool.runs.evaluations import Evaluation, print_table, ranked
from gantool.sweeps.ranking import ranking, shortened
from gantool.sweeps.results import Result
from runs import small

HOW = {"metrics": ["fd"], "num_fake": 5000, "floor": {"fd": 0.1}, "warning": None, "extractor": "digits"}


def result(
    name: str, value: float, margin: float = 0.1, settings: str | None = None, seed: int | None = None, **how: object
) -> Result:
    margins, words = {"fd": margin} if margin else {}, (f"loss={settings}", f"trainer.seed={name}")
    one = Result(name, "finished", None, 8, {"fd": value}, (), margins, {**HOW, **how}, settings, words)
    return replace(one, seed=seed)


def test_ties_and_what_was_measured_otherwise() -> None:
    results = [result("a", 2.0), result("b", 1.0), result("c", 1.1), result("d", 0.5, num_fake=60, splits=3)]
    failed = Result("e", "failed", "a bug", 0, {"fd": 0.1}, (), {}, HOW)
    found = ranking([*results, failed, Result("f", "finished", None, 8, {})], "fd")
    assert [one.name for one in found.results] == ["b", "c", "a", "d", "f", "e"]
    assert found.places == ["1=", "1=", "3", "-*", "-", "-"] and found.groups == []
    assert found.notes == ["* d is not ranked: scored with num_fake 60 and not 5000, splits 3 and not None"]
    lines = found.compared()
    assert len(lines) == 2 and "b against c: fd differs by 0.1, within the spread of images" in lines[0]
    assert "b against a: fd differs by 1, beyond the spread of images" in lines[1] and "seeds may differ" in lines[1]


@pytest.mark.parametrize(("key", "mine", "theirs"), [("seed", 0, 5), ("ema", False, True), ("truncation", 0.5, None)])
def test_what_differs_is_told_as_it_was(key: str, mine: object, theirs: object) -> None:
    usual = [replace(result(name, 1.0), protocol={**HOW, key: theirs}) for name in "ab"]
    (note,) = ranking([*usual, replace(result("c", 1.0), protocol={**HOW, key: mine})], "fd").notes
    assert note == f"* c is not ranked: scored with {key} {mine} and not {theirs}"


@pytest.mark.parametrize("key", ["metrics", "floor", "warning", "higher_is_better", "margin_parts"])
def test_what_says_nothing_of_how_may_differ(key: str) -> None:
    other = replace(result("b", 1.0), protocol={**HOW, key: ["other"]})
    found = ranking([result("a", 2.0), other], "fd")
    assert found.places == ["1", "2"]


def test_an_old_run_without_protocol_is_not_ranked_with_those_that_have_one() -> None:
    old = Result("old", "finished", None, 8, {"fd": 0.1})
    found = ranking([old, result("a", 2.0), result("b", 1.0)], "fd")
    assert found.places == ["1", "2", "-*"] and "how it was scored is not known" in found.notes[0]
    assert ranking([old, Result("older", "finished", None, 8, {"fd": 0.2})], "fd").places == ["1", "2"]


LATER: dict[str, Any] = {"shape": "1x32x32", "pixels_sha256": "abcd1234"}  # what an earlier version does not tell


@pytest.mark.parametrize("earlier", [1, 2])
def test_an_upgrade_does_not_split_a_sweep(earlier: int) -> None:
    results = [result(name, float(i), **({} if i < earlier else LATER)) for i, name in enumerate("abc")]
    found = ranking(results, "fd")
    assert found.places == ["1", "2", "3"] and found.notes == []
    results.append(result("d", 4.0, num_fake=60))
    assert ranking(results, "fd").notes == ["* d is not ranked: scored with num_fake 60 and not 5000"]


def test_an_upgrade_does_not_split_a_curve(in_tmp: Path, trained_run: Path) -> None:
    run = Path(shutil.copytree(trained_run, in_tmp / "run"))
    told = [{**HOW, "seed": 0}, HOW, {**HOW, **LATER}, {**HOW, **LATER, "seed": 0}]  # the first one's way again
    lines = [{"nimg": i, "kimg": i / 1000, "metrics/fd": float(i), "protocol": p} for i, p in enumerate(told)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = RunFolder.open(run).measured("metrics/fd")
    assert [[value for _, value in points] for points in found] == [[1.0, 2.0], [0.0, 3.0]]


def test_other_images_are_kept_apart_beside_a_run_of_an_earlier_version() -> None:
    other: dict[str, Any] = {**LATER, "pixels_sha256": "00000000"}
    results = [result("old", 0.0), result("a", 1.0, **LATER), result("b", 2.0, **LATER), result("c", 3.0, **other)]
    found = ranking(results, "fd")
    told = "scored by an earlier version of gantool, which did not record on which images"
    assert found.places == ["1", "2", "-*", "-*"]
    assert found.notes[0] == f"* old is not ranked: it was {told}"
    assert found.notes[1] == "* c is not ranked: scored with pixels_sha256 00000000 and not abcd1234"
    found = ranking([result("older", 1.0), results[0], *results[2:]], "fd")
    assert found.places == ["1", "2", "-*", "-*"] and found.notes[0] == f"* b is not ranked: the others were {told}"


@pytest.mark.parametrize(("parts", "within"), [(None, True), (10, True), (5, False)])
def test_a_margin_is_taken_apart_by_its_own_number_of_parts(parts: int | None, within: bool) -> None:
    """Of five parts it is more standard errors wide, 2.78 and not 2.26, than of ten."""
    told: dict[str, object] = {} if parts is None else {"margin_parts": {"fd": parts}}
    two = [replace(one, protocol={**HOW, **told}) for one in (result("a", 1.0, 0.1), result("b", 1.125, 0.1))]
    found = ranking(two, "fd")
    assert ("within" in found.compared()[0]) == within and (found.places == ["1=", "1="]) == within


@pytest.mark.parametrize("known", [0.0, 0.1])
def test_a_difference_from_a_score_without_margin_is_not_known(known: float) -> None:
    (line,) = ranking([result("a", 1.0, 0.0), result("b", 1.2, known)], "fd").compared()
    assert "differs by 0.2; " in line and "not known" in line and "the spread of" not in line


def test_seeds_are_taken_together() -> None:
    values = {"x": (1.0, 1.1, 1.2), "y": (1.05, 1.3, 1.1), "z": (4.0, 4.1, 4.3)}
    results = [result(f"{s}{i}", v, 0.01, s) for s, three in values.items() for i, v in enumerate(three)]
    found = ranking(results, "fd")
    assert [(one.name, one.place, one.num) for one in found.groups] == [
        ("loss=x", "1=", 3),
        ("loss=y", "1=", 3),
        ("loss=z", "3", 3),
    ]
    assert str(found.groups[0].scores["fd"]) == "1.10 ± 0.10"
    within, beyond = found.compared()
    assert within.startswith("loss=x against loss=y: fd differs by 0.05, within the spread over seeds")
    assert beyond.startswith("loss=x against loss=z: fd differs by 3.03, beyond the spread over seeds")


def test_runs_of_one_seed_are_no_seeds() -> None:
    same = [result("x", 1.0, 0.1, "x", seed=5), result("again", 1.1, 0.1, "x", seed=5)]
    found = ranking([*same, result("y", 3.0, 0.1, "y", seed=5)], "fd")
    assert found.groups == [] and found.places == ["1=", "1=", "3"]
    assert "beyond the spread of images" in found.compared()[0] and "seeds may differ" in found.compared()[0]
    (group,) = ranking([*same, result("other", 3.1, 0.1, "x", seed=6)], "fd").groups
    assert group.num == 2 and group.scores["fd"].value == pytest.approx(2.075), "each seed counts once"


def test_checkpoints_of_long_runs_are_told_apart(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    seen = (12_345_600, 12_348_000)
    scores, floor = {"fd": 1.0, "fd/a": 2.0}, {"fd": 0.1, "fd/a": 0.1}
    evaluations = [Evaluation(tmp_path / "run", nimg, scores, floor, {**HOW}) for nimg in seen]
    found, order = ranked(evaluations, "fd")
    print_table(found, "fd", order)
    for number, nimg in enumerate(seen):
        (tmp_path / "sweep" / str(number)).mkdir(parents=True)
        status = {"state": "finished", "progress": {"nimg": nimg}, "metrics": {"fd": 1.0}}
        (tmp_path / "sweep" / str(number) / "status.json").write_text(json.dumps(status))
    report(Sweep(tmp_path / "sweep", None))
    lines = capfd.readouterr().out.splitlines()
    assert [sum(text in line for line in lines) for text in ("12345.6", "12348", "e+")] == [4, 4, 0]


APART = "2 seeds are too few to tell loss=hinge from loss=lsgan"


def seeds(**values: list[float]) -> list[Result]:
    """Runs of these losses, a seed each for the values."""
    return [
        Result(f"{name}-{seed}", "finished", None, 1000, {"fd": v}, settings=name, words=(f"loss={name}",), seed=seed)
        for name, scores in values.items()
        for seed, v in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("values", "places", "told"),
    [
        ({"hinge": [111.6, 112.8], "lsgan": [123.2, 132.6]}, ["1=", "1="], [APART]),
        ({"hinge": [111.6, 132.8], "lsgan": [123.2, 132.6]}, ["1=", "1="], []),
        ({"hinge": [111.6, 112.8, 112, 112.1, 111.9], "lsgan": [123.2, 132.6, 128, 130, 126]}, ["1", "2"], []),
        ({"hinge": [111.6], "lsgan": [123.2]}, [], []),
        ({"hinge": [111.6], "lsgan": [123.2, 132.6]}, ["1=", "1="], [APART.replace("2 seeds are", "1 seed is")]),
    ],
)  # fmt: skip
def test_means_that_lie_apart_are_told_to_be_of_too_few_seeds(
    values: dict[str, list[float]], places: list[str], told: list[str]
) -> None:
    found = ranking(seeds(**values), "fd")
    assert [group.place for group in found.groups] == places
    assert found.notes == [f"note: {line}" for line in told]


def test_a_rate_is_named_by_four_digits() -> None:
    rates = {"0.0004980092169409933": "0.000498", "0.001": "0.001", "1.23456789e-05": "1.235e-05", "[0.12345678]": None}
    for long, short in rates.items():
        assert shortened(f"optimizer.lr={long}") == f"optimizer.lr={short or long}"
    assert shortened("trainer.seed=123456789") == "trainer.seed=123456789" and shortened("0.12345678") == "0.12345678"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of two rates, beside what was printed."""
    folder = tmp_path_factory.mktemp("ranked") / "sweep"
    words = ["score=fd", "monitor=scores", "monitor.scores.num=60", "monitor.scores.every=1it"]
    words = [word for word in small(folder, *words, model="mlp", rounds=2) if not word.startswith("hydra")]
    with redirect_stdout(StringIO()) as said:
        assert main([*words, "-m", f"hydra.sweep.dir={folder}", "trainer.seed=1,2", "optimizer.lr=0.001,0.01"]) == 0
    (folder.parent / "said").write_text(said.getvalue())
    return folder


@pytest.fixture
def sweep(swept: Path, in_tmp: Path) -> tuple[Path, str]:
    """A copy of it, and what was printed."""
    return Path(shutil.copytree(swept, in_tmp / "sweep")), (swept.parent / "said").read_text()


def test_a_sweep_its_page_and_evaluate(sweep: tuple[Path, str], capfd: pytest.CaptureFixture) -> None:
    folder, out = sweep
    below = out[out.index("Sweep of 4 jobs") :]
    assert "Runs that differ in their seed alone" in below and below.count("±") >= 6
    for name in ("optimizer.lr=0.001", "optimizer.lr=0.01"):
        assert sum(line.split()[1:3] == [name, "2"] for line in below.splitlines()) == 1
    assert "note: only 60 generated images: fd_digits is unreliable" in below
    jobs = sorted(path for path in folder.iterdir() if path.name[0].isdigit())
    log = jobs[3] / "metrics.jsonl"
    log.write_text(log.read_text().replace('"num_fake": 60', '"num_fake": 61'))
    assert main(["report", "run=sweep"]) == 0
    page = (folder / "report.html").read_text()
    assert f"* {jobs[3].name} is not ranked: scored with num_fake 61 and not 60" in page and ">-*</td>" in page
    assert "mean ± standard deviation over seeds" in page and "only 60 generated images" in page
    capfd.readouterr()
    named = ",".join(f"'{job}'" for job in jobs)
    assert main(["evaluate", f"run=[{named}]", "score=[fd]", "num=60", "num_real=100", "out=table"]) == 0
    said = [line for line in capfd.readouterr().out.splitlines() if "over seeds (" in line]
    assert len(said) == 1 and "fd_digits differs by" in said[0] and "optimizer.lr=0.01" in said[0]
    assert len(json.loads(Path("table/results.json").read_text())[0]["margins"]) == 1


def test_the_page_of_a_sweep_tells_how_its_best_is_trained_again(sweep: tuple[Path, str]) -> None:
    def page(*words: str) -> str:
        assert main(["report", "run=sweep", *words]) == 0
        return unescape(re.sub("<[^>]*>", " ", Path("sweep/report.html").read_text()))

    folder, out = sweep
    best, line = re.findall(r"(?m)^best: (\S+)\n  (gantool train .*)$", out)[0]
    (preset := folder / "experiment" / "best.yaml").unlink()
    assert f"best: {best}" in (text := page()) and line in text
    assert re.search(r"Device +cpu( \(.+\))?, fp32", text)
    with (folder / best / ".hydra" / "overrides.yaml").open("a") as file:
        file.write("- loss._target_=planted.Loss\n")
    text = page()
    asks = f"best: {best}, which asks for 'planted.Loss', which is not gantool's own: look at it"
    assert asks in text and "gantool train" not in text and not preset.exists()
    text = page("trust=true")
    assert f"{line} loss._target_=planted.Loss" in text and asks not in text
