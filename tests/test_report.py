"""gantool report: one page that holds all it shows, draws what was measured, trusts no text, and opens in a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from extent import thorough
from gantool.cli.main import main
from gantool.page.chart import chart, log_ticks, number, thinned, ticks
from gantool.page.reading import inlined
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
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ADDRESSES]
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


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
    assert page.headings == [title, *wanted, "Embeddings and attributions", "Configuration"]
    text = " ".join(page.texts)
    for told in ("finished", "fd_digits", "real against real images", "weights sha256", "12.5", "0.064 kimg"):
        assert told in text, told
    for told in ("Categorical code: category0", "Explained map", "Embedded map", "watchdog"):
        assert told in text, told
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


@thorough
def test_a_sweep_and_several_runs(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["score=[fd,is]", "monitor=scores", "monitor.scores.num=60", "trainer.log_every=1it"]
    words = [w for w in small(in_tmp, *words, model="mlp", rounds=2) if not w.startswith("hydra")]
    assert main([*words, "-m", "hydra.sweep.dir=sweep", "trainer.seed=1,2", "model.generator.norm=batch,bach"]) == 1
    assert main(["report", "run=sweep"]) == 0
    text = " ".join(Page((in_tmp / "sweep" / "report.html").read_text()).texts)
    assert "Sweep sweep" in text and "4 runs, ranked by fd_digits" in text and "did you mean 'batch'" in text
    assert "trainer.seed=1" in text and "trainer.seed=2" in text
    runs = sorted(str(path.parent.parent) for path in (in_tmp / "sweep").rglob(".hydra/config.yaml"))
    assert len(runs) == 2 and main(["report", f"run=[{','.join(runs)}]", "metric=is_digits", "out=both.html"]) == 0
    assert "2 runs, ranked by is_digits" in (in_tmp / "both.html").read_text()
    capfd.readouterr()
    assert main(["report", f"run={in_tmp}"]) == 1 and main(["report"]) == 1 and main(["report", "run=swep"]) == 1
    errors = capfd.readouterr().err.splitlines()
    assert len(errors) == 3 and "neither a run's folder" in errors[0] and "which run?" in errors[1]
    assert "did you mean 'sweep'?" in errors[2]


def test_a_chart_puts_points_where_they_belong() -> None:
    svg = chart({"a": [(0, 0.0), (5, 1.0), (10, float("nan"))], "b": [(10, 2.0)]}, levels={"floor": 0.5})
    (line,) = re.findall(r'<polyline class="line" stroke="#0072b2" points="([^"]+)"', svg)
    (x0, y0), (x1, y1) = ([float(v) for v in place.split(",")] for place in line.split())
    assert (x0, x1) == (54, pytest.approx(54 + (480 - 54 - 12) / 2)) and (y0, y1) == (216, 114)
    assert "floor" in svg and 'class="level"' in svg
    assert chart({"a": []}) == "" and chart({"a": [(0, float("inf"))]}) == ""
    assert ">100<" in chart({"a": [(0, 1.0), (1, 100.0)]}), "values far apart stand on a logarithmic axis"


def test_numbers_ticks_and_thinning() -> None:
    assert [number(v) for v in (0, 0.5, 12.34, 0.0005, 123456, 2.5e9, -0.25)] == [
        "0", "0.5", "12.3", "5e-4", "123,456", "2.5e9", "-0.25"
    ]  # fmt: skip
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0]) and len(ticks(3, 3)) >= 2
    assert log_ticks(0.02, 30) == pytest.approx([0.01, 0.1, 1, 10, 100])
    points = [(float(x), 1.0) for x in range(1000)]
    assert len(thinned(points)) <= 240 and thinned(points)[-1] == (999.0, 1.0)


def test_large_pictures_are_made_small(tmp_path: Path) -> None:
    import random

    noise = Image.frombytes("RGB", (2000, 1500), random.Random(0).randbytes(2000 * 1500 * 3))
    noise.save(tmp_path / "large.png")
    address = inlined(tmp_path / "large.png")
    assert address is not None and address.startswith("data:image/jpeg;base64,") and len(address) < 2_000_000
    (tmp_path / "half.png").write_bytes((tmp_path / "large.png").read_bytes()[:1000])
    assert inlined(tmp_path / "half.png") is None
