#!/usr/bin/env python3
"""One library, one home: which folders may include the headers of a library. Contracts include none. And what only
one system has: sidecar/base/os.c."""
import re

from common import code_only, files, line_of, read, run

NAME = "one library, one home"
HOMES = [
    ("libevent", re.compile(r"^(event2/|event\.h|evutil\.h)"), ("sidecar/base/loop.c",)),
    ("libcurl", re.compile(r"^curl/"), ("sidecar/path/upstream/", "sidecar/ctl/")),
    ("LMDB", re.compile(r"^lmdb\.h"), ("sidecar/path/store/",)),
    ("xxHash", re.compile(r"^xxh"), ("sidecar/base/hash.c",)),
    ("libcrypto", re.compile(r"^openssl/"), ("sidecar/base/hash.c",)),
    ("one system's own", re.compile(r"^(linux/|mach/|asm/|sys/(prctl|random|epoll|eventfd|inotify|sysctl|event|sysinfo)\.h)"),
     ("sidecar/base/os.c",)),
    ("cJSON", re.compile(r"^(cjson/|cJSON)"), ("sidecar/config/", "sidecar/control/", "sidecar/ctl/")),
]
SYSTEMS = re.compile(r"\b__(linux__|APPLE__|FreeBSD__|NetBSD__|OpenBSD__|GLIBC__|MACH__)|\bMSG_CMSG_CLOEXEC\b|"
                     r"\b(accept4|dup3|epoll_\w+|eventfd|getrandom|mallinfo2?|malloc_trim|mallopt|mempcpy|memrchr|pipe2|ppoll|"
                     r"pthread_condattr_setclock|rawmemchr|secure_getenv|strchrnul)\(|"
                     r"\bSOCK_(NONBLOCK|CLOEXEC)\b|/proc/")
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
        if path != "sidecar/base/os.c":
            for m in SYSTEMS.finditer(code_only(text, keep_strings=True)):
                out.append((path, line_of(text, m.start()), f"not every system has {m.group(0)}: see base/os.h"))
    return out


if __name__ == "__main__":
    run(NAME, check)
