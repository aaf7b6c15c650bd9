"""How many operations of torch a round takes, by the part of gantool that asks for them: on a GPU each is a kernel, and
one on a few numbers takes the host as long to launch as one on a batch of images."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).resolve().parents[1]
# These launch nothing: they look at a tensor in another way, ask for memory, or fetch a number.
_NOTHING = ("empty", "new_empty", "detach", "alias", "lift", "_unsafe_view", "_local_scalar_dense", "_reshape_alias")
_NAMES = {"training/update": "backward", "training/optimization": "optimizers"}


class Operations(TorchDispatchMode):
    """Counts, inside `with`, what torch dispatches beside views, as `parts`: by folder of gantool or module of its
    training, as `names` by operation too.

    'backward' is what the backward pass does; the gradient that a penalty takes is its own, and that of it again
    'backward'. Operations that torch makes of others count as one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::")
        if not (func.is_view or name.partition(".")[0].startswith(_NOTHING)):
            self.names[_asking(), name] += 1
        return func(*args, **(kwargs or {}))

    @property
    def parts(self) -> dict[str, int]:
        """Operations by part, the most first."""
        parts: Counter[str] = Counter()
        for (part, _), count in self.names.items():
            parts[part] += count
        return dict(parts.most_common())


def _asking() -> str:
    """The innermost part of gantool that is running; on a GPU the backward pass has a thread of its own."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if ROOT in path.parents:
            module = path.relative_to(ROOT).with_suffix("").as_posix()
            folder = module.partition("/")[0]
            return _NAMES.get(module, module.partition("/")[2] if folder == "training" else folder)
        frame = frame.f_back
    return "backward"
