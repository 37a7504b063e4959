#!/usr/bin/env python3
"""N identical cold requests on N open connections at once: how many upstream calls, and how far apart the
first and the last answer arrive. usage: coalesce.py LULLD [--n 200] [--rounds 5]. Asserts nothing."""
import argparse
import http.server
import json
import pathlib
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ap = argparse.ArgumentParser()
ap.add_argument("lulld")
ap.add_argument("--n", type=int, default=200)
ap.add_argument("--rounds", type=int, default=5)
a = ap.parse_args()
MODEL, LULL = 19311, 19312
calls = [0]


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        calls[0] += 1
        time.sleep(0.5)  # the model's time to answer
        body = ('data: {"choices":[{"index":0,"delta":{"content":"{\\"title\\": \\"A title\\"}"},"finish_reason":"stop"}]}\n\n'
                "data: [DONE]\n\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


model = http.server.ThreadingHTTPServer(("127.0.0.1", MODEL), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()
work = pathlib.Path(tempfile.mkdtemp(prefix="lull-bench-"))
p = subprocess.Popen([a.lulld, "-c", "/dev/null", "--upstream", f"http://127.0.0.1:{MODEL}", "--listen", f"127.0.0.1:{LULL}",
                      "--data-dir", str(work / "data"), "--control", str(work / "control.sock")], stderr=open(work / "log", "w"))
try:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", LULL)).close()
            break
        except OSError:
            if time.monotonic() > deadline:
                sys.exit((work / "log").read_text())
    for r in range(a.rounds):
        text = ("### Task:\nGenerate a concise title summarizing the chat history.\n### Chat History:\n<chat_history>\n"
                f"USER: round {r}\nASSISTANT: \n</chat_history>")
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], "stream": False})
        request = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()
        socks = [socket.create_connection(("127.0.0.1", LULL)) for _ in range(a.n)]
        before = calls[0]
        for s in socks:
            s.sendall(request)
        sel = selectors.DefaultSelector()
        for s in socks:
            s.setblocking(False)
            sel.register(s, selectors.EVENT_READ)
        times, good = [], 0
        while len(times) < a.n:
            for key, _ in sel.select(10):
                data = key.fileobj.recv(65536)
                times.append(time.monotonic())
                good += data.startswith(b"HTTP/1.1 200")
                sel.unregister(key.fileobj)
        for s in socks:
            s.close()
        print(f"round {r}: {a.n} requests, {calls[0] - before} upstream calls, {good} answered 200, "
              f"first to last answer {1000 * (max(times) - min(times)):.2f} ms")
finally:
    p.send_signal(signal.SIGTERM)
    p.wait(10)
    shutil.rmtree(work, ignore_errors=True)
