"""What a search has found, as pictures: its course, parallel coordinates, importance, and the Pareto front."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gantool.analysis.figures import DPI, new_figure
from gantool.files import whole
from gantool.screen import cut, shown

if TYPE_CHECKING:
    import optuna
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

BLUE, ORANGE = "#0072b2", "#d55e00"  # as the page has them
_LOG_FROM = 50.0  # largest value over smallest from which positive ones stand on a logarithmic axis
_ROOM = 0.06  # of an axis, above and below what stands on it
_WIDEST = 28  # characters of a name


def draw_study(study: "optuna.Study", names: Sequence[str], folder: Path) -> list[Path]:
    """Writes study-*.png into `folder`, as far as there are trials enough; `names` are of the objectives."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    trials = [trial for trial in trials if len(trial.values) == len(names) and all(map(math.isfinite, trial.values))]
    if len(trials) < 2:
        return []
    drawn: list[Path] = []
    for place, name in enumerate(names):
        higher = study.directions[place].name == "MAXIMIZE"
        values = [trial.values[place] for trial in trials]
        kinds: dict[str, Callable[[], Figure]] = {
            "history": lambda values=values, name=name, higher=higher: history(trials, values, name, higher=higher),
            "parallel": lambda values=values, name=name, higher=higher: parallel(trials, values, name, higher=higher),
            "importance": lambda place=place, name=name: importance(study, place, name),
        }
        for kind, plot in kinds.items():
            drawn += _saved(folder / f"study-{kind}-{name}.png", plot)
    if len(names) in (2, 3):
        drawn += _saved(folder / "study-pareto-front.png", lambda: _front(study, names))
    return drawn


def history(trials: "Sequence[FrozenTrial]", values: Sequence[float], name: str, *, higher: bool) -> "Figure":
    """Each trial's value in the order in which they began, and the best so far as a line."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(9, 4.4, f"{_text(name)} of each trial ({'higher' if higher else 'lower'} is better)")
    axes = figure.subplots()
    numbers = [trial.number for trial in trials]
    best = (np.maximum if higher else np.minimum).accumulate(values)
    axes.step([*numbers, numbers[-1] + 0.4], [*best, best[-1]], where="post", color=ORANGE, label="best so far")
    axes.plot(numbers, values, "o", color=BLUE, markersize=5, label="a trial")
    if min(values) > 0 and max(values) / min(values) > _LOG_FROM:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel=_text(name))
    axes.legend(fontsize=8, frameon=False, loc="best")
    _plain(axes)
    return figure


def parallel(trials: "Sequence[FrozenTrial]", values: Sequence[float], name: str, *, higher: bool) -> "Figure":
    """An axis for each setting and, last, for the score; a line for each trial, the darker the better it is."""
    from matplotlib import colormaps

    keys = [key for key in trials[0].params if all(key in trial.params for trial in trials)]
    scales = [_Scale([trial.params[key] for trial in trials], trials[0].distributions[key]) for key in keys]
    scales.append(_Scale(list(values)))
    columns = [*([trial.params[key] for trial in trials] for key in keys), list(values)]
    places = np.array([[scale.place(value) for value in side] for scale, side in zip(scales, columns, strict=True)])
    figure = new_figure(max(6.0, 1.6 * len(scales) + 1.5), 4.6, f"Settings and {_text(name)} of each trial")
    axes = figure.subplots()
    order = np.argsort(np.argsort(np.array(values) * (1 if higher else -1), kind="stable"))  # 0 is the worst
    for trial in np.argsort(order):  # the best lies on top
        share = order[trial] / (len(trials) - 1)
        is_best = order[trial] == len(trials) - 1
        colour = ORANGE if is_best else colormaps["Blues"](0.4 + 0.55 * share)
        label = "the best trial" if is_best else None
        axes.plot(
            places[:, trial], color=colour, linewidth=2.4 if is_best else 1.2, marker="o", markersize=3, label=label
        )
    for place, (key, scale) in enumerate(zip([*keys, name], scales, strict=True)):
        axes.axvline(place, color="0.6", linewidth=0.8, zorder=0)
        for text, height in scale.ticks():
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
            axes.annotate(text, (place, height), (5, 0), "data", "offset points", fontsize=8, va="center", bbox=box)
        axes.text(place, 1 + 1.6 * _ROOM, _name(key), ha="center", va="bottom", fontsize=8)
    axes.set(xlim=(-0.25, len(scales) - 0.45), ylim=(-_ROOM, 1 + _ROOM), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper right", bbox_to_anchor=(1, 0))
    return figure


def importance(study: "optuna.Study", place: int, name: str) -> "Figure":
    """How much of a score's variance each setting tells."""
    from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, get_param_importances

    # Optuna's default asks what brings low values, whatever is better; its fANOVA takes every scale for a linear one.
    judge = MeanDecreaseImpurityImportanceEvaluator(seed=0)
    found = get_param_importances(study, evaluator=judge, target=lambda trial: trial.values[place])
    keys = list(found)[::-1]
    figure = new_figure(8, 1.2 + 0.4 * len(keys), f"Share of the variance of {_text(name)} explained by a setting")
    axes = figure.subplots()
    bars = axes.barh(range(len(keys)), [found[key] for key in keys], color=BLUE, height=0.6)
    axes.set_yticks(range(len(keys)), [_name(key) for key in keys])
    axes.bar_label(bars, fmt="%.2f", padding=4, fontsize=8)
    axes.set_xlim(0, 1.1)
    _plain(axes)
    return figure


class _Scale:
    """Where the values of a setting stand on an axis from 0 to 1."""

    def __init__(self, values: Sequence[Any], kind: "BaseDistribution | None" = None) -> None:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        choices = kind.choices if isinstance(kind, CategoricalDistribution) else ()  # in the order they were typed in
        self.words = [one for one in choices if one in values]
        if not self.words:
            self.low, self.high = float(min(values)), float(max(values))
            wide = self.low > 0 and self.high / self.low > _LOG_FROM
            self.log = wide if kind is None else isinstance(kind, FloatDistribution | IntDistribution) and kind.log

    def place(self, value: Any) -> float:
        """0.5 where all values are the same."""
        if self.words:
            return self.words.index(value) / (len(self.words) - 1) if len(self.words) > 1 else 0.5
        low, high, value = map(math.log, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return (value - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[str, float]]:
        """Texts and where they stand."""
        if self.words:
            return [(_text(str(one)), self.place(one)) for one in self.words]
        if self.high == self.low:
            return [(f"{self.low:.4g}", 0.5)]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return [(f"{value:.3g}", self.place(value)) for value in (self.low, middle, self.high)]


def _front(study: "optuna.Study", names: Sequence[str]) -> "Figure":
    from matplotlib import pyplot
    from matplotlib.figure import Figure
    from optuna.visualization import matplotlib as draw

    pyplot.switch_backend("Agg")
    figure = draw.plot_pareto_front(study, target_names=[_text(name) for name in names]).figure
    assert isinstance(figure, Figure)
    pyplot.close("all")  # the picture is drawn from the figure itself
    figure.set_size_inches(9, 5)
    return figure


def _text(name: str) -> str:
    """Without what matplotlib takes for a formula."""
    return cut(shown(name).replace("\n", " "), _WIDEST).replace("$", r"\$")


def _name(key: str) -> str:
    """A setting's, in short by its end, which tells it from others of its group."""
    text = shown(key)
    return _text(text if len(text) <= _WIDEST else f"…{text[1 - _WIDEST :]}")


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(axis="both", alpha=0.25)


def _saved(path: Path, plot: "Callable[[], Figure]") -> list[Path]:
    """[path] once the picture is there; [] where Optuna says that these trials cannot be drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            figure = plot()
        except (ValueError, TypeError, RuntimeError, ArithmeticError):  # such as of one setting that never changes
            return []
        with whole(path) as partial:
            figure.savefig(partial, dpi=DPI, bbox_inches="tight")
    return [path]
