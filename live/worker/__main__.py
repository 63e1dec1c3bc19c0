"""The worker's entry: `python -m live.worker` bare on the host, `python -m worker` in the image."""

from __future__ import annotations

from .supervisor import main

main()
