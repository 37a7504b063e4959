#!/usr/bin/env python3
"""Sizes: a function has at most 100 lines (a warning above 60), a file at most 800 (above 500)."""
import json
import shutil
import subprocess

from common import CannotRun, files, read, run

NAME = "sizes"
FUNCTION_WARN, FUNCTION_MAX = 60, 100
FILE_WARN, FILE_MAX = 500, 800


def grade(path, line, what, size, warn, most):
    if size > most:
        return [(path, line, f"{what} has {size} lines, at most {most} are allowed")]
    if size > warn:
        return [(path, line, f"warning: {what} has {size} lines, more than {warn}")]
    return []


def functions(root, paths):
    """(file, name, first line, last line) of every function, from universal-ctags."""
    if shutil.which("ctags") is None:
        raise CannotRun("universal-ctags is not installed")
    p = subprocess.run(["ctags", "--output-format=json", "--fields=+ne", "--kinds-C=f", "--language-force=C",
                        "-f", "-", "-L", "-"], cwd=root, input="\n".join(paths), text=True,
                       capture_output=True, check=False)
    if p.returncode != 0:
        raise CannotRun("this ctags is not universal-ctags: " + p.stderr.strip()[:200])
    for line in p.stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") == "tag" and "end" in tag:
            yield tag["path"], tag["name"], tag["line"], tag["end"]


def check(root):
    out = []
    paths = files(root, ["sidecar", "include"], (".c", ".h"))
    for path in paths:
        out += grade(path, 1, "the file", read(root, path).count("\n"), FILE_WARN, FILE_MAX)
    found = list(functions(root, paths))
    if any(p.endswith(".c") for p in paths) and not found:
        out.append(("sidecar", 1, "ctags finds no function: the check is blind"))
    for path, name, first, last in found:
        out += grade(path, first, name + "()", last - first + 1, FUNCTION_WARN, FUNCTION_MAX)
    return out


if __name__ == "__main__":
    run(NAME, check)
