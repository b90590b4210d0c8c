"""Configuration in files: TOML, YAML and JSON."""

from tunnel.adapters.config_file.source import FileConfigSource, read_table

__all__ = ["FileConfigSource", "read_table"]
