#!/usr/bin/env python3
"""Stands in for curl where it is not installed: the few options that the pages use, and --fail."""
import os
import sys
from urllib.parse import urlsplit

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))
from client import Client  # noqa: E402

TAKES = {"-X", "-H", "-d", "-o", "--unix-socket"}


def main(arguments):
    given, headers, url = {}, [], None
    while arguments:
        a = arguments.pop(0)
        if a in TAKES:
            value = arguments.pop(0)
            if a == "-H":
                name, _, text = value.partition(":")
                headers.append((name, text.strip()))
            else:
                given[a] = value
        elif a.startswith("-") and (a == "--fail" or not set(a[1:]) - set("sSfiN")):
            given.update((c, True) for c in (["f"] if a == "--fail" else a[1:]))
        elif url is None and not a.startswith("-"):
            url = urlsplit(a)
        else:
            sys.exit(f"curl.py: {a} is not known here")
    body = given.get("-d")
    if body is not None and body.startswith("@"):
        with open(body[1:], encoding="utf-8") as f:
            body = f.read().replace("\n", "")
    path = (url.path or "/") + ("?" + url.query if url.query else "")
    with Client(given.get("--unix-socket") or (url.hostname, url.port)) as c:
        r = c.request(given.get("-X") or ("GET" if body is None else "POST"), path, headers, body)
    if given.get("f") and r.status >= 400:
        sys.exit(f"curl.py: {r.status}")
    out = open(given["-o"], "wb") if "-o" in given else sys.stdout.buffer
    out.write((r.raw_head + b"\r\n\r\n" if given.get("i") else b"") + bytes(r.body))


main(sys.argv[1:])
