"""Probes of everything Docker's clients can ask for: what docs/compatibility.md claims is what these saw."""
