#!/usr/bin/env python3
"""CPU per cache hit, beside nginx's proxy_cache in the same run.

usage: hit.py LULLD [--sizes 2048,8192] [--seconds 2] [--rounds 3]

Both servers are pinned to one core and asked by wrk on another, over kept-open connections; rounds are
interleaved and the least CPU time per request (utime + stime of the server process) counts, since
these machines are shared. nginx's key is the body, as lull's is. Needs nginx and wrk; prints ratios,
asserts nothing.
"""
import argparse
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ap = argparse.ArgumentParser()
ap.add_argument("lulld")
ap.add_argument("--sizes", default="2048,8192")
ap.add_argument("--seconds", type=int, default=2)
ap.add_argument("--rounds", type=int, default=3)
a = ap.parse_args()

MODEL, LULL, NGINX = 19301, 19302, 19303
for tool in ("nginx", "wrk", "taskset"):
    if shutil.which(tool) is None:
        sys.exit(f"skipped: {tool} is not installed")


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": '{"title": "A title"}'},
                                        "finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 9}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def body_of(size):
    head = ("### Task:\nGenerate a concise title summarizing the chat history.\n### Output:\n"
            'JSON format: { "title": "your concise title here" }\n### Chat History:\n<chat_history>\nUSER: ')
    tail = "\nASSISTANT: \n</chat_history>"
    text = head + "word " * max(1, (size - len(head) - len(tail) - 120) // 5) + tail
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], "stream": False, "max_tokens": 1000},
                      separators=(",", ":"))


def cpu(pids):
    ticks = 0
    for pid in pids:
        f = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(f[11]) + int(f[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def threads_cpu_us(pids):
    """finer than ticks: schedstat counts nanoseconds"""
    ns = 0
    for pid in pids:
        for t in pathlib.Path(f"/proc/{pid}/task").iterdir():
            ns += int((t / "schedstat").read_text().split()[0])
    return ns / 1000


work = pathlib.Path(tempfile.mkdtemp(prefix="lull-bench-"))
model = http.server.ThreadingHTTPServer(("127.0.0.1", MODEL), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()
user = "user root;" if os.geteuid() == 0 else ""  # its folders are ours
(work / "nginx.conf").write_text(f"""
{user} daemon off; worker_processes 1; error_log {work}/error.log; pid {work}/nginx.pid;
events {{ worker_connections 512; }}
http {{ access_log off; proxy_cache_path {work}/cache keys_zone=z:10m; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s; keepalive_requests 100000000; client_body_buffer_size 64k;
  server {{ listen 127.0.0.1:{NGINX}; location / {{ proxy_pass http://127.0.0.1:{MODEL}; proxy_cache z; proxy_cache_methods POST; proxy_cache_valid 1h;
  proxy_cache_key $request_uri$http_authorization$request_body; }} }} }}
""")
(work / "data").mkdir()
procs = []
rows = []
try:
    procs.append(subprocess.Popen(["taskset", "-c", "0", "nginx", "-c", str(work / "nginx.conf"), "-p", str(work)]))
    procs.append(subprocess.Popen(["taskset", "-c", "0", a.lulld, "-c", "/dev/null", "--upstream", f"http://127.0.0.1:{MODEL}", "--listen",
                                   f"127.0.0.1:{LULL}", "--data-dir", str(work / "data"), "--control", str(work / "control.sock")],
                                  stderr=open(work / "lulld.log", "w")))
    deadline = time.monotonic() + 10
    while True:
        try:
            for port in (NGINX, LULL):
                urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", data=body_of(2048).encode(),
                                                              headers={"Content-Type": "application/json"})).read()
            break
        except OSError:
            if time.monotonic() > deadline:
                sys.exit("the servers did not start: " + (work / "lulld.log").read_text())
    worker = subprocess.run(["pgrep", "-P", str(procs[0].pid)], capture_output=True, text=True).stdout.split()
    pids = {"nginx": [int(p) for p in worker], "lull": [procs[1].pid]}
    for size in map(int, a.sizes.split(",")):
        body = body_of(size)
        script = work / f"{size}.lua"
        script.write_text("wrk.method='POST'\nwrk.headers['Content-Type']='application/json'\nwrk.headers['Authorization']='Bearer k'\n"
                          f"wrk.headers['User-Agent']='Python/3.11 aiohttp/3.14.5'\nwrk.body=[==[{body}]==]\n")
        best = {"nginx": None, "lull": None}
        for _ in range(a.rounds):
            for name, port in (("nginx", NGINX), ("lull", LULL)):
                url = f"http://127.0.0.1:{port}/v1/chat/completions"
                subprocess.run(["wrk", "-t1", "-c1", "-d1s", "-s", str(script), url], capture_output=True)
                before = threads_cpu_us(pids[name])
                out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c32", f"-d{a.seconds}s", "-s", str(script), url],
                                     capture_output=True, text=True).stdout
                used = threads_cpu_us(pids[name]) - before
                n = int(out.split(" requests in ")[0].split()[-1])
                if "Non-2xx" in out:
                    sys.exit(out)
                per = used / n
                best[name] = per if best[name] is None else min(best[name], per)
        rows.append((len(body), best["lull"], best["nginx"]))
    print(f"{'body':>8} {'lull us/hit':>12} {'nginx us/hit':>13} {'ratio':>6}")
    for size, lull, nginx in rows:
        print(f"{size:>8} {lull:>12.2f} {nginx:>13.2f} {nginx / lull:>6.2f}")
finally:
    for p in procs:
        p.send_signal(signal.SIGTERM)
    for p in procs:
        p.wait(10)
    shutil.rmtree(work, ignore_errors=True)
