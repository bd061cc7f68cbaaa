"""The tenants' verbs, `tx` and `query`, against an exchange in this process: what they print, and how they fail."""

import json
import os
import signal
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from click.testing import CliRunner

from photon_core.api.bech32m import encode_address
from photon_core.api.ids import LeaseId
from photon_core.chain.keys import KeyPurpose
from photon_core.chain.keystore import Cost, Keystore
from photon_core.cli import main
from photon_core.cli.amounts import ptn
from photon_core.cli.tenancy import Place
from photon_core.node.views import Submitted
from photon_core.testing.exchange import address
from photon_core.testing.fakes.chain import FakeChain

FILE = """\
version: "2.0"
services:
  web: {image: "photon.test/web:1", expose: [{port: 80, to: [{global: true}]}]}
profiles:
  compute: {small: {resources: {cpu: {units: 0.1}, memory: {size: 128Mi}, storage: {size: 64Mi}}}}
  placement: {west: {attributes: {region: west}, pricing: {small: {denom: uptn, amount: 1000}}}}
deployment: {web: {west: {profile: small, count: 1}}}
"""
NOBODY = "http://127.0.0.1:1"
"""No unprivileged process listens on port 1."""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in ("PHOTON_PLUGINS", "PHOTON_OUTPUT", "PHOTON_NODE", "PHOTON_NETWORK"):
        monkeypatch.delenv(name, raising=False)
    passphrase = tmp_path / "passphrase.txt"
    passphrase.write_text("open sesame\n")
    monkeypatch.setenv("PHOTON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PHOTON_PASSPHRASE_FILE", str(passphrase))
    return tmp_path / "home"


@pytest.fixture
def alice(home):
    return Keystore(home / "keys").create("alice", KeyPurpose.ACCOUNT, "open sesame", Cost.INTERACTIVE)


@pytest.fixture
def chain(monkeypatch, alice):
    chain = FakeChain()
    chain.give(alice.address)
    monkeypatch.setattr(Place, "client", lambda self: chain)
    return chain


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "web.yml"
    path.write_text(FILE)
    return str(path)


def run(*arguments, **given):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], **given)


def run_json(*arguments, **given):
    result = run(*arguments, "--output", "json", **given)
    return json.loads(result.stdout), result.exit_code


def deploy(file, *options):
    document, code = run_json("deploy", file, "--no-wait", *options)
    assert code == 0, document
    return document["deployment"]


# --- the way of a deployment -----------------------------------------------------------------------------------------


def test_deploy_list_status_close(chain, alice, file):
    result = run("deploy", file, "--no-wait", "--deposit", "5")
    assert result.exit_code == 0, result.output
    assert "deployment 1 created" in result.stderr
    assert "nothing delivers the manifest" in result.stderr
    assert "deployment  1" in result.stdout

    listed, _ = run_json("list")
    assert [each["deployment"]["id"] for each in listed["deployments"]] == [1]
    assert "5 PTN" in run("list").stdout
    assert "none is registered on this chain" in run("status", 1).stdout

    closed, code = run_json("close", 1)
    assert code == 0
    assert closed["deposited_uptn"] == closed["refunded_uptn"] == 5_000_000
    assert closed["unaccounted_uptn"] == 0
    assert closed["fees_uptn"] > 0
    assert "no deployment" in run("list").stdout


def test_the_default_deposit_is_a_day_at_the_highest_price(chain, file):
    deploy(file)
    detail, _ = run_json("query", "deployment", 1)
    assert detail["deployment"]["depositors"][0]["amount_uptn"] == 24 * 600_000


def test_an_update_is_told_with_its_version_and_what_it_is_about(chain, file, tmp_path):
    deploy(file)
    new = tmp_path / "new.yml"
    new.write_text(FILE.replace("web:1", "web:2"))
    document, code = run_json("update", 1, new, "--no-wait")
    assert code == 0, document
    detail, _ = run_json("query", "deployment", 1)
    assert document["version"] == detail["deployment"]["version"]
    assert (document["deployment"], document["changed_groups"]) == (1, ["west"])
    assert document["fees_uptn"] > 0
    assert document["transaction"]
    new.write_text(FILE.replace("web:1", "web:3"))
    result = run("update", 1, new, "--no-wait")
    assert result.exit_code == 0, result.output
    assert "deployment 1 updated on chain" in result.stderr
    assert "nothing delivers the manifest" in result.stderr


def test_what_cannot_be_updated_is_refused_by_name_and_leaves_the_chain_as_it_is(chain, alice, home, file, tmp_path):
    deploy(file)
    before, _ = run_json("query", "deployment", 1)
    stranger = Keystore(home / "keys").create("bob", KeyPurpose.ACCOUNT, "open sesame", Cost.INTERACTIVE)
    chain.give(stranger.address)
    new, more = tmp_path / "new.yml", tmp_path / "more.yml"
    new.write_text(FILE.replace("web:1", "web:2"))
    more.write_text(FILE.replace("count: 1", "count: 2"))
    alices, bobs = ("--key", "alice"), ("--key", "bob")
    for arguments, expected in (
        ((1, new, *bobs), ("not-yours", 4)),
        ((7, new, *alices), ("not-found", 3)),
        ((1, file, *alices), ("same-version", 2)),
        ((1, more, *alices), ("groups-differ", 2)),
        ((1, tmp_path / "none.yml", *alices), ("invalid-sdl", 2)),
    ):
        document, code = run_json("update", *arguments)
        assert (document["error"]["code"], code) == expected
    document, _ = run_json("update", 1, more, *alices)
    assert document["error"]["expected"].startswith("1 × ")
    assert document["error"]["found"].startswith("2 × ")
    assert "photon deploy" in document["error"]["remedy"]
    assert run_json("query", "deployment", 1)[0] == before
    assert run("close", 1, *alices).exit_code == 0
    document, code = run_json("update", 1, new, *alices)
    assert (document["error"]["code"], code) == ("deployment-closed", 4)


def test_deposit_and_the_aliases(chain, file):
    assert run("create", file, "--no-wait").exit_code == 0
    result = run("deposit", 1, "250000uptn")
    assert result.exit_code == 0, result.output
    assert "paid 0.25 PTN" in result.stdout
    assert run("delete", 1).exit_code == 0


def test_search_tells_who_could_and_why_others_cannot(chain, file):
    chain.world.register("alpha", attributes=(("region", "west"),))
    chain.world.register("beta", attributes=(("region", "east"),))
    document, code = run_json("search", file)
    assert code == 0
    found = {each["provider"]: each["reasons"] for each in document["groups"][0]["providers"]}
    assert found[encode_address(address("alpha"))] == []
    assert found[encode_address(address("beta"))] == ["has region = east, wanted: west"]
    assert "has region = east" in run("search", file).stdout


# --- tx --------------------------------------------------------------------------------------------------------------


def test_a_transfer(chain):
    to = address("nobody-yet")
    result = run("tx", "transfer", encode_address(to), "2.5")
    assert result.exit_code == 0, result.output
    assert chain.world.exchange.ledger.account(to).balance_uptn == 2_500_000
    answer, _ = run_json("query", "account", encode_address(to))
    assert answer["balance_uptn"] == 2_500_000


def test_a_transaction_that_no_block_takes_is_told_with_its_id(chain, monkeypatch):
    async def submit(transactions, *, wait_s=0.0):
        await trio.sleep(wait_s)  # as long as no validator runs
        return (Submitted(id=bytes(32), status="pending", height=None, receipt=None),)

    monkeypatch.setattr(chain, "submit", submit)
    monkeypatch.setattr("photon_core.cli.tx.QUIET_S", 0)
    result = run("tx", "transfer", encode_address(address("nobody-yet")), "1", "--timeout", "0.2")
    assert result.exit_code == 6
    assert f"handed over as {'00' * 32}, waiting for its block" in result.stderr
    assert f"photon query tx {'00' * 32}" in result.stderr


def test_messages_from_standard_input_happen_all_or_none(chain):
    to = encode_address(address("nobody-yet"))
    good = {"kind": "Transfer", "to": to, "amount_uptn": 1}
    document, code = run_json("tx", "send", input=json.dumps([good, good]))
    assert code == 0
    assert len(document["receipt"]["events"]) == 2
    shown = run("query", "tx", document["transaction"]).stdout
    assert "done" in shown
    too_much = {**good, "amount_uptn": 10**15}
    document, code = run_json("tx", "send", input=json.dumps([good, too_much]))
    assert (document["error"]["code"], code) == ("insufficient-funds", 4)
    assert chain.world.exchange.ledger.account(address("nobody-yet")).balance_uptn == 2


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("{", "no JSON"),
        ("[]", "1 to 64"),
        ('{"kind": "Wish"}', "Transfer"),
        ('{"kind": "Transfer", "amount_uptn": 1}', "no to"),
        ('{"kind": "CloseDeployment", "deployment": -1}', "integer from 0"),
    ],
)
def test_what_is_no_message_is_refused_before_a_passphrase_is_asked_for(given, found):
    result = run("tx", "send", input=given)
    assert result.exit_code == 2
    assert found in result.stderr


# --- looking ---------------------------------------------------------------------------------------------------------


def test_the_status_of_a_node_says_whether_it_is_well_and_how_old_its_block_is(chain, monkeypatch):
    shown = run("query", "status").stdout
    assert "yes" in next(line for line in shown.splitlines() if line.startswith("well"))
    assert " ago)" in next(line for line in shown.splitlines() if line.startswith("block time"))
    good = trio.run(chain.status)

    async def status():
        return attrs.evolve(good, halted="the state differs")

    monkeypatch.setattr(chain, "status", status)
    assert "no, it has halted: the state differs" in run("query", "status").stdout


def test_a_workload_that_has_printed_nothing(alice, monkeypatch):
    class Silent:
        async def active_lease(self, deployment, service):
            return LeaseId(deployment, 0, 0)

        @asynccontextmanager
        async def logs(self, lease, service, *, follow, tail_lines):
            send, receive = trio.open_memory_channel(0)
            send.close()
            yield receive

    monkeypatch.setattr(Place, "run_as_tenant", lambda self, key, work: trio.run(work, Silent()))
    result = run("logs", 17)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "deployment 17 has printed nothing yet" in result.stderr


# --- bad input, and what it gets -------------------------------------------------------------------------------------


def test_insufficient_funds_shows_both_values(chain, alice, file):
    result = run("deploy", file, "--no-wait", "--deposit", "1000000")
    balance = chain.world.exchange.ledger.account(alice.address).balance_uptn
    assert result.exit_code == 4
    assert str(10**12) in result.stderr
    assert str(balance)[:3] in result.stderr


@pytest.mark.parametrize("verb", ["status", "close", "deposit", "resume"])
def test_an_unknown_deployment(chain, verb):
    result = run(verb, 99, *(["1"] if verb == "deposit" else []))
    assert result.exit_code in (3, 4)  # the chain itself refuses a deposit
    assert "no deployment 99" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "lease", "9/0/0"),
        ("query", "order", "9/0/0"),
        ("query", "deployment", "9"),
        ("query", "tx", "00" * 32),
        ("query", "block", "999"),
        ("query", "provider", encode_address(address("alpha"))),
    ],
)
def test_what_does_not_exist(chain, arguments):
    result = run(*arguments)
    assert result.exit_code == 3, result.output
    assert "there is no" in result.stderr


@pytest.mark.parametrize("arguments", [("list",), ("query", "status"), ("status", "1", "--chain-only")])
def test_an_unreachable_node(alice, arguments):
    result = run(*arguments, "--node", NOBODY)
    assert result.exit_code == 5
    assert NOBODY in result.stderr
    assert "--node" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("deposit", "1", "lots"), "is no amount"),
        (("deposit", "1", "1.5uptn"), "is no amount"),
        (("tx", "transfer", "photon1xyz", "1"), "is no address"),
        (("query", "lease", "17"), "look like 17/0/1"),
        (("query", "tx", "abc"), "64 hex digits"),
        (("query", "block", "first"), "is no height"),
        (("resume", "1/2/3"), "17/0"),
        (("logs", "x"), "17/0/1"),
    ],
)
def test_arguments_that_cannot_be(arguments, says):
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_bad_file_is_refused_before_anything_is_sent(chain, tmp_path):
    path = tmp_path / "bad.yml"
    path.write_text(FILE.replace("profile: small", "profile: large"))
    blocks = len(chain.told)
    result = run("deploy", path)
    assert result.exit_code == 2
    assert "large" in result.stderr
    assert len(chain.told) == blocks


def test_a_home_without_a_key_says_how_to_make_one(file):
    result = run("list")
    assert result.exit_code == 2
    assert "photon key create" in result.stderr


def test_of_several_keys_one_must_be_named(chain, home):
    Keystore(home / "keys").create("bob", KeyPurpose.ACCOUNT, "open sesame", Cost.INTERACTIVE)
    result = run("list")
    assert result.exit_code == 2
    assert "alice, bob" in result.stderr
    assert run("list", "--key", "bob").exit_code == 0


def test_a_deployment_that_does_not_serve_in_time_says_what_it_waits_for(chain, file, monkeypatch):
    monkeypatch.setattr("photon_core.tenant.links.ProviderLinks.start", _never_needed)
    document, code = run_json("deploy", file, "--timeout", "0.05")
    assert code == 6
    assert document["error"]["code"] == "not-serving-yet"
    assert "none is registered on this chain" in document["error"]["found"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_deployment_that_is_left_by_a_signal_says_that_it_goes_on(chain, file, monkeypatch, number):
    async def follow(progress, tenant, following, timeout_s):
        os.kill(os.getpid(), number)
        await trio.sleep_forever()

    monkeypatch.setattr("photon_core.cli.deploy.Progress.follow", follow)
    document, code = run_json("deploy", file)
    assert (document["error"]["code"], code) == ("interrupted", 130)
    left = run("deploy", file)
    assert left.exit_code == 130
    assert "deployment 2 goes on: `photon status 2`; to end it: `photon close 2`" in left.stderr


def test_an_update_that_is_left_by_a_signal_says_how_it_is_finished(chain, file, tmp_path, monkeypatch):
    async def follow(progress, tenant, following, timeout_s):
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep_forever()

    deploy(file)
    new = tmp_path / "new.yml"
    new.write_text(FILE.replace("web:1", "web:2"))
    monkeypatch.setattr("photon_core.cli.progress.Progress.follow", follow)
    document, code = run_json("update", 1, new)
    assert (document["error"]["code"], code) == ("interrupted", 130)
    assert "run this again" in document["error"]["remedy"]


async def _never_needed(_links):
    return None


# --- which node ------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch, alice):
    """The URLs that were asked."""
    urls = []

    def client(self):
        urls.append(self.node_url)
        return FakeChain()

    monkeypatch.setattr(Place, "client", client)
    return urls


@pytest.fixture
def network(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    tenant = folder / "tenant"
    passphrase = folder / "passphrase"
    passphrase.write_text("of the network\n")
    body = {"node": "http://of-network", "homes": {"tenant": str(tenant)}, "passphrase_file": str(passphrase)}
    (folder / "network.json").write_text(json.dumps(body))
    Keystore(tenant / "keys").create("tenant", KeyPurpose.ACCOUNT, "of the network", Cost.INTERACTIVE)
    return folder


def test_the_node_is_the_first_that_somebody_names(asked, home, network, monkeypatch):
    run("query", "status")
    (home / "config.toml").write_text('[tenant]\nnode = "http://of-config"\n')
    run("query", "status")
    monkeypatch.setenv("PHOTON_NETWORK", str(network))
    run("query", "status")
    monkeypatch.setenv("PHOTON_NODE", "http://of-environment")
    run("query", "status")
    run("query", "status", "--network", network)
    run("query", "status", "--network", network, "--node", "http://named")
    assert asked == [
        "http://127.0.0.1:4280",
        "http://of-config",
        "http://of-network",
        "http://of-environment",
        "http://of-network",
        "http://named",
    ]


def test_a_network_says_which_home_and_passphrase(asked, network, monkeypatch, tmp_path):
    monkeypatch.delenv("PHOTON_HOME")
    monkeypatch.delenv("PHOTON_PASSPHRASE_FILE")
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run("tx", "transfer", encode_address(address("nobody")), "1", "--network", network)
    assert "the account has 0 uptn" in result.stderr  # the key was found and opened
    assert result.exit_code == 4


def test_a_home_that_is_named_wins_over_the_network_of_the_environment(network, monkeypatch, tmp_path):
    monkeypatch.setenv("PHOTON_NETWORK", str(network))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PHOTON_HOME")
    mine = tmp_path / ".photon"  # the default: that it was named is what counts
    Keystore(mine / "keys").create("mine", KeyPurpose.ACCOUNT, "open sesame", Cost.INTERACTIVE)
    assert [key["name"] for key in run_json("key", "list", "--home", mine)[0]["keys"]] == ["mine"]
    monkeypatch.delenv("PHOTON_PASSPHRASE_FILE")
    result = run("tx", "transfer", encode_address(address("nobody")), "1", "--home", mine)
    assert "passphrase of key mine is needed" in result.stderr  # and not the network's


def test_the_key_verbs_use_the_home_of_the_network(network, monkeypatch):
    monkeypatch.setenv("PHOTON_NETWORK", str(network))
    monkeypatch.delenv("PHOTON_HOME")
    monkeypatch.delenv("PHOTON_PASSPHRASE_FILE")
    assert [key["name"] for key in run_json("key", "list")[0]["keys"]] == ["tenant"]
    assert len(run_json("key", "backup", "tenant")[0]["words"].split()) == 24
    (network / "network.json").unlink()
    assert [key["name"] for key in run_json("key", "list")[0]["keys"]] == ["tenant"]


@pytest.mark.parametrize("url", ["garbage", "localhost:4280", "http://", "http://x:port", "ftp://x", "http://[::1"])
def test_what_is_no_url_is_refused_at_once(url):
    result = run("query", "status", "--node", url)
    assert result.exit_code == 2
    assert "write http://HOST:PORT" in result.stderr


def test_a_network_that_does_not_run(tmp_path):
    result = run("list", "--network", tmp_path)
    assert result.exit_code == 5
    assert "photon up --data" in result.stderr


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["deploy", "list", "status", "logs", "deposit", "resume", "close", "serve", "search"])
def test_help_teaches_by_example(verb):
    shown = run(verb, "--help").stdout
    assert "Example" in shown
    assert f"photon {verb}" in shown


def test_amounts_are_exact():
    assert ptn(1) == "0.000001 PTN"
    assert ptn(-1_500_000) == "-1.5 PTN"
    assert ptn(0) == "0 PTN"
