"""Decisions, blind to the world: they know only the port and the clock."""
