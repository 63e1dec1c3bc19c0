"""Which physics a simulated run uses: the kernel's, a coarser one for long stories, or one that is deliberately broken.

The broken ones are the negative controls of `tonnage validate`: a comparison that does not catch them is worth nothing.
"""

from __future__ import annotations

from typing import Literal

Resolution = Literal["kernel", "periods"]
Variant = Literal["kernel", "periods", "fluid_quota", "no_oom", "no_reclaim", "wrong_weights"]

# Each control breaks one thing; where a story does not have that thing, the control cannot be seen in it.
BROKEN: dict[Variant, str] = {
    "fluid_quota": "the CPU quota is taken for a rate: no periods, no throttling, no run queues, no ticks",
    "no_oom": "memory has no limit: nobody is killed",
    "no_reclaim": "page cache gives way to nothing: what is in memory stays there",
    "wrong_weights": "cpu_shares are ignored: all containers weigh the same",
}
