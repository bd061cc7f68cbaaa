"""The table of verbs: where each command of `photon` lives.

A new verb is a module `photon_core/cli/<verb>.py` with a click command in it, and one line here; its tests are in
`tests/unit/cli/`, those of the tenants' verbs, `tx` and `query` together in `test_tenants_verbs.py`. Only one verb
lives with another: `register` in `provider.py`. Nothing of a module is imported before its
verb is used, which is why the summary stands here: `photon --help` shows it.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Verb:
    """`place` is `module:command`. An alias does the same under another name."""

    name: str
    place: str
    summary: str
    aliases: tuple[str, ...] = ()


@frozen
class Section:
    """A heading of `photon --help`."""

    title: str
    verbs: tuple[Verb, ...]


_CLI = "photon_core.cli"

SECTIONS: tuple[Section, ...] = (
    Section(
        "For tenants: rent capacity",
        (
            Verb("validate", f"{_CLI}.validate:validate_command", "Check a deployment file and show what it means."),
            Verb("search", f"{_CLI}.search:search_command", "Show who could take a deployment, and why others cannot."),
            Verb("deploy", f"{_CLI}.deploy:deploy_command", "Deploy a file and wait until it serves.", ("create",)),
            Verb("list", f"{_CLI}.list:list_command", "List your deployments."),
            Verb("status", f"{_CLI}.status:status_command", "Show how a deployment is, and what it waits for."),
            Verb("logs", f"{_CLI}.logs:logs_command", "Show what workloads print."),
            Verb("exec", f"{_CLI}.exec:exec_command", "Run a command, or a shell, beside a workload."),
            Verb("events", f"{_CLI}.events:events_command", "Show what happened to a deployment and its workloads."),
            Verb("deposit", f"{_CLI}.deposit:deposit_command", "Pay into a deployment."),
            Verb("resume", f"{_CLI}.resume:resume_command", "Order paused groups again."),
            Verb("close", f"{_CLI}.close:close_command", "Close a deployment, see where its money went.", ("delete",)),
            Verb("serve", f"{_CLI}.serve:serve_group", "Deliver manifests while you are away."),
        ),
    ),
    Section(
        "For providers and validators: offer it, keep the ledger",
        (
            Verb("register", f"{_CLI}.provider:register_command", "Put a provider on chain."),
            Verb("provider", f"{_CLI}.provider:provider_group", "Offer this machine: make, run, look at a provider."),
            Verb("node", f"{_CLI}.node:node_group", "Run a full node: it follows the chain and answers over HTTP."),
            Verb("validator", f"{_CLI}.validator:validator_group", "Run a validator: a node with a vote."),
            Verb("genesis", f"{_CLI}.genesis:genesis_group", "Make a chain's genesis file, or look at one."),
            Verb("up", f"{_CLI}.up.command:up_command", "Run a whole network on this machine."),
        ),
    ),
    Section(
        "The ledger",
        (
            Verb("tx", f"{_CLI}.tx:tx_group", "Send transactions: transfers, or any messages."),
            Verb("query", f"{_CLI}.query:query_group", "Ask a node: accounts, blocks, deployments, orders, leases."),
        ),
    ),
    Section(
        "Keys, plugins, help",
        (
            Verb("key", f"{_CLI}.key:key_group", "Create, list, back up and restore keys."),
            Verb("plugin", f"{_CLI}.plugin:plugin_group", "List, explain, check and write plugins."),
            Verb("completion", f"{_CLI}.completion:completion_command", "Print your shell's completion script."),
            Verb("version", f"{_CLI}.version:version_command", "Show the versions of Photon and its plugins."),
        ),
    ),
)

VERBS: dict[str, Verb] = {verb.name: verb for section in SECTIONS for verb in section.verbs}
ALIASES: dict[str, Verb] = {alias: verb for verb in VERBS.values() for alias in verb.aliases}
