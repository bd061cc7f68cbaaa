"""The provider's agent: it bids, runs what it won, is the network of what it runs, and says truthfully how it is.

Pure parts decide: `inventory` and `bidding` (which orders, at which price), `workload` (what a section means here),
`health` (how an instance is), `reconcile` (what is to be done). `agent` and what it starts carry it out: `chain` reads
and sends, `executor` drives the runtime, `network/` moves bytes, `gateway` answers tenants.
"""
