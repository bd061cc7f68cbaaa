"""For tests of runtimes on a real engine: where there is one, and images to try them with.

An engine is the one that DOCKER_HOST or CONTAINER_HOST names. Without, and as root, one is started for the tests with
the script that PHOTON_TEST_ENGINES names, or that lies beside the checkout in `shared/engines`:

    SCRIPT start FOLDER --docker    prints lines `export NAME=value`
    SCRIPT VERB FOLDER m1 docker    kill, restart
    SCRIPT stop FOLDER --purge

The script `images` beside it makes images: `images load CACHE NAME…`, into the engines that the environment names.
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

from attrs import frozen

VARIABLES = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}
SCRIPT_S = 300.0


class NoEngine(Exception):
    """There is none, and none could be started; the text says why."""


@frozen
class OwnEngine:
    """One that belongs to a test, to be killed and started again. `said` is what the script says of it."""

    kind: str
    folder: Path
    script: Path
    said: dict[str, str]

    @property
    def url(self) -> str:
        return self.said[VARIABLES[self.kind]]

    def do(self, verb: str) -> None:
        _run(str(self.script), verb, str(self.folder), "m1", self.kind)


def script_beside(checkout: Path) -> Path:
    """NoEngine where there is none."""
    script = Path(os.environ.get("PHOTON_TEST_ENGINES") or checkout.parent / "shared" / "engines")
    if not script.exists():
        raise NoEngine("PHOTON_TEST_ENGINES names no script that starts engines")
    if os.geteuid() != 0:
        raise NoEngine("only root can start an engine")
    return script


@contextmanager
def own_engine(kind: str, checkout: Path, *options: str) -> Iterator[OwnEngine]:
    """A `docker` or `podman` engine for this test alone; it goes at the end. NoEngine where none can be started."""
    script = script_beside(checkout)
    folder = Path(tempfile.mkdtemp(prefix="photon-engines-"))
    try:
        said = _run(str(script), "start", str(folder), f"--{kind}", *options)
        found = dict(re.findall(r"^export (\w+)=(\S+)$", said, re.MULTILINE))
        if VARIABLES[kind] not in found:
            raise NoEngine(f"{script} started no engine")
        yield OwnEngine(kind, folder, script, found)
    finally:
        _run(str(script), "stop", str(folder), "--purge")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def engine_for_tests(kind: str, checkout: Path) -> Iterator[str]:
    """The URL of an engine that tests may share, also in its environment variable."""
    variable = VARIABLES[kind]
    if url := os.environ.get(variable):
        yield url
        return
    with own_engine(kind, checkout) as engine:
        os.environ[variable] = engine.url
        try:
            yield engine.url
        finally:
            del os.environ[variable]


def load_images(checkout: Path, kind: str, url: str, *names: str) -> None:
    """Kept between runs in a folder of the checkout's cache."""
    script = script_beside(checkout).with_name("images")
    if not script.exists():
        raise NoEngine(f"the engine has no image of {', '.join(names)}, and no script makes images")
    _run(str(script), "load", str(checkout / ".cache" / "images"), *names, environment={VARIABLES[kind]: url})


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    """With no engine in its environment but those that are given."""
    env = {name: value for name, value in os.environ.items() if name not in VARIABLES.values()} | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=SCRIPT_S, check=False, env=env)
    if done.returncode != 0:
        raise NoEngine(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
    return done.stdout
