"""The frame around every command: options, output, errors, exit codes."""

import json
import subprocess
import sys

import click
import pytest
import trio
from click.testing import CliRunner

from photon_core.api.errors import ExitCode, PhotonError, UsageError
from photon_core.cli import main
from photon_core.cli.frame import Facts, Output, Session, Table, pass_session
from photon_core.cli.frame.errors import wants_json
from photon_core.cli.frame.options import add_common_options
from photon_core.cli.frame.output import printable
from photon_core.cli.verbs import ALIASES, SECTIONS, VERBS, Verb


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in ("PHOTON_PLUGINS", "PHOTON_OUTPUT", "PHOTON_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PHOTON_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def verb(monkeypatch):
    """Makes a command of `photon` out of a function."""

    def make(function):
        command = click.command("try")(function)
        monkeypatch.setitem(VERBS, "try", Verb("try", f"{__name__}:command", "For tests."))
        monkeypatch.setattr("photon_core.cli.frame.group._import", lambda found: command)
        return command

    return make


def run(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


# --- options ---------------------------------------------------------------------------------------------------------


def test_common_options_are_taken_before_and_after_the_verb(verb, tmp_path):
    seen = []

    @pass_session
    def command(session: Session) -> None:
        seen.append((session.output, session.plugins, session.home.name))

    verb(command)
    run("--output", "json", "--plugin", "market_a", "--home", "/before", "try")
    run("try", "--output=json", "--plugin", "market_a", "--home", "/before")
    run("--plugin", "market_a", "--output", "table", "try", "--plugin", "runtime_b", "--output", "json")
    assert seen[0] == seen[1] == (Output.JSON, ("market_a",), "before")
    assert seen[2] == (Output.JSON, ("market_a", "runtime_b"), tmp_path.name)


def test_every_command_has_the_common_options():
    def walk(command, path):
        assert "--output" in {option for parameter in command.params for option in parameter.opts}, path
        for name, below in getattr(command, "commands", {}).items():
            walk(below, f"{path} {name}")

    context = click.Context(main)
    for name in VERBS:
        command = main.get_command(context, name)
        assert command is not None
        walk(command, name)


def test_options_are_added_once():
    command = add_common_options(add_common_options(click.Command("x")))
    assert [parameter.opts for parameter in command.params].count(["--output"]) == 1


# --- help ------------------------------------------------------------------------------------------------------------


def test_help_shows_every_verb_under_its_heading():
    result = run("--help")
    assert result.exit_code == 0
    for section in SECTIONS:
        assert (section.title in result.output) == bool(section.verbs)
        for verb in section.verbs:
            assert verb.summary in result.output


def test_every_verb_can_be_loaded_and_explains_itself():
    context = click.Context(main)
    for name in [*VERBS, *ALIASES]:
        command = main.get_command(context, name)
        assert isinstance(command, click.Command), name
        assert command.help, name


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom photon_core.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('trio', 'libp2p', 'rich', 'httpx', 'lmdb', 'cbor2', 'nacl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_verb_is_told_with_what_is_like_it():
    result = run("plugni")
    assert result.exit_code == ExitCode.USAGE
    assert "Did you mean plugin?" in result.stderr


# --- errors ----------------------------------------------------------------------------------------------------------


ERROR = PhotonError(
    code="not-found", what="there is no deployment 17", remedy="photon list shows them", exit_code=ExitCode.NOT_FOUND
)


def failing(error):
    def command():
        raise error

    return command


def test_an_error_is_text_on_stderr_and_its_exit_code(verb):
    verb(failing(ERROR))
    result = run("try")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert result.stdout == ""
    assert result.stderr == "Error: there is no deployment 17\n  photon list shows them\n"


def test_with_json_an_error_is_a_document_on_stdout(verb):
    verb(failing(ERROR))
    result = run("try", "--output", "json")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert json.loads(result.stdout) == {
        "error": {"code": "not-found", "what": "there is no deployment 17", "remedy": "photon list shows them"}
    }


def test_bad_arguments_are_a_document_too(verb):
    verb(failing(ERROR))
    result = run("try", "--output", "json", "--no-such-option")
    assert result.exit_code == ExitCode.USAGE
    assert json.loads(result.stdout)["error"]["code"] == "usage"


def test_an_unforeseen_error_is_one_line_and_how_to_see_more(verb):
    verb(failing(KeyError("x")))
    result = run("try")
    assert result.exit_code == ExitCode.BUG
    assert "internal error: KeyError: 'x'" in result.stderr
    assert "PHOTON_DEBUG=1" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_traceback_is_shown_on_demand(verb, monkeypatch):
    monkeypatch.setenv("PHOTON_DEBUG", "1")
    verb(failing(KeyError("x")))
    assert "Traceback" in run("try").stderr


def test_an_error_of_the_machine_is_no_bug(verb):
    verb(failing(PermissionError(13, "Permission denied", "/root/x")))
    result = run("try")
    assert result.exit_code == ExitCode.FAILED
    assert "/root/x: Permission denied" in result.stderr


def test_an_error_in_a_nursery_is_the_error(verb):
    async def child():
        raise ERROR

    async def parent():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)

    verb(lambda: trio.run(parent))
    assert run("try").exit_code == ExitCode.NOT_FOUND


def test_a_bug_beside_a_foreseen_error_is_not_hidden(verb):
    verb(failing(ExceptionGroup("two", [ERROR, KeyError("x")])))
    assert run("try").exit_code == ExitCode.BUG


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseExceptionGroup("x", [KeyboardInterrupt()])])
def test_ctrl_c_is_quiet(verb, error):
    verb(failing(error))
    result = run("try")
    assert result.exit_code == ExitCode.INTERRUPTED
    assert "Traceback" not in result.stderr


def test_ctrl_c_while_it_imports_is_quiet():
    script = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'photon_core.cli.verbs': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\nimport photon_core.cli"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.INTERRUPTED, "", "")


def test_a_reader_that_leaves_is_quiet():
    script = (
        "import click\nfrom photon_core.cli import main\nfrom photon_core.cli.frame import group\n"
        "from photon_core.cli.verbs import VERBS, Verb\n"
        "@click.command()\ndef command():\n    for _ in range(100_000): click.echo('line')\n"
        "VERBS['try'] = Verb('try', '', '')\ngroup._import = lambda verb: command\nmain(['try'])"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == ExitCode.READER_GONE


@pytest.mark.parametrize(
    ("arguments", "json_wanted"),
    [
        (["--output", "json", "list"], True),
        (["list", "--output=json"], True),
        (["list", "--output", "table"], False),
        (["exec", "--", "tool", "--output", "json"], False),
        (["list"], False),
    ],
)
def test_json_is_wanted(arguments, json_wanted):
    assert wants_json(arguments) == json_wanted


# --- output ----------------------------------------------------------------------------------------------------------


def test_tables_are_plain_where_nobody_looks(verb):
    @pass_session
    def command(session: Session) -> None:
        facts = Facts([("name", "x"), ("left out", None)])
        session.show({"a": 1}, [facts, Table(("id", "name"), [(1, "a"), (22, "b")])])

    verb(command)
    assert run("try").stdout == "name  x\n\nID  NAME\n 1  a\n22  b\n"
    assert json.loads(run("try", "--output", "json").stdout) == {"a": 1}


def test_an_empty_table_says_so(verb):
    verb(pass_session(lambda session: session.show([], Table(("id",), [], "no deployment yet"))))
    assert run("try").stdout == "no deployment yet\n"


def test_progress_never_mixes_with_the_result(verb):
    @pass_session
    def command(session: Session) -> None:
        session.progress("waiting")
        session.show({}, "done")

    verb(command)
    result = run("try", "--output", "json")
    assert (json.loads(result.stdout), result.stderr) == ({}, "waiting\n")


def test_what_strangers_write_does_not_steer_the_terminal():
    assert printable("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
    assert printable("a\nb", keep="\n") == "a\nb"


# --- configuration ---------------------------------------------------------------------------------------------------


def test_plugins_come_from_flag_config_and_environment(verb, home, monkeypatch):
    (home / "config.toml").write_text('plugins = ["runtime_process", "market_posted"]\n')
    monkeypatch.setenv("PHOTON_PLUGINS", "market_auction pricing_fixed")
    seen = []
    verb(pass_session(lambda session: seen.append(session.choice(defaults=["transport_memory"]).names)))
    result = run("try", "--plugin", "runtime_podman")
    assert result.exit_code == 0, result.output
    assert seen == [("market_posted", "transport_memory", "runtime_podman", "pricing_fixed")]


def test_a_config_that_is_no_toml_is_bad_input(verb, home):
    (home / "config.toml").write_text("plugins =")
    verb(pass_session(lambda session: session.choice()))
    result = run("try")
    assert result.exit_code == ExitCode.USAGE
    assert "config.toml" in result.stderr


def test_usage_errors_exit_with_two():
    assert UsageError(code="x", what="y").exit_code == ExitCode.USAGE
