"""gantool evaluate: its numbers against the same images scored by hand, its files and table, and what it refuses."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from composing import typed
from cost import draw
from extent import some, thorough
from gantool.cli.main import main
from gantool.data.mnist import Mnist5k
from gantool.margins import written
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.embedding import Embedding
from gantool.metrics.scores import Coverage, FrechetDistance, Precision
from runs import TRANSLATORS, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders a (conditional, two checkpoints), b (conditional, trained for longer), plain (unconditional)."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANTOOL_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        train(folder / "a", "model.conditional=true", model="mlp", rounds=2)
        train(folder / "a", "model.conditional=true", model="mlp", rounds=4)
        train(folder / "b", "model.conditional=true", "optimizer.lr=0.01", model="mlp", rounds=30)
        train(folder / "plain", model="mlp", rounds=1)
        train(folder / "small", "dataset.resolution=16", model="mlp", rounds=1)
        yield folder


def evaluated(run: Path, *words: str) -> dict:
    """The newest result of a run after an evaluation."""
    before = set((run / "evaluated").rglob("*.json"))
    assert main(["evaluate", f"run={run}", *words]) == 0
    (new,) = set((run / "evaluated").rglob("*.json")) - before
    return json.loads(new.read_text())


def generated(run: Path, num: int) -> Tensor:
    """What gantool sample makes of it: uint8 (num, 1, 32, 32). mnist-5k has as many of each class."""
    assert main(["sample", f"run={run}", "format=npz", f"num={num}", f"out={run / 'sampled'}"]) == 0
    with np.load(run / "sampled" / "samples.npz") as archive:
        return torch.from_numpy(archive["arr_0"]).permute(0, 3, 1, 2)


def test_scores_are_those_of_the_images_that_sample_makes(runs: Path) -> None:
    result = evaluated(runs / "plain", "num=60", "num_real=100", "score=[fd,precision,coverage]")
    pixels = torch.tensor(np.stack([item.pixels for item in Mnist5k().read()]))  # type: ignore[union-attr]
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(0))
    fake, held_out, reference = (
        Embedding(*DigitFeatures()(images))
        for images in (generated(runs / "plain", 60), pixels[order[:60]], pixels[order[-100:]])
    )
    assert result["scores"]["fd_digits"] == pytest.approx(FrechetDistance()(fake, reference, 0), rel=1e-4)
    assert result["floor"]["fd_digits"] == pytest.approx(FrechetDistance()(held_out, reference, 0), rel=1e-4)
    assert result["floor"]["precision_digits"] == pytest.approx(Precision()(held_out, reference, 0), abs=1e-6)
    assert result["floor"]["coverage_digits"] == pytest.approx(Coverage()(held_out, reference, 0), abs=1e-6)
    protocol = result["protocol"]
    assert (protocol["num_fake"], protocol["num_real"], protocol["num_floor"]) == (60, 100, [60, 100])
    assert protocol["ema"] is True and "only 60 generated images: fd_digits is unreliable" in protocol["warning"]


def test_several_checkpoints_give_one_ranked_table_files_and_curves(runs: Path, capfd: pytest.CaptureFixture) -> None:
    words = ["num=50", "num_real=100", "score=[fd,is]", "checkpoint=all"]
    assert main(["evaluate", f"run=[{runs / 'a'},{runs / 'b'}]", *words, f"out={runs / 'table'}"]) == 0
    printed = [
        line
        for line in capfd.readouterr().out.splitlines()
        if line.split()[:1] and line.split()[0].strip("=") in "123-"
    ]
    known = json.loads((runs / "table" / "results.json").read_text())
    scores = [result["scores"]["fd_digits"] for result in known]
    assert len(scores) == 3 and scores == sorted(scores) and len(set(scores)) == 3
    shown = [written(one["scores"]["fd_digits"], one["margins"]["fd_digits"]) for one in known]
    assert [text in line for text, line in zip(shown, printed, strict=False)] == [True] * 3 and "±" in shown[0]
    assert "real images" in printed[-1] and f"{known[0]['floor']['fd_digits']:.4g}" in printed[-1]

    (folder,) = (runs / "table" / "a").glob("digits-*")
    assert sorted(path.name for path in folder.glob("*.json")) == ["000000.016.json", "000000.032.json"]
    with (folder / "scores.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["run", "nimg", "fd_digits", "is_digits", "fd_digits_margin", "is_digits_margin"] and [
        row[1] for row in rows[1:]
    ] == ["16", "32", ""]
    events = EventAccumulator(str(folder)).Reload()
    curve = {event.step: event.value for event in events.Scalars(f"evaluate/{folder.name}/fd_digits")}
    mine = {result["nimg"]: result["scores"]["fd_digits"] for result in known if result["run"] == str(runs / "a")}
    assert curve == pytest.approx(mine, rel=1e-6) and len(curve) == 2


def test_a_state_is_scored_once_however_it_is_called(runs: Path, capfd: pytest.CaptureFixture) -> None:
    words = ["num=20", "num_real=40", "score=[fd]", f"out={runs / 'once'}"]
    newest = sorted((runs / "a" / "checkpoints").glob("0*.pt"))[-1].name
    called = f"run=[{runs / 'a'},{runs / 'b' / '..' / 'a'}]", f"checkpoint=[newest,{newest}]"
    assert main(["evaluate", *called, *words]) == 0
    assert len(json.loads((runs / "once" / "results.json").read_text())) == 1
    assert "over seeds" not in capfd.readouterr().out


def test_the_same_command_gives_the_same_numbers_and_another_seed_others(runs: Path) -> None:
    words = ["num=40", "num_real=60", "score=[fd,kd,is,recall]"]
    first = evaluated(runs / "b", *words)
    assert {path.parent for path in (runs / "b").rglob("*tfevents*")} == {runs / "b"}, "TensorBoard: no run of its own"
    tags = EventAccumulator(str(runs / "b")).Reload().Tags()
    assert not [tag for tag in tags["scalars"] if tag.startswith("evaluate/")], "one point makes an empty chart"
    (text,) = (tag for tag in tags["tensors"] if tag.startswith("evaluate/digits-"))
    (told,) = EventAccumulator(str(runs / "b")).Reload().Tensors(text)
    table = told.tensor_proto.string_val[0].decode()
    assert all(f"| {name}" in table or f" {name} |" in table for name in first["scores"]) and "num_fake: 40" in table
    (path,) = (p for p in (runs / "b" / "evaluated").rglob("*.json") if json.loads(p.read_text()) == first)
    assert main(["evaluate", f"run={runs / 'b'}", *words]) == 0
    assert json.loads(path.read_text()) == first
    again = evaluated(runs / "b", *words, "seed=1")
    assert again["scores"]["fd_digits"] != first["scores"]["fd_digits"]
    live = evaluated(runs / "b", *words, "ema=false")
    assert live["scores"]["fd_digits"] != first["scores"]["fd_digits"] and live["floor"] == first["floor"]


@thorough
def test_a_fitted_classifier_as_features_and_the_accuracy_score(runs: Path) -> None:
    words = ["features=classifier", "features.num_images=300", "num=150", "num_real=200", "score.cas.num_images=400"]
    result = evaluated(runs / "b", *words, "score=[fd,density,cas]")
    assert list(result["scores"]) == ["fd_classifier", "density_classifier", "cas"] == list(result["floor"])
    assert 0 <= result["scores"]["cas"] <= 1
    protocol = result["protocol"]
    assert protocol["extractor"] == "classifier" and len(protocol["weights_sha256"]) == 8
    assert (protocol["classifier_images"], protocol["scores"]["cas"]["num_images"]) == (300, 400)
    assert protocol["classifier_data"] == "mnist-5k all" and 0 < protocol["classifier_accuracy"] <= 1
    alone = evaluated(runs / "b", "score=[cas]", "num=150", "num_real=200", "score.cas.num_images=400")
    assert alone["scores"] == {"cas": result["scores"]["cas"]}, "whatever the features"


WORDS = {
    "conditional": ("dcgan", ["model.conditional=true", "score=[fd,is]", "trainer.seed=3", "monitor.scores.seed=5"]),
    "unconditional": ("mlp", ["score=[fd,kd,is,precision]"]),
    "growing": ("progan", ["score=[fd,is]"]),
    **{model: (model, ["features=digits", "score=[fd,kd]", "monitor.scores.batch_size=4"]) for model in TRANSLATORS},
}


@pytest.mark.parametrize(("model", "words"), some(WORDS.values(), 1), ids=some(WORDS, 1))
def test_the_numbers_are_those_that_training_logged(in_tmp: Path, model: str, words: list[str]) -> None:
    run, num = in_tmp / "run", ["num=200"] if model not in TRANSLATORS else []
    train(run, *words, "monitor=scores", *(f"monitor.scores.{word}" for word in num), model=model, rounds=2)
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (scored,) = (line for line in logged if "metrics/fd_digits" in line)
    result = evaluated(run, *(word for word in words if word.startswith("score")), *num)
    assert {f"metrics/{name}" for name in result["scores"]} == {key for key in scored if key.startswith("metrics/")}
    for name, value in result["scores"].items():
        assert value == pytest.approx(scored[f"metrics/{name}"], rel=1e-5), name
    assert result["protocol"] == scored["protocol"] and result["floor"] == pytest.approx(
        scored["protocol"]["floor"], rel=1e-5
    )


def test_as_many_images_as_in_training_where_nothing_is_said(runs: Path) -> None:
    protocol = evaluated(runs / "plain", "score=[fd]")["protocol"]
    assert (protocol["num_fake"], protocol["num_real"]) == (5000, 5000)
    assert typed().monitor["scores"].node["num"] == 5000


def test_what_is_taken_from_the_first_run_is_told(in_tmp: Path, capfd: pytest.CaptureFixture) -> None:
    scored = ["dataset=folder", f"dataset.root={draw(in_tmp / 'images', 60)}", "dataset.resolution=8", "score=fd"]
    scored += ["monitor=scores", "monitor.scores.seed=3"]
    other = ["features=digits", "features._target_=rows.Rows"]
    train(in_tmp / "a", *scored, "monitor.scores.num=20", "features=digits", model="mlp", rounds=1)
    for rounds in (1, 2):  # two checkpoints
        train(in_tmp / "b", *scored, "monitor.scores.num=30", *other, model="mlp", rounds=rounds)
    for words, told in (
        (["checkpoint=all"], "b is scored with num 20, features DigitFeatures as a was, and not with num 30, features"),
        (["num=20"], "b is scored with features DigitFeatures as a was"),
        (["num=20", "features=digits"], None),
    ):
        capfd.readouterr()
        assert main(["evaluate", "run=[a,b]", "score=[fd]", "num_real=40", "trust=true", *words]) == 0
        lines = [line for line in capfd.readouterr().out.splitlines() if "is scored with" in line]
        assert [told is not None and told in line for line in lines] == [True] * (told is not None)


def test_standing_statistics_of_every_run_are_checked_first(runs: Path, capfd: pytest.CaptureFixture) -> None:
    train(runs / "bare", "model.generator.norm=none", model="mlp", rounds=1)
    named = f"run=[{runs / 'plain'},{runs / 'bare'}]"
    capfd.readouterr()
    words = ["num=20", "num_real=40", "standing_statistics=1", f"out={runs / 'bared'}"]
    assert main(["evaluate", named, *words]) == 1
    said = capfd.readouterr()
    assert "has a generator without batch norm" in said.err and "scoring" not in said.out
    assert not (runs / "bared").exists()


NOT_A_RUN = [
    (["run={tmp}/none"], "no such folder"),
    (["run={tmp}/cache"], "not a run folder: it has no .hydra/config.yaml"),
    (["run=[{tmp}/a,{tmp}/empty]"], "empty has no checkpoint yet"),
    ([], "run=FOLDER names it"),
    (["run={tmp}/a", "checkpoint=best"], "has no best checkpoint"),
    (["run={tmp}/a", "checkpoint=bets"], "checkpoint=bets (did you mean 'best'?)"),
    (["run=[{tmp}/a,{tmp}/small]"], "were trained on other images or at another resolution"),
    (["run=[{tmp}/a,{tmp}/plain]", "score=[cas]"], "plain: its images have no labels; leave it out of score="),
]
NOT_AN_EXTRACTOR = [
    (["features=inception", "features.weights=nowhere.pth"], "cannot read the Inception weights nowhere.pth"),
    (["features=inception", "features.weights=/dev/zero"], "cannot read the Inception weights /dev/zero (not a file)"),
    (["features=digts"], "no 'digts' in config group 'features' (did you mean 'digits'?)"),
    (["features=3"], "features is a group; choices: auto, classifier, "),
    (["+features._target_=rows.Rows"], "Rows gives (100, 32) and (100, 32) for 100 images, not features (100, 8)"),
    (
        ["+features._target_=rows.noise", "+features.count=1", "+features.seed=0"],
        "does not derive from gantool.metrics.features.Features",
    ),
    (["+features._target_=nowhere.Features"], "features._target_=nowhere.Features cannot be used"),
    (["+features.weights=x"], "features has weights but no _target_"),
]
NOT_A_NUMBER = [
    (["num=40", "score.precision.k=40"], "precision_digits needs at least 41 images a side, 40 are too few"),
    (["num=5"], "is_digits needs at least 10 images a side, 5 are too few"),
    (["num=0"], "num=0: should be greater than 0"),
    (["score=[fid]"], "no 'fid' in config group 'score' (did you mean 'fd'?); choices: cas, coverage, density"),
    (["split=test"], "has no splits; leave split out"),
    (["root=elsewhere"], "root=elsewhere: mnist-5k reads no folder"),
    (["rank_by=fid"], "rank_by=fid: the scores are fd_digits"),
    (["num_real=6000"], "num_real=6000: mnist-5k all has 5000 images"),
]


@pytest.mark.parametrize(
    ("words", "message"),
    some([*NOT_A_RUN, *((["run={tmp}/a", *words], text) for words, text in NOT_AN_EXTRACTOR + NOT_A_NUMBER)], 11),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mistakes_are_one_line(runs: Path, words: list[str], message: str, capfd: pytest.CaptureFixture) -> None:
    (runs / "empty" / ".hydra").mkdir(parents=True, exist_ok=True)
    (runs / "empty" / ".hydra" / "config.yaml").write_bytes((runs / "a" / ".hydra" / "config.yaml").read_bytes())
    before = set(runs.rglob("evaluated/*"))
    assert main(["evaluate", *(word.format(tmp=runs) for word in words)]) == 1
    errors = capfd.readouterr().err
    assert message in errors and errors.count("\n") == 1, errors
    assert set(runs.rglob("evaluated/*")) == before
