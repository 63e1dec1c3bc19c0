"""`schema.json`, which editors read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scenarios import library
from scenarios.agent_schema import Stage
from scenarios.container_schema import Container, Dependency, HealthCheck, Network
from scenarios.schema import Scenario
from scenarios.schema_file import SCHEMA_FILE, schema_text
from scenarios.yaml_tree import read_tree

SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def test_the_file_is_what_the_models_say() -> None:
    """`python -m scenarios.schema_file` writes it anew."""
    assert schema_text() == SCHEMA_FILE.read_text(encoding="utf-8")


def test_every_key_has_a_description() -> None:
    """An editor shows it when the key is typed."""
    models = {"Scenario": SCHEMA, **{name: model for name, model in SCHEMA["$defs"].items() if "properties" in model}}
    bare = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, field in model["properties"].items()
        if "description" not in field and not name.endswith("Law")
    ]

    assert [] == bare


@pytest.mark.parametrize("key", Scenario.reserved)
def test_reserved_keys_are_marked_as_never_valid(key: str) -> None:
    """An editor underlines them and says why."""
    assert {"not": {}, "description": "Reserved for a coming version of Tonnage."} == SCHEMA["properties"][key]


def test_reserved_keys_are_not_keys_of_the_language() -> None:
    """A key is either built or reserved."""
    models = (Scenario, Container, HealthCheck, Dependency, Network, Stage)

    assert [] == [model for model in models if set(model.reserved) & set(model.model_fields)]


def test_the_library_is_valid_under_the_schema(life_text: str) -> None:
    """An editor must not complain about what the loader takes."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(SCHEMA)
    texts = [life_text, *(entry.path.read_text(encoding="utf-8") for entry in library())]
    values = [read_tree(text, "t").value for text in texts]

    assert [] == [error.message for value in values for error in validator.iter_errors(value)]
