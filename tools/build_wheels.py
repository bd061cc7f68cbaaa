#!/usr/bin/env python3
"""Build the wheels of all distributions, or of the folders named, into a folder (called by `make`).

    tools/build_wheels.py dist
    tools/build_wheels.py /tmp/wheels examples/plugins/market_firstcome

Runs with the checkout's .venv: the builds use the locked hatchling that is installed there, and fetch nothing.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def distributions() -> list[Path]:
    """The folders of all distributions that Photon is made of, as requirements/local.txt lists them."""
    lines = (CHECKOUT / "requirements/local.txt").read_text().splitlines()
    return [CHECKOUT / line.removeprefix("-e ") for line in lines if line.startswith("-e ")]


def build_wheel(folder: Path, output: Path) -> Path:
    """Build one distribution's wheel and return its path."""
    known = set(output.glob("*.whl"))
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    options = ["--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([uv, "build", *options, "--out-dir", output, folder], check=True)
    (wheel,) = set(output.glob("*.whl")) - known
    return wheel


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    output = Path(sys.argv[1])
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("photon_*.whl"):
        old.unlink()
    for folder in [Path(name) for name in sys.argv[2:]] or distributions():
        print(build_wheel(folder, output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
