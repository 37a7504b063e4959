#!/usr/bin/env python3
"""Comments: every file opens with one, and every prototype in include/ is documented: by a comment
before it, in the group of lines without a gap that it stands in, or at its end."""
import re

from common import code_only, files, line_of, read, run

NAME = "comments"
# at file scope: a name, arguments, and a semicolon; typedefs of functions are not prototypes
PROTOTYPE = re.compile(r"^(?!typedef\b|#|static\b|return\b)[A-Za-z_][\w \t*()]*?\b([a-z_]\w*)\s*\([^;{}]*\)\s*;", re.M)


def outside_braces(code):
    """The code with everything inside braces blanked out."""
    out, depth = [], 0
    for ch in code:
        if ch == "{":
            depth += 1
        out.append(ch if depth == 0 or ch == "\n" else " ")
        if ch == "}":
            depth -= 1
    return "".join(out)


def documented(lines, first, last):
    """Whether lines[first..last] has a comment: at its end, or above it without a gap."""
    if "/*" in lines[last]:
        return True
    i = first - 1
    while i >= 0 and lines[i].strip():
        if "*/" in lines[i]:
            return True
        if lines[i].lstrip().startswith("#"):
            return False
        i -= 1
    return False


def check(root):
    out = []
    prototypes = 0
    for path in files(root, ["sidecar", "include"], (".c", ".h", ".def")):
        if not read(root, path).lstrip().startswith("/*"):
            out.append((path, 1, "the file does not open with a comment"))
    for path in files(root, ["include"], (".h",)):
        text = read(root, path)
        lines = text.split("\n")
        for m in PROTOTYPE.finditer(outside_braces(code_only(text))):
            prototypes += 1
            first = line_of(text, m.start()) - 1
            last = line_of(text, m.end()) - 1
            if not documented(lines, first, last):
                out.append((path, first + 1, f"{m.group(1)}() has no comment"))
    if files(root, ["include"], (".h",)) and prototypes == 0:
        out.append(("include", 1, "no prototype found: the check is blind"))
    return out


if __name__ == "__main__":
    run(NAME, check)
