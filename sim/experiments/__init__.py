"""Experiments: questions that take many runs of a story, in either world."""
