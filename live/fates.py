"""What becomes of containers: deaths and restarts by the engine, and the loss and return of the engine itself.

Whatever ends a life (a stop, a kill, the OOM killer, the worker itself), it is settled in one place, `_settle`.
The engine's events start everything here, but none is relied on: they come late, out of order or not at all. So what
ends a line, ends a stop, or keeps one waiting leads to a look at the container, which stands in for a lost event.
All of it happens in the loop; what takes time is a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from live.container_life import Answered, Remains, Standing, Vanished
from live.engine_events import HEALTH_STATUS, EngineEvent
from live.oom_signs import KILLED_EXIT_CODE, cause
from sim.machine import Died, EngineBack, EngineLost, HealthChanged, Refused, Restarted, Stopped
from sim.timers import after

if TYPE_CHECKING:
    import simpy

    from live.container_life import ContainerLife
    from live.container_register import ContainerRegister
    from live.foreign_samples import ForeignSamples
    from live.line import Line
    from live.live_container import LiveContainer
    from live.real_time import LiveEnvironment
    from live.slow_calls import SlowCalls
    from sim.machine import Struck
    from sim.notices import Notices

# Stands where an exit code cannot be known, because the engine is lost.
LOST_EXIT_CODE = -1

SIGKILL_NAMES = frozenset({"9", "KILL", "SIGKILL"})
HEALTHY, UNHEALTHY = "healthy", "unhealthy"
ENGINE_LOST = "the engine is lost"
STARTED_ANEW = "it ended by itself before, and was started anew"

# How long after its line ended a container is looked at, and how often again, if no event has told of its death.
# Such an event comes up to 0.1 s after the line's end, and the restart no sooner than 0.25 s after that (measured on
# Docker 20.10); until then the engine still knows how the life before it ended.
SILENCE_S = 0.05
# One that goes on running is looked at so often, and then killed, because nobody can use it: its worker should have
# ended, because its stdin did.
SILENT_LOOKS_MAX = 200
# How often one that waits for its restart is looked at, if no event tells of it; and one that could not be looked at.
WAITING_LOOK_S = 5.0


class Fates:
    """Settles what happens to the containers of one machine."""

    def __init__(
        self,
        env: LiveEnvironment,
        calls: SlowCalls,
        life: ContainerLife,
        register: ContainerRegister,
        notices: Notices,
        foreign_samples: ForeignSamples,
        hosts: tuple[str, ...],
    ) -> None:
        """Know of nothing that happened."""
        self._env = env
        self._calls = calls
        self._life = life
        self._register = register
        self._notices = notices
        self._foreign_samples = foreign_samples
        self._hosts = hosts
        self.engine_is_lost = False
        self.engine_was_lost = False
        # Those whose start was refused and that could not be removed.
        self._left_behind: list[LiveContainer] = []
        # While the engine is being struck its containers' ends are its own: what answers the blow once it is lost.
        self._blow: tuple[Struck, simpy.Event] | None = None

    @property
    def engine_is_struck(self) -> bool:
        """Whether a blow to the engine is under way."""
        return self._blow is not None

    def strike(self, struck: Struck, done: simpy.Event) -> None:
        """Expect the engine's loss, which answers the blow."""
        self._blow = (struck, done)

    # What the engine says.

    def event(self, event: EngineEvent) -> None:
        """Take an event of a container; those of one that is not ready for it wait."""
        named = self._register.by_id(event.container_id)
        if named is None:
            return
        if named.state == "starting" or named.death is not None:
            named.events_waiting.append(event)
            return
        match event.what:
            case "oom":
                named.oom_events_count += 1
            case "kill" if event.signal in SIGKILL_NAMES:
                named.kill_asked = True
            case "die":
                self._die(named, event)
            case "start":
                self._begin_anew(named, event)
            case what if what == HEALTH_STATUS and event.detail in {HEALTHY, UNHEALTHY}:
                healthy = event.detail == HEALTHY
                self._notices.put(HealthChanged(named.name, healthy, event.happened_s, self._env.now))

    def came_up(self, coming: LiveContainer) -> None:
        """Take a container in that has started, and what happened to it since."""
        coming.state = "up"
        if self.engine_is_lost:
            self._lose(coming, self._env.now)
            return
        self._foreign_samples.follow(coming, self.fell_silent)
        self._replay(coming)
        self._hear_silence(coming)

    def left_behind(self, container: LiveContainer) -> None:
        """Hear of a container that should not be there and could not be removed: it is when the engine is back."""
        self._left_behind.append(container)
        if not self.engine_is_lost:
            self._discard_left_behind()

    def fell_silent(self, silent: LiveContainer, line: Line) -> None:
        """Hear that a container's line or stats ended: either its death is told soon, or it must be looked for."""
        if self._is_alive_on(silent, line):
            after(self._env, SILENCE_S, lambda: self._look_if_alive(silent, line))

    def _hear_silence(self, container: LiveContainer) -> None:
        """Take note of a line that ended before anybody minded it."""
        if container.line.ended.is_set():
            self.fell_silent(container, container.line)

    def stopped(self, going: LiveContainer) -> None:
        """Hear that the engine has stopped a container, which it does not tell of if it waited for its restart."""
        if going.state != "gone" and going.death is None:
            self._look(going)

    # Death.

    def _die(self, named: LiveContainer, death: EngineEvent) -> None:
        waits = named.state == "restarting" and not named.is_reviving
        if waits or death.happened_s < named.reborn_s:
            # What does not run cannot die: this is an old death, which a look was quicker to find.
            return
        if self.engine_is_struck:
            self._lose(named, death.happened_s)
            return
        self._bury(named, death)

    def _bury(self, named: LiveContainer, death: EngineEvent) -> None:
        """Look at a dead container, settle all that waits for it, and remove it unless it is started anew."""
        named.death = death
        line = named.line
        self._calls.patient(lambda: self._life.look(named, line, death), lambda found: self._settle(named, line, found))

    def _settle(self, dead: LiveContainer, line: Line, found: object) -> None:
        assert isinstance(found, Remains)
        if dead.state == "gone" or dead.line is not line:
            # The engine was lost meanwhile, and this life with it.
            return
        dead.settle_all(found.happened_s, "it died")
        dead.died_s = found.happened_s
        if not dead.stop_asked:
            why = cause(dead.signs(found.exit_code, engine_flag=found.engine_flag))
            self._notices.put(Died(dead.name, why, found.exit_code, found.happened_s, self._env.now))
        if found.restarts:
            self._await_restart(dead)
            if found.reborn_s is not None:
                self._revive(dead, found.reborn_s)
            self._replay(dead)
        else:
            self._go(dead, found.exit_code)

    def _go(self, gone: LiveContainer, exit_code: int) -> None:
        self._foreign_samples.leave(gone)
        self._register.forget(gone)
        # Who asked for the end waits for the removal too; whoever starts the same name anew need not.
        self._calls.patient(lambda: self._life.discard(gone), lambda _: self._discarded(gone, exit_code))

    def _discarded(self, gone: LiveContainer, exit_code: int) -> None:
        self._register.lines.discard(gone.line)
        gone.end_with(Stopped(gone.name, exit_code))

    # Return.

    def _await_restart(self, dead: LiveContainer) -> None:
        old = dead.line
        dead.state = "restarting"
        self._foreign_samples.leave(dead)
        dead.begin_life()
        self._calls.patient(lambda: self._life.hang_up(old), lambda _: self._register.lines.discard(old))
        self._look_again_later(dead, dead.line)

    def _look_again_later(self, waiting: LiveContainer, line: Line) -> None:
        def look() -> None:
            if waiting.line is line and waiting.state == "restarting" and not waiting.is_reviving:
                if not self.engine_is_lost:
                    self._look(waiting)
                self._look_again_later(waiting, line)

        after(self._env, WAITING_LOOK_S, look)

    def _begin_anew(self, named: LiveContainer, start: EngineEvent) -> None:
        """Hear that the engine started a container: the first start is known, and so is that of a life that is up."""
        if named.state == "restarting" and not named.is_reviving:
            if start.happened_s > named.died_s:
                self._revive(named, start.happened_s)
        elif named.state == "up" and named.is_new_start(start.happened_s):
            # The death before it has not been told of yet. A look tells whether it was, and `_settle` comes back here.
            named.events_waiting.append(start)
            self._look(named)

    def _revive(self, reborn: LiveContainer, started_s: float) -> None:
        reborn.is_reviving = True
        reborn.was_lost = False
        reborn.reborn_s = started_s
        reborn.restarts_count += 1
        line = reborn.line
        if reborn.is_foreign:
            self._revived(reborn, line, Answered(started_s))
            return
        self._calls.patient(
            lambda: self._life.revive(reborn, line), lambda outcome: self._revived(reborn, line, outcome)
        )

    def _revived(self, reborn: LiveContainer, line: Line, outcome: object) -> None:
        if reborn.line is not line or reborn.state != "restarting":
            # It died again meanwhile, which was settled.
            return
        if not isinstance(outcome, Answered):
            # It died, of which an event or this look tells; or it lives and says nothing.
            reborn.is_mute = True
            self._look_unless_dying(reborn)
            return
        reborn.state = "up"
        reborn.is_reviving = False
        reborn.give_up_kills(Refused(reborn.name, STARTED_ANEW))
        self._notices.put(
            Restarted(reborn.name, reborn.restarts_count, reborn.reborn_s, outcome.ready_s, self._env.now)
        )
        self._foreign_samples.follow(reborn, self.fell_silent)
        self._hear_silence(reborn)

    def _replay(self, named: LiveContainer) -> None:
        """Take the events in that had to wait; what they lead to may make the rest of them wait on."""
        waiting = tuple(named.events_waiting)
        named.events_waiting.clear()
        for event in waiting:
            self.event(event)

    # Looks, which stand in for events that never came.

    def _is_alive_on(self, container: LiveContainer, line: Line) -> bool:
        """Whether a container is up in the life of this line, as far as anybody knows."""
        is_up = container.line is line and container.state == "up" and container.death is None
        return is_up and not self.engine_is_lost

    def _look_if_alive(self, silent: LiveContainer, line: Line) -> None:
        if self._is_alive_on(silent, line) and not self.engine_is_struck:
            self._look(silent)

    def _look_unless_dying(self, container: LiveContainer) -> None:
        if container.death is None and not self.engine_is_lost:
            self._look(container)

    def _look(self, container: LiveContainer) -> None:
        line = container.line
        container.looks_count += 1
        self._calls.engine(
            lambda: self._life.stand(container), lambda standing: self._looked(container, line, standing)
        )

    def _looked(self, container: LiveContainer, line: Line, found: object) -> None:
        if container.line is not line or container.state == "gone" or container.death is not None:
            # What was looked for has been told meanwhile.
            return
        if isinstance(found, Vanished):
            self._vanished(container)
            return
        if not isinstance(found, Standing):
            self._look_again(container, line)
            return
        if container.state == "restarting" and not container.is_reviving:
            self._looked_at_waiting(container, found)
        elif container.is_over(found):
            self._bury(container, self._unheard_death(container, found))
        elif line.ended.is_set() or container.is_mute:
            self._looked_at_silent(container, line)

    def _look_again(self, container: LiveContainer, line: Line) -> None:
        """Repeat a look that was refused. An engine that does not answer at all is told of by the end of its events."""

        def look() -> None:
            waits = container.state == "restarting" and not container.is_reviving
            if container.line is line and container.state != "gone" and not waits:
                self._look_unless_dying(container)

        after(self._env, WAITING_LOOK_S, look)

    def _vanished(self, container: LiveContainer) -> None:
        """Settle a container that somebody removed, which kills it."""
        if container.state == "restarting" and not container.is_reviving:
            self._go(container, KILLED_EXIT_CODE)
            return
        container.kill_asked = True
        self._bury(container, EngineEvent("die", container.container_id, self._env.now, KILLED_EXIT_CODE))

    def _unheard_death(self, container: LiveContainer, found: Standing) -> EngineEvent:
        # A container that was started anew says when the life before ended, and no more how.
        return EngineEvent("die", container.container_id, found.finished_s, found.exit_code)

    def _looked_at_waiting(self, waiting: LiveContainer, found: Standing) -> None:
        if found.runs and found.started_s > waiting.died_s:
            self._revive(waiting, found.started_s)
        elif found.runs and waiting.was_lost:
            # It lived on while the engine was away, as some engines have it: it is in reach again from now on.
            self._revive(waiting, self._env.now)
        elif not found.runs and not found.waits_for_restart and not self.engine_is_struck:
            self._go(waiting, found.exit_code)

    def _looked_at_silent(self, silent: LiveContainer, line: Line) -> None:
        """Deal with a container that runs and cannot be talked to: look again, and end it in the end."""
        if silent.looks_count < SILENT_LOOKS_MAX:
            after(self._env, SILENCE_S, lambda: self._look_silent_again(silent, line))
        else:
            self._calls.engine(lambda: self._life.kill(silent), lambda _: None)

    def _look_silent_again(self, silent: LiveContainer, line: Line) -> None:
        if silent.line is line and silent.state != "gone":
            self._look_unless_dying(silent)

    # The engine itself.

    def engine_lost(self) -> None:
        """Hear that the engine does not answer any more: whatever runs there is out of reach."""
        now_s = self._env.now
        self.engine_is_lost = self.engine_was_lost = True
        if self._blow is not None:
            struck, done = self._blow
            self._blow = None
            # A blow that is not followed by a return may have answered before the loss was noticed.
            if not done.triggered:
                done.succeed(struck)
        for host in self._hosts:
            self._notices.put(EngineLost(host, now_s, now_s))
        for container in self._register.all:
            container.stop_asked = False
            container.end_with(Refused(container.name, ENGINE_LOST))
            if container.state == "up":
                self._lose(container, now_s)
            elif container.is_reviving:
                self._await_restart(container)
                container.was_lost = True

    def engine_unharmed(self) -> None:
        """Hear that a blow was not dealt after all: what was put down to it is looked into."""
        self._blow = None
        for container in self._register.all:
            if container.line.ended.is_set():
                self.fell_silent(container, container.line)

    def engine_back(self) -> None:
        """Hear that the engine answers again: each container is looked at, and followed anew or given up."""
        now_s = self._env.now
        self.engine_is_lost = False
        for host in self._hosts:
            self._notices.put(EngineBack(host, now_s, now_s))
        for container in self._register.all:
            if container.state == "restarting":
                self._look(container)
        self._discard_left_behind()

    def _discard_left_behind(self) -> None:
        left, self._left_behind = self._left_behind, []
        for container in left:
            self._discard_again(container)

    def _discard_again(self, container: LiveContainer) -> None:
        def discarded(outcome: object) -> None:
            if isinstance(outcome, Refused):
                self._left_behind.append(container)

        self._calls.patient(lambda: self._life.discard(container), discarded)

    def _lose(self, lost: LiveContainer, happened_s: float) -> None:
        lost.settle_all(happened_s, ENGINE_LOST)
        lost.died_s = happened_s
        self._notices.put(Died(lost.name, "engine_lost", LOST_EXIT_CODE, happened_s, self._env.now))
        lost.events_waiting.clear()
        self._await_restart(lost)
        lost.was_lost = True
