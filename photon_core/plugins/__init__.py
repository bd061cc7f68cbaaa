"""The plugin manager: discovery from metadata, loading by name, checks, and errors that name the culprit."""
