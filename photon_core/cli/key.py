"""`photon key`: the keys in the home folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from photon_core.api.errors import UsageError
from photon_core.cli.frame import Facts, Session, Table, pass_session, passphrase_option, read_passphrase
from photon_core.cli.tenancy import KEYS_FOLDER, network_passphrase_file, use_network

if TYPE_CHECKING:
    from photon_core.chain.keys import KeyPurpose
    from photon_core.chain.keystore import Keystore

WORDS_CHARS_MAX = 1024
"""24 words of at most 8 letters fit several times."""

# The values of KeyPurpose and Cost, which come with the whole of the cryptography; a test compares them.
PURPOSES = ("account", "consensus", "node", "payee", "operator")
COSTS = ("interactive", "moderate")

purpose_option = click.option(
    "--purpose", type=click.Choice(PURPOSES), default="account", show_default=True, help="What the key is for."
)
cost_option = click.option(
    "--cost",
    type=click.Choice(COSTS),
    default="moderate",
    show_default=True,
    help="How long each try of a passphrase takes: 40 or 300 ms.",
)


ALIASES = {"backup": "export", "restore": "import"}
"""What people look for first, and what it is called here."""


class KeyGroup(click.Group):
    """Takes the aliases as well."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))


@click.group("key", cls=KeyGroup)
def key_group() -> None:
    """Create, list, back up and restore keys.

    A key is one encrypted file in the folder keys of the home folder. One key has one purpose: an account holds money,
    a payee registers a provider and is paid, an operator is its agent's, a validator has a consensus key, a node its
    own.

    \b
    photon key create alice
    photon key list
    photon key export alice     the words to write down; also: photon key backup
    photon key import alice     the key out of its words; also: photon key restore
    """


def keystore(session: Session) -> Keystore:
    """The keys of this session's home: that of the network in PHOTON_NETWORK, unless somebody named another."""
    from photon_core.chain.keystore import Keystore

    use_network(session, None, must=False)  # keys are there also while the network is not running
    return Keystore(session.home / KEYS_FOLDER)


def _passphrase(session: Session, given: Path | None, *, of: str, confirm: bool = False) -> str:
    """A network's own passphrase opens its homes' keys, here as for every other verb."""
    body = use_network(session, None, must=False)
    return read_passphrase(given or network_passphrase_file(body, session.home), of=of, confirm=confirm)


@key_group.command("create")
@click.argument("name")
@purpose_option
@cost_option
@passphrase_option
@pass_session
def create_command(session: Session, name: str, purpose: str, cost: str, passphrase_file: Path | None) -> None:
    """Make a new key called NAME and show its address.

    There is no way to open a key whose passphrase is lost but its words: see photon key export.
    """
    _store(session, name, purpose, cost, passphrase_file, words=None)


@key_group.command("import")
@click.argument("name")
@click.option(
    "--words-file", type=click.File("r"), metavar="FILE", help="Read the 24 words from FILE, or - for standard input."
)
@purpose_option
@cost_option
@passphrase_option
@pass_session
def import_command(
    session: Session, name: str, words_file: TextIO | None, purpose: str, cost: str, passphrase_file: Path | None
) -> None:
    """Restore a key from its 24 words, under a new passphrase.

    The words are asked for on a terminal. They do not say what the key was for: give the same --purpose again.
    """
    from photon_core.chain.keystore import seed_of

    words = _read_words(words_file)
    seed_of(words)  # words that are wrong are told before a passphrase is asked for
    _store(session, name, purpose, cost, passphrase_file, words=words)


@key_group.command("export")
@click.argument("name")
@passphrase_option
@pass_session
def export_command(session: Session, name: str, passphrase_file: Path | None) -> None:
    """Print the 24 words of a key: whoever reads them has the key, and all that it owns.

    Write them on paper. photon key import makes the key of them again, on any machine.
    """
    from photon_core.chain.keystore import words_of

    store = keystore(session)
    store.show(name)
    key = store.unlock(name, _passphrase(session, passphrase_file, of=f"key {name}"))
    session.progress("Whoever has these words has the key. Write them on paper, and nowhere else.")
    session.show({"name": name, "purpose": key.purpose, "words": words_of(key)}, words_of(key))


@key_group.command("list")
@pass_session
def list_command(session: Session) -> None:
    """List the keys with their purposes and addresses. Needs no passphrase."""
    documents = [_document(session, info.name, info.purpose, info.public) for info in keystore(session).list()]
    rows = [(each["name"], each["purpose"], each["address"] or each["public_key"]) for each in documents]
    session.show(
        {"keys": documents},
        Table(("name", "purpose", "address or public key"), rows, "no key yet; make one: photon key create NAME"),
    )


@key_group.command("show")
@click.argument("name")
@pass_session
def show_command(session: Session, name: str) -> None:
    """Show one key: its purpose, address, public key and file. Needs no passphrase."""
    info = keystore(session).show(name)
    document = _document(session, info.name, info.purpose, info.public)
    session.show(document, Facts(list(document.items())))


@key_group.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def delete_command(session: Session, name: str, yes: bool) -> None:
    """Delete a key for ever. What it owns is lost unless its words are kept: photon key export."""
    store = keystore(session)
    store.show(name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                code="confirm", what=f"deleting the key {name} was not confirmed", remedy="Add --yes if you mean it."
            )
        click.confirm(f"Delete the key {name} and lose what it owns, unless its words are kept?", abort=True, err=True)
    store.delete(name)
    session.show({"deleted": name}, f"Deleted the key {name}.")


def _store(
    session: Session, name: str, purpose: str, cost: str, passphrase_file: Path | None, words: str | None
) -> None:
    from photon_core.chain.keys import KeyPurpose
    from photon_core.chain.keystore import Cost

    passphrase = _passphrase(session, passphrase_file, of=f"the new key {name}", confirm=True)
    key = keystore(session).create(name, KeyPurpose(purpose), passphrase, Cost(cost), words)
    document = _document(session, name, key.purpose, key.public)
    session.show(document, Facts(list(document.items())))


def _document(session: Session, name: str, purpose: KeyPurpose, public: bytes) -> dict[str, str | None]:
    """What anybody may know of a key; keys that sign no transactions have no address."""
    from photon_core.api.bech32m import encode_address
    from photon_core.chain.keys import address_of

    return {
        "name": name,
        "purpose": purpose.value,
        "address": encode_address(address_of(public)) if purpose.has_account else None,
        "public_key": public.hex(),
        "file": str(keystore(session).folder / f"{name}.json"),
    }


def _read_words(file: TextIO | None) -> str:
    if file is not None:
        return file.read(WORDS_CHARS_MAX)
    if not sys.stdin.isatty():
        raise UsageError(
            code="words",
            what="the key's words are needed, and there is no terminal to ask at",
            remedy="Name a file that has them: --words-file FILE, or --words-file - for standard input",
        )
    answer: str = click.prompt("The key's 24 words", hide_input=True, err=True)
    return answer
