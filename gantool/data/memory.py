"""How much memory there is."""

import math
import os


def machine_memory() -> float:
    """Bytes that this machine has in all; infinite where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf
