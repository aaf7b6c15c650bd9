"""Optuna's CMA-ES, whose state in the journal is read as data."""

import io
import pickle
from collections.abc import Sequence
from typing import Any

from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial

from gantool.errors import GantoolError, first_line

# All that the state of cmaes.CMA names, in NumPy 1 and 2 and in every protocol of pickle. None of them calls what it is
# given.
_NAMES = {("cmaes._cma", "CMA"), ("numpy", "ndarray"), ("numpy", "dtype")}
_NAMES |= {(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")}
_NAMES |= {(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}


class _State(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _NAMES:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return super().find_class(module_name, global_name)


class CmaEs(CmaEsSampler):
    """Optuna keeps the state as a pickle among the attributes of trials, and loads whatever stands there: in a folder
    of somebody else that is their program. Here the same pickle is loaded without any name but cmaes' and NumPy's own.
    """

    def _restore_optimizer(self, completed_trials: Sequence[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            parts = {key: text for key, text in trial.system_attrs.items() if key.startswith(self._attr_key_optimizer)}
            if parts:
                try:
                    return _State(io.BytesIO(bytes.fromhex(self._concat_optimizer_attrs(parts)))).load()
                except Exception as error:  # pickle raises a dozen kinds for bytes that are none
                    told = f"what study.sampler=cmaes kept in trial {trial.number} is not its own ({first_line(error)})"
                    raise GantoolError(f"{told}: choose study.sampler=tpe, or another hydra.sweep.dir") from error
        return None
