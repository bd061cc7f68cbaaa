"""`photon status`: the refused attempts of a lease, for eyes and for scripts."""

from attrs import evolve

from photon_core.api.fields import to_json
from photon_core.cli.frame import Facts
from photon_core.cli.status import _group_parts
from photon_core.peers.methods import LeaseReport, RefusedAttempt
from tools import formats_values


class Group:
    lease = None
    no_report = ""
    says = "serving"
    past = ()

    def __init__(self, report):
        self.report = report
        self.detail = type("D", (), {"group": type("G", (), {"spec": type("S", (), {"name": "west"})})})


def report(*refused):
    (example,) = [call for call in formats_values.CALLS if isinstance(call, LeaseReport)]
    return evolve(example, refused=refused)


def test_refused_attempts_say_who_and_where_to_and_how_often():
    by_name = RefusedAttempt(service="web", address="127.77.0.1", port=5432, name="db", count=3)
    by_address = RefusedAttempt(service="db", address="198.51.100.9", port=443, count=1)
    found = report(by_name, by_address)
    facts = [pair for part in _group_parts(Group(found)) if isinstance(part, Facts) for pair in part.pairs]
    told = [value for name, value in facts if name == "refused"]
    assert told == ["web → db:5432, 3 times", "db → 198.51.100.9:443, once"]
    assert to_json(found)["refused"][0] == {
        "service": "web",
        "address": "127.77.0.1",
        "port": 5432,
        "name": "db",
        "count": 3,
    }
