#!/usr/bin/env python3
"""The service under systemd itself: lulld.service as it is installed, in a systemd that is PID 1 of namespaces of
its own and knows no other unit. Under the unit's filter of system calls, where a call that it leaves out ends
the process (as installed it fails with EPERM), lulld does what it does: chats, tasks, stores, reloads, purges,
compacts, is asked by lullctl, restarts, stops. Then what systemd gave it: user, capabilities, folders.

Needs root and a cgroup2 hierarchy that may be written to; 77 where something is missing.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from common import BUILD, LULLCTL, LULLD, SANITIZED, SOURCE, main, need, skip

sys.path.insert(0, os.path.join(SOURCE, "tests", "integration"))

PID1 = "/lib/systemd/systemd"
RUN = "/run/test"  # in the tmpfs of the namespaces: programs, configuration, key
CONTROL = "/run/lull/control.sock"
KEY = "sk-unit-secret-6b1f"
PORT, MODEL_PORT = 11435, 21434
THIS = os.path.join("/run/source", os.path.relpath(os.path.abspath(__file__), SOURCE))  # inside
# What PID 1 finds: no unit of this machine, nothing to write on, and the test's folder as /run/test.
INSIDE = """set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/test /run/systemd/system
cp -r "$1/." /run/test
mv /run/test/units/* /run/systemd/system/
mkdir /run/source
mount --bind "$2" /run/source # it may be below one of these folders
for folder in /tmp /var /usr/lib/systemd/system /usr/lib/systemd/system-generators /etc/systemd/system; do
    [ ! -d $folder ] || mount -t tmpfs tmpfs $folder
done
mkdir -p /var/tmp /var/lib /var/cache
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
mount --make-rshared / # systemd hands credentials over through shared mounts
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin %s --system --unit=basic.target
""" % PID1
TARGET = "[Unit]\nDescription=test\nDefaultDependencies=no\n"
DROP_IN = f"""[Service]
ExecStart=
ExecStart={RUN}/lulld -c {RUN}/lull.conf
ExecReload=
ExecReload={RUN}/lullctl reload
LoadCredential=key:{RUN}/key
Environment=LULL_UPSTREAM_DEFAULT_API_KEY_FILE=%d/key
StandardOutput=append:{RUN}/log
StandardError=append:{RUN}/log
"""
CONFIG = f"""[server]
listen = 127.0.0.1:{PORT} unix:/run/lull/port.sock
metrics_listen = 127.0.0.1:11436
[upstream default]
url = http://localhost:{MODEL_PORT}
[cache]
max_size = 4MB
"""


def cgroup_root():
    for folder in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if os.path.exists(os.path.join(folder, "cgroup.controllers")):
            return folder
    skip("there is no cgroup2 hierarchy")


def wait_until(what, why, timeout=60.0):
    end = time.monotonic() + timeout
    while not what():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {why}")
        time.sleep(0.02)


class Machine:
    """A systemd of its own, with the unit."""

    def __init__(self, folder):
        self.cgroup = os.path.join(cgroup_root(), f"lull-test-{os.getpid()}")
        self.script = os.path.join(folder, "inside.sh")
        with open(self.script, "w", encoding="ascii") as f:
            f.write(INSIDE)
        try:
            os.mkdir(self.cgroup)
        except OSError as e:
            skip(f"a cgroup cannot be made ({e.strerror})")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup", "--net",
             "--mount-proc", "sh", self.script, os.path.join(folder, "tree"), SOURCE],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            preexec_fn=self.enter)
        self.pid1 = None
        try:
            wait_until(self.is_up, "systemd as PID 1")
        except BaseException:
            self.close()
            raise

    def enter(self):
        with open(os.path.join(self.cgroup, "cgroup.procs"), "w", encoding="ascii") as f:
            f.write("0")

    def is_up(self):
        if self.process.poll() is not None:
            skip(f"no namespaces for systemd: {self.process.stderr.read().strip()[-300:]}")
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
            children = f.read().split()
        self.pid1 = children[0] if children else None
        return self.pid1 and self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def command(self, *arguments):
        return ["nsenter", "-t", self.pid1, "-m", "-p", "-u", "-i", "-n", "-C", *arguments]

    def run(self, *arguments):
        return subprocess.run(self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120, check=False)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        for base, folders, _ in os.walk(self.cgroup, topdown=False):
            for name in folders:
                self.remove(os.path.join(base, name))
        self.remove(self.cgroup)

    def remove(self, folder):
        def gone():
            try:
                os.rmdir(folder)
            except OSError:
                return not os.path.exists(folder)
            return True
        wait_until(gone, f"{folder} is empty")


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="lull-systemd-")
        tree = os.path.join(cls.folder, "tree")
        units = os.path.join(tree, "units")
        os.makedirs(os.path.join(units, "lulld.service.d"))
        for program in (LULLD, LULLCTL):
            shutil.copy(program, tree)
        for name in ("basic.target", "sysinit.target", "shutdown.target"):
            cls.write(os.path.join(units, name), TARGET)
        shutil.copy(os.path.join(BUILD, "systemd", "lulld.service"), units)
        cls.write(os.path.join(units, "lulld.service.d", "test.conf"), DROP_IN)
        cls.write(os.path.join(tree, "lull.conf"), CONFIG)
        cls.write(os.path.join(tree, "key"), KEY + "\n")
        os.chmod(os.path.join(tree, "key"), 0o600)  # PID 1 reads it for the service
        cls.machine = Machine(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.machine.close()
        shutil.rmtree(cls.folder)

    @staticmethod
    def write(path, text):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def drop_in(self, text):
        """A further drop-in of the service, until the end of the test."""
        def put(lines):
            self.must("sh", "-c", f"printf '%s' '{lines}' >/run/systemd/system/lulld.service.d/z.conf; "
                                  "systemctl daemon-reload")
        put("[Service]\n" + text)
        self.addCleanup(put, "")

    def must(self, *arguments):
        done = self.machine.run(*arguments)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}\n{self.log()}")
        return done.stdout

    def log(self):
        return self.machine.run("cat", f"{RUN}/log").stdout

    def show(self, name):
        return self.must("systemctl", "show", "-p", name, "--value", "lulld").strip()

    def drive(self, what):
        """This file inside of the namespaces of network and files."""
        return self.must(sys.executable, "-B", THIS, "--inside", what)

    def stop(self):
        self.must("systemctl", "stop", "lulld")
        self.assertEqual((self.show("Result"), self.show("ExecMainStatus")), ("success", "0"), self.log())

    def test_it_needs_nothing_that_the_filter_refuses(self):
        self.drop_in("SystemCallErrorNumber=kill")
        self.must("systemctl", "start", "lulld")
        pid = self.show("MainPID")
        self.drive("everything")
        self.must("systemctl", "reload", "lulld")
        self.must("systemctl", "kill", "-s", "USR1", "lulld")
        self.assertEqual(self.show("MainPID"), pid, self.log())
        self.must("systemctl", "restart", "lulld")
        self.drive("a hit")
        self.stop()
        self.assertEqual(self.show("NRestarts"), "0")

    def test_a_call_that_is_refused_is_noticed(self):
        self.drop_in("SystemCallErrorNumber=kill\nSystemCallFilter=~fdatasync\nRestart=no")
        self.machine.run("systemctl", "start", "lulld")
        done = self.machine.run(sys.executable, "-B", THIS, "--inside", "everything")
        self.assertNotEqual(done.returncode, 0)
        wait_until(lambda: self.show("ActiveState") == "failed", "the service has failed")
        self.assertEqual(self.show("ExecMainStatus"), str(int(signal.SIGSYS)))
        self.must("systemctl", "reset-failed", "lulld")

    def test_what_systemd_gives_it(self):
        self.must("systemctl", "start", "lulld")
        self.drive("everything")
        pid = self.show("MainPID")
        status = dict(line.split(":\t", 1) for line in self.must("cat", f"/proc/{pid}/status").splitlines()
                      if ":\t" in line)
        self.assertNotIn("0", status["Uid"].split())
        self.assertNotIn("0", status["Gid"].split())
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertRegex(self.must("cat", f"/proc/{pid}/limits"), r"Max core file size +0 +0 ")
        # not dumpable: memory and environment are root's to read
        self.assertEqual(self.must("stat", "-c", "%u", f"/proc/{pid}/environ").strip(), "0")
        modes = {path: self.must("stat", "-L", "-c", "%a", path).strip()
                 for path in ("/var/lib/lull", "/var/lib/lull/data.mdb", "/run/lull", CONTROL, "/run/lull/port.sock")}
        self.assertEqual(modes, {"/var/lib/lull": "700", "/var/lib/lull/data.mdb": "600", "/run/lull": "755",
                                 CONTROL: "660", "/run/lull/port.sock": "666"})
        for path in ("/etc/lull-test", "/usr/lull-test", "/var/lib/lull-test"):
            done = self.machine.run("nsenter", "-t", pid, "-m", "--", "touch", path)
            self.assertNotEqual(done.returncode, 0, path)
        self.stop()
        self.assertNotIn(KEY, self.log())


# ---- inside ----------------------------------------------------------------------------------------------


def inside(what):
    from client import Client
    from prompts import PATH, body, chat_body, headers
    from upstream import Upstream, good

    up = Upstream(port=MODEL_PORT)
    up.when("*", good())

    def ask(kind, text, address=PORT):
        with Client(address) as c:
            return c.post(PATH["openai"], body(kind, text), headers())

    def ctl(*arguments, given=None):
        done = subprocess.run([f"{RUN}/lullctl", "--socket", CONTROL, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, input=given, text=True, timeout=60, check=False)
        assert done.returncode in (0, 1), (arguments, done.stdout)
        assert KEY not in done.stdout, (arguments, done.stdout)
        return done.stdout

    def everything():
        for kind in ("title", "tags", "follow_up", "query", "autocomplete", "emoji"):
            assert ask(kind, "of " + kind).status == 200, kind
        wait_until(lambda: json.loads(ctl("--json", "stats"))["cache"]["pending_writes"] == 0, "committed")
        assert "hit" in ask("title", "of title", "/run/lull/port.sock").cache_status
        with Client(PORT) as c:
            assert c.post(PATH["openai"], chat_body("Hello")).status == 200
            assert c.get("/v1/models").status == 200
        assert any(e.header("Authorization") == f"Bearer {KEY}" for e in up.records)
        threads = [threading.Thread(target=ask, args=("title", f"{i} " + "many words " * 5000)) for i in range(90)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        with Client(11436) as c:
            assert c.get("/metrics").status == 200
        for verb in ("stats", "ls", "flights", "config", "report", "health", "doctor"):
            ctl(verb)
        ctl("explain", "-", given=body("title", "of title"))
        ctl("set", "cache.max_size=8MB", "server.log_level=debug")
        ctl("purge", "kind=title")
        ask("tags", "of tags")  # it may have made room
        a_hit()

    def a_hit():
        assert "hit" in ask("tags", "of tags").cache_status

    {"everything": everything, "a hit": a_hit}[what]()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2])
    else:
        need("unshare", "nsenter", "ip", "systemctl")
        if os.geteuid() != 0 or SANITIZED or not os.access(PID1, os.X_OK):
            skip("needs root, systemd, and a build without sanitizers")
        main()
