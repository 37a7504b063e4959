"""The compose files as plain Python, by a reader of the part of YAML that they use: maps and lists by
indentation, plain and quoted scalars, [a, b] lists, folded text (>-), comments. Anything else is an error."""
import functools
import glob
import os
import re

from pages import SOURCE

FOLDER = os.path.join(SOURCE, "contrib", "compose")


class Wrong(Exception):
    """(line within the text, message)"""


def scalar(text):
    text = text.strip()
    if text.startswith("["):
        if not text.endswith("]"):
            raise ValueError(f"a list that is not closed: {text}")
        return [scalar(t) for t in re.findall(r'"[^"]*"|[^,\[\]]+', text[1:-1]) if t.strip()]
    if text.startswith('"'):
        if len(text) < 2 or not text.endswith('"'):
            raise ValueError(f"a quote that is not closed: {text}")
        return text[1:-1]
    if text.startswith(("{", "&", "*", "|", "'", "%", "@", "`")):
        raise ValueError(f"not used in lull's compose files: {text}")
    return text


def lines_of(text):
    """[(number, indentation, text without comment)]"""
    out = []
    for number, line in enumerate(text.split("\n")):
        bare = re.sub(r"(^|\s)#.*$", "", line).rstrip()
        if bare:
            if "\t" in bare:
                raise Wrong(number, "a tab")
            out.append((number, len(bare) - len(bare.lstrip()), bare.strip()))
    return out


def folded(rows, at, indent):
    """The text under ">-"."""
    parts = []
    while at < len(rows) and rows[at][1] > indent:
        parts.append(rows[at][2])
        at += 1
    return " ".join(parts), at


def parse(rows, at, indent):
    """(value, next row) of the rows from `at` that have this indentation."""
    if rows[at][2].startswith("- "):
        items = []
        while at < len(rows) and rows[at][1] == indent and rows[at][2].startswith("- "):
            items.append(scalar(rows[at][2][2:]))
            at += 1
        return items, at
    out = {}
    while at < len(rows) and rows[at][1] == indent:
        number, _, text = rows[at]
        m = re.match(r'^([A-Za-z0-9_.-]+):(?:\s+(.*))?$', text)
        if m is None:
            raise Wrong(number, f"neither a key nor an item: {text}")
        if m.group(1) in out:
            raise Wrong(number, f"{m.group(1)} is there twice")
        at += 1
        deeper = at < len(rows) and (rows[at][1] > indent
                                     or rows[at][1] == indent and rows[at][2].startswith("- "))
        if m.group(2) == ">-":
            out[m.group(1)], at = folded(rows, at, indent)
        elif m.group(2):
            try:
                out[m.group(1)] = scalar(m.group(2))
            except ValueError as error:
                raise Wrong(number, str(error)) from None
        elif deeper:
            out[m.group(1)], at = parse(rows, at, rows[at][1])
        else:
            out[m.group(1)] = None
    if at < len(rows) and rows[at][1] > indent:
        raise Wrong(rows[at][0], "indented further than what it belongs to")
    return out, at


def load(text):
    rows = lines_of(text)
    if not rows:
        raise Wrong(0, "nothing is in it")
    value, at = parse(rows, 0, rows[0][1])
    if at < len(rows):
        raise Wrong(rows[at][0], "indented less than what it belongs to")
    return value


@functools.lru_cache(None)
def files():
    """{name: document} of contrib/compose."""
    out = {}
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.yaml"))):
        with open(path, encoding="utf-8") as f:
            out[os.path.basename(path)] = load(f.read())
    assert len(out) >= 6, "contrib/compose is not read any more"
    return out


def services(document):
    return document.get("services") or {}


def known_keys(service):
    """The keys that this service has in any file of contrib/compose; None: no file has it."""
    found = [services(d)[service] for d in files().values() if service in services(d)]
    return set().union(*found) if found else None


def interpolate(value):
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", str(value))
