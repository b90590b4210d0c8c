"""Pages of the documentation as programs: what is fenced on them is typed, run, loaded and compared.

Nothing is said twice: a reader sees the blocks, and comments that no reader sees say what a test has to know besides.
CONTRIBUTING.md has the list of those comments, in "Pages that are run".
"""
