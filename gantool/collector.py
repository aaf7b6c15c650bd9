"""Python's collector of garbage is off while a command starts: to look through all imports takes a twentieth."""

import gc

_held = False


def hold() -> None:
    """Turns it off until `release`, unless it is off already."""
    global _held
    if gc.isenabled():
        gc.disable()
        _held = True


def release() -> None:
    """Turns it on where `hold` turned it off."""
    global _held
    if _held:
        gc.enable()
        _held = False
