#!/usr/bin/env python3
"""Which folder may include which. Folders have ranks: a folder includes its own headers and those of
lower ranks, never those of an equal or a higher rank. Private headers stay in their folder.
CMakeLists.txt must link the folders in the same order.
"""
import re

from common import code_only, files, line_of, read, run

NAME = "include ranks"
RANKS = {
    "base": 0,
    "config": 1,
    "http": 2,
    "path/json": 3,
    "path/dialect": 4,
    "path/webui": 5, "path/store": 5, "path/upstream": 5,
    "path/server": 6, "path/typist": 6, "path/transcript": 6,
    "path/schedule": 7,
    "path/fingerprint": 8, "path/cache": 8, "path/rewarm": 8, "path/flight": 8,
    "path/relay": 9, "path/edge": 9,
    "path/exchange": 10,
    "path/compare": 11,
    "control": 12,
    "app": 13,
    "main": 14,
}
# stands beside path; app joins the two
BESIDE = {"ctl": {"base", "config"}}
MAY_USE_BESIDE = {}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.M)
FOLDER = re.compile(r"^lull_folder\((\w+)\s+([\w/]+)([^)]*)\)", re.M)


def folder_of(path):
    """The folder a file belongs to: 'path/dialect', 'base' ...; main.c is 'main'."""
    parts = path.split("/")
    if parts[0] == "sidecar":
        parts = parts[1:]
    elif parts[:2] == ["include", "lull"]:
        parts = parts[2:]
    if len(parts) == 1:
        return "main"
    return "/".join(parts[:-1])


def allowed(user, used):
    if user == used:
        return True
    if user in BESIDE:
        return used in BESIDE[user]
    if used in BESIDE:
        return used in MAY_USE_BESIDE.get(user, set())
    return RANKS[used] < RANKS[user]


def check_file(root, path, known, graph):
    out = []
    user = folder_of(path)
    if user not in RANKS and user not in BESIDE:
        return [(path, 1, f"folder {user} has no rank: add it to tests/lint/ranks.py and design")]
    text = read(root, path)
    for m in INCLUDE.finditer(code_only(text, keep_strings=True)):
        quote, name = m.groups()
        line = line_of(text, m.start())
        if quote == "<":
            if name.startswith("lull/"):
                out.append((path, line, f"include our own header {name} with quotes"))
            continue
        contract = name.startswith("lull/")
        target = "include/" + name if contract else "sidecar/" + name
        if ".." in name or target not in known:
            out.append((path, line, f'"{name}" is neither a contract in include/ nor a path below sidecar/'))
            continue
        used = folder_of(target)
        if used != user:
            graph.setdefault(user, {}).setdefault(used, (path, line))
        if not contract and used != user:
            out.append((path, line, f"{name} is private to {used}"))
        elif used not in RANKS and used not in BESIDE:
            out.append((path, line, f"folder {used} has no rank"))
        elif not allowed(user, used):
            out.append((path, line, f"{user} may not include {used} ({name})"))
    return out


def cycles(graph):
    """Folders that include one another in a ring, however the ranks allow it."""
    out, state, trail = [], {}, []

    def visit(folder):
        state[folder] = "open"
        trail.append(folder)
        for used, (path, line) in sorted(graph.get(folder, {}).items()):
            if state.get(used) == "open":
                ring = trail[trail.index(used):] + [used]
                out.append((path, line, "folders in a ring: " + " -> ".join(ring)))
            elif used not in state:
                visit(used)
        trail.pop()
        state[folder] = "done"
    for folder in sorted(graph):
        if folder not in state:
            visit(folder)
    return out


def check_build(root):
    """CMakeLists.txt: the order of the folders, and what each is linked with."""
    out, seen = [], {}
    text = read(root, "CMakeLists.txt")
    highest = -1
    for m in FOLDER.finditer(text):
        name, folder, rest = m.groups()
        line = line_of(text, m.start())
        if folder not in RANKS and folder not in BESIDE:
            out.append(("CMakeLists.txt", line, f"folder {folder} has no rank"))
            continue
        for used in re.findall(r"lull_(\w+)", rest):
            if used not in seen:
                out.append(("CMakeLists.txt", line, f"lull_{name} is linked with lull_{used}, which does not stand above it"))
            elif not allowed(folder, seen[used]):
                out.append(("CMakeLists.txt", line, f"{folder} may not be linked with {seen[used]}"))
        if folder in RANKS:
            if RANKS[folder] < highest:
                out.append(("CMakeLists.txt", line, f"{folder} stands out of order"))
            highest = max(highest, RANKS[folder])
        seen[name] = folder
    if not seen:
        out.append(("CMakeLists.txt", 1, "no lull_folder() found: the check is blind"))
    return out


def check(root):
    paths = files(root, ["sidecar", "include"], (".c", ".h", ".def"))
    known = set(paths)
    graph, out = {}, []
    for path in paths:
        out += check_file(root, path, known, graph)
    return out + cycles(graph) + check_build(root)


if __name__ == "__main__":
    run(NAME, check)
