"""`photon completion`: click's own scripts."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from photon_core.cli.frame import Session, pass_session

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@pass_session
def completion_command(session: Session, shell: str) -> None:
    """Print the script that lets SHELL complete photon's commands.

    \b
    bash:  photon completion bash > ~/.local/share/bash-completion/completions/photon
    zsh:   photon completion zsh  > ~/.zfunc/_photon
    fish:  photon completion fish > ~/.config/fish/completions/photon.fish
    """
    from photon_core.cli import main

    completer = get_completion_class(shell)
    assert completer is not None
    script = completer(main, {}, "photon", "_PHOTON_COMPLETE").source()
    session.show({"shell": shell, "script": script}, script)
