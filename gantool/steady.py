"""What may stand where a term changes images: an augmentation whose rounds are all alike."""

from gantool.errors import GantoolError
from gantool.game import Augment


def check_steady(transform: object, key: str) -> None:
    """Raises GantoolError that names `key` for an augmentation that changes from round to round: only the game's own
    one, augment=, is told of them."""
    kind = type(transform)
    if getattr(kind, "begin_round", Augment.begin_round) is not Augment.begin_round:
        raise GantoolError(
            f"{key}: {kind.__module__}.{kind.__qualname__} changes with the round, which a transform is not given: "
            "take gantool.augment.DiffAugment or gantool.augment.Jitter"
        )
