"""The market's deterministic state machine.

Start with `machine.py`. A new message begins in `messages.py`, a new record in `records.py`.
"""
