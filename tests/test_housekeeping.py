"""gantool runs, diff and cache: what lies in the folders, and what is removed after a question."""

import json
import os
import shutil
from pathlib import Path

import pytest

from gantool.cli.main import main
from gantool.lock import locked
from gantool.logging.status import read_status, write_status
from gantool.metrics.clip import CLIPFeatures
from gantool.metrics.dinov2 import DINOv2Features
from gantool.metrics.inception import InceptionFeatures
from gantool.metrics.vgg import VGG16Features
from gantool.runs.housekeeping import in_bytes, in_time

KEY = "0123456789abcdef"  # as in the names of what is cached


@pytest.fixture
def outputs(in_tmp: Path, trained_run: Path) -> Path:
    """Four runs: one scored, one killed, one in a sweep that failed, one that never began."""
    root = in_tmp / "outputs"
    places = {"day/scored": {}, "day/killed": {"state": "running"}, "sweep/0-a": {"state": "failed"}, "fresh": {}}
    for place, status in places.items():
        shutil.copytree(trained_run, root / place)
        write_status(root / place, **{**read_status(root / place), **status})
    (root / "fresh" / "status.json").unlink()
    (root / "sweep" / "multirun.yaml").touch()
    (root / "notes").mkdir()
    for path in (root / "day" / "killed").rglob("*"):
        os.utime(path, (0, 0))
    return root


def listed(capfd: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["runs", *words]) == 0
    lines = capfd.readouterr().out.splitlines()
    return [line.split()[0].partition("/")[2] for line in lines if line.startswith(("outputs/", " outputs/"))]


def test_runs_are_listed_and_filtered(outputs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    rows = {line.split()[0]: line for line in capfd.readouterr().out.splitlines() if "outputs/" in line}
    assert len(rows) == 4
    score = read_status(outputs / "day" / "scored")["best"]["value"]
    for text in ("finished", "mlp", "mnist-5k", "0.016", f"fd_digits {score:.4g}", "MB", " s "):
        assert text in rows["outputs/day/scored"]
    assert "killed" in rows["outputs/day/killed"] and " d " in rows["outputs/day/killed"]
    assert "failed" in rows["outputs/sweep/0-a"] and "empty" in rows["outputs/fresh"]
    assert listed(capfd, "outputs", "state=failed,killed") == ["day/killed", "sweep/0-a"]
    assert listed(capfd, "older=1d") == ["day/killed"] and "day/killed" not in listed(capfd, "newer=1d")
    assert listed(capfd, "score=none") == ["fresh"] and len(listed(capfd, "model=m*", "data=mnist*")) == 4
    assert listed(capfd, "below=0.01") == ["fresh"] and listed(capfd, "run=*/sweep/*") == ["sweep/0-a"]
    with locked(outputs / "day" / "killed" / ".lock"):
        assert listed(capfd, "state=running") == ["day/killed"]


def test_runs_are_looked_for_where_they_go(outputs: Path, monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    outputs.rename("else=where")
    monkeypatch.setenv("GANTOOL_OUTPUTS", "else=where")
    for words in ([], ["else=where"], ["else=where", "state=finished"]):
        assert main(["runs", *words]) == 0
        assert "else=where/day/scored" in capfd.readouterr().out


def test_nothing_is_deleted_without_a_yes(outputs: Path, monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    before = sorted(outputs.rglob("*"))
    for answer in ("n", "", "what"):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        assert main(["runs", "--delete"]) == 0 and main(["cache", "clean"]) == 0
    monkeypatch.setattr("builtins.input", lambda question: (_ for _ in ()).throw(EOFError))
    assert main(["runs", "--delete"]) == 0
    assert sorted(outputs.rglob("*")) == before and "nothing is deleted" in capfd.readouterr().out
    monkeypatch.setattr("builtins.input", lambda question: "y" if "Delete 1 run with" in question else "n")
    assert main(["runs", "outputs", "--delete", "state=failed"]) == 0
    assert not (outputs / "sweep").exists() and (outputs / "day" / "killed").is_dir(), "an empty sweep goes too"
    with locked(outputs / "fresh" / ".lock"):  # its process has not written a status yet
        assert main(["runs", "--delete", "--yes"]) == 0
    assert [path.name for path in outputs.iterdir()] in (["notes", "fresh"], ["fresh", "notes"])


def test_a_run_in_anothers_folder_and_other_programs_are_no_part_of_it(
    outputs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Hydra writes its configuration to one place, whatever program it serves."""
    inner = Path(shutil.copytree(outputs / "fresh", outputs / "day" / "scored" / "again"))
    for place in ("theirs", "theirs/multirun/0", "fresh/work"):
        (outputs / place / ".hydra").mkdir(parents=True)
        (outputs / place / ".hydra" / "config.yaml").write_text("model:\n  trainer: 1\nrecipes: {}\n")
    assert listed(capfd) == ["day/killed", "day/scored", "day/scored/again", "fresh", "sweep/0-a"]
    with locked(inner / ".lock"):
        assert main(["runs", "--delete", "--yes"]) == 0
    out = capfd.readouterr().out
    assert "outputs/day/scored holds outputs/day/scored/again; " in out
    assert "outputs/fresh holds outputs/fresh/work; " in out and out.endswith("\ndeleted 2 runs\n")
    assert listed(capfd) == ["day/scored", "day/scored/again", "fresh"]
    with locked(inner / ".lock"):
        assert main(["runs", "--delete", "--yes"]) == 0
    assert capfd.readouterr().out.endswith("\nnothing is deleted\n")
    assert main(["runs", "--delete", "--yes"]) == 0
    assert not (outputs / "day").exists() and len(list(outputs.rglob(".hydra/config.yaml"))) == 4


def test_runs_of_every_version_are_listed_and_no_other_programs(in_tmp: Path, capfd) -> None:
    """gantool 0.1 had no recipe; templates of others have a model and a trainer too."""
    keys = {"old": "dataset loss model optimizer trainer", "theirs": "data model callbacks trainer"}
    for name, found in keys.items():
        (in_tmp / "outputs" / name / ".hydra").mkdir(parents=True)
        text = "".join(f"{key}:\n  recipe: 1\n" for key in found.split())
        (in_tmp / "outputs" / name / ".hydra" / "config.yaml").write_text(text)
    assert listed(capfd) == ["old"]


def test_bytes_are_counted_once_and_names_steer_no_terminal(outputs: Path, capfd) -> None:
    """Of a run that lies in another one."""
    shutil.rmtree(outputs / "sweep")
    inner = outputs / "day" / "killed" / "in\x1b[2Jside"
    (outputs / "fresh").rename(inner)
    for path in (outputs / "day" / "killed" / "mine", inner / "mine"):
        path.write_bytes(b"0" * 50_000_000)
    assert main(["runs"]) == 0
    lines = capfd.readouterr().out.splitlines()
    sizes = [line.split()[-2:] for line in lines if "killed" in line]
    assert len(sizes) == 2 and all(50 < float(size) < 60 and unit == "MB" for size, unit in sizes)
    assert lines[-1].startswith("3 runs, 10") and any("/in?[2Jside " in line for line in lines)
    with locked(inner / ".lock"):
        assert main(["runs", "--delete", "--yes", "run=*killed"]) == 0
    out = capfd.readouterr().out
    assert "\x1b" not in out and "day/killed holds" in out and out.endswith("\nnothing is deleted\n")


def test_two_runs_are_compared(outputs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = outputs / "day" / "killed" / ".hydra" / "config.yaml"
    text = config.read_text().replace("seed: 7", "seed: 8")
    config.write_text(text.replace("n_critic: 1", "n_critic: ${oc.env:HOME}"))
    assert main(["diff", "outputs/day/scored", "outputs/day/killed"]) == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert ["trainer.seed", "7", "8"] in lines and ["loss.n_critic", "1", "${oc.env:HOME}"] in lines
    assert any(line[0] == "fd_digits" and line[1:4] == line[4:7] for line in lines if line)
    assert sum("." in line[0] for line in lines if line and line[0].startswith(("trainer", "loss", "model"))) == 2
    assert main(["diff", "outputs/day/scored", "outputs/fresh"]) == 0
    assert "no setting differs" in capfd.readouterr().out


def test_the_cache_is_listed_and_cleaned(in_tmp: Path, monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(in_tmp / "cache"))
    old = (f"datasets/old-{KEY}/images.u8", "weights/vgg16-397923af.pth")
    for name in (f"datasets/digits-{KEY}/images.u8", f"datasets/digits-{KEY}.lock", "last_start", *old):
        (in_tmp / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        (in_tmp / "cache" / name).write_bytes(b"x" * 2000)
        os.utime(in_tmp / "cache" / name, (0, 0) if name in old else None)
    assert main(["cache"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith(f"datasets/digits-{KEY}") and "2 kB" in lines[0] and "used 0 s ago" in lines[0]
    assert lines[-1] == f"{in_tmp / 'cache'}: 3 entries, 6 kB"
    assert main(["cache", "clean", "--older", "30d", "weights/*", "--yes"]) == 0
    assert [(in_tmp / "cache" / name).exists() for name in old] == [True, False]
    assert main(["cache", "clean", "--older=30d", "--yes"]) == 0
    assert not (in_tmp / "cache" / "datasets" / f"old-{KEY}").exists(), "listing is no use of a folder"
    assert main(["cache", "clean", "weights/*"]) == 1 and "nothing of this name" in capfd.readouterr().err
    assert main(["cache", "clean", "datasets/digits*", "--yes"]) == 0
    assert [path.name for path in (in_tmp / "cache" / "datasets").iterdir()] == [f"digits-{KEY}.lock"]


def test_what_gantool_has_not_made_is_neither_listed_nor_cleaned(in_tmp: Path, monkeypatch, capfd) -> None:
    """Where the cache shares a folder with the user's own things, some of the same names."""
    monkeypatch.setenv("GANTOOL_CACHE", str(in_tmp))
    theirs = ["thesis/main.tex", "datasets/faces/a.png", "datasets/faces.zip", "weights/mine.pth", "weights/vgg/a.pth"]
    theirs += ["embeddings/words.safetensors", "classifiers/a/b.py", "downloads/film.mkv", f"runs/a-{KEY}/a.pt"]
    for name in theirs:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    assert main(["cache", "clean", "--yes"]) == 0
    assert all(Path(name).exists() for name in theirs) and ": 0 entries" in capfd.readouterr().out
    for features in (CLIPFeatures, DINOv2Features, InceptionFeatures, VGG16Features):
        features.published.place.parent.mkdir(exist_ok=True)
        features.published.place.touch()
    assert main(["cache", "clean", "--yes"]) == 0
    assert sorted(path.name for path in Path("weights").iterdir()) == ["mine.pth", "vgg"]


def test_what_goes_meanwhile_is_left_out(outputs: Path, monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A run that trains renames its partial files, and another process may clean."""
    monkeypatch.setenv("GANTOOL_CACHE", str(outputs.parent / "cache"))
    for folder in (outputs / "fresh" / "checkpoints", outputs.parent / "cache" / "datasets" / f"digits-{KEY}"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.partial").touch()
    lstat = Path.lstat

    def gone(path: Path) -> os.stat_result:
        if path.suffix == ".partial":
            path.unlink(missing_ok=True)
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", gone)
    assert len(listed(capfd)) == 4
    assert main(["cache"]) == 0 and "datasets/digits" in capfd.readouterr().out


def test_what_is_being_made_is_not_cleaned(in_tmp: Path, monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    cache = in_tmp / "cache"
    monkeypatch.setenv("GANTOOL_CACHE", str(cache))
    weights = "weights/vgg16-397923af.pth.0f.partial"
    for name in (f"datasets/a-{KEY}.partial/images.u8", f"datasets/b-{KEY}/images.u8", weights):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(b"x")
    with locked(cache / "datasets" / f"a-{KEY}.lock"), locked(cache / "downloads" / "net-0.lock"):
        assert main(["cache", "clean", "--yes"]) == 0
        assert (cache / "datasets" / f"a-{KEY}.partial" / "images.u8").exists()
        assert (cache / weights).exists()
        assert f"datasets/a-{KEY}.partial is being made by another process; not deleted" in capfd.readouterr().out
    assert not (cache / "datasets" / f"b-{KEY}").exists()
    assert main(["cache", "clean", "--yes"]) == 0
    assert not list(cache.glob("*/*.partial"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["runs", "nowhere"], "nowhere: no such folder"),
        (["runs", ".", "stat=failed"], "no filter 'stat' (did you mean 'state'?)"),
        (["runs", ".", "state=failed,finised"], "no state 'finised' (did you mean 'finished'?)"),
        (["runs", ".", "older=7"], "older=7: write a positive number and a unit"),
        (["runs", ".", "below=few"], "below=few: write a number"),
        (["diff", ".", "."], "run=. is not a run folder"),
    ],
)
def test_mistakes_are_one_line(in_tmp: Path, words: list[str], line: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    error = capfd.readouterr().err
    assert line in error and error.count("\n") == 1


def test_sizes_and_times_in_words() -> None:
    assert [in_bytes(size) for size in (0, 999, 1000, 2.5e9, 3e15)] == ["0 B", "999 B", "1 kB", "2.5 GB", "3e+03 TB"]
    assert [in_time(age) for age in (-1, 59, 60, 7200, 2e5)] == ["0 s", "59 s", "1 min", "2 h", "2 d"]


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e300, float("inf"), float("nan")])
def test_a_best_that_is_no_number_leaves_the_others_listed(
    value: float, outputs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = {**read_status(outputs / "day" / "scored"), "best": {"metric": "fd", "value": value, "nimg": value}}
    (outputs / "day" / "scored" / "status.json").write_text(json.dumps(told))
    assert len(listed(capfd)) == 4 and not {value} & {*(read_status(outputs / "day" / "scored")["best"]).values()}
