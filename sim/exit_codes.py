"""Exit codes, and how what went wrong becomes one line and one of them.

0 fits, agrees or fine; 1 does not; 2 bad input; 3 the world is missing; 70 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

from scenarios.errors import ScenarioError
from sim.errors import SimError

if TYPE_CHECKING:
    from collections.abc import Callable

BAD_INPUT, BUG, INTERRUPTED = 2, 70, 130


def guarded(work: Callable[[], object]) -> int:
    """Do the work and return its exit code; what went wrong is one line on stderr, a traceback only for a bug."""
    try:
        code = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (ScenarioError, SimError) as problem:
        return tell(str(problem), BAD_INPUT)
    except BrokenPipeError:
        # Whoever read us has seen enough (`| head`); the interpreter must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as problem:  # noqa: BLE001  # The front door is where the last resort belongs.
        return _told(problem)
    if code == INTERRUPTED:
        return tell("interrupted; a run that had begun left its record", INTERRUPTED)
    return code if isinstance(code, int) else 0


def tell(text: str, code: int) -> int:
    """Say one line on stderr and return the code."""
    sys.stderr.write(f"tonnage: {text}\n")
    return code


def _told(problem: Exception) -> int:
    """A layer above may give its errors an exit code of their own; anything else is a bug."""
    code = getattr(problem, "exit_code", None)
    if isinstance(code, int):
        return tell(str(problem), code)
    traceback.print_exception(problem)
    return tell(f"this is a bug of Tonnage, not of yours: {problem!r}", BUG)
