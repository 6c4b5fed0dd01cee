"""A limit on the time of a job: one that never ends says where it is, and fails.

A cluster ends its jobs by itself. On one machine nobody does, and a loop whose end is a number that is none would run for ever.
"""

from __future__ import annotations

import argparse
import faulthandler
import math
import sys
import threading

LENIENCE = 3.0
"""Times the stated minutes that a job may take: a busy or slow machine is no loop without an end."""


LONGEST = 10**6
"""Minutes that can be stated: those that the configuration allows."""


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= LONGEST:
        raise argparse.ArgumentTypeError(f"minutes above 0 and up to {LONGEST} are expected, found {text!r}")
    return minutes


def add_minutes(parser: argparse.ArgumentParser) -> None:
    """The option ``--minutes``."""
    parser.add_argument(
        "--minutes", type=_minutes, help=f"how long this should take; after {LENIENCE:g} times that it ends by force"
    )


def end_after(minutes: float | None) -> None:
    """End this process with its traceback and status 1, wherever it then is, if it takes much longer than it should."""
    if minutes is None:
        return
    seconds = 60 * LENIENCE * minutes

    def say() -> None:
        print(
            f"ended by force: {minutes:g} minutes were stated, and {LENIENCE:g} times that are over", file=sys.stderr, flush=True
        )

    timer = threading.Timer(seconds, say)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + 1, exit=True)  # from a thread that no running library can hold up
