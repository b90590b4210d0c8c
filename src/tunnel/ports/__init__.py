"""The roles the application needs filled, one per module."""
