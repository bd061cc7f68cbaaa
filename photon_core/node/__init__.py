"""A node: it keeps the chain, follows or makes blocks, talks to peers, and answers over HTTP.

`core.py` decides and does no IO; `driver.py` gives it time, disk and links; `api/` answers over HTTP; `client.py` asks.
"""

from __future__ import annotations

import sys

# httpx imports its own command line when it finds it, and with that rich and pygments: 0.25 s of CPU for every command
# that asks a node. `None` says that there is none, which httpx takes as an answer.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None is how Python marks it
