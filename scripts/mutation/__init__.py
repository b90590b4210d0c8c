"""Mutation testing of the domain: what is changed, which tests run, and what became of each change."""
