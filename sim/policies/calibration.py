"""Calibration: a token bucket's rate is turned until the CPU of a container lies in a band.

Each rate is tried for a window; the container is sampled at both ends of its judged part, and the rule decides.
What the rules are is in `sim/policies/calibration_rules.py`.

Agents that find tokens in store spend them, and the CPU is then above what the rate bears. The stock that was spent is
what was granted beyond what dripped in, but for one grant of each bucket, since grants are whole. What the rate bears
lies between the CPU less the stock's part of it, as if all CPU were for tokens, and the CPU. Where these two are not on
the same side of the band, or both in it, the damped rule neither turns nor learns, and nothing is confirmed. The
written rule turns by what is measured, as its document has it.

Outcomes: `converged` (the CPU is in the band), `settled_outside_band` (it is not, and the rule keeps the rate),
`oscillating` (no rate to come may do, see the rules), `not_rate_bound` (it would raise, and nobody waits for tokens),
`over_limit` (of memory). A course that ends before any of these is `out_of_rounds`: to call it one of the five would
claim what was not seen.
Source: the calibration process of the agent-ecology document.
Known to be wrong: waits of other limits and providers are not told apart from lack of work; memory that rose between
the two looks at a window, but not above what it had been before them, is not seen; tokens that are spent in other
containers count as if they were spent in the one that is watched.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scenarios.story import Take
from sim.machine import Died, Restarted, Sample
from sim.policies.calibration_rules import RULES, Load

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import simpy

    from scenarios.story import RateLimit, Story
    from sim.machine import Machine, Notice
    from sim.policies.rate_limit import Limiter

Verdict = Literal["converged", "settled_outside_band", "oscillating", "not_rate_bound", "over_limit", "out_of_rounds"]
Action = Literal["raise", "reduce", "keep"]

# Where agents wait less than this share of their time for tokens, the rate is not what holds them back.
WAITED_RATIO_MIN = 0.01
# A container that does not answer within this time is taken not to answer at all.
SAMPLE_S_MAX = 5.0
# A window of which less than this share could be looked at says nothing.
JUDGED_RATIO_MIN = 0.5
# After so many windows in a row that said nothing, nothing is to be expected of the next.
VOID_COUNT_MAX = 3


@dataclass(frozen=True, slots=True)
class Round:
    """One window: the rate tried, what the container then did, and what the rule wanted to do about it.

    `index` counts from 1. CPU and memory are parts of the container's limits, `waited_ratio` is of its agents' time,
    `stock_ratio` the part of the tokens granted that had been in store.
    """

    index: int
    began_s: float
    ended_s: float
    rate_tokens_per_s: float
    cpu_ratio: float
    memory_ratio: float
    throttled_period_ratio: float
    waited_ratio: float
    oom_kills_count: int
    action: Action
    stock_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class Course:
    """A whole calibration: its outcome, the rate in force at its end, and its rounds.

    `void_count` counts the windows that could not be judged.
    """

    outcome: Verdict
    rate_tokens_per_s: float
    rule: Literal["as_written", "damped"]
    void_count: int
    rounds: tuple[Round, ...]


def limits_of(story: Story, name: str) -> tuple[float, int]:
    """Cores and bytes that a container may use at most: its limits and the cores it is bound to, else its host's."""
    container = story.container(name)
    host = next(host for host in story.hosts if host.name == container.host)
    bound_count = host.cpus_count if container.cpuset_cpus is None else len(container.cpuset_cpus)
    cores = min(container.cpus_limit or host.cpus_count, bound_count, host.cpus_count)
    return cores, container.memory_bytes_limit or host.memory_bytes


# The course.

# Filled where somebody watches: an interrupt that ends a run leaves its caller no other way to what was found so far.
_BEGUN: ContextVar[list[Calibration] | None] = ContextVar("calibrations begun", default=None)


@contextmanager
def watched() -> Iterator[list[Calibration]]:
    """The calibrations that are begun meanwhile, to be looked at even where their run does not end."""
    begun: list[Calibration] = []
    token = _BEGUN.set(begun)
    try:
        yield begun
    finally:
        _BEGUN.reset(token)


@dataclass(frozen=True, slots=True)
class _Look:
    """What is seen of the container and the limit at one moment; the tallies are from the run's beginning."""

    sample: Sample
    at_s: float
    wait_s_sum: float
    granted_tokens: float
    grants_count: int


class Calibration:
    """One calibration under way; final once it has an `outcome`."""

    def __init__(
        self,
        env: simpy.Environment,
        story: Story,
        machine: Machine,
        limiter: Limiter,
        note: Callable[[str], object],
    ) -> None:
        """Be ready to begin; `note` is told in words what each window came to."""
        assert story.calibrate is not None, "nothing is to be calibrated"
        self.outcome: Verdict | None = None
        self.rounds: list[Round] = []
        self._terms = story.calibrate
        self._env = env
        self._machine = machine
        self._limiter = limiter
        self._note = note
        self._rule = RULES[self._terms.rule](self._terms)
        self._cpus_limit, self._memory_bytes_limit = limits_of(story, self._terms.container)
        self._takers_count = _takers_count(story, self._terms.rate_limit)
        self._buckets_count = self._takers_count if _is_per_agent(story.rate_limits, self._terms.rate_limit) else 1
        # What the windows since the last turn said, and how many in a row.
        self._said: Verdict | None = None
        self._said_count = 0
        self._void_count = 0
        # Whether the container ended since the window began, and whether for lack of memory.
        self._has_ended = False
        self._is_oom = False
        begun = _BEGUN.get()
        if begun is not None:
            begun.append(self)

    @property
    def rate_tokens_per_s(self) -> float:
        """The rate in force now."""
        rate = self._limiter.rate_tokens_per_s
        assert rate is not None, "only a bucket's rate can be turned"
        return rate

    def course(self) -> Course:
        """What the calibration came to."""
        outcome: Verdict = self.outcome or "out_of_rounds"
        return Course(outcome, self.rate_tokens_per_s, self._terms.rule, self._void_count, tuple(self.rounds))

    def hear(self, notice: Notice) -> None:
        """Take in what the machine says unasked: counters of a container that ended do not span the window."""
        if not isinstance(notice, Died | Restarted) or notice.container != self._terms.container:
            return
        self._has_ended = True
        self._is_oom = self._is_oom or (isinstance(notice, Died) and notice.cause == "oom")

    def run(self, begin_s: float) -> Generator[simpy.Event, Any, None]:
        """Try rate after rate until the outcome is final; windows follow one another from `begin_s` on."""
        void_in_a_row_count = 0
        for index in range(1, self._terms.rounds_count_max + 1):
            found = yield from self._window(index, begin_s)
            void_in_a_row_count = 0 if found else void_in_a_row_count + 1
            if found:
                self._judge(index, *found)
            else:
                self._pass_over(index)
            if self.outcome is not None or void_in_a_row_count >= VOID_COUNT_MAX:
                break
        self.outcome = self.outcome or "out_of_rounds"
        self._note(f"{self.outcome} at {self.rate_tokens_per_s:.6g} tokens/s")

    def _window(self, index: int, begin_s: float) -> Generator[simpy.Event, Any, tuple[_Look, _Look] | None]:
        """Look at both ends of the judged part of a window; None where that does not tell what lies between."""
        self._has_ended = self._is_oom = False
        end_s = begin_s + index * self._terms.window_s
        judged_s = self._terms.window_s - self._terms.settle_s
        yield self._env.timeout(max(0.0, end_s - judged_s - self._env.now))
        first = yield from self._look()
        yield self._env.timeout(max(0.0, end_s - self._env.now))
        last = yield from self._look()
        if first is None or last is None or self._has_ended:
            return None
        span_s = last.sample.at_s - first.sample.at_s
        # Less CPU than before is another life, of which nobody told.
        is_whole = span_s >= JUDGED_RATIO_MIN * judged_s and last.sample.cpu_s >= first.sample.cpu_s
        return (first, last) if is_whole else None

    def _look(self) -> Generator[simpy.Event, Any, _Look | None]:
        answer = self._machine.sample(self._terms.container)
        yield self._env.any_of([answer, self._env.timeout(SAMPLE_S_MAX)])
        # Not by `triggered`: an answer may have its value long before it is due.
        if not answer.processed or not isinstance(answer.value, Sample):
            return None
        limiter, tally = self._limiter, self._limiter.tally
        # The tally counts a wait for each grant, also where it took no time.
        return _Look(answer.value, self._env.now, limiter.bucket_wait_s_sum, tally.granted_tokens, tally.waits_count)

    def _pass_over(self, index: int) -> None:
        """Leave a window unjudged; but a container that ended for lack of memory says enough."""
        self._void_count += 1
        if self._is_oom:
            self.outcome = "over_limit"
        why = "it ended" if self._has_ended else "it could not be read"
        self._note(f"window {index} is not judged: {why}")

    def _judge(self, index: int, first: _Look, last: _Look) -> None:
        rate = self.rate_tokens_per_s
        load = Load(self._cpu_ratio(first.sample, last.sample), self._stock_ratio(first, last))
        wanted = self._rule.rate_after(rate, load)
        action: Action = "keep" if wanted == rate else "raise" if wanted > rate else "reduce"
        found = Round(
            index=index,
            began_s=first.sample.at_s,
            ended_s=last.sample.at_s,
            rate_tokens_per_s=rate,
            cpu_ratio=load.cpu_ratio,
            memory_ratio=_memory_bytes_max(first.sample, last.sample) / self._memory_bytes_limit,
            throttled_period_ratio=_throttled_ratio(first.sample, last.sample),
            waited_ratio=(last.wait_s_sum - first.wait_s_sum) / (self._takers_count * (last.at_s - first.at_s)),
            oom_kills_count=last.sample.oom_kills_count - first.sample.oom_kills_count,
            action=action,
            stock_ratio=load.stock_ratio,
        )
        self.rounds.append(found)
        is_stock_spent = self._surplus_tokens(first, last) > 0
        self.outcome = self._verdict(found, load, wanted, is_stock_spent=is_stock_spent)
        if self.outcome is None and action != "keep" and index < self._terms.rounds_count_max:
            self._limiter.turn(wanted)
        self._note(f"round {index}: {rate:.6g} tokens/s, CPU {100 * load.cpu_ratio:.1f} % of its limit: {action}")

    def _cpu_ratio(self, first: Sample, last: Sample) -> float:
        return (last.cpu_s - first.cpu_s) / ((last.at_s - first.at_s) * self._cpus_limit)

    def _surplus_tokens(self, first: _Look, last: _Look) -> float:
        """How much more was granted in a window than dripped in."""
        dripped_tokens = self.rate_tokens_per_s * (last.at_s - first.at_s) * self._buckets_count
        return last.granted_tokens - first.granted_tokens - dripped_tokens

    def _stock_ratio(self, first: _Look, last: _Look) -> float:
        """The part of the tokens granted in a window that had been in store."""
        granted_tokens = last.granted_tokens - first.granted_tokens
        if not granted_tokens:
            return 0.0
        # Grants are whole: each bucket may have one more than dripped in, as it may have one less the next time.
        grant_tokens_mean = granted_tokens / (last.grants_count - first.grants_count)
        stock_tokens = self._surplus_tokens(first, last) - self._buckets_count * grant_tokens_mean
        return max(0.0, stock_tokens) / granted_tokens

    def _verdict(self, found: Round, load: Load, wanted: float, *, is_stock_spent: bool) -> Verdict | None:
        """The outcome, where this round makes it final."""
        if found.memory_ratio > self._terms.memory_ratio_max or found.oom_kills_count > 0:
            return "over_limit"
        if found.action == "keep":
            return self._confirmed(load)
        self._said, self._said_count = None, 0
        # As long as more is spent than drips in, however little, that nobody waits is no sign.
        if found.action == "raise" and found.waited_ratio < WAITED_RATIO_MIN and not is_stock_spent:
            return "not_rate_bound"
        rounds_left_count = self._terms.rounds_count_max - found.index
        return "oscillating" if self._rule.oscillates(wanted, rounds_left_count) else None

    def _confirmed(self, load: Load) -> Verdict | None:
        """What a kept rate means, once enough windows in a row have said it."""
        side = load.side(self._terms)
        said: Verdict | None = None
        if side is not None:
            said = "converged" if side == "inside" else "settled_outside_band"
        self._said_count = self._said_count + 1 if said == self._said else 1
        self._said = said
        return said if self._said_count >= self._terms.confirm_count else None


def _takers_count(story: Story, rate_limit: str) -> int:
    """How many agents take from a rate limit."""
    return sum(
        group.count
        for group in story.agents
        if any(isinstance(stage, Take) and stage.rate_limit == rate_limit for stage in group.stages)
    )


def _is_per_agent(limits: tuple[RateLimit, ...], name: str) -> bool:
    return next(limit.scope for limit in limits if limit.name == name) == "agent"


def _memory_bytes_max(first: Sample, last: Sample) -> int:
    """The most memory that was in use: a peak counts where it rose, since an older one may be from before."""
    peak = last.memory_peak_bytes if last.memory_peak_bytes > first.memory_peak_bytes else 0
    return max(first.memory_bytes, last.memory_bytes, peak)


def _throttled_ratio(first: Sample, last: Sample) -> float:
    periods_count = last.periods_count - first.periods_count
    throttled_count = last.throttled_periods_count - first.throttled_periods_count
    return throttled_count / periods_count if periods_count else 0.0
