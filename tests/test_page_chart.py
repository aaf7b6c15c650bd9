"""What a page draws and shows: charts, their ticks and numbers, and pictures of bounded size."""

import json
import random
import re
from pathlib import Path

import pytest
from PIL import Image

from gantool.page.chart import chart, labels, log_ticks, number, thinned, ticks
from gantool.page.content import scores
from gantool.page.reading import RunFolder, inlined


def test_a_chart_puts_points_where_they_belong() -> None:
    svg = chart({"a": [(0, 0.0), (5, 1.0), (10, float("nan"))], "b": [(10, 2.0)]}, levels={"floor": 0.5})
    (line,) = re.findall(r'<polyline class="line" stroke="#0072b2" points="([^"]+)"', svg)
    (x0, y0), (x1, y1) = ([float(v) for v in place.split(",")] for place in line.split())
    assert (x0, x1) == (54, pytest.approx(54 + (480 - 54 - 12) / 2)) and (y0, y1) == (216, 114)
    assert "floor" in svg and 'class="level"' in svg
    assert (
        chart({"a": []}) == "" == chart({"a": [(0, 1.0)], "b": [(1, 2.0)]}) and chart({"a": [(0, float("inf"))]}) == ""
    )
    assert ">100<" in chart({"a": [(0, 1.0), (1, 100.0)]}), "values far apart stand on a logarithmic axis"


def test_numbers_ticks_and_thinning() -> None:
    assert [number(v) for v in (0, 0.5, 12.34, 0.0005, 123456, 2.5e9, -0.25)] == [
        "0", "0.5", "12.3", "5e-4", "123,456", "2.5e9", "-0.25"
    ]  # fmt: skip
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0]) and len(ticks(3, 3)) >= 2
    draw = random.Random(0)
    for _ in range(500):
        low = draw.choice((-1, 1)) * 10 ** draw.uniform(-8, 8)
        places = ticks(low, low + abs(low) * 10 ** draw.uniform(-9, 3))
        texts, step = labels(places), places[1] - places[0]
        assert len({*texts}) == len(places), "no two ticks are called the same"
        assert [float(text.replace(",", "")) for text in texts] == pytest.approx(places, abs=step / 50)
    assert labels([100, 102.5, 105]) == ["100", "102.5", "105"]
    assert log_ticks(0.02, 30) == pytest.approx([0.01, 0.1, 1, 10, 100])
    points = [(float(x), 1.0) for x in range(1000)]
    assert len(thinned(points)) <= 240 and thinned(points)[-1] == (999.0, 1.0)


def test_large_pictures_are_made_small(tmp_path: Path) -> None:
    noise = Image.frombytes("RGB", (2000, 1500), random.Random(0).randbytes(2000 * 1500 * 3))
    noise.save(tmp_path / "large.png")
    address = inlined(tmp_path / "large.png")
    assert address is not None and address.startswith("data:image/jpeg;base64,") and len(address) < 2_000_000
    (tmp_path / "half.png").write_bytes((tmp_path / "large.png").read_bytes()[:1000])
    assert inlined(tmp_path / "half.png") is None


def test_a_score_has_the_margin_of_its_own_images(tmp_path: Path) -> None:
    """Not that of an earlier time, where the last has none: it is not finite, or too few images were generated."""
    first = {"kimg": 1, "nimg": 1000, "metrics/fd": 12.5, "margin/fd": 0.5}
    for last, told in (({}, "12.50 ± 0.50"), ({"kimg": 2, "nimg": 2000, "metrics/fd": 11.5}, "11.5")):
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (first, last) if line))
        assert [row[:3] for row in scores(RunFolder(tmp_path, trusted=False))] == [["fd", "lower", told]]
