#!/usr/bin/env python3
"""ShellCheck over the shell scripts, ruff over the Python files (the checks of ruff.toml)."""
import json
import re
import shutil
import subprocess

from common import CannotRun, files, read, run

NAME = "scripts"
FOLDERS = [".ci", "contrib", "tests"]
SHELL = re.compile(r"^#!.*\b(?:ba|da)?sh\b")


def shell_scripts(root):
    return [p for p in files(root, FOLDERS, "") if SHELL.match(read(root, p)[:80])]


def shellcheck(root):
    paths = shell_scripts(root)
    if not paths:
        return []
    p = subprocess.run(["shellcheck", "--format=json", "--severity=warning", "--external-sources", *paths],
                       cwd=root, capture_output=True, text=True, check=False)
    if p.returncode > 1:
        return [(paths[0], 1, p.stderr.strip()[:500])]
    return [(f["file"], f["line"], f"SC{f['code']}: {f['message']}") for f in json.loads(p.stdout or "[]")]


def ruff(root):
    if not files(root, FOLDERS, (".py",)):
        return []
    p = subprocess.run(["ruff", "check", "--no-cache", "--output-format=json", "."],
                       cwd=root, capture_output=True, text=True, check=False)
    if p.returncode > 1:
        return [("ruff.toml", 1, p.stderr.strip()[:500])]
    return [(f["filename"].removeprefix(root + "/"), f["location"]["row"], f"{f['code']}: {f['message']}")
            for f in json.loads(p.stdout or "[]")]


def check(root):
    tools = [(name, fn) for name, fn in (("shellcheck", shellcheck), ("ruff", ruff)) if shutil.which(name)]
    if not tools:
        raise CannotRun("neither shellcheck nor ruff is installed")
    for name in {"shellcheck", "ruff"} - {name for name, _ in tools}:
        print(f"{NAME}: {name} is not installed: its part is left out")
    return [finding for _, fn in tools for finding in fn(root)]


if __name__ == "__main__":
    run(NAME, check)
