#!/usr/bin/env python3
"""Try Photon as a new user would: on a bare Debian 12, from a clean clone, with nothing but README's commands.

    sudo tools/bare_machine.py                                    # make run, then make test, as root
    sudo tools/bare_machine.py --as user --command "make run" --command "make run"

A Debian of the smallest kind is made once by debootstrap (from the mirror that this host's apt uses), README's
prerequisites are installed in it, and it is kept in a cache folder (`--root` names another one). Each call copies it,
enters the copy by pivot_root in a mount and pid namespace of its own, clones this checkout in it (what is committed),
and runs the commands one after the other. A command fails if it exits with another status than 0, or leaves a process
or a mount behind. The copy is removed at the end unless `--keep` is given. The network is the host's, and so are its
settings for apt, pip and uv, its proxies and its certificates, where it has such: a closed network needs them. Nothing
else of the host is seen.

Needs root, debootstrap, git, and unshare (util-linux) on the host; only the standard library of Python.
"""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
INSIDE = Path(__file__).with_name("bare_machine_inside.sh")
SUITE = "bookworm"
PREREQUISITES = ("git", "make", "python3-venv")  # what README asks for, and not one more
KEPT = ".kept"  # a copy with this file in it was asked for by --keep
USERS = {"root": "root", "user": "tenant"}
# The namespaces, and everything in them, die with this program, however it dies.
NEW_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"),
)
DEFAULT_COMMANDS = ("make run", "make test")

# What a host behind a proxy or a private index has to tell its package clients. No other variable of the host gets in.
NETWORK_VARIABLES = (
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_PROXY", "PIP_DEFAULT_TIMEOUT"),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT"),
)
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")
SETTINGS = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/uv/uv.toml", "/etc/ssl/certs/ca-certificates.crt")
HOME_SETTINGS = (".config/pip/pip.conf", ".pip/pip.conf", ".config/uv/uv.toml")


class Refusal(Exception):
    """Why the machine cannot be made or entered, and what to do."""


@dataclass
class Run:
    """One command in the bare machine, and how it ended."""

    command: str
    seconds: float = 0.0
    status: int | None = None
    left: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.status == 0 and not self.left


def say(text: str) -> None:
    print(f"bare machine: {text}", flush=True)


def check_prerequisites() -> None:
    if os.geteuid() != 0:
        raise Refusal(f"needs root (namespaces, mounts, debootstrap). Run: sudo {sys.argv[0]}")
    for tool, package in {"debootstrap": "debootstrap", "git": "git", "unshare": "util-linux"}.items():
        if shutil.which(tool) is None:
            raise Refusal(f"{tool} is not here. Install it: sudo apt install {package}")


def apt_sources() -> list[str]:
    """Where this host's apt gets this Debian from, as lines of a sources.list; none if the host is no Debian 12."""
    fields = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(COMPONENT)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line.split("|") for line in listed.stdout.splitlines()]
    return sorted(
        f"deb {uri} {codename} {component}"
        for origin, codename, uri, component in found
        if origin == "Debian" and component == "main" and codename.startswith(SUITE)
    )


def apt_settings() -> str:
    """The host's proxy, certificates and checks for apt, as a file for apt.conf.d."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    kept = ("Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIPv")
    return "".join(f"{line}\n" for line in dump.splitlines() if line.startswith(kept) and ":: " not in line)


def copy_settings(root: Path) -> None:
    """Give the machine the host's settings for the network; what the host does not have, the machine does not get."""
    certificates = [os.environ[name] for name in CERTIFICATE_VARIABLES if name in os.environ]
    for name in [*SETTINGS, *certificates]:
        source, target = Path(name), root / name.lstrip("/")
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # resolv.conf may be a link to where nothing is
            shutil.copyfile(source, target)
    for name in HOME_SETTINGS:
        source = Path.home() / name
        if source.is_file():
            for home in (root / "root", root / "home" / USERS["user"]):
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, home / name)


def machine_environment() -> dict[str, str]:
    passed = {name: os.environ[name] for name in NETWORK_VARIABLES if name in os.environ}
    passed |= {name: os.environ[name] for name in CERTIFICATE_VARIABLES if Path(os.environ.get(name, "")).is_file()}
    return passed | {"LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb")}


def enter(root: Path, user: str, commands: Sequence[str], timeout_s: float) -> list[Run]:
    """Run commands in `root` until one fails; each that was started is in the result."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*NEW_NAMESPACES, str(INSIDE), str(root), user, *commands],
        env=machine_environment() | {"PATH": os.defpath + ":/usr/sbin:/sbin", "REPORT_FD": str(writer)},
        stdin=subprocess.DEVNULL,
        pass_fds=[writer],
    )
    os.close(writer)
    runs: list[Run] = []
    started_at = time.monotonic()
    timer = threading.Timer(timeout_s, process.kill)
    try:
        with os.fdopen(reader, encoding="utf-8", errors="replace") as reports:
            for line in reports:
                match line.rstrip("\n").split(" ", 2):
                    case ["start", number]:
                        say(f"[{user}] $ {commands[int(number)]}")
                        runs.append(Run(commands[int(number)]))
                        started_at = time.monotonic()
                        timer.cancel()
                        timer = threading.Timer(timeout_s, process.kill)
                        timer.start()
                    case ["left", _, what]:
                        runs[-1].left.append(what)
                        say(f"left behind: {what}")
                    case ["end", _, status]:
                        runs[-1].status, runs[-1].seconds = int(status), round(time.monotonic() - started_at, 3)
                        say(f"status {status} after {runs[-1].seconds:.1f} s")
    finally:
        timer.cancel()
        process.kill()  # whatever happened: with it goes the namespace's process 1, and with that everything in it
        process.wait()
    if runs and runs[-1].status is None:
        runs[-1].seconds = round(time.monotonic() - started_at, 3)
        say(f"ended by force after {runs[-1].seconds:.0f} s (a command may take {timeout_s:.0f} s)")
    return runs


def make_base(base: Path) -> None:
    """Make the bare Debian with README's prerequisites in `base`, unless it is there."""
    base.parent.mkdir(parents=True, exist_ok=True)
    with base.with_name(base.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if base.exists():
            return
        say(f"making a bare Debian {SUITE} in {base} (a minute, once)")
        unfinished = base.with_name(base.name + ".unfinished")
        remove_tree(unfinished)
        sources = apt_sources()
        mirrors = [line.split()[1] for line in sources if line.split()[2] == SUITE]
        log = base.with_name(base.name + ".log")
        # Without a mirror of the host's own, debootstrap knows one.
        debootstrap = ["debootstrap", "--variant=minbase", SUITE, str(unfinished), *mirrors[:1]]
        with log.open("w") as output:
            made = subprocess.run(debootstrap, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False)
        if made.returncode != 0:
            raise Refusal(f"debootstrap failed; see {log}")
        if sources:
            (unfinished / "etc/apt/sources.list").write_text("\n".join(sources) + "\n")
        (unfinished / "etc/apt/apt.conf.d/99host").write_text(apt_settings())
        copy_settings(unfinished)
        steps = [
            "apt-get -q update",
            f"DEBIAN_FRONTEND=noninteractive apt-get -qq install -y {' '.join(PREREQUISITES)} >/dev/null",
            "apt-get clean",
            f"useradd --create-home --shell /bin/bash {USERS['user']}",
        ]
        runs = enter(unfinished, "root", steps, timeout_s=600)
        if len(runs) != len(steps) or not all(run.passed for run in runs):
            raise Refusal(f"could not install {' '.join(PREREQUISITES)} in {unfinished}; it is left there to look at")
        unfinished.rename(base)


def remove_tree(folder: Path) -> None:
    """Remove a machine's files, but never through a mount that is still there."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [point for point in mounted if Path(point).is_relative_to(folder)]
    if below:
        raise Refusal(f"still mounted, not removing {folder}: {' '.join(below)}")
    if folder.exists():
        shutil.rmtree(folder)


def sweep_copies(base: Path) -> None:
    """Remove the copies of calls that were killed: the lock that each call holds on its copy went with it."""
    for abandoned in base.parent.glob(base.name + ".run-*"):
        descriptor = os.open(abandoned, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (abandoned / KEPT).exists():
                remove_tree(abandoned)
        except BlockingIOError:
            pass  # in use
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def machine_copy(base: Path, keep: bool) -> Iterator[Path]:
    """Copy the bare Debian for one call, and remove the copy at the end."""
    root = Path(tempfile.mkdtemp(prefix=base.name + ".run-", dir=base.parent))
    descriptor = os.open(root, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        subprocess.run(["cp", "-a", "--reflink=auto", f"{base}/.", str(root)], check=True)
        copy_settings(root)
        if keep:
            (root / KEPT).touch()
        yield root
    finally:
        if keep:
            say(f"kept in {root}")
        else:
            remove_tree(root)
        os.close(descriptor)


def put_repository(root: Path, user: str) -> None:
    """Put what is committed here into the machine, as a repository that `user` may clone."""
    status = subprocess.run(["git", "status", "--porcelain"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    if status.stdout:
        say("note: uncommitted changes of this checkout are not in the clone")
    target = root / "srv/photon.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", "--no-hardlinks", str(CHECKOUT), str(target)], check=True)
    subprocess.run(["chroot", str(root), "chown", "-R", f"{user}:", "/srv/photon.git"], check=True)
    subprocess.run(["chroot", str(root), "chown", "-R", f"{USERS['user']}:", f"/home/{USERS['user']}"], check=True)


def arguments() -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as", dest="who", choices=sorted(USERS), default="root", help="who runs the commands")
    parser.add_argument("--command", action="append", help=f"repeatable; by default {' and '.join(DEFAULT_COMMANDS)}")
    parser.add_argument(
        "--root", type=Path, default=cache / "photon" / f"bare-{SUITE}", help="the bare Debian, kept for reuse"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the copy that the commands ran in, and say where it is"
    )
    parser.add_argument("--timeout", type=float, default=1200, metavar="SECONDS", help="for each command")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the outcome of each command there, as JSON")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        check_prerequisites()
        base, user = chosen.root.resolve(), USERS[chosen.who]
        make_base(base)
        sweep_copies(base)
        commands = list(chosen.command or DEFAULT_COMMANDS)
        with machine_copy(base, chosen.keep) as root:
            put_repository(root, user)
            steps = ["git clone --quiet /srv/photon.git photon", *(f"cd photon && {command}" for command in commands)]
            runs = enter(root, user, steps, chosen.timeout)
    except Refusal as refusal:
        say(str(refusal))
        return 2
    if chosen.report is not None:
        chosen.report.write_text(json.dumps([asdict(run) | {"passed": run.passed} for run in runs], indent=2) + "\n")
    passed = len(runs) == len(steps) and all(run.passed for run in runs)
    say("all commands passed, nothing was left behind" if passed else "FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
