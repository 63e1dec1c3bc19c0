"""What shall happen: the scenario language, its loader, and the library of stories."""

from __future__ import annotations

from scenarios.errors import Problem, ScenarioError
from scenarios.load import Loaded, load, load_text
from scenarios.shelf import ShelfEntry, library
from scenarios.story import Story

__all__ = ["Loaded", "Problem", "ScenarioError", "ShelfEntry", "Story", "library", "load", "load_text"]
