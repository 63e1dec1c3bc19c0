"""An LLM provider as its callers meet it: limits per minute, 429 with a time to wait, latency, price.

Each limit is a bucket of one window's worth that refills evenly, as the large providers describe theirs.
A refused request waits `retry_after_s`, doubled at each refusal, plus up to `jitter_ratio` of it, and tries again;
after `retries_max` refusals the step fails. The latency is a draw; nothing in the story makes it slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.randomness import LawStream, Stream

if TYPE_CHECKING:
    import simpy

    from scenarios.story import Provider


# More refusals than a step can meet (`retries` is at most 100), so that no two waits share a draw.
_REFUSALS_COUNT_MAX = 128


@dataclass(slots=True)
class ProviderTally:
    """What a provider did so far: for the record."""

    calls_count: int = 0
    refusals_count: int = 0
    failures_count: int = 0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cost_usd: float = 0.0


class _Allowance:
    """What is left of a per-minute limit: it refills evenly and never holds more than one window's worth."""

    __slots__ = ("_at_s", "_env", "_left", "_limit", "_window_s")

    def __init__(self, env: simpy.Environment, limit: float, window_s: float) -> None:
        self._env = env
        self._limit = limit
        self._window_s = window_s
        self._left = limit
        self._at_s = env.now

    def covers(self, amount: float) -> bool:
        """Whether the amount may be spent now; one above the whole limit needs it all."""
        elapsed = self._env.now - self._at_s
        self._left = min(self._limit, self._left + elapsed * self._limit / self._window_s)
        self._at_s = self._env.now
        return self._left >= min(amount, self._limit)

    def spend(self, amount: float) -> None:
        self._left -= amount


class LlmProvider:
    """One provider of the story, shared by all its callers, with what it did so far in `tally`."""

    def __init__(self, env: simpy.Environment, spec: Provider) -> None:
        """Have every allowance full."""
        self.name = spec.name
        self.tally = ProviderTally()
        self._env = env
        self._spec = spec
        self._requests = self._allowance(spec.requests_per_minute)
        self._tokens = self._allowance(spec.tokens_per_minute)

    @property
    def limited(self) -> bool:
        """Whether a call may be refused; without limits a call is its latency and no decision."""
        return self._requests is not None or self._tokens is not None

    def try_call(self, input_tokens: float, output_tokens: float) -> bool:
        """Ask once: True and counted, or False, which is a 429."""
        tokens = input_tokens + output_tokens
        open_requests = self._requests is None or self._requests.covers(1)
        open_tokens = self._tokens is None or self._tokens.covers(tokens)
        if not (open_requests and open_tokens):
            self.tally.refusals_count += 1
            return False
        if self._requests is not None:
            self._requests.spend(1)
        if self._tokens is not None:
            self._tokens.spend(tokens)
        self.tally.calls_count += 1
        self.tally.input_tokens += input_tokens
        self.tally.output_tokens += output_tokens
        self.tally.cost_usd += input_tokens * self._spec.input_usd_per_token
        self.tally.cost_usd += output_tokens * self._spec.output_usd_per_token
        return True

    def back_off_s(self, refusals_count: int, luck: float) -> float | None:
        """How long to wait after so many refusals (1 or more), `luck` in [0, 1); None: give up."""
        if refusals_count > self._spec.retries_max:
            self.tally.failures_count += 1
            return None
        return float(self._spec.retry_after_s * 2 ** (refusals_count - 1) * (1 + self._spec.jitter_ratio * luck))

    def _allowance(self, limit: float | None) -> _Allowance | None:
        return None if limit is None else _Allowance(self._env, limit, self._spec.window_s)


class Caller:
    """One agent's dealings with a provider at one stage of its step: its draws, by step index."""

    __slots__ = ("_input", "_jitter", "_latency", "_output", "provider")

    def __init__(
        self, provider: LlmProvider, spec: Provider, laws: tuple[LawStream, LawStream], seed: int, who: str
    ) -> None:
        """Draw latencies and jitter for `who`; `laws` are the input and output tokens per call."""
        self.provider = provider
        self._input, self._output = laws
        self._latency = LawStream(spec.latency_s, seed, who, f"{spec.name}/latency")
        self._jitter = Stream(seed, who, f"{spec.name}/jitter")

    def latency_s(self, index: int) -> float:
        """The latency of the call in step `index`."""
        return self._latency.value(index)

    def ask(self, index: int) -> bool:
        """Ask once for the call of step `index`: True, or False for a 429."""
        return self.provider.try_call(self._input.value(index), self._output.value(index))

    def back_off_s(self, index: int, refusals_count: int) -> float | None:
        """How long to wait after this refusal; None: give up."""
        return self.provider.back_off_s(
            refusals_count, self._jitter.uniform(index * _REFUSALS_COUNT_MAX + refusals_count)
        )
