"""A story as JSON-ready data and back, as `scenario.json` of a record holds it.

It is `dataclasses.asdict` with one addition: every stage carries its kind under `stage`, because a hold and a leak have
the same fields. Rate limits are told apart by their fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from scenarios import story as told
from scenarios.story import Story

_STAGES: dict[str, Any] = {
    kind.__name__.lower(): kind
    for kind in (told.Take, told.Call, told.Compute, told.Hold, told.Leak, told.Sleep, told.Release)
}
_LIMITS = (told.TokenBucket, told.RollingWindow)


def story_to_json(story: Story) -> dict[str, Any]:
    """A story as JSON-ready data."""
    data = asdict(story)
    for group, written in zip(story.agents, data["agents"], strict=True):
        for stage, fields_of in zip(group.stages, written["stages"], strict=True):
            fields_of["stage"] = type(stage).__name__.lower()
    return data


def story_from_json(data: Mapping[str, Any]) -> Story:
    """Rebuild a story; KeyError or TypeError mean that the data is not one."""
    return Story(
        **{
            **data,
            "hosts": tuple(told.Host(**host) for host in data["hosts"]),
            "containers": tuple(_container(container) for container in data["containers"]),
            "agents": tuple(_agents(group) for group in data["agents"]),
            "rate_limits": tuple(_of(_LIMITS, limit)(**limit) for limit in data["rate_limits"]),
            "providers": tuple(
                told.Provider(**{**provider, "latency_s": _law(provider["latency_s"])})
                for provider in data["providers"]
            ),
            "goals": tuple(told.Goal(**goal) for goal in data["goals"]),
            "headline": tuple(data["headline"]),
            "live_scale": told.LiveScale(**data["live_scale"]),
        }
    )


def _container(data: Mapping[str, Any]) -> told.Container:
    cpuset = data["cpuset_cpus"]
    return told.Container(**{**data, "cpuset_cpus": None if cpuset is None else tuple(cpuset)})


def _agents(data: Mapping[str, Any]) -> told.AgentGroup:
    stages = tuple(_stage(stage) for stage in data["stages"])
    return told.AgentGroup(**{**data, "think_s": _law(data["think_s"]), "stages": stages})


def _stage(data: Mapping[str, Any]) -> told.Stage:
    values: dict[str, Any] = {
        name: _law(value) if isinstance(value, Mapping) else value for name, value in data.items()
    }
    stage: told.Stage = _STAGES[values.pop("stage")](**values)
    return stage


def _law(data: Mapping[str, Any]) -> told.Law:
    return told.Law(data["kind"], tuple(data["numbers"]))


def _of(kinds: tuple[Any, ...], data: Mapping[str, Any]) -> Any:  # noqa: ANN401  # One of the classes given.
    """Name the class whose fields are exactly the data's keys."""
    for kind in kinds:
        if {field.name for field in fields(kind)} == set(data):
            return kind
    raise TypeError(sorted(data))
