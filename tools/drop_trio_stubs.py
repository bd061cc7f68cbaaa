#!/usr/bin/env python3
"""Remove the outdated types of trio from the environment of the Python that runs this.

trio has types of its own. libp2p pulls in trio-typing, whose stubs of an old trio mypy would prefer to them.
"""

import shutil
import sysconfig
from pathlib import Path

shutil.rmtree(Path(sysconfig.get_path("purelib")) / "trio-stubs", ignore_errors=True)
