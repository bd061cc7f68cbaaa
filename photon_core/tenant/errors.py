"""How what a tenant wants can fail, besides the chain's own refusals and a node that does not answer."""

from __future__ import annotations

from photon_core.api import bech32m
from photon_core.api.errors import ExitCode, PhotonError
from photon_core.api.ids import Address, LeaseId
from photon_core.peers.errors import RemoteError


class ProviderUnreachable(PhotonError):
    """No link to the provider, or it went down before the answer. What was asked may have happened."""

    def __init__(self, provider: Address, addresses: tuple[str, ...], why: str) -> None:
        super().__init__(
            code="provider-unreachable",
            what="the provider does not answer",
            where=bech32m.encode_address(provider),
            found=f"{why}; dialled {', '.join(addresses) or 'nothing: its record has no address'}",
            remedy="its lease goes stale if it stays silent; the chain then pays you its collateral and finds another",
            exit_code=ExitCode.UNREACHABLE,
        )


class ProviderRefused(PhotonError):
    """The provider answered no; `code` is one of `peers.methods.RefusalCode`, or what a link refuses with."""

    def __init__(self, provider: Address, error: RemoteError) -> None:
        super().__init__(
            code=error.code,
            what=f"the provider refuses: {error.message or error.code}",
            where=bech32m.encode_address(provider),
            exit_code=ExitCode.REFUSED,
        )


def no_deployment(deployment: int) -> PhotonError:
    return PhotonError(
        code="not-found",
        what=f"there is no deployment {deployment}",
        remedy="`photon list` shows yours",
        exit_code=ExitCode.NOT_FOUND,
    )


def not_yours(deployment: int, *, owner: Address, account: Address) -> PhotonError:
    return PhotonError(
        code="not-yours",
        what=f"deployment {deployment} belongs to another account",
        expected=bech32m.encode_address(account),
        found=bech32m.encode_address(owner),
        remedy="name the owner's key with --key",
        exit_code=ExitCode.REFUSED,
    )


def no_lease(lease: LeaseId) -> PhotonError:
    return PhotonError(
        code="not-found",
        what=f"there is no lease {lease}",
        exit_code=ExitCode.NOT_FOUND,
        remedy=f"`photon status {lease.deployment}` shows the deployment's leases",
    )


def no_active_lease(deployment: int, service: str) -> PhotonError:
    of = f" of service {service}" if service else ""
    return PhotonError(
        code="no-lease",
        what=f"deployment {deployment} has no active lease{of}",
        remedy=f"`photon status {deployment}` says what it waits for",
        exit_code=ExitCode.NOT_FOUND,
    )


def no_manifest(deployment: int, folder: str) -> PhotonError:
    return PhotonError(
        code="no-manifest",
        what=f"the manifest of deployment {deployment} is not kept here",
        where=folder,
        remedy="use the home folder that it was created from: only there are its sections and their salts",
        exit_code=ExitCode.NOT_FOUND,
    )


def other_version(deployment: int) -> PhotonError:
    return PhotonError(
        code="other-version",
        what=f"the manifest kept for deployment {deployment} is not the one that stands on chain",
        remedy=f"use the home folder of its newest update, or update it from here: `photon update {deployment} FILE`",
        exit_code=ExitCode.REFUSED,
    )
