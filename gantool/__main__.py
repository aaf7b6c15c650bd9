"""python -m gantool."""

import os
import sys
from contextlib import suppress

from gantool.beside import holds_gantool

if __name__ == "__main__":
    # Python has put the working folder first: a file omegaconf.py there would be run in the place of the package. Where
    # gantool itself was found in it, it stays: processes that are started find it by the path.
    with suppress(FileNotFoundError):  # a folder that is gone, as will be told
        here = os.getcwd()
        if not sys.flags.safe_path and sys.path[0] in ("", here) and not holds_gantool(here):
            del sys.path[0]

    from gantool.cli import main

    raise SystemExit(main())
