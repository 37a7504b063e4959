#!/usr/bin/env python3
"""What must not leave the process, and who may come near it: keys in outputs, in a core, in /proc; modes of files
and sockets under odd umasks; a control socket below /tmp. As another user than root where that decides."""
import contextlib
import os
import pathlib
import resource
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

import prompts
from client import Client
from lull import LULLCTL, LULLD, SANITIZED, LullTest, clean_environment, eventually, main

KEYS = ("sk-planted-upstream", "sk-planted-client", "sk-planted-proxy", "sk-planted-header", "sk-planted-file")
OTHER = 65534
PLACES = ("/stats", "/metrics", "/history", "/report", "/healthz", "/readyz", "/config", "/flights", "/doctor", "/entries", "/")


def becomes(uid, before=lambda: None):
    """For preexec: another user, after what root does before."""
    def change():
        before()
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    return change


def can_read(uid, path):
    """Whether that user may open the file."""
    code = f"open({path!r}, 'rb').read(1)"
    return subprocess.run(["python3", "-c", code], preexec_fn=becomes(uid), stderr=subprocess.DEVNULL, check=False,
                          cwd="/").returncode == 0


class Outputs(LullTest):
    def test_no_output_has_a_key(self):
        up = self.upstream()
        with tempfile.NamedTemporaryFile("w", suffix=".key") as f:
            f.write(KEYS[4] + "\n")
            f.flush()
            lull = self.lull({"default": {"url": up.url, "api_key": KEYS[0], "task_header": f"X-Api-Key: {KEYS[3]}"},
                              "gone": {"url": "http://127.0.0.1:9", "api_key_file": f.name},
                              "far": {"url": "http://127.0.0.1:9", "proxy": f"http://ann:{KEYS[2]}@127.0.0.1:9"}},
                             server="log_level = debug")
            c = self.connect(lull)
            heads = prompts.headers(key=KEYS[1]) + [("Cookie", f"session={KEYS[1]}"), ("Api-Key", KEYS[1])]
            said = b""
            for target in ("/v1", "/@gone/v1", "/@far/v1", "/@nope/v1"):
                for body in (prompts.body("title", "x"), prompts.chat_body("x"), "no JSON " + KEYS[1]):
                    r = c.post(target + "/chat/completions", body, heads)
                    said += r.raw_head + bytes(r.body)
            self.assertTrue(any(e.header("Authorization") == f"Bearer {KEYS[0]}" for e in up.records))
            self.assertTrue(any(e.header("X-Api-Key") == KEYS[3] for e in up.records))
            for place in PLACES:
                r = lull.control("GET", place)
                self.assertEqual(r.status, 200, place)
                said += r.raw_head + bytes(r.body)
            explain = [(f"X-Explain-{n}", v) for n, v in heads]
            said += bytes(lull.control("POST", "/explain", prompts.body("title", "x"), explain).body)
            said += bytes(lull.control("POST", "/config", f"upstream.default.api_key={KEYS[0]}2").body)
            said += bytes(lull.control("POST", "/config", f"upstream.default.api_key={KEYS[0]} 2").body)
            said += bytes(lull.control("POST", "/reload").body)
            for verb in ("stats", "ls", "flights", "config", "report", "health", "doctor"):
                done = lull.ctl(verb)
                said += (done.stdout + done.stderr).encode()
            for option in ("--print-config", "--check"):
                done = subprocess.run([LULLD, "-c", lull.config_path, option], capture_output=True, check=False,
                                      env=clean_environment())
                self.assertEqual(done.returncode, 0, done.stderr)
                said += done.stdout + done.stderr
            lull.signal(signal.SIGUSR1)
            eventually(lambda: '"uptime_s"' in lull.log_text())
        said += lull.log_text().encode()
        for key in KEYS:
            at = said.find(key.encode())
            self.assertEqual(at, -1, said[max(0, at - 80):at + 80])


@unittest.skipIf(os.geteuid() != 0 or SANITIZED, "needs root, to be another user; sanitizers look into the process")
class Process(LullTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="lull-other-", dir="/var/tmp")  # below /tmp, folders are made 0700
        self.addCleanup(shutil.rmtree, self.folder)
        os.chmod(self.folder, 0o755)
        for program in (LULLD, LULLCTL):
            shutil.copy(program, self.folder)
        self.own = os.path.join(self.folder, "own")
        os.mkdir(self.own)
        os.chown(self.own, OTHER, OTHER)
        self.up = self.upstream()

    def run_as_other(self, *arguments, before=lambda: None, **environment):
        """lulld of another user, in a folder of its own; its control socket is there."""
        log = open(os.path.join(self.folder, "log"), "ab")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            [os.path.join(self.folder, "lulld"), "--listen", f"unix:{self.own}/port.sock", "--upstream", self.up.url,
             "--data-dir", f"{self.own}/data", "--control", f"{self.own}/run/control.sock", *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.own, preexec_fn=becomes(OTHER, before),
            env=clean_environment(LULL_UPSTREAM_DEFAULT_API_KEY=KEYS[0], **environment))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def serves(self, process):
        def asks():
            self.assertIsNone(process.poll(), self.log())
            with contextlib.suppress(OSError), Client(f"{self.own}/port.sock") as c:
                return c.post("/v1/chat/completions", prompts.body("title", "x"), prompts.headers(key=KEYS[1])).status == 200
        eventually(asks)

    def log(self):
        return pathlib.Path(self.folder, "log").read_text(encoding="utf-8")

    def died_with_core(self, process):
        """It dies of SIGSEGV; whether the system made a core of it."""
        process.send_signal(signal.SIGSEGV)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = -signal.SIGSEGV
        self.assertEqual(os.WTERMSIG(status), signal.SIGSEGV)
        return os.WCOREDUMP(status)

    def test_no_core(self):
        def unlimited():
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        plain = subprocess.Popen(["sleep", "600"], cwd=self.own, preexec_fn=becomes(OTHER, unlimited))
        eventually(lambda: pathlib.Path(f"/proc/{plain.pid}/comm").read_text(encoding="ascii") == "sleep\n")
        if not self.died_with_core(plain):
            self.skipTest("this system makes no cores")
        process = self.run_as_other(before=unlimited)
        self.serves(process)
        self.assertFalse(self.died_with_core(process))
        kept = [f for f in pathlib.Path(self.own).rglob("core*") if KEYS[0].encode() in f.read_bytes()]
        self.assertEqual(kept, [])
        for key in KEYS:
            self.assertNotIn(key, self.log())

    def test_its_user_cannot_look_into_it(self):
        plain = subprocess.Popen(["sleep", "600"], preexec_fn=becomes(OTHER), cwd="/")
        self.addCleanup(plain.wait)
        self.addCleanup(plain.kill)
        process = self.run_as_other()
        self.serves(process)
        for place, other in (("environ", True), ("mem", False), ("maps", True)):
            self.assertFalse(can_read(OTHER, f"/proc/{process.pid}/{place}"), place)
            if other:  # the test can fail
                self.assertTrue(can_read(OTHER, f"/proc/{plain.pid}/{place}"), place)

    def test_modes_whatever_the_umask(self):
        for umask in (0o000, 0o022, 0o077, 0o777):
            with self.subTest(oct(umask)):
                process = self.run_as_other(before=lambda u=umask: os.umask(u))
                self.serves(process)
                modes = {name: stat.S_IMODE(os.stat(os.path.join(self.own, name)).st_mode)
                         for name in ("port.sock", "run", "run/control.sock", "data", "data/data.mdb")}
                self.assertEqual(modes, {"port.sock": 0o666, "run": 0o755, "run/control.sock": 0o660, "data": 0o700,
                                         "data/data.mdb": 0o600})
                others = [f for f in pathlib.Path(self.own, "data").iterdir() if stat.S_IMODE(f.stat().st_mode) & 0o077]
                self.assertEqual(others, [])
                process.terminate()
                self.assertEqual(process.wait(30), 0, self.log())
                shutil.rmtree(os.path.join(self.own, "data"))
                os.rmdir(os.path.join(self.own, "run"))

    def squat(self, mode, uid):
        """A folder below /tmp, made by `uid` in the place of another user's."""
        folder = tempfile.mkdtemp(prefix="lull-squat-", dir="/tmp")
        self.addCleanup(shutil.rmtree, folder)
        os.chown(folder, uid, uid)
        os.chmod(folder, mode)
        return folder

    def test_a_control_socket_in_another_users_folder(self):
        for mode, uid in ((0o755, 12345), (0o777, OTHER), (0o770, OTHER)):
            with self.subTest(oct(mode)):
                folder = self.squat(mode, uid)
                process = self.run_as_other("--control", f"{folder}/control.sock")
                self.assertEqual(process.wait(30), 1)
                self.assertIn("another user's, or others may write to it", self.log())
        link = os.path.join(self.squat(0o777, 12345), "link")
        os.symlink(self.own, link)
        self.assertEqual(self.run_as_other("--control", f"{link}/control.sock").wait(30), 1)

    def test_lullctl_asks_no_socket_of_another_user(self):
        uid = 54321
        folder = f"/tmp/lull-{uid}"
        if os.path.lexists(folder):
            self.skipTest(f"{folder} is there")
        os.mkdir(folder)
        self.addCleanup(shutil.rmtree, folder)
        up = type(self.up)(unix=f"{folder}/control.sock")  # the socket of the user that made the folder
        self.addCleanup(up.stop)
        os.chmod(f"{folder}/control.sock", 0o666)
        env = {k: v for k, v in clean_environment().items() if k not in ("XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY")}

        def set_key():
            return subprocess.run([os.path.join(self.folder, "lullctl"), "set", f"upstream.default.api_key={KEYS[0]}"],
                                  env=env, capture_output=True, text=True, preexec_fn=becomes(uid), check=False, cwd="/")
        for owner, mode in ((12345, 0o755), (uid, 0o777)):
            os.chown(folder, owner, owner)
            os.chmod(folder, mode)
            self.assertEqual(set_key().returncode, 3)
            self.assertEqual(up.records, [])
        os.chmod(folder, 0o700)
        set_key()
        self.assertEqual(len(up.records), 1)  # the test can fail


if __name__ == "__main__":
    main()
