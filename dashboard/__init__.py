"""Looks at records and comparisons, and shows them; it decides nothing."""
