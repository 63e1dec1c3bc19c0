"""A story with every key of a container's life and every fault, which several tests look at from their own side."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(name="life_text", scope="session")
def _life_text() -> str:
    """The story as YAML."""
    return Path(__file__).with_name("life.yaml").read_text(encoding="utf-8")
