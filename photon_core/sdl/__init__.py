"""The deployment file: parse, check, explain, translate."""
