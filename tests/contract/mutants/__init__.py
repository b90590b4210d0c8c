"""Adapters broken on purpose: one module for each port, with its ``MUTANTS``."""
