"""gantool's sweepers under the name that Hydra asks of a plugin. Imported at every start: what is heavy waits."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GantoolSweeper(Sweeper):
    """`kind`: grid, every combination of the values; study, a search by Optuna."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra hands over before `sweep`."""
        self.given = (config, hydra_context, task_function)

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the jobs that `arguments`, the user's overrides, ask for."""
        from gantool.cli.grid import run_grid
        from gantool.cli.launching import Launching
        from gantool.cli.study import run_study

        {"grid": run_grid, "study": run_study}[self.kind](Launching(*self.given), arguments)
