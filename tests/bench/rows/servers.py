"""The servers that are measured: lulld, its peers, the limit, and the model server behind them. Each
has one core, the clients and the model server have the other."""
import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

import stub
from lull import BIN, LULLD, clean_environment, eventually, free_port

BARE = pathlib.Path(BIN, "tests", "bench_bare")
LOAD = pathlib.Path(BIN, "tests", "bench_load")
TOOLS = (("nginx", "nginx-light"), ("varnishd", "varnish"), ("haproxy", "haproxy"), ("wrk", "wrk"), ("taskset", "util-linux"))
NGINX = """
{user} daemon off; worker_processes 1; error_log {work}/error.log; pid {work}/nginx.pid; worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/f;
  uwsgi_temp_path {work}/u; scgi_temp_path {work}/s; keepalive_requests 100000000; client_body_buffer_size 64k;
  proxy_cache_path {work}/cache keys_zone=z:50m levels=1:2;
  upstream model {{ server 127.0.0.1:{model}; keepalive 64; keepalive_requests 100000000; }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  server {{ listen 127.0.0.1:{port}; listen unix:{work}/nginx.sock; location / {{ proxy_pass http://model; proxy_cache z;
    proxy_cache_methods POST; proxy_cache_valid 1h; proxy_cache_key $request_uri$http_authorization$request_body; }} }}
  server {{ listen 127.0.0.1:{chats}; location / {{ proxy_pass http://model; proxy_buffering off; }} }} }}
"""
# Varnish reads the body of a POST with std.cache_req_body, and hashes it with vmod_bodyaccess.
VARNISH = """
vcl 4.1; import std; import bodyaccess;
backend model {{ .host = "127.0.0.1"; .port = "{model}"; }}
sub vcl_recv {{
  if (local.socket == "chats") {{ return (pass); }}
  std.cache_req_body(64KB); return (hash);
}}
sub vcl_hash {{ hash_data(req.url); hash_data(req.http.Authorization); bodyaccess.hash_req_body(); return (lookup); }}
sub vcl_backend_fetch {{ set bereq.method = "POST"; }}
sub vcl_backend_response {{ set beresp.ttl = 1h; }}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option http-no-delay
listen all
  bind 127.0.0.1:{port}
  server model 127.0.0.1:{model}
"""


def install():
    packages = [package for tool, package in TOOLS if not shutil.which(tool)]
    if "varnish" in packages:
        packages.append("varnish-modules")
    if packages:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *packages], check=True)
    for needed in (BARE, LOAD, pathlib.Path(LULLD)):
        if not os.access(needed, os.X_OK):
            sys.exit(f"there is no {needed}: ninja -C build lulld bench_bare bench_load bench_schedule")


def versions():
    """Of the peers, as they say it."""
    said = {"nginx": (["nginx", "-v"], r"nginx/[\d.]+"), "varnish": (["varnishd", "-V"], r"varnish-[\d.]+"),
            "haproxy": (["haproxy", "-v"], r"version ([\d.]+)")}
    found = []
    for name, (command, pattern) in said.items():
        r = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(f"{name} " + re.sub(r"^[a-z]+[-/ ]", "", re.search(pattern, r.stdout + r.stderr).group(0)))
    return ", ".join(found)


def pinned(core, *command):
    return ["taskset", "-c", str(core), *map(str, command)]


def alone_on_its_core():
    """No other process takes the core from it, where that is allowed."""
    return ["chrt", "-f", "1"] if os.geteuid() == 0 else []


class Server:
    """A process that answers on `port`, on `chats` to chats, and on the Unix socket `path`."""

    def __init__(self, command, port, chats=None, path=None, **more):
        self.port, self.chats, self.path = port, chats or port, path
        self.process = subprocess.Popen(command, **more)
        eventually(self.answers, 60)

    def answers(self):
        if self.process.poll() is not None:
            sys.exit(f"{self.process.args} ended with {self.process.returncode}")
        try:
            if self.port is not None:
                stub.Asker(self.port).close()
            return self.port is not None or os.path.exists(self.path)
        except OSError:
            return False

    def pids(self):
        """The process and its children."""
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [self.process.pid, *map(int, children.stdout.split())]

    def cpu_us(self):
        """Of all threads of the processes."""
        ns = 0
        for pid in self.pids():
            for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):  # a thread that ended
                    ns += int((thread / "schedstat").read_text().split()[0])
        return ns / 1000

    def rss_anon(self):
        return sum(int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) * 1024
                   for pid in self.pids())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


class Bench:
    """A folder, a model server, and the servers that are started in front of it."""

    def __enter__(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.place = tempfile.TemporaryDirectory(prefix="lull-peers-")
        self.work = pathlib.Path(self.place.name)
        self.work.chmod(0o755)
        self.servers = []
        self.model = self.bare("model", 1)
        self.upstream = f"http://127.0.0.1:{self.model.port}"
        return self

    def __exit__(self, *exc):
        for server in reversed(self.servers):
            server.stop()
        self.place.cleanup()

    def add(self, server):
        self.servers.append(server)
        return server

    def stop(self, server):
        self.servers.remove(server)
        server.stop()

    def bare(self, role, core, *slots):
        port = free_port()
        return self.add(Server(pinned(core, BARE, role, port, *slots), port))

    def bare_turns(self):
        """A loop that does next to nothing, alone on its core; ended, it says how long its longest turn was."""
        port = free_port()
        return self.add(Server(pinned(0, *alone_on_its_core(), BARE, "turns", port), port, stdout=subprocess.PIPE, text=True))

    def bare_on_socket(self, role="table", core=0, path=None):
        path = str(path or self.work / f"{role}.sock")
        pathlib.Path(path).unlink(missing_ok=True)
        return self.add(Server(pinned(core, BARE, role, path), None, path=path))

    def nginx(self):
        port, chats, work = free_port(), free_port(), self.work
        user = "user root;" if os.geteuid() == 0 else ""  # its folders are ours
        (work / "nginx.conf").write_text(NGINX.format(user=user, work=work, model=self.model.port, port=port, chats=chats))
        return self.add(Server(pinned(0, "nginx", "-c", work / "nginx.conf", "-p", work), port, chats, str(work / "nginx.sock")))

    def varnish(self):
        port, chats, work = free_port(), free_port(), self.work
        (work / "varnish.vcl").write_text(VARNISH.format(model=self.model.port))
        return self.add(Server(pinned(0, "varnishd", "-F", "-n", work / "varnish", "-f", work / "varnish.vcl", "-s", "malloc,1g",
                                      "-a", f"all=127.0.0.1:{port}", "-a", f"chats=127.0.0.1:{chats}"), port, chats,
                               stdout=subprocess.DEVNULL, stderr=open(work / "varnish.log", "w")))

    def haproxy(self):
        port = free_port()
        (self.work / "haproxy.cfg").write_text(HAPROXY.format(model=self.model.port, port=port))
        return self.add(Server(pinned(0, "haproxy", "-db", "-f", self.work / "haproxy.cfg"), port))

    def lull(self, name="lull", data=None, alone=False, **options):
        """alone: see alone_on_its_core().
        options: environment variables without LULL_, as strings."""
        port, work = free_port(), self.work
        data = pathlib.Path(data or work / f"{name}-data")
        data.mkdir(exist_ok=True, parents=True)
        path = f"{work}/{name}.sock"
        first = alone_on_its_core() if alone else []
        server = Server(pinned(0, *first, LULLD, "-c", "/dev/null", "--upstream", self.upstream, "--listen",
                               f"127.0.0.1:{port}", "--listen", f"unix:{path}", "--data-dir", data, "--control", work / f"{name}.control"),
                        port, path=path, env=clean_environment(**{"LULL_UPSTREAM_DEFAULT_SLOTS": "0", **{
                            f"LULL_{key}": value for key, value in options.items()}}), stderr=open(work / f"{name}.log", "w"))
        server.control = str(work / f"{name}.control")
        return self.add(server)

    def start(self, name):
        """By the name of a column; the limit is a table in memory."""
        return self.bare("table", 0) if name == "limit" else getattr(self, name)()
