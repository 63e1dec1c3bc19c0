"""A story as JSON-ready data and back, as `scenario.json` of a record holds it.

It is `dataclasses.asdict` with two additions: every stage carries its kind under `stage` and every fault its own under
`fault`, because a hold and a leak have the same fields. Rate limits are told apart by their fields.
What an older record does not have yet is as the story's classes have it by default. A story that calibrates nothing
does not speak of it, nor a host without a probe of probes, nor a container without a volume of volumes, so that such a
story reads the same in records of any age.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, get_args

from scenarios import story as told
from scenarios.story import Story

_STAGES: dict[str, Any] = {kind.__name__.lower(): kind for kind in get_args(told.Stage)}
_FAULTS: dict[str, Any] = {kind.__name__: kind for kind in get_args(told.Fault)}
_LIMITS = (told.TokenBucket, told.RollingWindow)


def story_to_json(story: Story) -> dict[str, Any]:
    """A story as JSON-ready data."""
    data = asdict(story)
    for group, written in zip(story.agents, data["agents"], strict=True):
        for stage, fields_of in zip(group.stages, written["stages"], strict=True):
            fields_of["stage"] = type(stage).__name__.lower()
    for fault, written in zip(story.faults, data["faults"], strict=True):
        written["fault"] = type(fault).__name__
    if story.calibrate is None:
        del data["calibrate"]
    # What is asked about a story is no part of it, and would make another story of the one that was run before.
    del data["vary"]
    for container in data["containers"]:
        if container["volume"] is None:
            del container["volume"]
    for host in data["hosts"]:
        if host["probe"] is None:
            del host["probe"]
    return data


def story_from_json(data: Mapping[str, Any]) -> Story:
    """Rebuild a story; KeyError or TypeError mean that the data is not one."""
    return Story(
        **{
            **data,
            "hosts": tuple(_host(host) for host in data["hosts"]),
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
            "networks": tuple(told.Network(**network) for network in data.get("networks", ())),
            "faults": tuple(_fault(fault) for fault in data.get("faults", ())),
            "calibrate": told.Calibrate(**data["calibrate"]) if data.get("calibrate") else None,
        }
    )


def _host(data: Mapping[str, Any]) -> told.Host:
    probe = data.get("probe")
    return told.Host(**{**data, "probe": told.HostProbe(**probe) if probe else None})


def _container(data: Mapping[str, Any]) -> told.Container:
    readers: dict[str, Callable[[Any], Any]] = {
        "cpuset_cpus": tuple,
        "restart": lambda policy: told.RestartPolicy(**policy),
        "health": lambda check: told.HealthCheck(**{**check, "command": tuple(check["command"])}),
        "dependencies": lambda waited: tuple(told.Dependency(**one) for one in waited),
        "networks": tuple,
        "tmpfs": lambda mounts: tuple(told.Tmpfs(**one) for one in mounts),
        "foreign": _foreign,
        "volume": lambda volume: told.Volume(**volume),
    }
    read = {
        name: readers[name](value) if name in readers and value is not None else value for name, value in data.items()
    }
    return told.Container(**read)


def _foreign(data: Mapping[str, Any]) -> told.Foreign:
    return told.Foreign(
        **{
            **data,
            "command": tuple(data["command"]),
            "environment": tuple((name, value) for name, value in data["environment"]),
            "mounts": tuple(told.Mount(**mount) for mount in data["mounts"]),
            "capabilities": tuple(data["capabilities"]),
        }
    )


def _fault(data: Mapping[str, Any]) -> told.Fault:
    values = {name: value for name, value in data.items() if name != "fault"}
    if "when" in values:
        values["when"] = told.When(*(law and _law(law) for law in (data["when"]["first_s"], data["when"]["every_s"])))
    if "late_s" in values:
        values["late_s"] = _law(data["late_s"])
    fault: told.Fault = _FAULTS[data["fault"]](**values)
    return fault


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
