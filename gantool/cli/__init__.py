"""The command line."""

from gantool.cli.main import main

__all__ = ["main"]
