"""Protobuf classes made by scripts/generate_proto.py; never edited by hand."""
