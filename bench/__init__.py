"""Measures the tunnel beside other ways to the same upstream, on one machine in one run: ``python -m bench``."""
