"""Starts the real lulld for a test: own ports, own folder, own control socket; waits until it is
ready; and at the end of every test reads /stats and checks the equations of the figures.

    class Something(LullTest):
        def test_it(self):
            up = self.upstream()
            lull = self.lull(up, tasks="debounce = off")
            ...

Environment: LULL_BIN_DIR (folder of lulld and lullctl), LULL_SANITIZE (not empty: built with
sanitizers, or run by an emulator: bounds on memory are not checked and deadlines are longer).
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from client import Client, Cut
from upstream import Upstream

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
BIN = os.path.abspath(os.environ.get("LULL_BIN_DIR", os.path.join(SOURCE, "build")))
LULLD = os.path.join(BIN, "lulld")
LULLCTL = os.path.join(BIN, "lullctl")
SANITIZED = os.environ.get("LULL_SANITIZE", "")
DEADLINE = 60.0 if SANITIZED else 20.0
OUTCOMES = ("hits type_through stale collapsed misses superseded deadline busy obsolete sent "
            "switched_off bypassed rejected abandoned").split()
SANITIZER_SIGNS = re.compile(
    r"ERROR: (?:Address|Leak|Undefined|Thread)Sanitizer|runtime error:|WARNING: ThreadSanitizer"
    r"|DEADLYSIGNAL")


def eventually(what, timeout=DEADLINE, message=""):
    """Polls what() until it is true and returns it; fails at the deadline."""
    end = time.monotonic() + timeout
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {message or what}; last: {value!r}")
        time.sleep(0.003)


def settled(what, quiet=0.2, timeout=DEADLINE):
    """Polls what() until its value has not changed for `quiet` seconds; returns it."""
    end = time.monotonic() + timeout
    value, since = what(), time.monotonic()
    while time.monotonic() - since < quiet:
        if time.monotonic() > end:
            raise AssertionError(f"never settled: {value!r}")
        time.sleep(0.005)
        now = what()
        if now != value:
            value, since = now, time.monotonic()
    return value


_port_lock = threading.Lock()


def _claim(port):
    """Whether no other test has chosen that port: its daemon may not listen yet. Ends with the process."""
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0lull-test-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True


_next_port = 20000 + (os.getpid() * 97) % 11000


def free_port(host="127.0.0.1"):
    """A free port below the range the system takes for outgoing connections."""
    global _next_port
    with _port_lock:
        for _ in range(11000):
            _next_port = 20000 + (_next_port - 20000 + 1) % 11000
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind((host, _next_port))
                except OSError:
                    continue
            if _claim(_next_port):
                return _next_port
    raise AssertionError("no free port")


def clean_environment(**more):
    """The environment without anything that configures lulld, and without proxies."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("LULL_", "LISTEN_", "NOTIFY_")) and not k.lower().endswith("_proxy")}
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.update(more)
    return env


class Lull:
    """One running lulld. upstreams: an Upstream, a URL, or {name: Upstream | URL | {key: value}}.
    server, tasks, cache: lines for these sections; more: whole further sections. slots: of every
    upstream that does not say its own."""

    def __init__(self, upstreams, server="", tasks="", cache="", more="", folder=None, port=None,
                 listen=None, arguments=(), environment=None, wait=True, control=None, preexec=None,
                 pass_fds=(), slots=0):
        self.slots = slots  # 0: nothing waits for its turn; None: as it is by default
        self.folder = folder or tempfile.mkdtemp(prefix="lull-")
        self.own_folder = folder is None
        self.port = port or free_port()
        self.control_path = control or os.path.join(self.folder, "c.sock")
        self.data_dir = os.path.join(self.folder, "data")
        self.config_path = os.path.join(self.folder, "lull.conf")
        self.log_path = os.path.join(self.folder, "log")
        self.listen = listen or f"127.0.0.1:{self.port}"
        self.upstreams = upstreams
        self.sections = {"server": server, "tasks": tasks, "cache": cache, "more": more}
        self.arguments, self.environment = list(arguments), environment or {}
        self.preexec, self.pass_fds = preexec, pass_fds
        self.process = None
        self.killed = False
        self.write_config()
        self.start(wait)

    # -- configuration ---------------------------------------------------------------------------
    def config_text(self):
        ups = self.upstreams
        if not isinstance(ups, dict):
            ups = {"default": ups}
        s = self.sections
        text = ["[server]"]
        if self.listen != "-":
            text.append(f"listen = {self.listen}")
        text += [f"control = {self.control_path}", f"data_dir = {self.data_dir}", s["server"], ""]
        for name, up in ups.items():
            keys = up if isinstance(up, dict) else {"url": up}
            if self.slots is not None:
                keys = {"slots": self.slots, **keys}
            text.append(f"[upstream {name}]")
            for key, value in keys.items():
                text.append(f"{key} = {getattr(value, 'url', value)}")
            text.append("")
        if s["tasks"]:
            text += ["[tasks]", s["tasks"], ""]
        if s["cache"]:
            text += ["[cache]", s["cache"], ""]
        text.append(s["more"])
        return "\n".join(text) + "\n"

    def write_config(self, **sections):
        self.sections.update(sections)
        with open(self.config_path, "w", encoding="utf-8") as f:
            f.write(self.config_text())

    # -- life ------------------------------------------------------------------------------------
    def start(self, wait=True):
        self.killed = False
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [LULLD, "-c", self.config_path] + self.arguments, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, env=clean_environment(**self.environment),
            cwd=self.folder, preexec_fn=self.preexec, pass_fds=self.pass_fds)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        end = time.monotonic() + DEADLINE
        while True:
            try:
                if self.control("GET", "/readyz").status == 200:
                    return
            except (OSError, Cut):
                pass
            if self.process.poll() is not None:
                raise AssertionError(f"lulld ended with {self.process.returncode}:\n{self.log_text()}")
            if time.monotonic() > end:
                raise AssertionError(f"lulld is not ready:\n{self.log_text()}")
            time.sleep(0.003)

    def log_text(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=DEADLINE):
        """Waits for the end; the exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"lulld does not end:\n{self.log_text()[-3000:]}") from None

    def stop(self):
        """SIGTERM and wait: the exit status."""
        if self.running():
            self.signal(signal.SIGTERM)
        return self.wait(DEADLINE + 35)

    def kill(self):
        """SIGKILL."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def restart(self, how="stop"):
        if how == "kill":
            self.kill()
        else:
            status = self.stop()
            if status != 0:
                raise AssertionError(f"exit status {status} after SIGTERM:\n{self.log_text()}")
        return self.start()

    def cleanup(self):
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- talking to it ---------------------------------------------------------------------------
    def client(self, **more):
        return Client(self.port, **more)

    def control(self, method, target, body=None, headers=()):
        with Client(self.control_path) as c:
            return c.request(method, target, headers, body)

    def stats(self):
        response = self.control("GET", "/stats")
        if response.status != 200:
            raise AssertionError(f"/stats: {response}")
        return response.json

    def task(self, kind, stats=None):
        """The figures of a kind; zeros where it was never seen."""
        figures = (stats or self.stats())["tasks"].get(kind, {})
        return {**{name: 0 for name in OUTCOMES}, "requests": 0, "stored": 0, "not_stored": 0,
                "upstream_calls": 0, "failed": 0, "cancelled": 0, "regenerated": 0, **figures}

    def wait_task(self, kind, timeout=DEADLINE, **want):
        """Waits until the figures of a kind are those given."""
        try:
            return eventually(lambda: (lambda t: t if all(t.get(k) == v for k, v in want.items())
                                       else None)(self.task(kind)), timeout)
        except AssertionError:
            raise AssertionError(f"figures of {kind}: want {want}, have {self.task(kind)}") from None

    def wait_stats(self, test, timeout=DEADLINE):
        """Waits until test(stats) is true; returns those stats."""
        return eventually(lambda: (lambda s: s if test(s) else None)(self.stats()), timeout)

    def committed(self):
        """Waits until nothing waits to be written to disk."""
        return self.wait_stats(lambda s: s["cache"].get("pending_writes") == 0)

    def reload(self):
        return self.control("POST", "/reload")

    def ctl(self, *arguments, stdin=None, socket_path=None, env=None):
        """Runs lullctl; returns the finished process (text)."""
        return subprocess.run([LULLCTL, "--socket", socket_path or self.control_path, *arguments],
                              input=stdin, capture_output=True, text=True, timeout=DEADLINE,
                              env=clean_environment(**(env or {})), check=False)

    def rss_anon(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1)) * 1024

    # -- the equations ---------------------------------------------------------------------------
    def unbalanced(self, stats=None):
        """What in /stats does not add up; empty when all is well."""
        stats = stats or self.stats()
        wrong = []
        for kind, figures in stats["tasks"].items():
            unknown = [k for k in figures if k not in KNOWN_TASK_FIGURES]
            if unknown:
                wrong.append(f"{kind}: figures that the interface does not know: {unknown}")
            outcomes = sum(figures.get(o, 0) for o in OUTCOMES)
            if figures.get("requests") != outcomes:
                wrong.append(f"{kind}: {figures.get('requests')} requests, {outcomes} outcomes")
        for name, up in stats["upstreams"].items():
            ended = up["finished"] + up["failed"] + up["aborted"] + up["running"]
            if up["calls"] != ended:
                wrong.append(f"upstream {name}: {up['calls']} calls, {ended} ended or running")
        return wrong

    def check(self):
        """The end of a test: waits for a quiet moment, then the figures must add up."""
        end = time.monotonic() + DEADLINE
        while True:
            wrong = self.unbalanced()
            if not wrong:
                return
            if time.monotonic() > end:
                raise AssertionError(f"the figures do not add up: {wrong}\n"
                                     f"{json.dumps(self.stats())[:3000]}")
            time.sleep(0.01)


KNOWN_TASK_FIGURES = set(OUTCOMES) | set(
    "requests failed stored not_stored upstream_calls prefix_used prefix_not preempted cancelled regenerated upstream_s "
    "saved_s wasted_s saved_tokens tokens_in tokens_out tokens_estimated cost saved_cost wait_s "
    "latency_ms window_ms would_hit would_type_through would_collapse would_supersede would_wait_s would_save_s".split())


class LullTest(unittest.TestCase):
    maxDiff = None
    check_figures = True

    def setUp(self):
        self._lulls = []
        self._upstreams = []
        self._clients = []
        self._gates = []

    def upstream(self, **more):
        up = Upstream(**more)
        self._upstreams.append(up)
        return up

    def lull(self, upstreams, **more):
        lull = Lull(upstreams, **more)
        self._lulls.append(lull)
        return lull

    def connect(self, lull, **more):
        address = lull if isinstance(lull, (str, int, tuple)) else lull.port
        client = Client(address, **more)
        self._clients.append(client)
        return client

    def tearDown(self):
        problems = []
        try:
            for client in self._clients:
                client.close()
            for lull in self._lulls:
                problems += self._end(lull)
            for up in self._upstreams:
                problems += [f"the scripted model server: {e}" for e in up.errors]
        finally:
            for lull in self._lulls:
                lull.cleanup()
            for up in self._upstreams:
                up.stop()
        if problems:
            self.fail("\n".join(problems))

    def _end(self, lull):
        """Checks the figures of a daemon that still runs, ends it, and looks at how it ended."""
        problems = []
        if lull.running():
            try:
                if self.check_figures:
                    lull.check()
            except (AssertionError, OSError, Cut, KeyError, ValueError) as e:
                problems.append(f"{type(e).__name__}: {e}")
            try:
                status = lull.stop()
                if status != 0:
                    problems.append(f"lulld ended with {status} after SIGTERM")
            except AssertionError as e:
                problems.append(str(e))
        elif lull.process.returncode is not None and lull.process.returncode < 0 and not lull.killed:
            problems.append(f"lulld died of signal {-lull.process.returncode}")
        log = lull.log_text()
        sign = SANITIZER_SIGNS.search(log)
        if sign:
            problems.append("a sanitizer spoke:\n" + log[max(0, sign.start() - 200):][:6000])
        if problems:
            problems.append("log of lulld:\n" + log[-3000:])
        return problems


def main():
    """Runs the tests of the calling file; 77 (skipped) where there is no lulld."""
    if not os.access(LULLD, os.X_OK):
        print(f"skipped: there is no {LULLD}")
        sys.exit(77)
    unittest.main(module="__main__", verbosity=2)
