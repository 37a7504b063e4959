#!/usr/bin/env python3
"""Start, reload, drain and end; the command line; faults at the start and on the disk."""
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from client import Client, Cut
from lull import (DEADLINE, LULLD, SANITIZED, LullTest, clean_environment, eventually, free_port, main)
from prompts import PATH, body, chat_body, headers
from upstream import Gate, good, good_content, say


def lulld(*arguments, env=None, timeout=DEADLINE, **more):
    return subprocess.run([LULLD, *arguments], capture_output=True, text=True, timeout=timeout,
                          env=clean_environment(**(env or {})), check=False, **more)


class Drain(LullTest):
    def test_sigterm_finishes_what_runs(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        up.when("chat", good(gate, hold_at=2))
        lull = self.lull(up)
        chat, task, idle = self.connect(lull), self.connect(lull), self.connect(lull)
        chat.start("POST", PATH["openai"], headers(), chat_body("Hi").encode())
        head = chat.response_head()
        task.start("POST", PATH["openai"], headers(), body("title", "drained").encode())
        up.wait_for(2)
        eventually(lambda: gate.arrived == 2)
        lull.signal(signal.SIGTERM)
        self.assertTrue(idle.at_end(), "idle connections are closed")

        def refused():
            try:
                Client(lull.port).close()
                return False
            except ConnectionRefusedError:
                return True
        eventually(refused, message="still listening")
        ready = lull.control("GET", "/readyz")
        self.assertNotEqual(ready.status, 200)
        self.assertEqual(lull.control("GET", "/healthz").status, 200)
        self.assertTrue(lull.running())
        gate.open()
        chat.read_body(head)
        self.assertTrue(head.body.endswith(b"data: [DONE]\n\n"))
        r = task.response()
        self.assertEqual((r.status, r.content), (200, good_content("title", 1)))
        self.assertEqual(r.header("Connection", "").lower(), "close")
        self.assertTrue(task.at_end() and chat.at_end())
        self.assertEqual(lull.wait(), 0)
        lull.start()
        up.clear()
        r = self.connect(lull).post(PATH["openai"], body("title", "drained"), headers())
        self.assertIn("hit", r.cache_status, "committed before the end")

    def test_drain_timeout_cuts_and_says_so(self):
        up = self.upstream()
        never = Gate()
        up.when("chat", good(never, hold_at=1))
        lull = self.lull(up, server="drain_timeout = 300ms")
        c = self.connect(lull)
        c.start("POST", PATH["openai"], headers(), chat_body("Hi").encode())
        r = c.response_head()
        lull.signal(signal.SIGTERM)
        with self.assertRaises(Cut):
            c.read_body(r)
        self.assertEqual(lull.wait(), 0)
        self.assertIn("cut", lull.log_text().lower())

    def test_second_signal_ends_at_once(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
            up = self.upstream()
            never = Gate()
            up.when("chat", good(never))
            lull = self.lull(up)
            c = self.connect(lull)
            c.start("POST", PATH["openai"], headers(), chat_body("Hi").encode())
            up.wait_for(1)
            lull.signal(first)

            def draining(lull=lull):
                return lull.control("GET", "/readyz").status != 200
            eventually(draining)
            lull.signal(second)
            self.assertEqual(lull.wait(5), 0)
            with self.assertRaises((Cut, OSError)):
                c.response()

    def test_a_client_that_goes_on_sending_does_not_hold_up_the_end(self):
        """Its answer has ended; what it sends is dropped, for 30 s at most, and for 2 s where the daemon stops."""
        lull = self.lull(self.upstream())
        c = self.connect(lull)
        c.start("POST", "/@unknown/x", [("Content-Length", "1000000000")])
        self.assertEqual(c.response().status, 404)
        lull.signal(signal.SIGTERM)
        end = time.monotonic() + 15
        while lull.running() and time.monotonic() < end:
            with contextlib.suppress(OSError):
                c.send(b"x")
            with contextlib.suppress(subprocess.TimeoutExpired):
                lull.process.wait(0.2)
        self.assertFalse(lull.running())
        self.assertEqual(lull.wait(), 0)
        self.assertNotIn("cut", lull.log_text())

    def test_drain_over_control(self):
        lull = self.lull(self.upstream())
        self.assertEqual(lull.control("POST", "/drain").status, 200)
        self.assertEqual(lull.wait(), 0)

    def test_requests_on_a_kept_connection_during_drain_are_answered_or_closed(self):
        up = self.upstream()
        gate = Gate()
        up.when("chat", good(gate))
        lull = self.lull(up)
        c = self.connect(lull)
        data = chat_body("Hi", stream=False).encode()
        c.start("POST", PATH["openai"], headers(), data)
        up.wait_for(1)
        c.send(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")  # pipelined behind it
        lull.signal(signal.SIGTERM)
        eventually(lambda: lull.control("GET", "/readyz").status != 200)
        health = lull.ctl("health")
        self.assertEqual((health.returncode, health.stderr), (1, "lullctl: the daemon is stopping\n"))
        gate.open()
        first = c.response()
        self.assertEqual(first.status, 200)
        if first.header("Connection", "").lower() != "close":
            self.assertEqual(c.response().status, 200)
        self.assertTrue(c.at_end())
        self.assertEqual(lull.wait(), 0)

    def test_sigusr1_writes_figures_into_the_log(self):
        lull = self.lull(self.upstream())
        lull.signal(signal.SIGUSR1)
        eventually(lambda: "upstreams" in lull.log_text())


class Reload(LullTest):
    def test_good_reload_by_signal_and_by_control(self):
        up, other = self.upstream(), self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        self.assertEqual(c.get("/v1/models").status, 200)
        lull.upstreams = other
        lull.write_config()
        lull.signal(signal.SIGHUP)
        eventually(lambda: (c.get("/v1/models"), other.count() > 0)[1])
        n = up.count()
        self.assertEqual(c.get("/v1/models").status, 200)
        self.assertEqual(up.count(), n)
        lull.write_config(tasks="enabled = yes\nttl = 1h", more="[task tags]\nenabled = no\n")
        r = lull.reload()
        self.assertEqual(r.status, 200)
        self.assertIn(b"tags", r.body)
        r = c.post(PATH["openai"], body("tags", "x"), headers())
        self.assertEqual(r.cache_status, "lull; detail=switched-off")

    def test_bad_reload_changes_nothing(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        port = free_port()
        for more in ("[task title]\nttl = 5\n[task tags]\nenabled = no\n", "[task titel]\nenabled = no\n",
                     "[upstream other]\nurl = ftp://x\n[task tags]\nenabled = no\n"):
            lull.listen = f"127.0.0.1:{lull.port} 127.0.0.1:{port}"
            lull.write_config(more=more)
            r = lull.reload()
            self.assertEqual(r.status, 409, r)
            self.assertIn(b"lull.conf:", r.body, "says the line")
            with self.assertRaises(OSError):
                Client(port)
            r = c.post(PATH["openai"], body("tags", more), headers())
            self.assertEqual(r.cache_status, "lull; fwd=miss; stored")
        lull.signal(signal.SIGHUP)
        eventually(lambda: "lull.conf:" in lull.log_text())
        self.assertEqual(c.get("/v1/models").status, 200)

    def test_listeners_come_and_go(self):
        up = self.upstream()
        lull = self.lull(up)
        kept = self.connect(lull)
        self.assertEqual(kept.get("/v1/models").status, 200)
        second = free_port()
        lull.listen = f"127.0.0.1:{second}"
        lull.write_config()
        self.assertEqual(lull.reload().status, 200)
        self.assertEqual(self.connect(second).get("/v1/models").status, 200)
        with self.assertRaises(OSError):
            Client(lull.port)
        self.assertEqual(kept.get("/v1/models").status, 200, "open connections stay")
        # an address that is taken: nothing changes, the old one stays open
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            lull.listen = f"127.0.0.1:{lull.port} 127.0.0.1:{taken.getsockname()[1]}"
            lull.write_config(more="[task tags]\nenabled = no\n")
            r = lull.reload()
            self.assertEqual(r.status, 409)
            with self.assertRaises(OSError):
                Client(lull.port)
            r = self.connect(second).post(PATH["openai"], body("tags", "x"), headers())
            self.assertEqual(r.cache_status, "lull; fwd=miss; stored")

    def test_what_a_reload_cannot_change_is_said(self):
        lull = self.lull(self.upstream())
        lull.data_dir += "2"
        lull.write_config()
        r = lull.reload()
        self.assertIn(r.status, (200, 409))
        self.assertIn(b"data_dir", r.body)

    def test_the_doctor_judges_what_is_in_force(self):
        """Not a configuration that was refused, and not the data_dir that waits for a restart."""
        lull = self.lull(self.upstream())
        free = lull.control("GET", "/doctor").json["disk_free_bytes"]
        self.assertGreater(free, 0)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            listen, lull.listen = lull.listen, f"{lull.listen} 127.0.0.1:{taken.getsockname()[1]}"
            lull.write_config(more="[upstream other]\nurl = http://127.0.0.1:1/api\n")
            self.assertEqual(lull.reload().status, 409)
            self.assertEqual(lull.control("GET", "/doctor").json["config_warnings"], [])
            lull.listen = listen
        lull.write_config()
        self.assertEqual(lull.reload().status, 200)
        self.assertEqual(len(lull.control("GET", "/doctor").json["config_warnings"]), 1)
        self.assertEqual(lull.log_text().count("requests to Ollama bring /api along"), 2)
        lull.data_dir = "/nowhere/at/all"
        lull.write_config(more="")
        self.assertEqual(lull.reload().status, 200)
        facts = lull.control("GET", "/doctor").json
        self.assertEqual(facts["config_warnings"], [])
        self.assertIsNotNone(facts["disk_free_bytes"])

    def test_reloads_under_load_lose_nothing(self):
        up = self.upstream()
        up.when("chat", say("a short reply"))
        lull = self.lull(up)
        stop = threading.Event()
        done, problems = [0] * 4, []

        def load(i):
            try:
                with Client(lull.port) as c:
                    while not stop.is_set():
                        if i % 2:
                            r = c.post(PATH["openai"], chat_body(f"chat {i}"), headers())
                        else:
                            r = c.post(PATH["openai"], body("tags", f"{i} {done[i] % 50}"), headers())
                        if r.status != 200:
                            problems.append(repr(r))
                            return
                        done[i] += 1
            except Exception as e:
                problems.append(repr(e))
        threads = [threading.Thread(target=load, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for n in range(30):
            good_one = n % 3 != 2
            lull.write_config(more=f"[task title]\nttl = {n + 1}m\n" if good_one else "[task title]\nttl = x\n")
            self.assertEqual(lull.reload().status, 200 if good_one else 409)
        eventually(lambda: min(done) > 20 or problems)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(problems, [])
        stats = lull.wait_stats(lambda s: s["chat"]["requests"] == done[1] + done[3])
        self.assertEqual(lull.task("tags", stats)["requests"], done[0] + done[2], "counters only grow")

    def test_a_request_keeps_the_settings_it_began_with(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up)
        c = self.connect(lull)
        c.start("POST", PATH["openai"], headers(), body("title", "x").encode())
        up.wait_for(1)
        lull.write_config(more="[task title]\nenabled = no\n")
        self.assertEqual(lull.reload().status, 200)
        gate.open()
        self.assertEqual(c.response().content, good_content("title", 1))
        r = c.post(PATH["openai"], body("title", "x"), headers())
        self.assertEqual(r.cache_status, "lull; detail=switched-off")


class Activation(LullTest):
    def test_inherited_listening_socket(self):
        up = self.upstream()
        port = free_port()
        listener = socket.socket()
        listener.bind(("127.0.0.1", port))
        listener.listen(16)
        lull = self.activated(up, port, listener)
        self.assertEqual(self.connect(lull).get("/v1/models").status, 200)
        listener.close()

    def activated(self, up, port, listener):
        """LISTEN_FDS by hand: descriptor 3, and LISTEN_PID must be the pid of lulld itself."""
        fd = listener.fileno()

        def preexec():
            os.dup2(fd, 3)
            os.set_inheritable(3, True)
        # exec happens with the environment prepared before the fork, so a shell sets LISTEN_PID
        script = os.path.join(tempfile.mkdtemp(prefix="lull-"), "activate")
        self.addCleanup(shutil.rmtree, os.path.dirname(script), True)
        with open(script, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nexport LISTEN_PID=$$ LISTEN_FDS=1\nexec "{LULLD}" "$@"\n')
        os.chmod(script, 0o755)
        import lull as library
        saved, library.LULLD = library.LULLD, script
        try:
            # the configured address is not used: it could not even be bound
            return self.lull(up, port=port, listen=f"127.0.0.1:{port}", preexec=preexec, pass_fds=(3,))
        finally:
            library.LULLD = saved

    def test_systemd_socket_activate(self):
        if shutil.which("systemd-socket-activate") is None:
            self.skipTest("systemd-socket-activate is not here")
        up = self.upstream()
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="lull-") as folder:
            control = os.path.join(folder, "c.sock")
            p = subprocess.Popen(
                ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", LULLD, "--upstream", up.url,
                 "--data-dir", os.path.join(folder, "d"), "--control", control],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
            try:
                def served():
                    try:
                        with Client(port) as c:
                            return c.get("/v1/models").status == 200
                    except (OSError, Cut):
                        return False
                eventually(served)
                p.terminate()
                self.assertEqual(p.wait(10), 0)
            finally:
                if p.poll() is None:
                    p.kill()
                    p.wait()

    def test_notify(self):
        with tempfile.TemporaryDirectory(prefix="lull-") as folder:
            path = os.path.join(folder, "notify")
            s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            s.bind(path)
            s.settimeout(DEADLINE)
            lull = self.lull(self.upstream(), environment={"NOTIFY_SOCKET": path})
            self.assertIn(b"READY=1", s.recv(4096))
            lull.stop()
            said = b""
            while b"STOPPING=1" not in said:
                said = s.recv(4096)
            s.close()


class Surroundings(LullTest):
    """What a parent process leaves to lulld: signals, standard error, limits."""

    def served(self, lull):
        self.assertEqual(self.connect(lull).get("/v1/models").status, 200)

    def test_what_a_failed_write_sends_does_not_end_it(self):
        lull = self.lull(self.upstream())
        for number in signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTOU:
            lull.signal(number)
            self.served(lull)
        self.assertEqual(lull.stop(), 0)

    @unittest.skipIf(SANITIZED == "emulator", "the root of an emulated program is another folder")
    def test_descriptors_that_the_parent_closed(self):
        """No socket and no file takes their numbers, to which the log is written."""
        lull = self.lull(self.upstream(), server="log_level = debug", preexec=lambda: os.closerange(0, 3))
        self.assertEqual(self.connect(lull).post(PATH["openai"], body("title", "kept"), headers()).status, 200)
        self.assertEqual({os.readlink(f"/proc/{lull.process.pid}/fd/{fd}") for fd in range(3)}, {"/"})
        self.assertEqual(lull.stop(), 0)

    def test_output_that_cannot_be_written(self):
        for option in "--help", "--version", "--help-config", "--print-config", "--check":
            with open("/dev/full", "wb") as full, tempfile.TemporaryDirectory() as folder:
                p = subprocess.run([LULLD, "--upstream", "http://127.0.0.1:1", "--data-dir", folder, option], stdout=full,
                                   stderr=subprocess.PIPE, env=clean_environment(), check=False)
            self.assertEqual((p.returncode, p.stderr), (1, b"lulld: the output cannot be written\n"), option)

    def test_signals_that_the_parent_blocked(self):
        numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1}
        lull = self.lull(self.upstream(), preexec=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, numbers))
        lull.signal(signal.SIGHUP)
        eventually(lambda: "app: reloaded" in lull.log_text())
        self.assertEqual(lull.stop(), 0)

    @unittest.skipIf(SANITIZED == "emulator", "an emulator catches signals before the program is there")
    def test_a_reload_at_any_moment(self):
        """SIGHUP and SIGUSR1 before their handlers are there, and after they are gone."""
        lull = self.lull(self.upstream(), wait=False)

        def takes_both():
            with open(f"/proc/{lull.process.pid}/status", encoding="ascii") as f:
                masks = re.findall(r"Sig(?:Ign|Cgt):\s*([0-9a-f]+)", f.read())
            taken = sum(int(mask, 16) for mask in masks)
            return all(taken & 1 << number - 1 for number in (signal.SIGHUP, signal.SIGUSR1))
        eventually(takes_both)  # until main() runs they end any program
        while lull.running() and "listening on" not in lull.log_text():
            lull.signal(signal.SIGUSR1)
            lull.signal(signal.SIGHUP)
        lull.wait_ready()
        lull.signal(signal.SIGTERM)
        while lull.running():
            lull.signal(signal.SIGHUP)
            lull.signal(signal.SIGUSR1)
        self.assertEqual(lull.wait(), 0)

    def test_standard_error_that_nothing_reads(self):
        """A full pipe: requests go on, and the log says later what is missing in it."""
        from_it, its = os.pipe()
        self.addCleanup(os.close, from_it)
        os.set_blocking(its, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(its, b"\n" * 4096)
        os.set_blocking(its, True)
        lull = self.lull(self.upstream(), server="log_level = debug", preexec=lambda: os.dup2(its, 2), wait=False)
        os.close(its)
        lull.wait_ready()
        for _ in range(3):
            self.served(lull)
        os.set_blocking(from_it, False)
        log = b""

        def read():
            nonlocal log
            with contextlib.suppress(BlockingIOError):
                log += os.read(from_it, 1 << 20)
            lull.signal(signal.SIGHUP)
            return b"reloaded" in log
        eventually(read)
        self.assertRegex(log.lstrip(b"\n").split(b"\n")[0], rb"warn  log: [0-9]+ lines before this one are lost")
        self.assertEqual(log.count(b"are lost"), 1)

    def test_a_terminal_that_was_stopped_amid_a_line(self):
        """It has room for a part of one."""
        terminal, side = os.openpty()
        self.addCleanup(os.close, terminal)
        lull = self.lull(self.upstream(), server="log_level = debug", preexec=lambda: os.dup2(side, 2), wait=False)
        os.close(side)
        lull.wait_ready()
        for _ in range(400):  # more than a terminal holds, at 100 bytes a line
            self.served(lull)
        self.assertGreater(len(os.read(terminal, 100)), 0)


class Disk(LullTest):
    """Faults of the disk under data_dir, as /stats, health and the log report them."""

    def tmpfs(self, size):
        folder = tempfile.mkdtemp(prefix="lull-")
        self.addCleanup(shutil.rmtree, folder, True)
        data = os.path.join(folder, "data")
        os.mkdir(data)
        p = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "lull-test", data], capture_output=True,
                           text=True, check=False)
        if p.returncode != 0:
            self.skipTest("a tmpfs cannot be mounted here: " + p.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", data], check=False)
        return folder, data

    def ask(self, lull, text):
        r = self.connect(lull).post(PATH["openai"], body("title", text), headers())
        self.assertEqual((r.status, r.task), (200, "title"))
        return r.cache_status

    def test_a_full_disk(self):
        folder, data = self.tmpfs("2m")
        lull = self.lull(self.upstream(), folder=folder)

        def state():
            return lull.stats()["cache"]["state"]
        self.assertEqual(self.ask(lull, "the first one"), "lull; fwd=miss; stored")
        lull.committed()
        asked = 0
        while state() == "on" and asked < 200:
            asked += 1
            self.ask(lull, f"{asked} " + "word " * 20000)
            lull.wait_stats(lambda s: s["cache"]["pending_writes"] == 0)
        self.assertEqual(state(), "off: the disk is full")
        self.assertEqual(lull.control("GET", "/readyz").json["cache"], "off: the disk is full")
        self.assertNotIn("stored", self.ask(lull, "a new one"))
        self.assertIn("hit", self.ask(lull, "the first one"))
        subprocess.run(["mount", "-o", "remount,size=64m", data], check=True)
        eventually(lambda: state() == "on", timeout=DEADLINE + 15)
        self.assertEqual(self.ask(lull, "another one"), "lull; fwd=miss; stored")
        self.assertEqual(lull.log_text().count("the cache is off: the disk is full"), 1)
        self.assertEqual(lull.log_text().count("the cache is on again"), 1)
        self.assertEqual(lull.stop(), 0)

    def test_a_limit_of_file_sizes(self):
        """RLIMIT_FSIZE: as a full disk, and no end by SIGXFSZ."""
        at, most = 400_000, 1 << 30
        lull = self.lull(self.upstream(),
                         preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (at, most)))
        self.assertEqual(self.ask(lull, "the first one"), "lull; fwd=miss; stored")
        lull.committed()
        for i in range(40):
            self.ask(lull, f"{i} " + "word " * 4000)
        eventually(lambda: "limit of file sizes" in lull.stats()["cache"]["state"])
        self.assertIn("hit", self.ask(lull, "the first one"))
        resource.prlimit(lull.process.pid, resource.RLIMIT_FSIZE, (most, most))
        eventually(lambda: lull.stats()["cache"]["state"] == "on", timeout=DEADLINE + 15)
        self.assertEqual(lull.stop(), 0)

    def test_a_data_dir_that_is_removed(self):
        lull = self.lull(self.upstream())
        self.ask(lull, "kept")
        lull.committed()
        shutil.rmtree(lull.data_dir)
        self.ask(lull, "lost with the directory")
        eventually(lambda: os.path.exists(os.path.join(lull.data_dir, "data.mdb")))
        eventually(lambda: "stored" in self.ask(lull, "kept") or "hit" in self.ask(lull, "kept"))
        self.assertEqual(lull.stats()["cache"]["state"], "on")
        self.assertEqual(lull.log_text().count("was removed"), 1)

    def test_a_lower_max_size(self):
        lull = self.lull(self.upstream(), cache="max_size = 64MB")
        path = os.path.join(lull.data_dir, "data.mdb")
        client = self.connect(lull)
        for i in range(120):
            r = client.post(PATH["openai"], body("title", f"{i} " + "word " * 25000), headers())
            self.assertEqual(r.status, 200)
        lull.committed()
        self.assertGreater(os.path.getsize(path), 12 * 2**20)
        lull.write_config(cache="max_size = 4MB")
        lull.reload()
        lull.wait_stats(lambda s: s["cache"]["bytes"] <= 4 * 2**20)
        self.assertIn("hit", self.ask(lull, "119 " + "word " * 25000))
        lull.restart()
        spare = 1024 * min(os.sysconf("SC_PAGESIZE"), 2**15)  # of LMDB's pages
        self.assertLessEqual(os.path.getsize(path), 5 * 2**20 + spare)
        self.assertIn("hit", self.ask(lull, "119 " + "word " * 25000))

    def test_entries_are_listed_at_once(self):
        lull = self.lull(self.upstream())
        self.ask(lull, "listed")
        self.ask(lull, "listed")
        entries = lull.control("GET", "/entries").json["entries"]
        self.assertEqual([(e["kind"], e["hits"]) for e in entries], [("title", 1)])
        self.assertEqual(lull.stats()["cache"]["entries"], 1)
        shown = lull.control("GET", "/entries/" + entries[0]["id"])
        self.assertEqual(shown.status, 200)
        self.assertEqual(lull.control("DELETE", "/entries/" + entries[0]["id"]).status, 204)
        self.assertEqual(self.ask(lull, "listed"), "lull; fwd=miss; stored")


class InTheWay(LullTest):
    def test_control_socket_of_another_daemon(self):
        up = self.upstream()
        lull = self.lull(up)
        other = self.lull(up, control=lull.control_path, wait=False)
        self.assertEqual(other.wait(), 1)
        self.assertIn(lull.control_path, other.log_text())
        self.assertEqual(lull.control("GET", "/healthz").status, 200)
        lull.kill()  # its socket file stays behind
        self.assertTrue(os.path.exists(lull.control_path))
        again = self.lull(up, control=lull.control_path)
        self.assertEqual(again.control("GET", "/healthz").status, 200)

    def test_data_dir_in_use_runs_without_cache(self):
        up = self.upstream()
        lull = self.lull(up)
        other = self.lull(up)
        self.assertEqual(other.stop(), 0)
        other.data_dir = lull.data_dir
        other.write_config()
        other.start()
        stats = other.stats()
        self.assertTrue(stats["cache"]["state"].startswith("off: "), stats["cache"]["state"])
        for i in (1, 2):
            r = self.connect(other).post(PATH["openai"], body("title", "no cache here"), headers())
            self.assertEqual((r.status, r.task), (200, "title"))
            self.assertNotIn("stored", r.cache_status)
            self.assertEqual(up.count(), i)
        r = self.connect(lull).post(PATH["openai"], body("title", "cache here"), headers())
        self.assertEqual(r.cache_status, "lull; fwd=miss; stored")
        p = lulld("--check", "-c", other.config_path)
        self.assertEqual(p.returncode, 0, p.stderr)  # held by a lulld that runs: that may be the one to reload

    def test_data_dir_that_cannot_be_made(self):
        up = self.upstream()
        lull = self.lull(up)
        self.assertEqual(lull.stop(), 0)
        lull.data_dir = "/proc/self/nothing"
        lull.write_config()
        lull.start()
        self.assertTrue(lull.stats()["cache"]["state"].startswith("off: "))
        self.assertIn("/proc/self/nothing", lull.log_text())
        r = self.connect(lull).post(PATH["openai"], body("title", "x"), headers())
        self.assertEqual(r.status, 200)

    def test_damaged_data_file_is_set_aside(self):
        up = self.upstream()
        lull = self.lull(up)
        c = self.connect(lull)
        c.post(PATH["openai"], body("title", "x"), headers())
        lull.committed()
        self.assertEqual(lull.stop(), 0)
        files = [f for f in os.listdir(lull.data_dir) if f.endswith("mdb") and "lock" not in f]
        self.assertEqual(len(files), 1, os.listdir(lull.data_dir))
        with open(os.path.join(lull.data_dir, files[0]), "r+b") as f:
            f.write(os.urandom(20000))
        lull.start()
        self.assertEqual(lull.stats()["cache"]["state"], "on")
        self.assertTrue([f for f in os.listdir(lull.data_dir) if f.endswith(".bad")], os.listdir(lull.data_dir))
        r = self.connect(lull).post(PATH["openai"], body("title", "x"), headers())
        self.assertEqual(r.cache_status, "lull; fwd=miss; stored")
        self.assertIn("hit", self.connect(lull).post(PATH["openai"], body("title", "x"), headers()).cache_status)

    def test_address_in_use(self):
        up = self.upstream()
        lull = self.lull(up)
        other = self.lull(up, port=lull.port, wait=False)
        self.assertEqual(other.wait(), 1)
        self.assertIn(str(lull.port), other.log_text())


class CommandLine(LullTest):
    def folder(self):
        path = tempfile.mkdtemp(prefix="lull-")
        self.addCleanup(shutil.rmtree, path, True)
        return path

    def write(self, text):
        path = os.path.join(self.folder(), "lull.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def test_version_and_help(self):
        for flag in ("-V", "--version"):
            p = lulld(flag)
            self.assertEqual(p.returncode, 0)
            self.assertRegex(p.stdout, r"\d+\.\d+")
        for flag in ("-h", "--help"):
            p = lulld(flag)
            self.assertEqual(p.returncode, 0)
            for word in ("--listen", "--upstream", "--data-dir", "--control", "--set", "--check"):
                self.assertIn(word, p.stdout)
        p = lulld("--help-config")
        self.assertEqual(p.returncode, 0)
        for word in ("max_task_body", "debounce", "first_byte_timeout", "durability"):
            self.assertIn(word, p.stdout)

    def test_wrong_usage(self):
        for arguments in (["--nope"], ["--upstream"], ["extra"], ["--set", "nonsense"],
                          ["--listen", "not an address", "--upstream", "http://x", "--check"]):
            p = lulld(*arguments)
            self.assertEqual(p.returncode, 2, arguments)
            self.assertNotEqual(p.stderr, "", arguments)

    def test_check(self):
        data = self.folder()
        good_file = self.write(f"[server]\ndata_dir = {data}\n[upstream default]\nurl = http://127.0.0.1:1\n")
        for flag in ("-t", "--check"):
            p = lulld(flag, "-c", good_file)
            self.assertEqual(p.returncode, 0, p.stderr)
        bad = self.write("[server]\nlistn = 127.0.0.1:1\nidle_timeout = 5\nidle_timeout = 5s\nmax_body = 3XB\n"
                         "[upstream default]\nurl = http://127.0.0.1:1\n[task titel]\nttl = 1d\n"
                         "[upstream other]\nslots = 4\n")
        p = lulld("--check", "-c", bad)
        self.assertEqual(p.returncode, 2)
        lines = p.stderr.splitlines()
        for number, word in ((2, "listen"), (3, "idle_timeout"), (4, "idle_timeout"), (5, "max_body"),
                             (8, "title")):
            self.assertTrue([l for l in lines if f"{bad}:{number}:" in l and word in l], (number, word, p.stderr))
        self.assertEqual(lulld("--check", "-c", "/nonexistent/lull.conf").returncode, 2)

    def test_keys_of_later_versions_are_refused(self):
        for text in ("[server]\nuser_jwt_secret = x\n", "[server]\nauth_header = x\n"):
            p = lulld("--check", "-c", self.write(text + "[upstream default]\nurl = http://127.0.0.1:1\n"))
            self.assertEqual(p.returncode, 2, text)
            self.assertIn("not supported in this version", p.stderr)

    def test_refused_switches(self):
        for kind in ("image_prompt", "tool_selection", "memory_review", "context_compaction", "moa"):
            p = lulld("--check", "-c", self.write(
                f"[upstream default]\nurl = http://127.0.0.1:1\n[task {kind}]\nenabled = no\n"))
            self.assertEqual(p.returncode, 2, kind)

    def test_several_upstreams_need_a_default(self):
        text = "[upstream one]\nurl = http://127.0.0.1:1\n[upstream two]\nurl = http://127.0.0.1:2\n"
        p = lulld("--check", "-c", self.write(text))
        self.assertEqual(p.returncode, 2)
        self.assertIn("one", p.stderr)
        self.assertIn("two", p.stderr)
        data = self.folder()
        p = lulld("--check", "-c", self.write(f"[server]\ndefault_upstream = two\ndata_dir = {data}\n" + text))
        self.assertEqual(p.returncode, 0, p.stderr)

    def test_precedence_and_origin(self):
        path = self.write("[server]\nidle_timeout = 20s\nheader_timeout = 21s\nbody_timeout = 22s\n"
                          "[upstream default]\nurl = http://127.0.0.1:1\napi_key = sk-hidden\n")
        p = lulld("--print-config", "-c", path, "--set", "server.idle_timeout=40s",
                  env={"LULL_SERVER_IDLE_TIMEOUT": "30s", "LULL_SERVER_HEADER_TIMEOUT": "31s",
                       "LULL_TASK_FOLLOW_UP_TTL": "2h"})
        self.assertEqual(p.returncode, 0, p.stderr)
        lines = {l.split(" = ")[0]: l for l in p.stdout.splitlines() if " = " in l}
        self.assertIn("40s", lines["server.idle_timeout"])
        self.assertIn("(argument)", lines["server.idle_timeout"])
        self.assertIn("31s", lines["server.header_timeout"])
        self.assertIn("(environment)", lines["server.header_timeout"])
        self.assertIn("22s", lines["server.body_timeout"])
        self.assertIn(f"({path}:4)", lines["server.body_timeout"])
        self.assertIn("(default)", lines["server.drain_timeout"])
        self.assertIn("2h", lines["task.follow_up.ttl"])
        self.assertNotIn("sk-hidden", p.stdout)

    def test_environment(self):
        base = ("--check", "-c", self.write(f"[server]\ndata_dir = {self.folder()}\n"))
        p = lulld(*base, env={"LULL_UPSTREAM": "http://127.0.0.1:1"})
        self.assertEqual(p.returncode, 0, p.stderr)
        p = lulld(*base, env={"LULL_UPSTREAM": "http://127.0.0.1:1", "LULL_SERVER_IDEL_TIMEOUT": "3s"})
        self.assertEqual(p.returncode, 2)
        self.assertIn("LULL_SERVER_IDEL_TIMEOUT", p.stderr)
        p = lulld(*base, env={"LULL_UPSTREAM": "http://127.0.0.1:1", "LULL_PORT": "tcp://10.0.0.1:11435",
                              "LULL_PORT_11435_TCP": "x", "LULL_SERVICE_HOST": "10.0.0.1"})
        self.assertEqual(p.returncode, 0, p.stderr)
        key = self.write("sk-from-a-file\n")
        p = lulld("--print-config", *base[1:], env={"LULL_UPSTREAM_DEFAULT_URL": "http://127.0.0.1:1",
                                                    "LULL_UPSTREAM_DEFAULT_API_KEY_FILE": key})
        self.assertEqual(p.returncode, 0, p.stderr)

    def test_without_a_file(self):
        up = self.upstream()
        folder = self.folder()
        port = free_port()
        runtime = os.path.join(folder, "run")
        os.mkdir(runtime, 0o700)
        control = os.path.join(folder, "c.sock")
        p = subprocess.Popen([LULLD, "--upstream", up.url, "--listen", f"127.0.0.1:{port}",
                              "--control", control, "--data-dir", os.path.join(folder, "data")],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             env=clean_environment(XDG_RUNTIME_DIR=runtime, HOME=folder))
        try:
            def served():
                try:
                    with Client(port) as c:
                        return c.get("/v1/models").status == 200
                except (OSError, Cut):
                    self.assertIsNone(p.poll(), p.stderr.read() if p.poll() is not None else "")
                    return False
            eventually(served)
            begin = time.monotonic()
            p.send_signal(signal.SIGINT)
            self.assertEqual(p.wait(10), 0)
            self.assertLess(time.monotonic() - begin, 5)
            self.assertFalse(os.path.exists(control), "the control socket is left behind")
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()
            p.stderr.close()

    def test_default_file_equals_the_defaults(self):
        from lull import SOURCE
        conf = os.path.join(SOURCE, "conf", "lull.conf")
        self.assertTrue(os.path.exists(conf))
        with_file = lulld("--print-config", "-c", conf, "--upstream", "http://127.0.0.1:11434")
        without = lulld("--print-config", "-c", self.write("\n"), "--upstream", "http://127.0.0.1:11434")
        self.assertEqual(with_file.returncode, 0, with_file.stderr)
        strip = lambda text: [l.rsplit("  (", 1)[0] for l in text.splitlines()]
        self.assertEqual(strip(with_file.stdout), strip(without.stdout))


if __name__ == "__main__":
    main()
