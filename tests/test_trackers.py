"""Each tracker's own files, read back: every value once, also over a resume; and trackers that fail."""

import csv
import json
import logging
import struct
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path

import pytest
import torch

from gantool.cli.main import main
from gantool.config.trust import check_links
from gantool.game import Progress
from gantool.logging.csv_file import CsvFile
from gantool.logging.jsonl import read_metrics
from gantool.logging.log import Log
from gantool.logging.record import Record
from gantool.logging.tracker import Tracker
from runs import same_training, small, train

Points = dict[int, list[float]]  # values of one tag by images seen


def logged(run: Path, kind: type[Tracker], name: str) -> None:
    """A run that is logged to 400 images, killed, gone on with from 200, and ended at 600; two records a point."""
    for first, last, resume in ((0, 400, None), (300, 600, Progress(nimg=200, total=600))):
        log = Log(run, resume_from=resume, hparams={"seed": 0}, config_text="seed: 0", trackers={name: kind})
        for nimg in range(first, last + 1, 100):
            at = Progress(nimg=nimg, rounds=nimg // 100, previous=nimg - 100, total=600)
            picture = torch.full((3, 4, 5), nimg % 256, dtype=torch.uint8)
            log.write(Record({"loss/generator/total": nimg / 10}, {"samples/generated": picture}), at)
            log.write(Record({"metrics/fid": nimg + 0.5}, histograms={"weights": torch.arange(9.0)}), at)
        log.flush()
        log.close()
        time.sleep(1.1 if name == "wandb" and resume is None else 0)  # it names its folders by the second
    assert len(read_metrics(run)) == 14


def tried_again(run: Path, kind: type[Tracker], name: str) -> None:
    """The run went back from 600 images to 400, and on to 500 with another loss."""
    for nimg in (600, 400):
        at = Progress(nimg=nimg, total=900)
        log = Log(run, resume_from=at, hparams={"seed": 0}, config_text="seed: 0", trackers={name: kind})
        if nimg == 600:
            log.rewind(Progress(nimg=400, total=900))
        else:
            log.write(Record({"loss/generator/total": 1.0}), Progress(nimg=500, rounds=5, previous=400, total=900))
        log.close()


EXPECTED = {nimg: [nimg / 10] for nimg in range(0, 601, 100)}
SCORES = {nimg: [nimg + 0.5] for nimg in range(0, 601, 100)}


def test_csv(tmp_path: Path) -> None:
    logged(tmp_path, CsvFile, "csv")
    rows = list(csv.DictReader((tmp_path / "scalars.csv").open()))
    assert {int(row["nimg"]): [float(row["loss/generator/total"])] for row in rows} == EXPECTED
    assert [float(row["metrics/fid"]) for row in rows] == [value for [value] in SCORES.values()] and len(rows) == 7


def kept_offline(path: Path) -> Iterator[bytes]:
    """The messages in a .wandb file: in blocks of 32 KiB, parts of a length and a kind: whole, first, middle, last."""
    content, place, message = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if (left := -place % 32768) and left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if place + 7 + length > len(content):
            return  # it is still being written
        message += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield message
            message = b""


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("wandb")
    Message = import_module("wandb.proto.wandb_internal_pb2").Record  # its types are made when it is imported

    from gantool.logging.wandb import WandB

    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_DIR", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    logged(tmp_path / "run", WandB, "wandb")
    check_links(tmp_path / "run")
    assert not list((tmp_path / "run").rglob("debug-core.log")), "a link to ~/.cache"
    until, pictures = time.monotonic() + 30, 0
    while pictures < 7 and time.monotonic() < until:  # wandb's own process writes, and may end after the run
        time.sleep(0.1)
        points: dict[str, Points] = {}
        ids, pictures = set(), 0
        for data in chain.from_iterable(
            map(kept_offline, sorted((tmp_path / "run" / "wandb").glob("offline-*/*.wandb")))
        ):
            sent = Message()
            sent.ParseFromString(data)
            if sent.WhichOneof("record_type") == "run":
                ids.add(sent.run.run_id)
            if sent.WhichOneof("record_type") != "history":
                continue
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in sent.history.item}
            pictures += any(key.startswith("samples/generated") for key in items)
            for tag in ("loss/generator/total", "metrics/fid"):
                if tag in items:
                    points.setdefault(tag, {}).setdefault(int(items["_step"]), []).append(items[tag])
    assert points == {"loss/generator/total": EXPECTED, "metrics/fid": SCORES}
    assert len(ids) == 1 and pictures == 7, "one run, gone on with"
    time.sleep(1.1)
    end = Progress(nimg=600, total=900)
    log = Log(tmp_path / "run", resume_from=end, hparams={}, config_text="", trackers={"wandb": WandB})
    log.rewind(Progress(nimg=200))
    log.close()
    assert "keeps the old curve from 0.2 to 0.6 kimg" in caplog.text


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    from gantool.logging.mlflow import MLflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logged(tmp_path / "run", MLflow, "mlflow")
    client = MlflowClient()
    experiment = client.get_experiment_by_name("gantool")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    for tag, expected in (("loss/generator/total", EXPECTED), ("metrics/fid", SCORES)):
        history = client.get_metric_history(run.info.run_id, tag)
        assert sorted((one.step, [one.value]) for one in history) == sorted(expected.items())
    assert run.info.status == "FINISHED" and run.data.params == {"seed": "0"} and run.info.run_name == "run"
    names = [file.path for file in client.list_artifacts(run.info.run_id, "samples")]
    assert len(names) == 7 and "samples/generated-000000.600.png" in names
    tried_again(tmp_path / "run", MLflow, "mlflow")
    history = client.get_metric_history(run.info.run_id, "loss/generator/total")
    assert sorted((one.step, one.value) for one in history if one.step >= 500) == [(500, 1.0), (500, 50.0), (600, 60.0)]


def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    import trackio.utils
    from trackio.sqlite_storage import SQLiteStorage

    from gantool.logging.trackio import Trackio

    for module in (trackio.utils, __import__("trackio.sqlite_storage", fromlist=["x"])):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "store", raising=False)
    logged(tmp_path / "run", Trackio, "trackio")
    (name,) = SQLiteStorage.get_runs("gantool")
    lines = SQLiteStorage.get_logs("gantool", name)
    for tag, expected in (("loss/generator/total", EXPECTED), ("metrics/fid", SCORES)):
        points: Points = {}
        for line in lines:
            if tag in line:
                points.setdefault(line["step"], []).append(line[tag])
        assert points == expected
    tried_again(tmp_path / "run", Trackio, "trackio")
    lines = [line for line in SQLiteStorage.get_logs("gantool", name) if "loss/generator/total" in line]
    assert sorted(line["loss/generator/total"] for line in lines if line["step"] == 500) == [1.0, 50.0]


OFF = "trainer.watchdog.action=off"


class Failing(Tracker):
    """Fails at the point that its option says."""

    def __init__(self, run_dir: Path, *, first: int, hparams: object, config_text: str, at: str = "write") -> None:
        self.at = at
        self._do("start")

    def _do(self, what: str) -> None:
        if what == self.at:
            raise RuntimeError(f"no network\n  at {what}")

    def write(self, record: Record, progress: Progress) -> None:
        self._do("write")

    def flush(self) -> None:
        self._do("flush")

    def close(self) -> None:
        self._do("close")


def test_one_that_fails_warns_once_and_never_ends_a_run(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = train(in_tmp / "whole", "trainer.log_every=1it", OFF, "logger=[tensorboard,csv]", model="mlp")
    failing = [
        f"+logger.{at}={{_target_: test_trackers.Failing, at: {at}}}" for at in ("start", "write", "flush", "close")
    ]
    state = train(in_tmp / "run", "trainer.log_every=1it", OFF, "logger=csv", *failing, model="mlp")
    told = capfd.readouterr().out
    assert same_training(state, whole) and len(read_metrics(in_tmp / "run")) == 4
    for at in ("start", "write", "flush", "close"):
        line = f"logger={at} failed and is left out from here on; training goes on: no network at {at}"
        assert told.count(line) == 1
    assert not list((in_tmp / "run").glob("events*")) and list((in_tmp / "whole").glob("events*"))
    rows = [list(csv.DictReader((in_tmp / name / "scalars.csv").open())) for name in ("run", "whole")]
    assert [row["loss/generator/total"] for row in rows[0]] == [row["loss/generator/total"] for row in rows[1]]
    assert main(["train", f"resume={in_tmp / 'run'}", "trust=true", "trainer.duration=6it"]) == 0
    assert len(list(csv.DictReader((in_tmp / "run" / "scalars.csv").open()))) == 6
    logging.root.handlers.clear()


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("logger=wandb", "logger=wandb needs wandb: pip install 'gantool[wandb]'"),
        ("+logger.mine._target_=gantool.losses.Hinge", "does not derive from gantool.logging.tracker.Tracker"),
        ("+logger.tensorboard.run_dir=elsewhere", "logger.tensorboard.run_dir is set by gantool: leave it out"),
        ("logger.csv.fast=true", "logger.csv"),
    ],
)
def test_what_cannot_track_is_told_before_any_work(in_tmp: Path, word: str, line: str, monkeypatch, capfd) -> None:
    monkeypatch.setattr("gantool.errors.find_spec", lambda module: None)
    assert main([*small(in_tmp / "run", model="mlp"), word]) == 1
    assert line in capfd.readouterr().err and not (in_tmp / "run" / ".hydra").exists()
