#!/usr/bin/env python3
"""The C files are as clang-format leaves them (.clang-format at the root)."""
import re
import subprocess

from common import files, need_clang, run

NAME = "format"
LINE = re.compile(r"^(.+?):(\d+):\d+: (?:error|warning): (.*)$")


def check(root):
    need_clang("clang-format")
    paths = files(root, ["sidecar", "include", "tests"], (".c", ".h"))
    out = []
    for i in range(0, len(paths), 50):
        p = subprocess.run(["clang-format", "--dry-run", "-Werror", "--style=file", *paths[i:i + 50]],
                           cwd=root, capture_output=True, text=True, check=False)
        found = [m.groups() for m in map(LINE.match, p.stderr.splitlines()) if m]
        out += [(path, int(line), message) for path, line, message in found]
        if p.returncode != 0 and not found:
            out.append((paths[i], 1, p.stderr.strip()[:500]))
    return out


if __name__ == "__main__":
    run(NAME, check)
