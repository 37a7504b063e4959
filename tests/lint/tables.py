#!/usr/bin/env python3
"""The closed sets live in .def tables; what is written for people must name every member. Only files
that exist are looked at; the default configuration file must always be there."""
import os
import re

from common import files, line_of, read, run

NAME = "tables in the docs"
ROW = r"^[ \t]*{macro}\((.*)\)[ \t]*(?:/\*.*\*/[ \t]*)?$"
STRING = re.compile(r'"((?:\\.|[^"\\])*)"')
# table, macro, which string of the row is the name, documents that must have all of them
TABLES = [
    ("kinds.def", "KIND", 0, ("README.md", "docs/kinds.md", "docs/configuration.md", "docs/lull.conf.5.md",
                              "conf/lull.conf")),
    ("outcomes.def", "OUTCOME", 0, ("docs/figures.md", "docs/outcomes.md")),
    ("errors.def", "HTTP_ERROR", 0, ("docs/errors.md",)),
    ("errors.def", "HTTP_ERROR", 2, ("docs/errors.md",)),  # the message
    ("figures.def", "TASK_FIGURE", 0, ("docs/figures.md", "docs/man/lullctl.1")),
    ("figures.def", "UPSTREAM_FIGURE", 0, ("docs/figures.md", "docs/man/lullctl.1")),
]
OPTIONAL_SPEAKERS = {"README.md"}  # names kinds only where it lists them at all


def rows(root, table, macro):
    """(file, line, name) of every row of that macro."""
    for path in files(root, ["include", "sidecar"], (table,)):
        if os.path.basename(path) != table:
            continue
        text = read(root, path)
        for m in re.finditer(ROW.format(macro=macro), text, re.M):
            yield path, line_of(text, m.start()), STRING.findall(m.group(1))


def named(name, text):
    return re.search(r"(?<![\w-])" + re.escape(name) + r"(?![\w-])", text) is not None


def check_documents(root):
    out = []
    for table, macro, index, documents in TABLES:
        found = list(rows(root, table, macro))
        if not found and files(root, ["include", "sidecar"], (table,)):
            out.append((table, 1, f"no row {macro}(...) found: the check is blind"))
        for document in documents:
            if document in OPTIONAL_SPEAKERS or not os.path.exists(os.path.join(root, document)):
                continue
            text = read(root, document)
            for path, line, strings in found:
                if not named(strings[index], text):
                    out.append((path, line, f"{document} does not speak of {strings[index]}"))
    return out


def check_options(root):
    """options.def against conf/lull.conf: each key in its section, commented out or not."""
    tables = [p for p in files(root, ["include", "sidecar"], ("options.def",))]
    conf = "conf/lull.conf"
    if not tables:
        return []
    if not os.path.exists(os.path.join(root, conf)):
        return [(conf, 1, "the default configuration file is missing")]
    keys = set(re.findall(r"^[#\s]*([a-z][a-z0-9_]*)\s*=", read(root, conf), re.M))
    out, seen = [], 0
    for path in tables:
        text = read(root, path)
        for m in re.finditer(r'^[ \t]*OPTION\(.*?"([a-z][a-z0-9_]*)"', text, re.M):
            seen += 1
            if m.group(1) not in keys:
                out.append((path, line_of(text, m.start()), f"{conf} does not have the key {m.group(1)}"))
    if seen == 0:
        out.append((tables[0], 1, "no option found: the check is blind"))
    return out


def check(root):
    return check_documents(root) + check_options(root)


if __name__ == "__main__":
    run(NAME, check)
