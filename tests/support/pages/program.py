"""Runs a Python block of a page: ``python program.py SOURCE``, where ``await`` may stand outside of functions."""

import ast
import asyncio
import inspect
import sys
from pathlib import Path

if __name__ == "__main__":
    path = Path(sys.argv[1])
    # What the block imports is looked for where its reader would have it: in the current directory.
    sys.path[0] = ""
    names = {"__name__": "__main__", "__file__": str(path)}
    code = compile(path.read_text(), path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))
    else:
        exec(code, names)
