"""The packages of gantool[analysis], which are imported only when they are needed."""

import importlib.util

from gantool.errors import GantoolError

PACKAGES = {"matplotlib": "matplotlib", "sklearn": "scikit-learn", "captum": "captum"}


def require_extra() -> None:
    """Raises GantoolError where a package of the extra is missing."""
    if missing := [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]:
        raise GantoolError(f"this command needs {', '.join(missing)}: pip install 'gantool[analysis]'")
