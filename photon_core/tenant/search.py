"""Which providers could take a group, and why the others cannot: as far as the chain knows.

Room, price and what an agent refuses on its own are known to the agent only; a provider that could take it may still
not bid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from photon_core.api.ids import Address
from photon_core.exchange.records import CloseReason, Excluded, Provider


@frozen(kw_only=True)
class Candidate:
    """`reasons` why not; none: it could."""

    provider: Provider
    reasons: tuple[str, ...]


def candidates(
    providers: Iterable[Provider],
    *,
    attributes: Sequence[tuple[str, str]],
    allowed: Sequence[Address] = (),
    excluded: Sequence[Excluded] = (),
) -> tuple[Candidate, ...]:
    """Every provider, those that could take it first."""
    left_out = {each.provider: each.reason for each in excluded}
    found = [
        Candidate(
            provider=provider,
            reasons=(
                *_lacks(dict(provider.attributes), attributes),
                *(
                    ("is not among the providers that the order allows",)
                    if allowed and provider.id not in allowed
                    else ()
                ),
                *(_left_out(left_out[provider.id]) if provider.id in left_out else ()),
                *(() if provider.addresses else ("has no address where a tenant could dial it",)),
            ),
        )
        for provider in providers
    ]
    return tuple(sorted(found, key=lambda candidate: (bool(candidate.reasons), candidate.provider.id)))


def _lacks(has: dict[str, str], wanted: Sequence[tuple[str, str]]) -> Iterable[str]:
    for key, value in wanted:
        if key not in has:
            yield f"has no attribute {key}, wanted: {value}"
        elif has[key] != value:
            yield f"has {key} = {has[key]}, wanted: {value}"


def _left_out(reason: CloseReason) -> Iterable[str]:
    word = reason.name.lower().replace("_", "-")
    yield f"is left out until an update or a resume: an earlier lease closed for {word}"
