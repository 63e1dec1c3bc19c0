"""The same story on a real Docker engine, in real time."""
