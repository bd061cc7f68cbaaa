"""Providers: a payee that is paid, an operator that works, and what they tell the market of themselves."""

from __future__ import annotations

from attrs import evolve

from photon_core.api.ids import Address
from photon_core.exchange.events import ProviderChanged
from photon_core.exchange.execution import Execution
from photon_core.exchange.messages import RegisterProvider, UpdateProvider
from photon_core.exchange.records import Provider
from photon_core.exchange.refusals import Code, Refused


def register(run: Execution, sender: Address, message: RegisterProvider) -> None:
    if run.ledger.find_provider(sender) is not None:
        raise Refused(Code.ALREADY_REGISTERED, "the sender is a provider already; UpdateProvider changes one")
    _claim_operator(run, message.operator, sender)
    bond_uptn = run.parameters.registration_bond_uptn
    run.debit(sender, bond_uptn, "the registration bond")
    run.ledger.put_provider(
        Provider(
            id=sender,
            payee=sender,
            operator=message.operator,
            node_key=message.node_key,
            addresses=message.addresses,
            attributes=message.attributes,
            bond_uptn=bond_uptn,
            registered_ms=run.now_ms,
        )
    )
    run.emit(ProviderChanged(provider=sender))


def update(run: Execution, sender: Address, message: UpdateProvider) -> None:
    provider = run.ledger.find_provider(message.provider)
    if provider is None:
        raise Refused(Code.NOT_A_PROVIDER, f"{message.provider.hex()} is not a registered provider")
    if sender not in {provider.payee, provider.operator}:
        raise Refused(Code.NOT_ALLOWED, "only the provider's payee or operator may update it")
    if sender != provider.payee and (message.payee is not None or message.operator is not None):
        raise Refused(Code.NOT_ALLOWED, "only the payee may change payee or operator; the sender is the operator")
    if message.operator is not None and message.operator != provider.operator:
        _claim_operator(run, message.operator, provider.id)
        run.ledger.put_operator(provider.operator, None)
    given = {
        name: value
        for name in ("payee", "operator", "node_key", "addresses", "attributes")
        if (value := getattr(message, name)) is not None
    }
    run.ledger.put_provider(evolve(provider, **given))
    run.emit(ProviderChanged(provider=provider.id))


def _claim_operator(run: Execution, operator: Address, provider: Address) -> None:
    taken = run.ledger.provider_by_operator(operator)
    if taken is not None:
        raise Refused(Code.OPERATOR_TAKEN, f"that operator acts for provider {taken.id.hex()} already")
    run.ledger.put_operator(operator, provider)
