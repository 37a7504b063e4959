#!/usr/bin/env python3
"""The pages for people: README.md and docs/**/*.md.

    check.py links|snippets|reference [FOLDER]
                                       what is wrong, as FILE:LINE: message; exit status 1 if anything is
    check.py selftest                  whether each check can fail

Environment: LULL_BIN_DIR (folder of lulld and lullctl). Without a lulld, all but links are skipped (77).
"""
import os
import sys
import tempfile

import commands
import links
import reference
import snippets
from pages import SOURCE

BIN = os.path.abspath(os.environ.get("LULL_BIN_DIR", os.path.join(SOURCE, "build")))
LULLD, LULLCTL = os.path.join(BIN, "lulld"), os.path.join(BIN, "lullctl")


def run_snippets(root):
    with tempfile.TemporaryDirectory(prefix="ld-") as folder:
        def new_folder():
            return tempfile.mkdtemp(dir=folder)
        return snippets.check(root, LULLD, LULLCTL, new_folder)


def main(arguments):
    what = arguments[0] if arguments else ""
    root = os.path.abspath(arguments[1]) if len(arguments) > 1 else SOURCE
    if what not in ("links", "snippets", "reference", "selftest"):
        sys.exit(__doc__)
    if what != "links" and not (os.access(LULLD, os.X_OK) and os.access(LULLCTL, os.X_OK)):
        print(f"skipped: there is no {LULLD}")
        sys.exit(77)
    if what == "selftest":
        import selftest
        sys.exit(selftest.run(run_snippets))
    checks = {"links": links.check, "snippets": run_snippets, "reference": lambda r: reference.check(r, LULLD)}
    findings = sorted(set(checks[what](root)))
    for path, line, message in findings:
        print(f"{path}:{line}: {message}")
    done = "" if what != "snippets" else "; commands: " + ", ".join(f"{n} {k}" for k, n in commands.counts.items())
    print(f"docs.{what}: {len(findings)} findings{done}")
    sys.exit(1 if findings else 0)


os.environ.setdefault("LULL_BIN_DIR", BIN)
main(sys.argv[1:])
