"""Sweeps that go on: a job is its overrides, so that what is finished is kept and what was killed goes on."""

import csv
import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from extent import some, thorough
from gantool.cli.main import main
from gantool.lock import is_held, locked
from gantool.logging.status import read_status
from gantool.sweeps.jobs import Enrolled, enrol, find_job, number_of, place, read_jobs, spelled, told_place
from gantool.sweeps.results import read_results
from runs import newest, same_training, small

SCORED = ["score=fd", "monitor=scores", "monitor.scores.num=60", "monitor.scores.every=2it"]


def swept(folder: Path, *words: str) -> list[str]:
    """The words of a sweep of small runs that checkpoint after every round."""
    base = small(folder, *SCORED, "trainer.checkpoint_seconds=1e-9", model="mlp", rounds=4)
    return [*(word for word in base if not word.startswith("hydra")), "-m", f"hydra.sweep.dir={folder}", *words]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds, trained."""
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
        patch.setattr("gantool.runs.start._told", set())
        assert main(swept(folder, "trainer.seed=1,2")) == 0
    (folder.parent / "said").write_text(said.getvalue())
    return folder


def test_networks_that_are_the_same_are_told_once(sweep: Path) -> None:
    said = (sweep.parent / "said").read_text()
    assert "job 1 of 2" in said and "job 2 of 2" in said and said.count("discriminator  Discriminator") == 1


def test_a_folder_is_a_job_by_its_number() -> None:
    assert [number_of(name) for name in ("7-lr", "12", "lr-7", "²-lr", "")] == [7, 12, -1, -1, -1]


@thorough
def test_more_values_in_another_order(sweep: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One job was finished, one killed after its third round, one is new; then nothing is left to do."""
    before = {job: newest(sweep / job) for job in ("0-trainer.seed-1", "1-trainer.seed-2")}
    written = (sweep / "0-trainer.seed-1" / "metrics.jsonl").stat().st_mtime_ns
    killed = sweep / "1-trainer.seed-2"
    for path in (killed / "checkpoints").glob("*0032-*.pt"):  # it ended there
        path.unlink()
    (killed / "status.json").write_text(json.dumps(read_status(killed) | {"state": "running"}))
    assert [result.state for result in read_results(sweep)] == ["finished", "failed"]
    words = swept(sweep, "trainer.seed=3,2,1")
    assert main([words[0], *reversed(words[1:])]) == 0
    out = capfd.readouterr().out
    assert "0-trainer.seed-1: finished, kept" in out and "going on at 0.024 kimg" in out
    assert "job 1 of 2: 2-trainer.seed-3" in out and "job 2 of 2, about 0:" in out
    assert re.search(r"job 2 of 2 +0\.0/0\.032 kimg", out), "on each line of the progress"
    assert (sweep / "0-trainer.seed-1" / "metrics.jsonl").stat().st_mtime_ns == written
    assert sorted(job.name for job in read_jobs(sweep)) == ["0-trainer.seed-1", "1-trainer.seed-2", "2-trainer.seed-3"]
    assert all(same_training(state, newest(sweep / job)) for job, state in before.items())
    assert main(words) == 0
    assert capfd.readouterr().out.count("finished, kept") == 3


def test_what_another_process_trains_is_left_to_it(sweep: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job = sweep / "0-trainer.seed-1"
    before = (job / "status.json").read_text()
    (job / "status.json").write_text(json.dumps(json.loads(before) | {"state": "running"}))
    with locked(job / ".lock"):
        assert is_held(job / ".lock") and main(swept(sweep, "trainer.seed=1,2")) == 0
        out = capfd.readouterr().out
        assert "0-trainer.seed-1: running elsewhere, kept" in out and "failed" not in out
        told = {one["job"]: one["state"] for one in json.loads((sweep / "results.json").read_text())["jobs"]}
        assert told[job.name] == "running elsewhere"
    (job / "status.json").write_text(before)
    assert not is_held(job / ".lock")


def test_the_table_as_files_the_page_and_evaluate(sweep: Path, capfd: pytest.CaptureFixture[str]) -> None:
    enrol(sweep, ["trainer.seed=9"], "none", lambda number: f"{number}-trainer.seed-9")
    assert main(["report", f"run={sweep}"]) == 0
    rows = list(csv.DictReader((sweep / "results.csv").read_text().splitlines()))
    told = json.loads((sweep / "results.json").read_text())
    assert [row["job"] for row in rows] == [job["job"] for job in told["jobs"]]
    assert [row["state"] for row in rows] == ["finished"] * (len(rows) - 1) + ["not started"] and len(rows) >= 3
    scores = [float(row["fd_digits"]) for row in rows if row["state"] == "finished"]
    assert scores == sorted(scores) and any(float(row["seconds"]) > 0 for row in rows[:-1])
    (group,) = csv.DictReader((sweep / "seeds.csv").read_text().splitlines())
    assert float(group["fd_digits"]) == pytest.approx(sum(scores) / len(scores))
    assert float(group["fd_digits_std"]) > 0 and int(group["seeds"]) == len(scores)
    assert "not started" in (sweep / "report.html").read_text()
    assert main(["evaluate", f"run={sweep}", "score=fd", "num=60", "num_real=100"]) == 0
    assert len(list(sweep.glob("*/evaluated/*/scores.csv"))) == len(scores)


def test_a_page_elsewhere_comes_alone(sweep: Path, tmp_path: Path) -> None:
    (sweep / "results.csv").unlink(missing_ok=True)
    for out in (tmp_path / "mine" / "page.html", sweep / "page.html"):
        assert main(["report", f"run={sweep}", f"out={out}"]) == 0
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["page.html"]
    assert (sweep / "results.csv").is_file(), "gantool's own folder"


COMMON = {
    "sweep_metric=fdd": "sweep_metric=fdd",
    "score=cas": "cas needs a conditional model",
    "monitor.scores.num=1": "num=1: fd_digits needs at least 2 images",
    "trainer.time_limit=10min,30min": "trainer.time_limit=10min,30min: ",
    "trainer.batch_size=0": "trainer.batch_size=0: should be greater than 0",
    "study.trials=3": "study.trials=3 ",
    "optimizer.lr=interval(1e-4,1e-2)": "optimizer.lr=interval(1e-4,1e-2): a grid needs values",
}


@thorough
def test_jobs_may_be_called_by_what_was_typed(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Hydra's override_dirname puts = and , into names."""
    words = swept(in_tmp / "sweep", "loss=lsgan,hinge", "hydra.sweep.subdir=${hydra.job.override_dirname}")
    words = [word for word in words if not word.startswith("dataset.root")]
    assert main(words) == 0
    assert len(read_results(in_tmp / "sweep")) == len(read_jobs(in_tmp / "sweep")) == 2
    assert (in_tmp / "sweep" / "results.csv").is_file()
    capfd.readouterr()
    assert main(words) == 0
    assert capfd.readouterr().out.count(": finished") == 2
    words = [*swept(in_tmp / "deep", "loss=lsgan,hinge"), "hydra.sweep.subdir=a/b"]
    assert main(words) == 1
    assert "hydra.sweep.subdir=a/b: a job's folder lies in the sweep's" in capfd.readouterr().err


@pytest.mark.parametrize("word", some(COMMON, 4))
def test_what_is_wrong_for_all_is_told_once(word: str, in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(swept(in_tmp / "sweep", word, "trainer.seed=1,2")) == 1
    err = capfd.readouterr().err
    assert err.startswith(f"gantool train: error: {COMMON[word]}") and err.count("\n") == 1
    assert not (in_tmp / "sweep").exists()


@pytest.mark.parametrize("words", [["study.sampler=tpee"], ["trainer.batch_size=0"]], ids=["study", "grid"])
def test_where_nothing_could_begin_there_is_no_table_of_what_was_there(words: list[str], sweep: Path, capfd) -> None:
    before = {path: path.read_bytes() for path in sweep.glob("*.*") if path.is_file()}
    more = ["hydra/sweeper=study", "study.trials=3"] if words[0].startswith("study") else []
    assert main(swept(sweep, "trainer.seed=1,2", *more, *words)) == 1
    out, err = capfd.readouterr()
    assert out == "" and words[0] in err and err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in sweep.glob("*.*") if path.is_file()}


def test_what_is_wrong_for_some_is_told_before_any_is_trained(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In a value alone, and in two that do not go together."""
    words = ["train", "-m", "score=none", "hydra.sweep.dir=sweep"]
    assert main([*words, "model=mlp", "trainer.batch_size=32,-1", "optimizer.lr=0.1,0.2"]) == 1
    first, *others = [line for line in capfd.readouterr().err.splitlines() if line.startswith("gantool")]
    assert first.startswith("gantool train: error: nothing is trained, as 2 of 4 jobs fail: leave")
    line = (
        "gantool train: error: trainer.batch_size=-1 optimizer.lr={}: trainer.batch_size=-1: should be greater than 0"
    )
    assert others == [line.format(rate) for rate in (0.1, 0.2)]
    assert main([*words, "model=mlp,dcgan", "dataset.resolution=20,32"]) == 1
    first, *others = [line for line in capfd.readouterr().err.splitlines() if line.startswith("gantool")]
    assert len(others) == 1 and others[0].startswith("gantool train: error: model=dcgan dataset.resolution=20: ")
    assert not (in_tmp / "sweep").exists()


def test_a_job_is_found_by_its_words_or_its_configuration(tmp_path: Path) -> None:
    def job(*words: str, composed: str) -> Enrolled:
        return enrol(tmp_path, words, composed, lambda number: f"{number}-job")

    first = job("++optimizer.lr=1e-3", "loss=hinge", composed="a")
    assert job("loss=hinge", "optimizer.lr=0.001", "sweep_metric=x", "study.trials=3", composed="b") == first
    assert job("loss=hinge", "optimizer.lr=0.5", "optimizer.lr=0.001", composed="c") == first, "the last counts"
    assert job("loss=lsgan", composed="d").name == "1-job" and job("loss=wgan", composed="a") == first
    (tmp_path / "7-older" / ".hydra").mkdir(parents=True)  # of a version that kept no list
    (tmp_path / "7-older" / ".hydra" / "overrides.yaml").write_text("- loss=wgan\n- trainer.seed=4\n")
    assert job("trainer.seed=4", "loss=wgan", composed="e").name == "7-older"
    assert job("trainer.seed=5", composed="f").name == "8-job" and find_job(tmp_path, ["loss=none"], "g") is None
    (tmp_path / "sweep.json").write_text('{"jobs": [{"name": "../elsewhere", "words": [], "digest": ""}]}')
    assert read_jobs(tmp_path) == [], "a stranger's list names no folder outside of the sweep"
    assert spelled(["a=[1, 2]", "~b"]) == spelled(["~b", "a=[1,2]"])


def test_a_job_knows_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_place(tmp_path / "2") == ("", "")
    name, _, value = place(3, 4, 1000.0).removeprefix("+hydra.job.env_set.").partition("=")
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.time", lambda: 1060.0)
    assert told_place(tmp_path / "2") == ("job 3 of 4", "")
    for job, state in (("0", "finished"), ("1", "failed"), ("2", "running")):
        (tmp_path / job).mkdir()
        (tmp_path / job / "status.json").write_text(json.dumps({"state": state}))
    assert told_place(tmp_path / "2") == ("job 3 of 4", "about 0:01:00 left for the sweep"), "two took a minute"
