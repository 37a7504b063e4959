#!/usr/bin/env python3
"""codespell over what is written in English: sources, documentation, scripts, messages."""
import os
import re
import shutil
import subprocess

from common import CannotRun, files, run

NAME = "spelling"
FOLDERS = [".ci", ".github", "conf", "contrib", "docs", "include", "sidecar", "tests"]
# other languages, recorded requests, and a test of what a misspelt word does
SKIPPED = ("docs/es/", "tests/fixtures/", "tests/bench/typing/", "tests/docs/selftest.py", "tests/lint/selftest.py")
# TE is a header field, CapInh is of /proc, ist, als and Titel are German in tests, thn is Thai, statics are
# functions, lates are late answers; the rest are pieces of typed or split words
KNOWN = "te,inh,ist,als,titel,thn,statics,lates,hel,ake,nd,thre,caf"
LINE = re.compile(r"^(.+?):(\d+): (.+ ==> .+)$", re.M)


def check(root):
    if shutil.which("codespell") is None:
        raise CannotRun("codespell is not installed")
    top = [n for n in sorted(os.listdir(root)) if n.endswith((".md", ".txt", ".json")) or n == "Dockerfile"]
    paths = [p for p in top + files(root, FOLDERS, "") if not p.startswith(SKIPPED)]
    p = subprocess.run(["codespell", "--ignore-words-list", KNOWN, *paths], cwd=root, capture_output=True,
                       text=True, errors="replace", check=False)
    found = [(path, int(line), message) for path, line, message in LINE.findall(p.stdout)]
    if p.returncode != 0 and not found:
        return [("tests/lint/spelling.py", 1, p.stderr.strip()[:500])]
    return found


if __name__ == "__main__":
    run(NAME, check)
