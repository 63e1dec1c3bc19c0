"""Writes `schema.json`, the language as JSON Schema for editors: `python -m scenarios.schema_file`.

The schema is looser than the loader, which also reads units and checks what spans several keys.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).with_name("schema.json")
NULL = {"type": "null"}
MAY_BE_EMPTY = [{"$ref": f"#/$defs/{name}"} for name in ("Release", "Erase", "Network")]


def schema_text() -> str:
    """Return the text of `schema.json`."""
    from scenarios.schema import Scenario

    schema = _without_nulls(Scenario.model_json_schema())
    # Compose's rule for what is the author's own.
    schema["patternProperties"] = {"^x-": {}}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n"


def _without_nulls(node: Any) -> Any:  # noqa: ANN401 - JSON holds anything.
    """Take out what pydantic says of optional keys: in a file, a key is left out and never empty."""
    if isinstance(node, list):
        return [_without_nulls(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _without_nulls(item) for key, item in node.items() if not (key == "default" and item is None)}
    choices = kept.get("anyOf")
    # The keys that may stand empty say all by their name.
    if choices and NULL in choices and not any(choice in MAY_BE_EMPTY for choice in choices):
        choices = [choice for choice in choices if choice != NULL]
        del kept["anyOf"]
        kept = (choices[0] if len(choices) == 1 else {"anyOf": choices}) | kept
    return kept


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
