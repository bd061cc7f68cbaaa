"""Machines with real engines: `engines` starts them, each a network namespace with its own dockerd or Podman in it.

`PHOTON_TEST_ENGINES` names the program; without it, one beside the checkout is taken if it is there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGINES = Path(os.environ.get("PHOTON_TEST_ENGINES", str(ROOT.parent / "shared/engines")))
IMAGES = ENGINES.with_name("images")
IMAGES_FOLDER = ROOT / ".cache/images"
"""Archives that were built once; the next run finds them."""
START_S = 300.0
VERB_S = 120.0
_EXPORT = re.compile(r"^export (\w+)=(.*)$", re.MULTILINE)


def why_not() -> str:
    """Why there can be no machines here; empty when there can."""
    if os.geteuid() != 0:
        return "machines with engines need root"
    if not ENGINES.exists():
        return f"no program {ENGINES} that starts engines; PHOTON_TEST_ENGINES names another"
    return ""


class Machines:
    """`count` of them, with both engines each. `stop` leaves nothing behind."""

    def __init__(self, folder: Path, *, count: int = 1, registry: bool = False) -> None:
        self._state = folder
        options = ["--machines", str(count), *(["--registry"] if registry else [])]
        said = self._engines("start", *options, within_s=START_S)
        self.environment = dict(_EXPORT.findall(said))

    def stop(self) -> None:
        self._engines("stop", "--purge", within_s=START_S)
        shutil.rmtree(self._state, ignore_errors=True)

    def _engines(self, verb: str, *arguments: str, within_s: float = VERB_S) -> str:
        command = [str(ENGINES), verb, str(self._state), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    # --- where things are ------------------------------------------------------------------------------------------

    @property
    def host_address(self) -> str:
        """Where the machines reach this one."""
        return self.environment["PE_HOST_ADDRESS"]

    def address(self, machine: str) -> str:
        return self.environment[f"PE_{machine.upper()}_ADDRESS"]

    def socket(self, machine: str, engine: str) -> str:
        """As a URL."""
        name = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}[engine]
        return self.environment[name if machine == "m1" else f"PE_{machine.upper()}_{name}"]

    def inside(self, machine: str) -> list[str]:
        """What to put before a command so that it runs in the machine."""
        return [str(ENGINES), "exec", str(self._state), machine]

    def run(self, machine: str, *command: str) -> str:
        done = subprocess.run(
            [*self.inside(machine), *command], capture_output=True, text=True, timeout=VERB_S, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)} in {machine}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def load(self, *images: str) -> None:
        """Into every engine of every machine."""
        for machine in ("m1", "m2", "m3"):
            if f"PE_{machine.upper()}_ADDRESS" not in self.environment:
                continue
            hosts = {
                "DOCKER_HOST": self.socket(machine, "docker"),
                "CONTAINER_HOST": self.socket(machine, "podman"),
            }
            done = subprocess.run(
                [str(IMAGES), "load", str(IMAGES_FOLDER), *images],
                capture_output=True,
                text=True,
                timeout=START_S,
                check=False,
                env={**os.environ, **hosts},
            )
            assert done.returncode == 0, done.stdout + done.stderr

    # --- misfortune ------------------------------------------------------------------------------------------------

    def cut(self, machine: str) -> None:
        self._engines("cut", machine)

    def mend(self, machine: str) -> None:
        self._engines("mend", machine)

    def kill(self, machine: str, engine: str) -> None:
        self._engines("kill", machine, engine)

    def restart(self, machine: str, engine: str) -> None:
        self._engines("restart", machine, engine)

    def poweroff(self, machine: str) -> None:
        self._engines("poweroff", machine)
