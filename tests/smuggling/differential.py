#!/usr/bin/env python3
"""lull's request parser beside Node's own (llhttp), on mutated requests.

    differential.py [--requests N] [--seed N]

Both read the same bytes of a connection (heads.c, llhttp.js). Allowed are: the same requests; and that
lull refuses what llhttp takes, or ends earlier. A difference in what both take is a failure: another
number of requests, another method, target, body or number of fields. So is what lull takes and llhttp
refuses, but for the reasons in LAXER, each of which changes neither the end of a request nor its meaning.
"""
import argparse
import collections
import os
import random
import re
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import corpus  # noqa: E402

BUILD = os.environ.get("LULL_BIN_DIR", os.path.join(HERE, "..", "..", "build"))
HEADS = os.environ.get("LULL_HEADS", os.path.join(BUILD, "tests", "heads"))
METHOD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# llhttp's error, and what of the bytes explains that lull takes them
LAXER = {
    "HPE_INVALID_METHOD": ("any token is a method (RFC 9110, 9.1); it is handed on as it is", rb"[^\n]"),
    "HPE_INVALID_CONSTANT": ("the same", rb"[^\n]"),
    "HPE_INVALID_URL": ("a byte of a target that llhttp refuses and RFC 3986 has or lull hands on", rb"[^\n]"),
    "HPE_PAUSED_UPGRADE": ("Upgrade is dropped, the request is served", rb"(?i)upgrade|CONNECT"),
    "HPE_PAUSED_H2_UPGRADE": ("the same", rb"PRI"),
    "HPE_INVALID_CONTENT_LENGTH": ("Content-Length in a trailer: trailers are dropped; a tab behind the number",
                                   rb"(?is)Content-Length:[^\r\n]*\t|\r\n0+(;[^\r\n]*)?\r\n.*Content-Length"),
    "HPE_INVALID_TRANSFER_ENCODING": ("Transfer-Encoding in a trailer; a tab behind `chunked`, which is a blank",
                                      rb"(?is)\r\n0+(;[^\r\n]*)?\r\n.*Transfer-Encoding|chunked[ \t]*\t"),
    "HPE_STRICT": ("a character of a chunk's extension: extensions are skipped", rb"\r\n[0-9a-fA-F]+;"),
    "end": ("llhttp reads nothing behind an Upgrade; lull drops it. A tab behind `keep-alive`, which is a blank",
            rb"(?i)upgrade|keep-alive[ \t]*\t"),
    "more": ("the same as HPE_INVALID_CONTENT_LENGTH and HPE_INVALID_TRANSFER_ENCODING: Node names no error of a request"
             " with Upgrade", rb"(?is)upgrade.*\r\n0+(;[^\r\n]*)?\r\n.*(Content-Length|Transfer-Encoding)"),
    "HPE_CLOSED_CONNECTION": ("what is behind a request with Connection: close is not read", rb"(?i)close|HTTP/1\.0"),
}
NAMES = [b"Content-Length", b"Transfer-Encoding", b"Host", b"Connection", b"Expect", b"X-A", b"Upgrade", b"TE"]
VALUES = [b"chunked", b"0", b"5", b"26", b"05", b"+5", b"5 ", b"close", b"keep-alive", b"100-continue", b"identity",
          b"a", b"", b"chunked, chunked", b"5, 5", b"\t5", b"127.0.0.1", b"upgrade", b"\xff", b"a\tb"]
BITS = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b"0\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\n", b"\x7f",
        b"\x80", b"HTTP/1.0", b"5\r\nhello\r\n", b"chunked", b",", b"?", b"/", b"//", b"%00", b"#", b"\x0b", b"\x0c"]


def good_requests():
    yield b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"
    yield b"POST //v1//chat/completions?x=1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\nAccept: */*\r\n\r\nhello"
    yield b"POST /api/chat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;e=f\r\nhello\r\n0\r\nT: v\r\n\r\n"
    yield b"PUT /api/blobs/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    yield b"HEAD / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    yield b"GET http://a:1/x HTTP/1.1\r\nHost: a\r\nConnection: close, X-A\r\nX-A: 1\r\n\r\n"
    for _, data in corpus.requests():
        yield data
    yield b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\t\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"


GOOD = 6  # of good_requests(), the first are good


def mutate(pick, seeds):
    good = seeds[:GOOD] if pick.random() < 0.7 else seeds
    data = bytearray(pick.choice(good))
    if pick.random() < 0.3:
        data += pick.choice(good)
    for _ in range(pick.choice((1, 1, 1, 2, 2, 3, 5))):
        at = pick.randrange(len(data) + 1)
        way = pick.randrange(7)
        if way == 0:
            data[at:at] = pick.choice(BITS)
        elif way == 1 and at < len(data):
            data[at] = pick.randrange(256)
        elif way == 2:
            del data[at:at + pick.choice((1, 1, 2, 8))]
        elif way == 3:
            end = data.find(b"\r\n")
            line = pick.choice(NAMES) + pick.choice((b": ", b":", b" : ", b":\t")) + pick.choice(VALUES) + b"\r\n"
            data[end + 2:end + 2] = line
        elif way == 4 and at < len(data):
            data[at] ^= 1 << pick.randrange(8)
        elif way == 5:
            other = pick.choice(seeds)
            cut = pick.randrange(len(other) + 1)
            data[at:] = other[cut:]
        else:
            piece = bytes(data[at:at + pick.randrange(40)])
            data[at:at] = piece
    return bytes(data[:65536])


def run(command, requests):
    stream = b"".join(struct.pack(">I", len(r)) + r for r in requests)
    p = subprocess.run(command, input=stream, capture_output=True, check=False)
    lines = p.stdout.decode().splitlines()
    if p.returncode != 0 or len(lines) != len(requests):
        sys.exit(f"{command}: status {p.returncode}, {len(lines)} of {len(requests)} lines: {p.stderr[-500:]!r}")
    return [line.split(" ; ") for line in lines]


def plain_target(text):
    """A target without its origin, and with single slashes in its path, as lull hands it on."""
    target = bytes.fromhex(text)
    target = re.sub(rb"(?i)^https?://[^/?]*", b"", target)
    if not target.startswith((b"/", b"*")):
        target = b"/" + target
    path, mark, query = target.partition(b"?")
    return re.sub(rb"/+", b"/", path) + mark + query


def same_request(ours, theirs):
    a, b = ours.split(" "), theirs.split(" ")
    return a[0] == b[0] and plain_target(a[1]) == plain_target(b[1]) and a[2:] == b[2:]


def compare(data, ours, theirs):
    """(class of the difference, whether it is a failure)."""
    mine, their = ours[:-1], theirs[:-1]
    for a, b in zip(mine, their):
        if not same_request(a, b):
            return "another request", True
    if len(mine) > len(their):
        error = theirs[-1].removeprefix("error ")
        reason = LAXER.get(error)
        explained = reason is not None and re.search(reason[1], data) is not None
        return f"llhttp refuses: {error}", not explained
    if len(mine) < len(their):
        closes = re.search(rb"(?i)close|HTTP/1\.0", data)
        return f"lull refuses: {ours[-1]}", ours[-1] == "end" and not closes
    if ours[-1] == theirs[-1]:
        return "the same", False
    if ours[-1].startswith("error"):
        return "the same requests, then lull refuses" if not theirs[-1].startswith("error") else "the same, refused", False
    return f"the same requests, then {ours[-1]} / {theirs[-1].split(' ')[0]}", False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    pick = random.Random(options.seed)
    seeds = list(good_requests())
    requests = seeds + [mutate(pick, seeds) for _ in range(options.requests)]
    ours = run([HEADS], requests)
    theirs = run(["node", "--no-deprecation", os.path.join(HERE, "llhttp.js")], requests)
    classes = collections.Counter()
    failures = []
    for data, a, b in zip(requests, ours, theirs):
        what, failed = compare(data, a, b)
        classes[what] += 1
        if failed:
            failures.append((what, data, a, b))
    print(f"{len(requests)} requests, seed {options.seed}")
    for what, n in classes.most_common():
        print(f"  {n:6} {what}")
    for what, data, a, b in failures[:20]:
        print(f"DIFFERENCE {what}\n  {data!r}\n  lull:   {a}\n  llhttp: {b}")
    print(f"{len(failures)} differences that are failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
