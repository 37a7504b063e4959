#!/usr/bin/env python3
"""Functions that are not used here, calls that act inside require(), marks of unfinished work, files without text."""
import os
import re
import subprocess

from common import code_only, files, line_of, read, run

NAME = "banned functions and marks"
FUNCTIONS = re.compile(r"\b(sprintf|vsprintf|strcpy|strcat|strtok|atoi|atol|atof|gets|alloca)\s*\(")
# written apart, so that this file does not find itself
MARKS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
# require() is for conditions: what acts goes before it, or into require_ok(). These only look.
LOOKS = {"sizeof", "strlen", "memcmp", "strcmp", "list_empty", "span_eq", "span_starts", "span_ends", "buf_span"}
REQUIRE = re.compile(r"(?<!define )\brequire\s*\(")
ACTS = re.compile(r"\+\+|--|(?<![=!<>])=(?!=)")
CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
TEXT = (".c", ".h", ".def", ".py", ".sh", ".cmake", ".md", ".conf", ".yaml", ".js", ".txt", "Dockerfile", "run")


def inside(text, start):
    """What stands between the parenthesis that ends before start and its partner."""
    depth, at = 1, start
    while at < len(text) and depth > 0:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return text[start:at - 1]


def acting_conditions(path, text):
    out = []
    for m in REQUIRE.finditer(text):
        condition = inside(text, m.end())
        calls = [c for c in CALL.findall(condition) if c not in LOOKS]
        if calls or ACTS.search(condition):
            what = calls[0] + "()" if calls else "an assignment"
            out.append((path, line_of(text, m.start()), f"require() around {what}: it may act; see require_ok()"))
    return out


def committed(root):
    """The files of the tree without the corpora; those of the folder, where it is no clone."""
    if not os.path.exists(os.path.join(root, ".git")):
        return files(root, ["."], "")
    p = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True, check=False)
    return [path for path in p.stdout.split("\0")
            if "corpus" not in path.split("/") and os.path.isfile(os.path.join(root, path))]


def without_text(root):
    out = []
    for path in committed(root):
        if path.endswith(".png"):
            continue
        with open(os.path.join(root, path), "rb") as f:
            data = f.read()
        if not data.strip() or b"\0" in data:
            out.append((path, 1, "no text: a tool left it behind"))
    return out


def check(root):
    out = without_text(root)
    for path in files(root, ["sidecar", "include"], (".c", ".h")):
        out += acting_conditions(path, code_only(read(root, path)))
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
