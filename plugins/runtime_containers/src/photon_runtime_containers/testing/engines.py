"""For tests of runtimes on a real engine: where there is one, and an image to try them with.

An engine is the one that DOCKER_HOST or CONTAINER_HOST names. Without, and as root, one is started for the tests with
the script that PHOTON_TEST_ENGINES names (`SCRIPT start FOLDER --docker` prints `export DOCKER_HOST=…`), or that lies
beside the checkout in `shared/engines`; the script `images` beside it makes images.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLES = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}
STARTED_WITHIN_S = 300.0


class NoEngine(Exception):
    """There is none, and none could be started; the text says why."""


@contextmanager
def engine_for_tests(kind: str, checkout: Path) -> Iterator[str]:
    """The URL of a `docker` or `podman` engine, also in its environment variable; one that was started here goes at the
    end. NoEngine where there is none.
    """
    variable = VARIABLES[kind]
    if url := os.environ.get(variable):
        yield url
        return
    script = Path(os.environ.get("PHOTON_TEST_ENGINES") or checkout.parent / "shared" / "engines")
    if not script.exists():
        raise NoEngine(f"{variable} names no engine, and PHOTON_TEST_ENGINES no script that starts one")
    if os.geteuid() != 0:
        raise NoEngine(f"{variable} names no engine, and only root can start one")
    folder = Path(tempfile.mkdtemp(prefix="photon-engines-"))
    try:
        said = _run(str(script), "start", str(folder), f"--{kind}")
        found = re.search(rf"^export {variable}=(\S+)$", said, re.MULTILINE)
        if found is None:
            raise NoEngine(f"{script} started no engine")
        os.environ[variable] = found[1]
        yield found[1]
    finally:
        os.environ.pop(variable, None)
        _run(str(script), "stop", str(folder), "--purge")
        shutil.rmtree(folder, ignore_errors=True)


def load_images(checkout: Path, *names: str) -> None:
    """Into the engines that the environment names. Kept between runs in a folder of the checkout's cache."""
    script = Path(os.environ.get("PHOTON_TEST_ENGINES") or checkout.parent / "shared" / "engines").with_name("images")
    if not script.exists():
        raise NoEngine(f"the engine has no image of {', '.join(names)}, and there is no script that makes images")
    _run(str(script), "load", str(checkout / ".cache" / "images"), *names)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=STARTED_WITHIN_S, check=False)
    if done.returncode != 0:
        raise NoEngine(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
    return done.stdout
