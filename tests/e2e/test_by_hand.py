"""The commands of docs/by-hand.md and README set up networks, and deployments go their whole way through them.

Blocks marked `<!-- run -->` are one terminal's, so variables and functions live on from one to the next; a block marked
`<!-- run in background as NAME until: TEXT -->` is a terminal of its own, which says TEXT when it is ready. The page
says what is put in place of its folder and ports.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

ROOT = Path(__file__).parents[2]
BY_HAND = (ROOT / "docs/by-hand.md").read_text()
VALIDATORS = (ROOT / "docs/validators.md").read_text()
FORMATS = (ROOT / "docs/formats.md").read_text()
README = (ROOT / "README.md").read_text()
FOLDER = re.compile(r"~/photon-\w+")
"""Of docs/by-hand.md and of README."""
READY_S = 60.0
STOP_S = 30.0
COMMAND_S = 120.0
_BLOCK = re.compile(r"<!-- run(?: in background as (\S+) until: (.+?))? -->\n+```bash\n(.*?)```", re.DOTALL)


@frozen
class Block:
    """`name` and `ready` are empty for the first terminal's."""

    name: str
    ready: str
    commands: str


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def blocks_of(page: str, folder: Path) -> list[Block]:
    """The page's blocks, with `folder` and free ports put in as the page says."""
    ports = [port for row in re.findall(r"^\| (\d+, \d+) \|", page, re.MULTILINE) for port in row.split(", ")]
    free = dict(zip(ports, map(str, free_ports(len(ports))), strict=True))
    found = []
    for name, ready, commands in _BLOCK.findall(page):
        text = re.sub(r"\b\d{4,5}\b", lambda match: free.get(match[0], match[0]), commands)
        found.append(Block(name, ready, FOLDER.sub(str(folder), text)))
    return found


@define
class Terminal:
    """A process and what it says. `is_ready` is set by its line with the text waited for, and by its end."""

    process: subprocess.Popen[str]
    ready: str
    lines: list[str] = field(factory=list)
    is_ready: threading.Event = field(factory=threading.Event)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if self.ready in line:
                self.is_ready.set()
        self.process.stdout.close()
        self.is_ready.set()


@define
class Terminals:
    """The first terminal and those in the background; all of them end with `close`."""

    folder: Path
    environment: dict[str, str]
    _background: dict[str, Terminal] = field(factory=dict)

    def run(self, block: Block) -> str:
        """The block's output; fails with it when a command fails."""
        kept, where = self.folder / "variables", self.folder / "where"
        script = f"""
            set -a; [ ! -e {kept} ] || {{ . {kept}; cd "$(cat {where})"; }}
            set -euo pipefail
            {block.commands}
            {{ export -p; declare -f; }} > {kept}; pwd > {where}
        """
        with subprocess.Popen(
            ["bash", "-c", script],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        ) as process:
            try:
                printed, _ = process.communicate(timeout=COMMAND_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                printed, _ = process.communicate()
        assert process.returncode == 0, f"{block.commands}\n{printed}\n{self.logs()}"
        return printed

    def start(self, block: Block) -> None:
        """Until it says that it is ready."""
        process = subprocess.Popen(
            ["bash", "-c", re.sub(r"^photon ", "exec photon ", block.commands, flags=re.MULTILINE)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        opened = self._background[block.name] = Terminal(process, block.ready)
        threading.Thread(target=opened.read, daemon=True).start()
        assert opened.is_ready.wait(READY_S), f"{block.name} did not say {block.ready!r}\n{self.logs()}"
        assert process.poll() is None, f"{block.name} ended\n{self.logs()}"

    def stop(self) -> dict[str, int]:
        """Ctrl-C in each, the last one started first; exit codes by name."""
        codes = {}
        for name, opened in reversed(self._background.items()):
            opened.process.send_signal(signal.SIGINT)
            codes[name] = opened.process.wait(STOP_S)
        return codes

    def close(self) -> None:
        for opened in self._background.values():
            if opened.process.poll() is None:
                opened.process.kill()
                opened.process.wait()

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{''.join(opened.lines)}" for name, opened in self._background.items())


CURL = """#!{python}
# Stands in for curl where there is none: the page's options, and nothing else.
import sys, urllib.request
*_, option, header, url = sys.argv[1:]
assert option == "--header"
name, _, value = header.partition(": ")
with urllib.request.urlopen(urllib.request.Request(url, headers={{name: value}}), timeout=30) as answer:
    sys.stdout.write(answer.read().decode())
"""


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHOTON_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    outside = tmp_path / "terminals"
    outside.mkdir()
    if shutil.which("curl") is None:  # a bare machine
        (outside / "curl").write_text(CURL.format(python=sys.executable))
        (outside / "curl").chmod(0o755)
        environment["PATH"] += f":{outside}"
    opened = Terminals(outside, environment)
    yield opened
    opened.close()


def follow(page: str, terminals: Terminals, folder: Path) -> str:
    """Runs all that the page says, to where everything still runs; what the first terminal has shown."""
    printed = []
    for block in blocks_of(page, folder):
        if block.name:
            terminals.start(block)
        else:
            printed.append(terminals.run(block))
    return "".join(printed)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_network_by_hand(terminals: Terminals, tmp_path: Path) -> None:
    assert "hello from photon" in follow(BY_HAND, terminals, tmp_path / "net")
    assert set(terminals.stop().values()) <= {0, 130}, terminals.logs()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_chain_of_several_operators(terminals: Terminals, tmp_path: Path) -> None:
    printed = follow(VALIDATORS, terminals, tmp_path / "net")
    assert len(re.findall(r"^[0-9a-f]{64} +1 .* of \d+ +this one$", printed, re.MULTILINE)) == 1, printed
    assert set(terminals.stop().values()) <= {0, 130}, terminals.logs()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_network_of_the_readme(terminals: Terminals, tmp_path: Path) -> None:
    printed = follow(README, terminals, tmp_path / "net")
    assert re.search(r"^deployment\s+1$", printed, re.MULTILINE), printed
    network = json.loads((tmp_path / "net/network.json").read_text())
    assert set(terminals.stop().values()) <= {0, 130}, terminals.logs()
    for entries in (network["homes"], network["members"]):
        for name in [name for name in entries if re.fullmatch(r"validator-([2-9]|\d\d)", name)]:
            del entries[name]
    assert shape(network) == shape(described("network"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_demos_document_is_as_described(terminals: Terminals) -> None:
    printed = terminals.run(Block("", "", "photon up --demo examples/web.yml --output json 2>/dev/null"))
    assert shape(json.loads(printed)) == shape(described("demo"))


def described(name: str) -> Any:
    """The example of docs/formats.md."""
    found = re.search(rf"<!-- example: {name} -->\n+```json\n(.*?)\n```", FORMATS, re.DOTALL)
    assert found
    return json.loads(found[1])


def shape(body: Any) -> Any:
    """Names and types, of a list those of its first item."""
    match body:
        case dict():
            return {name: shape(value) for name, value in body.items()}
        case list():
            return [shape(value) for value in body[:1]]
    return type(body).__name__


@pytest.mark.parametrize("page", [BY_HAND, VALIDATORS, README], ids=["by-hand", "validators", "README"])
def test_every_command_of_the_page_is_run(page: str) -> None:
    """But for the one that puts `photon` on the path, and the two lines that every terminal begins with."""
    unmarked = re.sub(r"<!-- run[^>]* -->\n+```bash\n.*?```", "", page, flags=re.DOTALL)
    lines = [line for block in re.findall(r"```bash\n(.*?)```", unmarked, re.DOTALL) for line in block.splitlines()]
    assert [line for line in lines if not line.startswith((". .venv", "cd ~/photon-", "export PHOTON_"))] == []
