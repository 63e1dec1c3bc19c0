"""How it happens: agents, policies, physics, records and statistics."""
