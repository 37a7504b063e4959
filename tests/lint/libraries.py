#!/usr/bin/env python3
"""One library, one home: which folders may include the headers of a library. Contracts include none."""
import re

from common import code_only, files, line_of, read, run

NAME = "one library, one home"
HOMES = [
    ("libevent", re.compile(r"^(event2/|event\.h|evutil\.h)"), ("sidecar/base/loop.c",)),
    ("libcurl", re.compile(r"^curl/"), ("sidecar/path/upstream/", "sidecar/ctl/")),
    ("LMDB", re.compile(r"^lmdb\.h"), ("sidecar/path/store/",)),
    ("xxHash", re.compile(r"^xxh"), ("sidecar/base/hash.c",)),
    ("libcrypto", re.compile(r"^openssl/"), ("sidecar/base/hash.c",)),
    ("cJSON", re.compile(r"^(cjson/|cJSON)"), ("sidecar/config/", "sidecar/control/", "sidecar/ctl/")),
]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">\n]+)[">]', re.M)


def check(root):
    out = []
    for path in files(root, ["sidecar", "include"], (".c", ".h", ".def")):
        text = read(root, path)
        for m in INCLUDE.finditer(code_only(text, keep_strings=True)):
            for library, pattern, homes in HOMES:
                if pattern.search(m.group(1)) and not path.startswith(homes):
                    out.append((path, line_of(text, m.start()),
                                f"{library} ({m.group(1)}) is at home in {', '.join(homes)} only"))
    return out


if __name__ == "__main__":
    run(NAME, check)
