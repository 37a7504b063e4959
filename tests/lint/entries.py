#!/usr/bin/env python3
"""An entry of a list stands once in its page: merges of branches can leave it twice."""
import re

from common import files, line_of, read, run

NAME = "entries"
ENTRY = re.compile(r"^([-*]|\d+\.) .*(?:\n +\S.*)*", re.M)


def check(root):
    out = []
    for path in files(root, ["."], (".md",)):
        text, first = read(root, path), {}
        for m in ENTRY.finditer(text):
            entry, line = " ".join(m.group(0).split()), line_of(text, m.start())
            if entry in first:
                out.append((path, line, f"this entry also stands in line {first[entry]}"))
            first.setdefault(entry, line)
    return out


if __name__ == "__main__":
    run(NAME, check)
