"""What the checks share: which files there are, C text without comments and strings, how a check ends.

Every check is a module with NAME and check(root) → list of (file, line, message); run as a program it
checks the tree it stands in (or the folder given) and exits 1 with the findings, 77 when it cannot run.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED = {".git", "node_modules", "__pycache__", "corpus"}


class CannotRun(Exception):
    pass


def need_clang(tool, major=14):
    """Another version lays out otherwise, or finds other things."""
    if shutil.which(tool) is None:
        raise CannotRun(f"{tool} is not installed")
    said = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\d+)", said)
    if version is None or int(version[1]) != major:
        raise CannotRun(f"{tool} {version[1] if version else '?'} is not {major}, by which the tree is checked")


def files(root, folders, suffixes):
    """Files below these folders with one of these endings, relative to root, sorted."""
    out = []
    for folder in folders:
        for base, folder_names, names in os.walk(os.path.join(root, folder)):
            folder_names[:] = [d for d in folder_names if d not in SKIPPED and not d.startswith("build")]
            for name in names:
                if name.endswith(suffixes):
                    out.append(os.path.relpath(os.path.join(base, name), root))
    return sorted(out)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


_TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text, keep_strings=False):
    """The text with comments (and strings) blanked out; lines keep their numbers."""
    def blank(m):
        token = m.group(0)
        if token[0] in "\"'" and keep_strings:
            return token
        return re.sub(r"[^\n]", " ", token)
    return _TOKENS.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def run(name, check):
    """The end of a check that runs as a program."""
    root = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    try:
        findings = check(root)
    except CannotRun as reason:
        print(f"{name}: skipped: {reason}")
        sys.exit(77)
    errors = [f for f in findings if not f[2].startswith("warning: ")]
    for path, line, message in findings:
        print(f"{path}:{line}: {message}")
    print(f"{name}: {len(errors)} findings, {len(findings) - len(errors)} warnings")
    sys.exit(1 if errors else 0)
