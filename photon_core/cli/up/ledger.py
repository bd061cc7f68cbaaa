"""Who has how much, and that it adds up: all accounts and all bonds together are what genesis made."""

from __future__ import annotations

from attrs import frozen

from photon_core.api.errors import ExitCode, PhotonError
from photon_core.cli.up.blueprint import Blueprint
from photon_core.node.client import NodeClient
from photon_core.tenant.money import MoneySummary


@frozen(kw_only=True)
class Balances:
    """uptn by account, such as `provider-1 operator`; what a provider locked as its bond is an entry of its own."""

    by_name: dict[str, int]
    supply_uptn: int

    def changes(self, before: Balances) -> list[tuple[str, int, int, str]]:
        entries = [(name, before.by_name[name], now) for name, now in self.by_name.items()]
        entries.append(("all together", sum(before.by_name.values()), sum(self.by_name.values())))
        return [(name, was, now, f"{now - was:+}") for name, was, now in entries]

    def require_everything(self, money: MoneySummary) -> None:
        """PhotonError unless every uptn is where the ledger says; after all leases and deployments have ended."""
        found = sum(self.by_name.values())
        if found != self.supply_uptn or money.unaccounted_uptn or money.held_uptn or money.owed_uptn:
            raise PhotonError(
                code="money-missing",
                what="the money does not add up: this is a bug in Photon",
                expected=f"{self.supply_uptn} uptn in accounts and bonds, and nothing left in escrow",
                found=f"{found} uptn; held {money.held_uptn}, owed {money.owed_uptn}, "
                f"unaccounted {money.unaccounted_uptn}",
                exit_code=ExitCode.BUG,
            )


async def read_balances(node: NodeClient, blueprint: Blueprint) -> Balances:
    """Of everybody in this network: nobody else has an account."""
    found = {}
    for (member, key), info in blueprint.keys.items():
        if info.purpose.has_account:
            name = key if member == "keeper" else f"{member} {key}"
            found[name] = (await node.account(info.address)).balance_uptn
    for provider in await node.providers():
        name = next(m for (m, key), info in blueprint.keys.items() if key == "payee" and info.address == provider.id)
        found[f"{name} bond"] = provider.bond_uptn
    return Balances(by_name=found, supply_uptn=blueprint.genesis.supply_uptn)
