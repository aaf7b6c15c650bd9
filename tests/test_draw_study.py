"""The pictures of a search: read without knowing Optuna, and drawn whatever the trials are called."""

from pathlib import Path

import numpy as np
import optuna
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial

from gantool.analysis.draw_study import draw_study, history, importance, parallel

SPACE: dict[str, BaseDistribution] = {
    "loss": CategoricalDistribution(["lsgan", "hinge"]),
    "optimizer.lr": FloatDistribution(1e-5, 1e-1, log=True),
}
VALUES = [40.0, 3.0, 12.0]  # lower is better


def trials(values: list[float] = VALUES) -> list[FrozenTrial]:
    """Of both losses and a rate each."""
    rates = (1e-5, 1e-3, 1e-1)
    made = []
    for number, value in enumerate(values):
        params = {"loss": ["lsgan", "hinge", "hinge"][number % 3], "optimizer.lr": rates[number % 3]}
        one = create_trial(params=params, distributions=SPACE, value=value)
        one.number = number
        made.append(one)
    return made


def test_the_course_has_whole_numbers_and_the_best_so_far() -> None:
    for higher, best in ((False, [40, 3, 3, 3]), (True, [40, 40, 40, 40])):
        figure = history(trials(), VALUES, "fd_digits", higher=higher)
        figure.canvas.draw()
        (axes,) = figure.axes
        assert all(tick == round(tick) for tick in axes.get_xticks())
        lines = {str(line.get_label()): line for line in axes.lines}
        assert np.array_equal(lines["best so far"].get_ydata(), best)
        legend = axes.get_legend()
        assert legend is not None
        inside = legend.get_window_extent()
        assert axes.get_window_extent().contains(inside.x0, inside.y0)


def test_every_line_of_the_parallel_axes_is_seen_and_no_name_is_struck_through() -> None:
    figure = parallel(trials(), VALUES, "fd_digits", higher=False)
    figure.canvas.draw()
    (axes,) = figure.axes
    drawn = [line for line in axes.lines if np.size(line.get_xdata()) == 3]
    assert len(drawn) == 3
    for line in drawn:
        red, green, blue = to_rgb(line.get_color())
        assert 0.3 * red + 0.6 * green + 0.1 * blue < 0.8, "on white"
    low, high = axes.get_ylim()
    ends = np.array([line.get_ydata() for line in drawn])
    assert low < ends.min() and ends.max() < high, "none lies on a frame"
    texts = {text.get_text(): text for text in axes.texts}
    assert {"hinge", "lsgan", "1e-05", "0.001", "0.1", "3", "40", "fd_digits", "loss"} <= texts.keys()
    assert all(texts[name].get_bbox_patch() is not None for name in ("hinge", "lsgan", "0.1"))
    assert [line.get_label() for line in drawn][-1] == "the best trial"
    assert np.allclose(drawn[-1].get_ydata(), [1.0, 0.5, 0.0])


def asked(*, higher: bool) -> optuna.Study:
    """A study whose first setting brings the worst values, and whose second the best."""
    study = optuna.create_study(direction="maximize" if higher else "minimize")
    names = [f"model.generator.a_very_long_name_{end}" for end in ("low", "high")]
    space: dict[str, BaseDistribution] = dict.fromkeys(names, FloatDistribution(0, 1))
    for low, high in np.random.default_rng(0).random((60, 2)):
        value = (-1 if low < 0.15 else 0) + (9 if high > 0.85 else 0)
        params = dict(zip(names, (low, high), strict=True))
        study.add_trial(create_trial(params=params, distributions=space, value=value if higher else -value))
    return study


def test_what_matters_is_the_same_whichever_way_is_better() -> None:
    """And settings whose names begin alike have a bar each."""
    shares = []
    for higher in (False, True):
        (axes,) = importance(asked(higher=higher), 0, "score").axes
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert len(set(names)) == 2 and names[1].endswith("_name_high"), "the most important lies on top"
        shares.append([bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)])
    assert np.allclose(*shares) and 0.8 < shares[0][1] < 1


def test_a_search_is_drawn_whatever_its_settings_are_called(tmp_path: Path) -> None:
    study = optuna.create_study()
    for number, value in enumerate((1.0, 2.0, 1.5)):
        params = {"$\\frac{": number / 2, "a\nb" * 30: "\x1b[2J$x_" + str(number)}
        names = ["\x1b[2J$x_" + str(n) for n in range(3)]
        space = {"$\\frac{": FloatDistribution(0, 1), "a\nb" * 30: CategoricalDistribution(names)}
        study.add_trial(create_trial(params=params, distributions=space, value=value))
    drawn = [path.name for path in draw_study(study, ["score"], tmp_path)]
    assert drawn == [f"study-{kind}-score.png" for kind in ("history", "parallel", "importance")]
    assert all((tmp_path / name).stat().st_size > 5000 for name in drawn)
