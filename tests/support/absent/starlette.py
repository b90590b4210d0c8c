"""Stands before the package of this name, as if that were not installed."""

raise ModuleNotFoundError(f"No module named {__name__!r}", name=__name__)
