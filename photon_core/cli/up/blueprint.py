"""What is made once for a network: every member's keys, a genesis that pays them, and the passphrase of it all.

The genesis is written last: a folder without it was left half made, and is made anew.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio
from attrs import frozen

from photon_core.api.bech32m import encode_address
from photon_core.api.errors import UsageError
from photon_core.chain.files import write_atomically
from photon_core.chain.genesis import Genesis, GenesisValidator, load_genesis, save_genesis
from photon_core.chain.keys import KeyPurpose, SigningKey
from photon_core.chain.keystore import Cost, KeyInfo, Keystore
from photon_core.cli.network import new_genesis
from photon_core.cli.up.layout import TENANT_KEY, Member, NetworkFolder, Role, members_with
from photon_core.node.config import GENESIS_FILE
from photon_core.node.signer import SIGNER_FOLDER, make_signer_store
from photon_core.plugins.selection import Choice

TENANT_PTN = 1_000_000
PAYEE_PTN = 1_000
"""Pays the registration bond."""
OPERATOR_PTN = 100_000
"""Collateral for many leases at once."""
_KEYS: dict[Role, tuple[tuple[str, KeyPurpose], ...]] = {
    Role.VALIDATOR: (("node", KeyPurpose.NODE), ("consensus", KeyPurpose.CONSENSUS), ("payee", KeyPurpose.PAYEE)),
    Role.NODE: (("node", KeyPurpose.NODE),),
    Role.PROVIDER: (("payee", KeyPurpose.PAYEE), ("operator", KeyPurpose.OPERATOR), ("node", KeyPurpose.NODE)),
    Role.KEEPER: ((TENANT_KEY, KeyPurpose.ACCOUNT),),
}
_FUNDS_PTN = {"operator": OPERATOR_PTN, "payee": PAYEE_PTN, TENANT_KEY: TENANT_PTN}


@frozen(kw_only=True)
class Blueprint:
    """`keys` are the readable parts, by (member's name, key's name); secrets are unlocked when somebody signs."""

    folder: NetworkFolder
    members: tuple[Member, ...]
    genesis: Genesis
    passphrase: str
    keys: dict[tuple[str, str], KeyInfo]

    @property
    def node_keys(self) -> dict[str, str]:
        return {member: info.public.hex() for (member, key), info in self.keys.items() if key == "node"}

    @property
    def providers(self) -> dict[str, str]:
        """A provider's name on chain is its payee's address at registration."""
        return {
            member.name: encode_address(self.keys[member.name, "payee"].address)
            for member in self.members
            if member.role is Role.PROVIDER
        }

    async def unlock(self, member: Member, key: str) -> SigningKey:
        keystore = Keystore(self.folder.home(member) / "keys")
        return await trio.to_thread.run_sync(keystore.unlock, key, self.passphrase)


async def open_blueprint(
    folder: NetworkFolder, validators: int, choice: Choice, parameters: Sequence[str]
) -> Blueprint:
    """That of the folder; made if there is none. UsageError when the folder holds something else."""
    if folder.genesis.exists():
        if parameters:
            raise UsageError(
                code="parameters-fixed",
                where=str(folder.genesis),
                what="a chain's parameters are set when it begins",
                remedy="Leave --parameter out, or name a new folder.",
            )
        return read_blueprint(folder)
    for half_made in folder.members:
        shutil.rmtree(folder.home(half_made), ignore_errors=True)
    members = members_with(validators)
    write_atomically(folder.passphrase, f"{secrets.token_urlsafe(24)}\n".encode())
    await _make_keys(folder, members, folder.passphrase.read_text().strip())
    made = _read_keys(folder, members)
    genesis = new_genesis(
        name=f"up-{secrets.token_hex(4)}",
        time_ms=time.time_ns() // 1_000_000,
        validators=[
            GenesisValidator(
                key=made[m.name, "consensus"].public,
                node_key=made[m.name, "node"].public,
                power=1,
                payee=made[m.name, "payee"].address,
            )
            for m in members
            if m.role is Role.VALIDATOR
        ],
        accounts=[
            f"{encode_address(info.address)}={_FUNDS_PTN[key]}" for (_, key), info in made.items() if key in _FUNDS_PTN
        ],
        consensus=choice.one("consensus").name,
        market=choice.one("market").name,
        parameters=parameters,
        development=True,
    )
    for member in members:
        if member.role in (Role.VALIDATOR, Role.NODE):
            save_genesis(genesis, folder.home(member) / GENESIS_FILE)
    save_genesis(genesis, folder.genesis)
    return read_blueprint(folder)


async def _make_keys(folder: NetworkFolder, members: Sequence[Member], passphrase: str) -> None:
    """Side by side: each takes 40 ms of a core on purpose."""
    async with trio.open_nursery() as nursery:
        for member in members:
            for name, purpose in _KEYS[member.role]:
                make = partial(_make_key, folder.home(member), name, purpose, passphrase)
                nursery.start_soon(trio.to_thread.run_sync, make)


def _make_key(home: Path, name: str, purpose: KeyPurpose, passphrase: str) -> None:
    key = Keystore(home / "keys").create(name, purpose, passphrase, Cost.INTERACTIVE)
    if purpose is KeyPurpose.CONSENSUS:
        make_signer_store(home / SIGNER_FOLDER, key)


def read_blueprint(folder: NetworkFolder) -> Blueprint:
    """Of a network that was made."""
    members = folder.members
    return Blueprint(
        folder=folder,
        members=members,
        genesis=load_genesis(folder.genesis),
        passphrase=folder.passphrase.read_text().strip(),
        keys=_read_keys(folder, members),
    )


def _read_keys(folder: NetworkFolder, members: Sequence[Member]) -> dict[tuple[str, str], KeyInfo]:
    return {
        (member.name, name): Keystore(folder.home(member) / "keys").show(name)
        for member in members
        for name, _ in _KEYS[member.role]
    }
