"""Adapters broken on purpose: one module for each port.

Each has ``MUTANTS``, and ``TWINS``: what makes harnesses of what its mutants are but for their mistakes. These keep the
contract, and what they are made of is no part of a mistake. ``VIRTUAL_TWINS`` do so in virtual time, for mutants whose
rule waits in vain for what they do not do.
"""
