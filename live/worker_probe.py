"""The health check of a container with our worker: what the engine runs in it to ask the supervisor how it is.

The container needs TONNAGE_HEALTH=1 in its environment, or its supervisor never answers (`worker/health.py`).
In the engine's words: `"Test": ["CMD", *PROBE, str(timeout_s)]`.
"""

from __future__ import annotations

# Without a path, because the interpreter lies elsewhere in an image with a base of its own; the engine starts it in the
# image's own directory, so that the worker is found. As with the worker itself, the flags and `-c` are what costs
# least, and it is paid at each probe.
PROBE = ("python3", "-S", "-E", "-s", "-c", "from worker.health import main; main()")
