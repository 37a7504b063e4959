#!/usr/bin/env python3
"""Functions that are not used here, and marks of unfinished work."""
import re

from common import code_only, files, line_of, read, run

NAME = "banned functions and marks"
FUNCTIONS = re.compile(r"\b(sprintf|vsprintf|strcpy|strcat|strtok|atoi|atol|atof|gets|alloca)\s*\(")
# written apart, so that this file does not find itself
MARKS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
TEXT = (".c", ".h", ".def", ".py", ".sh", ".cmake", ".md", ".conf", ".yaml", ".js", ".txt", "Dockerfile", "run")


def check(root):
    out = []
    for path in files(root, ["sidecar", "include", "tests"], (".c", ".h", ".def")):
        text = read(root, path)
        for m in FUNCTIONS.finditer(code_only(text)):
            out.append((path, line_of(text, m.start()), f"{m.group(1)} is banned"))
    for path in files(root, ["."], TEXT):
        text = read(root, path)
        for m in MARKS.finditer(text):
            out.append((path, line_of(text, m.start()), f"{m.group(1)}: finish it or write an issue"))
    return out


if __name__ == "__main__":
    run(NAME, check)
