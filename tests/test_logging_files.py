"""Nothing a run leaves is doubled by a resume, and every value is found again under its tag."""

import json
import math
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from gantool.game import Progress
from gantool.logging.grid import grid, to_uint8
from gantool.logging.jsonl import read_metrics
from gantool.logging.log import Log
from gantool.logging.record import Record
from gantool.logging.status import read_status, write_status
from gantool.logging.tensorboard import beside

TOTAL = 1000


def at(nimg: int) -> Progress:
    """A run of rounds of 100 images."""
    return Progress(nimg=nimg, rounds=nimg // 100, previous=nimg - 100, total=TOTAL)


def record(value: float) -> Record:
    """One of everything, told apart by `value`."""
    return Record(
        scalars={"loss/generator/total": value, "discriminator_score/real": -value},
        images={"samples/generated": torch.full((3, 4, 5), int(value), dtype=torch.uint8)},
        histograms={"weights/generator/w": torch.full((7,), value), "discriminator_score/real": torch.zeros(3)},
    )


def events(run_dir: Path) -> EventAccumulator:
    """All that TensorBoard would read."""
    unlimited = dict.fromkeys(("scalars", "images", "histograms", "tensors"), 0)
    return EventAccumulator(str(run_dir), size_guidance=unlimited).Reload()


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run logged to 800 images, killed without close, resumed at 500 and run to its end."""
    run = tmp_path_factory.mktemp("logged") / "run"
    first = Log(run, hparams={"seed": 0}, config_text="seed: 0")
    for nimg in range(0, 801, 100):
        first.write(record(1), at(nimg))
    first.flush()
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"nimg": 900, "loss/gene')
    next_second()
    second = Log(run, resume_from=at(500), hparams={"seed": 0}, config_text="seed: 0")
    for nimg in range(600, 1001, 100):
        second.write(record(2), at(nimg))
    second.close()
    return run


@pytest.fixture
def resumed(logged: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(logged, tmp_path / "run"))


STEPS = list(range(0, 1001, 100))
VALUES = [1] * 6 + [2] * 5


def next_second() -> None:
    """Waits for the clock: TensorBoard reads event files in the order of the seconds in their names."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.02)


def test_tensorboard_has_each_step_once_after_a_resume(resumed: Path) -> None:
    read = events(resumed)
    scalars = read.Scalars("loss/generator/total")
    assert [(e.step, e.value) for e in scalars] == list(zip(STEPS, VALUES, strict=True))
    histograms = read.Histograms("weights/generator/w")
    assert [(e.step, e.histogram_value.max) for e in histograms] == list(zip(STEPS, VALUES, strict=True))
    assert [e.step for e in read.Images("_samples/generated")] == STEPS
    assert not [path for path in resumed.iterdir() if path.is_dir() and path.name != "samples"], "no sub-runs"


def test_jsonl_has_each_step_once_after_a_resume(resumed: Path) -> None:
    lines = read_metrics(resumed)
    assert [(line["nimg"], line["loss/generator/total"]) for line in lines] == list(zip(STEPS, VALUES, strict=True))
    assert lines[3]["kimg"] == 0.3 and lines[3]["rounds"] == 3 and lines[3]["time"] > 1.7e9


def test_without_a_checkpoint_the_log_starts_anew(resumed: Path) -> None:
    next_second()
    log = Log(resumed)
    log.write(record(3), at(100))
    log.close()
    assert [(e.step, e.value) for e in events(resumed).Scalars("loss/generator/total")] == [(100, 3)]
    assert [line["nimg"] for line in read_metrics(resumed)] == [100]


def test_a_scalar_and_a_histogram_never_share_a_tag(resumed: Path) -> None:
    tags = events(resumed).Tags()
    assert not set(tags["scalars"]) & set(tags["histograms"])
    assert "discriminator_score/real/histogram" in tags["histograms"]


def test_layout_puts_both_players_in_one_chart(resumed: Path) -> None:
    (layout_event,) = events(resumed).Tensors("custom_scalars__config__")[-1:]
    layout = layout_pb2.Layout.FromString(layout_event.tensor_proto.string_val[0])  # type: ignore[attr-defined]
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    assert charts["Losses"] == ["loss/(.+)/total$"]
    assert len(charts) == 9


def test_what_is_added_beside_a_run_stays_one_run_and_takes_the_place_of_what_was_there(resumed: Path) -> None:
    for value in (1.0, 2.0):
        next_second()
        with beside(resumed, "evaluated-x") as writer:
            writer.add_scalar("evaluate/x/fd", value, 1000)
    with pytest.raises(ZeroDivisionError), beside(resumed, "evaluated-x") as writer:
        writer.add_scalar("evaluate/x/fd", 1 / 0, 1000)
    read = events(resumed)
    assert [(e.step, e.value) for e in read.Scalars("evaluate/x/fd")] == [(1000, 2.0)]
    assert [e.step for e in read.Scalars("loss/generator/total")] == STEPS
    assert len(list(resumed.glob("*tfevents*"))) == 3 and {p.parent for p in resumed.rglob("*tfevents*")} == {resumed}


def test_only_a_run_that_came_to_its_end_is_called_a_success(tmp_path: Path) -> None:
    for name, last in (("whole", TOTAL), ("stopped", TOTAL - 100)):
        log = Log(tmp_path / name)
        log.write(record(1), at(last))
        log.close()
    ended = {
        name: "_hparams_/session_end_info" in events(tmp_path / name).summary_metadata for name in ("whole", "stopped")
    }
    assert ended == {"whole": True, "stopped": False}


def test_config_stands_as_text(tmp_path: Path) -> None:
    Log(tmp_path, config_text="trainer:\n  seed: 3").close()
    (text,) = events(tmp_path).Tensors("config/text_summary")
    assert b"  seed: 3" in text.tensor_proto.string_val[0]


def test_not_finite_values_are_null_and_break_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path)
    nan = Record(scalars={"loss/generator/total": math.nan}, histograms={"weights/g/w": torch.tensor([math.inf])})
    log.write(nan, at(100))
    log.close()
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["loss/generator/total"] is None
    assert events(tmp_path).Tags()["histograms"] == []


def test_protocol_goes_with_scores(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(Record(scalars={"metrics/fid": 12.5}, protocol={"num_samples": 5000, "file": Path("w.pt")}), at(100))
    log.write(Record(images={"samples/real": torch.zeros(1, 2, 2, dtype=torch.uint8)}), at(200))
    log.close()
    (line,) = read_metrics(tmp_path)  # a picture alone makes no line
    assert line["metrics/fid"] == 12.5 and line["protocol"] == {"num_samples": 5000, "file": "w.pt"}


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = Log(None)
    log.write(record(1), at(100))
    log.flush()
    log.close()
    assert not list(tmp_path.iterdir())


def test_samples_are_png_files_by_kimg(tmp_path: Path) -> None:
    log = Log(tmp_path)
    colour = torch.tensor([250, 3, 7], dtype=torch.uint8)[:, None, None].expand(3, 4, 5)
    log.write(Record(images={"samples/generated": colour, "samples/real": colour[:1]}), Progress(nimg=12048))
    log.close()
    rgb = np.asarray(Image.open(tmp_path / "samples" / "generated-000012.048.png"))
    assert rgb.shape == (4 * 4, 4 * 5, 3) and (rgb == [250, 3, 7]).all()
    assert Image.open(tmp_path / "samples" / "real-000012.048.png").mode == "L"


def test_grid_fills_row_by_row() -> None:
    images = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 3, 2, 4)
    canvas = grid(images, columns=3, padding=1)
    assert canvas.shape == (3, 2 * 3 + 1, 3 * 5 + 1) and canvas.dtype == torch.uint8
    corners = [canvas[0, 1, 1], canvas[0, 1, 6], canvas[0, 1, 11], canvas[0, 4, 1], canvas[0, 5, 9]]
    assert [int(c) for c in corners] == [0, 64, 128, 191, 255]
    assert (canvas[:, 0] == canvas[0, 0, 0]).all() and (canvas[:, 4:6, 11:] == canvas[0, 0, 0]).all()


def test_uint8_comes_back_from_float_as_it_was() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(pixels.float() / 127.5 - 1), pixels)
    assert torch.equal(to_uint8(pixels), pixels)
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_status_is_read_as_written_and_never_half(tmp_path: Path) -> None:
    assert read_status(tmp_path) == {}
    write_status(tmp_path, state="running", error=None, metrics={})
    assert read_status(tmp_path) == {"state": "running", "error": None, "metrics": {}}
    write_status(
        tmp_path,
        state="failed",
        error="loss is nan",
        progress={"nimg": 500, "rounds": 5, "total": TOTAL},
        metrics={"fid": None, "is": 2.0},
        higher_is_better=("is",),
        best=None,
    )
    assert read_status(tmp_path) == {
        "state": "failed",
        "error": "loss is nan",
        "progress": {"nimg": 500, "rounds": 5, "total": TOTAL},
        "metrics": {"fid": None, "is": 2.0},
        "higher_is_better": ["is"],
        "best": None,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
