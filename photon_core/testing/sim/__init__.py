"""A simulator of whole networks of validators: real cores, engines and signers; one seed, one exact run.

    outcome = run(Options(seed=7, validators=4), Parts(engine=engine_named("pbft")))
    assert not outcome.failure

    python -m photon_core.testing.sim --seed 7 --validators 4 --trace

Theory of operation
-------------------
Time is virtual: a heap of events (`schedule`), so that half a minute of a network takes a fraction of a second, and
what happens does not depend on the machine. A node (`node`) is all that a real one is, but for its driver; its disk
(`disk`) loses what was not synced, its links (`links`) what was on them. The weather (`faults`) crashes, stops, cuts,
stalls, loses and reorders; some validators lie (`simulation`). Checkers (`checkers`, `quorum`), which share no code
with what they judge, look at everything that is said and written. After a while the weather clears, and then progress
is demanded (`run`).

What is simulated is the seam between core and driver; the real driver, transport and disk have tests of their own.
"""

from .checkers import Violation
from .engines import engine_named
from .node import MakeEngine, Parts
from .run import Options, Outcome, run

__all__ = ["MakeEngine", "Options", "Outcome", "Parts", "Violation", "engine_named", "run"]
