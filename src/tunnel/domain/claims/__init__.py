"""Hosts that clients claim for themselves: what may be asked for, who may have it, and who has it."""
