"""Containers: one module per verb."""
