"""Joins the chat: `visitor.py NAME` listens, `visitor.py NAME WORDS...` says something and leaves."""

import sys

from websockets.sync.client import connect

name, words = sys.argv[1], " ".join(sys.argv[2:])

with connect("ws://127.0.0.1:8080/chat") as chat:
    chat.send(f"{name}: {words}" if words else f"{name} has come")
    for message in chat:
        print(message, flush=True)
        if words:
            break
