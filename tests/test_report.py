"""gantool report: one page that holds all it shows, draws what was measured, trusts no text, and opens in a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image

from extent import thorough
from gantool import __version__
from gantool.cli.main import main
from gantool.lock import locked
from gantool.logging.status import read_status, write_status
from gantool.page.content import headline, scores
from gantool.page.reading import RunFolder, rows_of
from runs import small, train

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"]
ADDRESSES = {"src", "href", "action", "srcset", "data", "poster", "xlink:href"}


class Page(HTMLParser):
    """What a page holds: addresses, headings, texts, and whether its tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.headings: list[str] = []
        self.tags: list[str] = []
        self.heads: list[str] = []  # of the table that is open
        self.column = 0
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ADDRESSES]
        if tag == "thead":
            self.heads = []
        if tag in ("tr", "td"):
            self.column = 0 if tag == "tr" else self.column + 1
        if tag == "td":
            head = dict(attrs)["data-head"]
            assert head == self.heads[self.column - 1], "narrow screens show a cell behind its head"
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] == "th":
            self.heads.append(data)
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def test_a_run_whose_process_was_killed_is_not_running(in_tmp: Path, trained_run: Path) -> None:
    run = Path(shutil.copytree(trained_run, in_tmp / "run"))
    write_status(run, **{**read_status(run), "state": "running"})
    head = headline(RunFolder.open(run))
    assert (head["state"], head["error"]) == ("failed", "its process was killed")
    with locked(run / ".lock"):
        head = headline(RunFolder.open(run))
    assert (head["state"], head["error"]) == ("running elsewhere", None)


@pytest.mark.parametrize(("nimg", "told"), [(12_345_600, "12,345.6"), (12_348_000, "12,348"), (16, "0.016")])
def test_images_seen_are_told_to_the_image(in_tmp: Path, trained_run: Path, nimg: int, told: str) -> None:
    run = Path(shutil.copytree(trained_run, in_tmp / "run"))
    write_status(run, **{**read_status(run), "progress": {"nimg": nimg, "rounds": 2, "total": nimg}})
    assert headline(RunFolder.open(run))["facts"]["Seen"] == f"{told} of {told} kimg, 2 rounds"


def test_a_run_on_one_page(in_tmp: Path) -> None:
    words = ["model.conditional=true", "score=[fd,is]", "monitor.scores.every=4it", "monitor.scores.num=60"]
    words += ["trainer.log_every=1it", "monitor.samples.every=2it"]
    run = in_tmp / "run"
    train(run, *words, model="infogan", rounds=8)
    assert main(["interpolate", f"run={run}", "rows=2", "steps=3"]) == 0
    kept = {"scores": {"fd_digits": 12.5}, "floor": {"fd_digits": 0.25}, "nimg": 64, "protocol": {"split": "mine"}}
    (run / "evaluated" / "a").mkdir(parents=True)
    (run / "evaluated" / "a" / "000000.064.json").write_text(json.dumps(kept))
    for kind in ("embedded", "explained"):
        (run / kind / "a").mkdir(parents=True)
        Image.new("RGB", (60, 30)).save(run / kind / "a" / f"{kind}-map.png")
    (run / "explained" / "a" / "broken.png").write_bytes(b"half a picture")
    assert main(["report", f"run={run}"]) == 0
    page = Page((run / "report.html").read_text())
    wanted = ["Samples", "Scores", "Evaluations of checkpoints", "Growth", "Curves", "Latent space"]
    title = "infogan · non-saturating · mnist-5k"
    assert page.headings == [title, *wanted, "Analyses", "Configuration"]
    text = " ".join(page.texts)
    for told in ("finished", "fd_digits", "real against real images", "weights sha256", "12.5", "0.064 kimg"):
        assert told in text, told
    for told in ("Categorical code, a row for each of its values: 0", "Explained map", "Embedded map", "watchdog"):
        assert told in text, told
    sizes = json.loads((run / "status.json").read_text())["parameters"]
    facts = [f"{name} {size:,}" for name, size in sizes.items()] + [f"torch {torch.__version__}", "cpu", "fp32"]
    facts += [f"gantool {__version__}", "gantool train model=infogan", "trainer.duration=8it"]
    assert [fact for fact in facts if fact not in text] == [] and len(sizes) > 1
    rows = [tuple(str(digit) for digit in range(10))] * 2  # of generated and of real images
    assert [rows_of(path) for path in sorted((run / "samples").glob("[gr]*-000000.000.png"))] == rows
    (path,) = (run / "interpolated").rglob("path.png")
    assert rows_of(path) == (), "they are in the picture itself"
    assert sum(page.texts[i : i + 10] == list(rows[0]) for i in range(len(page.texts))) >= 2
    assert "Broken" not in text, "a picture that is being written is left out"
    assert page.tags.count("svg") >= 7 and page.tags.count("img") >= 12
    assert all(address.startswith("data:") for address in page.addresses)
    assert "script" not in page.tags and (run / "report.html").stat().st_size < 2e6


def test_a_page_trusts_no_text(in_tmp: Path) -> None:
    train(in_tmp / "run", "trainer.log_every=1it", model="mlp", rounds=2)
    evil = "<script>alert(1)</script>"
    status = json.loads((in_tmp / "run" / "status.json").read_text())
    (in_tmp / "run" / "status.json").write_text(json.dumps({**status, "error": evil}))
    with (in_tmp / "run" / "metrics.jsonl").open("a") as file:
        scalars = {f"metrics/{evil}": 1.0, f"loss/{evil}/total": 2.0, "protocol": {"floor": {evil: 1.0}, evil: evil}}
        file.write(json.dumps({"nimg": 16, "kimg": 0.016, **scalars}) + "\n")
    assert main(["report", f"run={in_tmp / 'run'}"]) == 0
    page = Page((in_tmp / "run" / "report.html").read_text())
    assert "script" not in page.tags and evil in " ".join(page.texts)


def line(nimg: int, fd: float, **protocol: object) -> str:
    """Of metrics.jsonl."""
    measured = {"metrics": ["fd"], "extractor": "x", "warning": "few images", **protocol}
    return json.dumps({"nimg": nimg, "kimg": nimg / 1000, "metrics/fd": fd, "protocol": measured}) + "\n"


def test_each_way_of_measuring_is_on_its_own(in_tmp: Path) -> None:
    train(in_tmp / "run", model="mlp", rounds=1)
    ways = [(10, 1.0, 50), (20, 0.5, 50), (30, 4.0, 60), (40, 3.0, 60), (50, 3.5, 60)]
    lines = [line(nimg, fd, num_fake=num, seed=0) for nimg, fd, num in ways]
    (in_tmp / "run" / "metrics.jsonl").write_text("".join(lines))
    (in_tmp / "run" / "evaluated" / "a").mkdir(parents=True)
    told = {"nimg": 50, "scores": {"fd": 2.0, "fd/three": 7.0}, "protocol": {"warning": "few images", "num_fake": 70}}
    (in_tmp / "run" / "evaluated" / "a" / "1.json").write_text(json.dumps(told))
    run = RunFolder.open(in_tmp / "run")
    assert [[value for _, value in points] for points in run.measured("metrics/fd")] == [[1.0, 0.5], [4.0, 3.0, 3.5]]
    assert scores(run)[0][:4] == ["fd", "lower", "3.5", "3 at 0.04 kimg"], "the best of those measured as the last"
    assert main(["report", f"run={in_tmp / 'run'}"]) == 0
    text = " ".join(Page((in_tmp / "run" / "report.html").read_text()).texts)
    assert text.count("few images") == 1 and "other protocol" in text and "fd, class three" in text


def opened(page: Path, shot: Path) -> str:
    """Opens a page in a browser of its own and returns what its console said."""
    assert CHROMIUM is not None
    words = [f"--user-data-dir={shot.with_suffix('.profile')}", "--window-size=1100,1600", f"--screenshot={shot}"]
    done = subprocess.run([CHROMIUM, *FLAGS, *words, page.as_uri()], capture_output=True, text=True, timeout=120)
    return "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
@thorough
def test_a_page_opens_in_a_browser(in_tmp: Path) -> None:
    train(in_tmp / "run", "trainer.log_every=1it", "score=none", "monitor.samples.every=1it", model="mlp", rounds=3)
    assert main(["report", f"run={in_tmp / 'run'}"]) == 0
    page, shot = in_tmp / "run" / "report.html", in_tmp / "shot.png"
    assert opened(page, shot) == ""
    image = Image.open(shot).convert("L")
    dark = sum(image.histogram()[:200]) / (1100 * 1600)
    assert image.size == (1100, 1600) and 0.03 < dark < 0.8, "text, grids and curves on white"
    asks = page.read_text().replace("</main>", '<img src="http://127.0.0.1:9/a.png"></main>')
    (in_tmp / "asks.html").write_text(asks)
    said = opened(in_tmp / "asks.html", in_tmp / "asks.png")
    assert "Content Security Policy" in said, "control: what a page asks of the network, its console tells"


SPILT = """<script>const all = [...document.querySelectorAll("main :not(pre, pre *, svg *)")];
document.title = all.filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName).join()</script>"""


def spilt(text: str, page: Path) -> str:
    """Tags of what is cut off at the right of a window of 400 pixels."""
    assert CHROMIUM is not None
    page.write_text(re.sub(r"<meta http-equiv=.*>", "", text).replace("</body>", f"{SPILT}</body>"))
    words = [f"--user-data-dir={page.with_suffix('.profile')}", "--window-size=400,900", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *FLAGS, *words, page.as_uri()], capture_output=True, text=True, timeout=120)
    return done.stdout.partition("<title>")[2].partition("</title>")[0]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
@thorough
def test_nothing_is_cut_off_on_a_narrow_screen(in_tmp: Path) -> None:
    names = [f"a_rather_long_score_{number}" for number in range(12)]
    for name in ("a", "b"):
        run = in_tmp / f"run-of-a-long-name-{name}"
        train(run, f"optimizer.lr=0.001{len(name)}", "trainer.log_every=1it", model="mlp", rounds=3)
        (run / "evaluated" / "a").mkdir(parents=True)
        told = {"nimg": 50, "scores": dict.fromkeys(names, 1234.5), "margins": dict.fromkeys(names, 0.5)}
        (run / "evaluated" / "a" / "1.json").write_text(json.dumps(told))
        status = json.loads((run / "status.json").read_text())
        (run / "status.json").write_text(json.dumps({**status, "metrics": told["scores"]}))
        assert main(["report", f"run={run}"]) == 0
    assert main(["report", f"run=[{run},{run.with_name('run-of-a-long-name-a')}]", "out=both.html"]) == 0
    for page in (run / "report.html", in_tmp / "both.html"):
        assert spilt(page.read_text(), in_tmp / "narrow.html") == ""
    wide = (in_tmp / "both.html").read_text().replace("@media (max-width: 760px)", "@media (max-width: 1px)")
    assert "TD" in spilt(wide, in_tmp / "narrow.html"), "control: a plain table of many scores does not fit"


@thorough
def test_a_sweep_and_several_runs(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gantool.cli.launching._PATIENCE", -1.0)  # no job is looked at before the first is trained
    words = ["score=[fd,is]", "monitor=scores", "trainer.log_every=1it"]
    words = [w for w in small(in_tmp, *words, model="mlp", rounds=2) if not w.startswith("hydra")]
    assert main([*words, "-m", "hydra.sweep.dir=sweep", "trainer.seed=1,2", "monitor.scores.num=60,1"]) == 1
    assert main(["report", "run=sweep"]) == 0
    text = " ".join(Page((in_tmp / "sweep" / "report.html").read_text()).texts)
    assert "Sweep sweep" in text and "4 runs, ranked by fd_digits" in text and "needs at least 2" in text
    assert "trainer.seed=1" in text and "trainer.seed=2" in text
    runs = sorted(str(path.parent.parent) for path in (in_tmp / "sweep").rglob(".hydra/config.yaml"))
    assert len(runs) == 2 and main(["report", f"run=[{','.join(runs)}]", "metric=is_digits", "out=both.html"]) == 0
    assert "2 runs, ranked by is_digits" in (in_tmp / "both.html").read_text()
    other = Path(runs[1]) / "metrics.jsonl"
    other.write_text(other.read_text().replace('"num_fake": 60', '"num_fake": 50'))
    assert main(["report", f"run=[{','.join(runs)}]", "out=both.html"]) == 0
    texts = Page((in_tmp / "both.html").read_text()).texts
    name = Path(runs[1]).name
    assert f"* {name} is not ranked: scored with num_fake 50 and not 60" in " ".join(texts)
    wanted = {"-*", f"trainer.seed=2 ({name})", "1 trainer.seed=1", "* trainer.seed=2"}
    assert wanted <= {*texts}, "places in the table and in the charts"
    capfd.readouterr()
    assert main(["report", f"run={in_tmp}"]) == 1 and main(["report"]) == 1 and main(["report", "run=swep"]) == 1
    errors = capfd.readouterr().err.splitlines()
    assert len(errors) == 3 and "neither a run's folder" in errors[0] and "which run?" in errors[1]
    assert "did you mean 'sweep'?" in errors[2]
