#!/usr/bin/env python3
"""Requests and answers of corpus.py through lull alone, and with nginx, HAProxy and Node in front of it
and behind it.

    pairs.py [--long] [--chain NAME,...] [--seed N]

A raw client sends a case; behind the chain a raw server answers every request with its path. Then two
victims ask on connections of their own. What holds: the server reads no more requests than the attacker
got answers, whole requests only, and each victim gets the answer to its own path. In the other direction
the raw server sends a case once: no victim reads what lay behind it, and no client a field that was
hidden in another. The short form takes a sample of the cases for each pair; a program that is not
installed is left out (the long form then fails).
"""
import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]
import corpus  # noqa: E402
from lull import Lull, clean_environment, eventually, free_port  # noqa: E402

QUIET = 0.12  # without a byte for so long, an answer is over

NGINX = """daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ }}
http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
 uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
 upstream back {{ server 127.0.0.1:{back}; keepalive 8; }}
 server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://back; proxy_http_version 1.1;
  proxy_set_header Connection ""; proxy_set_header Host 127.0.0.1; proxy_buffering off; proxy_request_buffering off;
  proxy_next_upstream off; }} }} }}
"""
HAPROXY = """defaults
 mode http
 timeout connect 5s
 timeout client 20s
 timeout server 20s
frontend f
 bind 127.0.0.1:{port}
 default_backend b
backend b
 http-reuse always
 server s 127.0.0.1:{back}
"""
NODE = """const http = require('http');
const agent = new http.Agent({{ keepAlive: true }});
http.createServer((q, a) => {{
  const r = http.request({{ host: '127.0.0.1', port: {back}, method: q.method, path: q.url, headers: q.headers, agent }}, (b) => {{
    a.writeHead(b.statusCode, b.headers); b.pipe(a);
  }});
  r.on('error', () => {{ if (a.headersSent) a.destroy(); else {{ a.writeHead(502); a.end(); }} }});
  q.on('aborted', () => r.destroy());
  a.on('close', () => {{ if (!a.writableFinished) r.destroy(); }});
  q.pipe(r);
}}).listen({port}, '127.0.0.1');
"""
PROGRAMS = {"nginx": ("nginx", NGINX), "haproxy": ("haproxy", HAPROXY), "node": ("node", NODE)}


class RawServer:
    """Reads requests strictly and answers each with its path; `next_answer` replaces one answer."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.paths, self.garbage = [], []
        self.next_answer = None
        self.stopping = False
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.stopping:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        stream = sock.makefile("rb")
        try:
            while self.one(sock, stream):
                pass
        except (OSError, ValueError):
            pass
        sock.close()

    def one(self, sock, stream):
        line = stream.readline(65536)
        if not line:
            return False
        parts = line.split()
        fields = []
        while True:
            field = stream.readline(65536)
            if field in (b"\r\n", b""):
                break
            fields.append(field)
        if len(parts) != 3 or not line.endswith(b"\r\n") or any(not f.endswith(b"\r\n") or b":" not in f for f in fields):
            self.garbage.append((line, fields))
            return False
        names = [f.split(b":")[0].lower() for f in fields]
        length = [f for f in fields if f.lower().startswith(b"content-length:")]
        if names.count(b"content-length") + names.count(b"transfer-encoding") > 1 or any(n != n.strip() for n in names):
            self.garbage.append((line, fields))
            return False
        if not self.read_body(stream, length, b"transfer-encoding" in names):
            return False  # the client left in the middle
        path = parts[1].decode("latin-1")
        with self.lock:
            self.paths.append(path)
            answer = None
            if "/victim" not in path and "/api/version" not in path and "/props" not in path:
                answer, self.next_answer = self.next_answer, None
        if answer is not None:
            sock.sendall(answer.replace(b"PATH", path.encode()))
            time.sleep(0.02)
            return b"chunk end missing" not in answer
        text = json.dumps({"path": path}).encode()
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text)
                     + (b"" if parts[0] == b"HEAD" else text))
        return True

    def read_body(self, stream, length, chunked):
        if length:
            want = int(length[0].split(b":")[1])
            return len(stream.read(want)) == want
        while chunked:
            line = stream.readline(64)
            if not line.endswith(b"\r\n"):
                return False
            size = int(line.split(b";")[0], 16)
            if size == 0:
                return stream.readline(64) == b"\r\n"
            if len(stream.read(size)) != size or stream.read(2) != b"\r\n":
                return False
        return True

    def stop(self):
        self.stopping = True
        self.listener.close()


class Proxy:
    """nginx, HAProxy or Node between a port and `back`."""

    def __init__(self, name, back, folder):
        self.port = free_port()
        program, text = PROGRAMS[name]
        self.folder = os.path.join(folder, f"{name}{self.port}")
        os.mkdir(self.folder)
        path = os.path.join(self.folder, "config")
        with open(path, "w", encoding="ascii") as f:
            f.write(text.format(port=self.port, back=back, dir=self.folder))
        command = {"nginx": [program, "-c", path, "-e", os.path.join(self.folder, "error.log")],
                   "haproxy": [program, "-db", "-f", path], "node": [program, path]}[name]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env=clean_environment())
        eventually(self.listens, 20, f"{name} does not listen")

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def behind_first(got):
    """What lies behind the first answer of these bytes."""
    head, _, rest = got.partition(b"\r\n\r\n")
    fields = dict(f.lower().split(b": ", 1) for f in head.split(b"\r\n")[1:] if b": " in f)
    if b"content-length" in fields:
        return rest[int(fields[b"content-length"]):]
    while fields.get(b"transfer-encoding") == b"chunked":
        line, _, rest = rest.partition(b"\r\n")
        size = int(line or b"0", 16)
        rest = rest[size + 2:]
        if size == 0:
            return rest
    return b""  # until the close


class Chain:
    """client -> [front] -> lull -> [behind] -> raw server"""

    def __init__(self, name, folder):
        self.name = name
        self.server = RawServer()
        self.proxies = []
        back = self.server.port
        where, _, program = name.partition(" ")
        if where == "behind":
            self.proxies.append(Proxy(program, back, folder))
            back = self.proxies[-1].port
        self.lull = Lull(f"http://127.0.0.1:{back}", server="max_body = 1MB")
        self.port = self.lull.port
        if where == "front":
            self.proxies.append(Proxy(program, self.port, folder))
            self.port = self.proxies[-1].port
        self.problems = []
        self.cases = 0
        self.victims = 0

    def stop(self):
        for proxy in self.proxies:
            proxy.stop()
        if self.lull.running() and self.lull.stop() != 0:
            self.problems.append((self.name, f"lulld ended badly: {self.lull.log_text()[-400:]}"))
        self.lull.cleanup()
        self.server.stop()

    def exchange(self, data, timeout=QUIET):
        """Sends bytes; what comes back until it is quiet."""
        got = b""
        with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
            try:
                sock.sendall(data)
                sock.settimeout(timeout)
                while True:
                    piece = sock.recv(65536)
                    if not piece:
                        break
                    got += piece
            except OSError:
                pass
        return got

    def problem(self, case, what):
        self.problems.append((self.name, case, what))
        print("PROBLEM", self.name, case, what, flush=True)

    def victim(self, case):
        self.victims += 1
        path = f"/v1/victim/{self.victims}"
        data = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        got = self.exchange(data, 5)
        if self.proxies and (got == b"" or b" 502 " in got):
            got = self.exchange(data, 5)  # a proxy used a connection that was just being closed
        if path.encode() not in got or b"POISON" in got or b"hidden" in got or got.count(b"HTTP/1.1 ") != 1:
            self.problem(case, f"the victim of {path} got {got[:300]!r}")

    def unanswered(self, name, data, quiet):
        """What the server read of it and the client got no answer for; '' where nothing."""
        before = len(self.server.paths)
        got = self.exchange(data, quiet)
        for _ in range(2):
            self.victim(name)
        seen = [p for p in self.server.paths[before:] if "/victim" not in p and p not in ("/api/version", "/props")]
        answers = got.count(b"HTTP/1.1 ") - got.count(b"HTTP/1.1 100")
        answers += bool(got) and not got.startswith(b"HTTP/")  # nginx answers HTTP/0.9 without a head
        return f"the server read {seen}, the client got {answers} answers: {got[:300]!r}" if len(seen) > answers else ""

    def request_case(self, name, data):
        problem = self.unanswered(name, data, QUIET)
        if problem:  # the machine may have been slower than that
            problem = self.unanswered(name, data, 20 * QUIET)
        self.cases += 1
        if problem:
            self.problem(name, problem)
        if self.server.garbage:
            self.problem(name, f"the server got {self.server.garbage[:2]}")
            self.server.garbage.clear()

    def answer_case(self, name, data):
        self.server.next_answer = data
        got = self.exchange(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 0.4)
        self.server.next_answer = None
        for _ in range(2):
            self.victim(name)
        self.cases += 1
        head = got.partition(b"\r\n\r\n")[0]
        if self.name.startswith("behind"):
            return  # the proxy's own reading of that answer: lull gets a clean one
        if b"POISON" in head or b"\0" in head or b"\n" in head.replace(b"\r\n", b""):
            self.problem(name, f"the client got the head {head!r}")
        if b"POISON" in behind_first(got):
            self.problem(name, f"the client got two answers: {got!r}")


def run_chain(chain, pick, sample):
    requests, answers = corpus.requests(), corpus.answers()
    requests += [(f"{name}, a chat", data.replace(b"/v1/embeddings", b"/v1/chat/completions")) for name, data in requests
                 if b"/v1/embeddings" in data]
    if sample:
        requests, answers = pick.sample(requests, min(sample, len(requests))), pick.sample(answers, min(sample, len(answers)))
    for name, data in requests:
        chain.request_case(name, data)
    for name, data in answers:
        chain.answer_case(name, data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--chain", help="alone, or 'front nginx', 'behind node' ...")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    there = [p for p in PROGRAMS if shutil.which(PROGRAMS[p][0]) or os.path.exists(f"/usr/sbin/{p}")]
    os.environ["PATH"] += ":/usr/sbin"
    missing = sorted(set(PROGRAMS) - set(there))
    if missing:
        print("not installed, left out:", ", ".join(missing))
    names = ["alone"] + [f"{where} {p}" for p in there for where in ("front", "behind")]
    if options.chain:
        names = options.chain.split(",")
    folder = tempfile.mkdtemp(prefix="lull-pairs-")
    chains = [Chain(name, folder) for name in names]
    try:
        threads = []
        for chain in chains:
            sample = None if options.long else (40 if chain.name == "alone" else 12)
            pick = random.Random(f"{options.seed} {chain.name}")
            threads.append(threading.Thread(target=run_chain, args=(chain, pick, sample)))
            threads[-1].start()
        for thread in threads:
            thread.join()
    finally:
        for chain in chains:
            chain.stop()
        shutil.rmtree(folder, ignore_errors=True)
    problems = [p for chain in chains for p in chain.problems]
    for chain in chains:
        print(f"  {chain.name:16} {chain.cases:4} cases, {chain.victims:4} victims, {len(chain.problems)} problems")
    print(f"{sum(c.cases for c in chains)} cases, {len(problems)} problems")
    sys.exit(1 if problems or (options.long and missing) else 0)


if __name__ == "__main__":
    main()
