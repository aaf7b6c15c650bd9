"""Moved to gantool.config.wording; here until commands/build.py asks there."""

from gantool.config.wording import in_one_line as in_one_line
