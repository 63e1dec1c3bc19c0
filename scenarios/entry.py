"""What all mappings of the scenario language have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema


class Entry(BaseModel):
    """Any mapping of the language: unknown keys are refused, reserved ones by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reserved: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Mark the reserved keys as never valid, so that an editor says why."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        text = "Reserved for a coming version of Tonnage."
        schema["properties"] |= {key: {"not": {}, "description": text} for key in cls.reserved}
        return schema
