"""What every command stands on: options, output, errors, passphrases. A verb's module imports from here.

A verb in full:

    @click.command("hello")
    @click.argument("name")
    @pass_session
    def hello_command(session: Session, name: str) -> None:
        \"\"\"Greet somebody.\"\"\"
        session.show({"greeting": f"Hello, {name}!"}, lambda: f"Hello, {name}!")

and a line in `photon_core/cli/verbs.py`. The options `--output`, `--plugin`, `--home` and `--config` come by
themselves; errors are raised as `PhotonError` and become a message and an exit code.
"""

from photon_core.cli.frame.output import Facts, Human, Output, Table
from photon_core.cli.frame.passphrase import passphrase_option, read_passphrase
from photon_core.cli.frame.session import Session, pass_session

__all__ = [
    "Facts",
    "Human",
    "Output",
    "Session",
    "Table",
    "pass_session",
    "passphrase_option",
    "read_passphrase",
]
