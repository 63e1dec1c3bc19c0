"""Turns what pydantic and the coherence checks found into problems: file, line, path, value, what would have worked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import BaseModel

from scenarios.agent_schema import BARE_WORDS
from scenarios.entry import Entry
from scenarios.errors import BadValueError, Problem
from scenarios.schema import Scenario
from scenarios.wording import closest, show_path, show_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from scenarios.coherence import Finding
    from scenarios.yaml_tree import Path, Tree

# A file that is wrong in more places is wrong as a whole.
PROBLEMS_COUNT_MAX = 100
# Compose's own rule: top-level keys that start so are the author's, for anchors and notes.
OWN_PREFIX = "x-"


def problems_of(tree: Tree, errors: list[ErrorDetails]) -> Iterator[Problem]:
    """Yield the problem behind each of pydantic's errors."""
    for error in errors[:PROBLEMS_COUNT_MAX]:
        # Pydantic also calls a list too short when its items are there and wrong.
        if error["type"] != "too_short" or not _written_value(tree, error["loc"]):
            yield _problem_of(tree, error)


def findings_of(tree: Tree, findings: Iterator[Finding]) -> Iterator[Problem]:
    """Yield the problem behind each of the coherence checks' findings."""
    for finding in findings:
        yield _bad_value(tree, finding.path, BadValueError(finding.must, finding.example))


def empty_values(tree: Tree) -> Iterator[Problem]:
    """Yield a problem for each key without a value, but for those that say all by themselves and the author's own."""
    for path in _nothings(tree.value, ()):
        is_network = path[0] == "networks" and len(path) == 2
        if not is_network and path[-1] not in BARE_WORDS and not str(path[0]).startswith(OWN_PREFIX):
            yield tree.problem(path, show_path(path), f"{show_path(path)} is empty; give it a value or remove it")


def _nothings(value: object, path: Path) -> Iterator[Path]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        if item is None:
            yield (*path, step)
        else:
            yield from _nothings(item, (*path, step))


def _problem_of(tree: Tree, error: ErrorDetails) -> Problem:
    kind, location = error["type"], error["loc"]
    if kind == "extra_forbidden":
        return _unknown_key(tree, location)
    if kind == "missing":
        return _missing_key(tree, location)
    if location and location[-1] == "[key]":
        return _bad_name(tree, location[:-1])
    path = _written(tree, location)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, BadValueError):
        return _bad_value(tree, (*path, *cause.at), cause)
    return _bad_value(tree, path, BadValueError(_must(error)))


def _must(error: ErrorDetails) -> str:
    """What a value must be, for the kinds of error that pydantic itself finds."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind in {"model_type", "dict_type"}:
        return "a mapping: keys with values, one a line"
    if kind in {"tuple_type", "list_type"}:
        return "a list"
    if kind == "too_short":
        return f"at least {context['min_length']} long"
    if kind == "too_long":
        return f"at most {context['max_length']:,} long"
    return f"something else ({error['msg']})"


def _written(tree: Tree, location: Path) -> Path:
    """Reduce pydantic's location to the steps that the file has: a short form has fewer of them."""
    path: Path = ()
    value = tree.value
    for step in location:
        if isinstance(value, list) and str(step).isdecimal():
            value, path = value[int(step)], (*path, int(step))
        elif isinstance(value, dict) and step in value:
            value, path = value[step], (*path, step)
    return path


def _written_value(tree: Tree, location: Path) -> object:
    return tree.at(_written(tree, location))


def _bad_value(tree: Tree, path: Path, error: BadValueError) -> Problem:
    name = show_path(path) or "the scenario"
    try:
        value = tree.at(path)
    except (KeyError, TypeError, IndexError):
        example = f"{path[-1]}: {error.example}" if error.example else ""
        return tree.problem(path, name, f"{name} is missing; {BadValueError(error.must, example)}")
    return tree.problem(path, name, f"{name} is {show_value(value)}; {error}")


def _bad_name(tree: Tree, path: Path) -> Problem:
    must = "it must be up to 63 letters, digits, - and _, a letter or digit first; write for example coder-1"
    return tree.problem(path, show_path(path), f"{show_path(path)} is no name; {must}", at_key=True)


def _unknown_key(tree: Tree, location: Path) -> Problem:
    path = _written(tree, location)
    model, key, name = _model_at(location[:-1]), str(path[-1]), show_path(path)
    if key in model.reserved:
        text = f"{name} is reserved for a coming version of Tonnage and cannot be used yet; remove it"
        return tree.problem(path, name, text, at_key=True)
    known = [field.alias or word for word, field in model.model_fields.items()]
    nearest = closest(key, known)
    hint = f"did you mean {nearest}?" if nearest else f"the keys here are {', '.join(known)}" if known else "remove it"
    return tree.problem(path, name, f"{name} is not a key of the language; {hint}", at_key=True)


def _missing_key(tree: Tree, location: Path) -> Problem:
    path = (*_written(tree, location[:-1]), location[-1])
    model = _model_at(location[:-1])
    field = next(field for word, field in model.model_fields.items() if (field.alias or word) == location[-1])
    assert field.examples, "every required key has an example"
    example = yaml.safe_dump({location[-1]: field.examples[0]}, default_flow_style=True, sort_keys=False, width=1000)
    text = f"{show_path(path)} is missing; write for example {example.strip()[1:-1]}"
    return tree.problem(path, show_path(path), text, at_key=True)


def _model_at(location: Path) -> type[Entry]:
    """Follow the schema down a location to the model that stands there."""
    model: type[Entry] = Scenario
    is_name = False
    for step in location:
        if is_name:
            is_name = False
            continue
        fields = {field.alias or word: field for word, field in model.model_fields.items()}
        annotation = fields[str(step)].annotation
        model = _model_in(annotation) or model
        is_name = _holds_many(annotation)
    return model


def _model_in(annotation: object) -> type[Entry] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation if issubclass(annotation, Entry) else None
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)


def _holds_many(annotation: object) -> bool:
    return getattr(annotation, "__origin__", None) in {dict, tuple}
