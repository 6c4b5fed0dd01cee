"""The C compiler of this machine, for steps that are compiled when they are first asked for."""

from __future__ import annotations

import ctypes
import shlex
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path


class NotNativeError(Exception):
    """Why steps cannot be run in C."""


def compiler(asked: str) -> tuple[str, ...]:
    """The compiler's command: words of `asked` (CC), which may have a launcher and options, or the first that there is.

    Raises NotNativeError if there is none.
    """
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    try:
        command = tuple(shlex.split(asked)) or (() if found is None else (found,))
    except ValueError as error:
        raise _without(f"CC={asked!r}: {error}") from None
    if not command:
        raise NotNativeError("no C compiler")
    return command


def shared_library(source: str, command: tuple[str, ...], options: Sequence[str] = ()) -> ctypes.CDLL:
    """The source, compiled for this machine and loaded. Raises NotNativeError with the first line of what the compiler says.

    Options of `command` choose no other arithmetic: results are those of the C of the language.
    """
    with tempfile.TemporaryDirectory() as folder:
        code, library = Path(folder) / "descent.c", Path(folder) / "descent.so"
        code.write_text(source, encoding="utf-8")
        flags = [
            "-O3",
            "-fno-fast-math",
            "-march=native",
            "-std=gnu11",
            "-shared",
            "-fPIC",
            *options,
            str(code),
            "-o",
            str(library),
            "-lm",
        ]
        try:
            subprocess.run([*command, *flags], check=True, capture_output=True, text=True, timeout=300)
            return ctypes.CDLL(str(library))
        except subprocess.CalledProcessError as error:
            raise _without(f"{shlex.join(command)}: {(error.stderr.strip().splitlines() or ['failed'])[0]}") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise _without(f"{shlex.join(command)}: {error}") from error


def _without(reason: str) -> NotNativeError:
    """Somebody chose this compiler, or it was found here: that it fails is said, and steps are run in the slower way."""
    warnings.warn(f"steps run without C: {reason}", RuntimeWarning, stacklevel=2)
    return NotNativeError(reason)
