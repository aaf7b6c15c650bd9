"""What a search has found, as pictures: its course, parallel coordinates, importance, and the Pareto front."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gantool.files import whole

if TYPE_CHECKING:
    import optuna

DPI = 130


def draw_study(study: "optuna.Study", names: Sequence[str], folder: Path) -> list[Path]:
    """Writes study-*.png into `folder`, as far as there are trials enough; `names` are of the objectives."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as draw

    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    if len(complete) < 2:
        return []
    drawn: list[Path] = []
    for place, name in enumerate(names):
        one = {"target": lambda trial, place=place: trial.values[place], "target_name": name}
        kinds: dict[str, Callable[..., Any]] = {
            "history": draw.plot_optimization_history,
            "parallel": draw.plot_parallel_coordinate,
            "importance": draw.plot_param_importances,
        }
        for kind, plot in kinds.items():
            drawn += _saved(folder / f"study-{kind}-{name}.png", lambda plot=plot, one=one: plot(study, **one))
    if len(names) in (2, 3):
        front = folder / "study-pareto-front.png"
        drawn += _saved(front, lambda: draw.plot_pareto_front(study, target_names=list(names)))
    pyplot.close("all")
    return drawn


def _saved(path: Path, plot: Callable[[], Any]) -> list[Path]:
    """[path] once the picture is there; [] where Optuna says that these trials cannot be drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            axes = np.ravel(plot())[0]
        except (ValueError, RuntimeError, ZeroDivisionError):  # such as of one setting that is always the same
            return []
    figure = axes.figure
    figure.set_size_inches(9, 5)
    with whole(path) as partial:
        figure.savefig(partial, dpi=DPI, bbox_inches="tight")
    return [path]
