"""Why a container's first process ended, decided from every sign there is.

Exit code 137 is any SIGKILL, and the engine's own flag stays set once any process of the container was killed
for memory, so neither settles it alone. In order:

1. Another exit code than 137: the process ended by itself.
2. A SIGKILL was asked for, by us or through the engine: killed.
3. More OOM events than killed agent processes, or the flag without any such process: OOM, certain.
4. Some sign of OOM that a killed agent process also explains: OOM, likely.
5. No sign: killed, by somebody outside the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KILLED_EXIT_CODE = 137

Verdict = Literal["oom_certain", "oom_likely", "killed", "exited"]


@dataclass(frozen=True, slots=True)
class DeathSigns:
    """What is known about one death.

    `engine_flag` is the engine's OOMKilled; `agents_oom_killed_count` are the agent processes that the supervisor
    reported as killed for memory; `kill_asked` is a SIGKILL sent by us or seen among the engine's events.
    """

    exit_code: int
    engine_flag: bool
    oom_events_count: int
    agents_oom_killed_count: int
    kill_asked: bool


def verdict(signs: DeathSigns) -> Verdict:
    """The most that the signs allow to say."""
    if signs.exit_code != KILLED_EXIT_CODE:
        return "exited"
    if signs.kill_asked:
        return "killed"
    if signs.oom_events_count > signs.agents_oom_killed_count:
        return "oom_certain"
    if signs.engine_flag and not signs.agents_oom_killed_count:
        return "oom_certain"
    if signs.engine_flag or signs.oom_events_count:
        return "oom_likely"
    return "killed"


def cause(signs: DeathSigns) -> Literal["oom", "killed", "exited"]:
    """The verdict in the port's words."""
    found = verdict(signs)
    return "oom" if found in {"oom_certain", "oom_likely"} else found  # type: ignore[return-value]
