"""The market's deterministic state machine."""
