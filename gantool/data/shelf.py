"""Where stored images wait to be taken to the device."""

from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor


class Shelf:
    """Stored images (N, C, H, W), taken by their rows onto `device`.

    Those that do not lie there can be asked for ahead: a thread of its own gathers them, out of a file it may be, and
    pins them for a GPU, while the round before them is played. What is taken is the same either way.
    """

    def __init__(self, images: Tensor, device: torch.device) -> None:
        self.images, self.device = images, device
        self.ahead: dict[tuple[int, ...], Future[Tensor]] = {}
        self.reader: ThreadPoolExecutor | None = None  # from the first time on that anything is asked for

    def take(self, rows: Tensor) -> Tensor:
        """The images in `rows` (N,), on the device."""
        asked = self.ahead.pop(_key(rows), None) if self.ahead else None
        images = self._gather(rows) if asked is None else asked.result()
        return images.to(self.device, non_blocking=True)

    def expect(self, taken: list[Tensor]) -> None:
        """These rows are likely to be taken next; what was expected before and not taken is forgotten."""
        self.reader = self.reader or ThreadPoolExecutor(1, "images")
        self.ahead = {_key(rows): self.reader.submit(self._gather, rows) for rows in taken}

    def _gather(self, rows: Tensor) -> Tensor:
        images = self.images.index_select(0, rows)
        if self.device.type == "cuda" and images.device.type == "cpu":
            with torch.cuda.device(self.device):  # a thread begins with the first GPU, which may be another's
                return images.pin_memory()
        return images


def _key(rows: Tensor) -> tuple[int, ...]:
    return tuple(rows.tolist())
