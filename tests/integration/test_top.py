#!/usr/bin/env python3
"""lullctl top in a pseudo-terminal, on a dumb one and into a pipe; lullctl tail."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
import unittest

import prompts
from lull import LULLCTL, LullTest, clean_environment, eventually
from scripted_control import ScriptedControl
from upstream import Gate, say

END = re.compile(r"\x1b\[J")
CONTROL = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Terminal:
    """lullctl in a pseudo-terminal; frames() are what it drew."""

    def __init__(self, lull, *arguments, rows=24, columns=80, term="xterm", shell=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            command = ["lullctl", "--socket", lull.control_path, *arguments]
            if shell is not None:  # a script with {} in place of lullctl top
                command = ["bash", "-c", shell.format(f"'{LULLCTL}' --socket '{lull.control_path}' top")]
            os.execve(LULLCTL if shell is None else shutil.which("bash"), command, clean_environment(TERM=term))
        self.resize(rows, columns)
        self.text, self.status = "", None

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, timeout):
        if select.select([self.fd], [], [], timeout)[0]:
            try:
                self.text += os.read(self.fd, 65536).decode()
            except OSError:
                return False
        return True

    def frame_with(self, test, seconds=20):
        """The first whole frame from now on that passes the test."""
        self.text, end = "", time.monotonic() + seconds
        while time.monotonic() < end:
            alive = self.read(0.2)
            for frame in END.split(self.text)[:-1]:
                lines = CONTROL.sub("", frame.split("\x1b[H")[-1]).split("\r\n")
                if test("\n".join(lines)):
                    return lines
            if not alive:
                break
        raise AssertionError(f"no such frame; last seen: {self.text[-3000:]!r}")

    def key(self, key):
        os.write(self.fd, key.encode())

    def wait(self):
        """The exit status; what was written until then is in text."""
        while self.read(0.2):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.read(0)
                self.status = os.waitstatus_to_exitcode(status)
                return self.status
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


class Top(LullTest):
    def terminal(self, lull, *arguments, **more):
        terminal = Terminal(lull, *arguments, **more)
        self.addCleanup(terminal.close)
        return terminal

    def ask(self, lull, *kinds):
        client = self.connect(lull)
        for kind in kinds:
            self.assertEqual(client.post("/v1/chat/completions", prompts.body(kind, "x"),
                                         prompts.headers(kind=kind)).status, 200)

    def test_screen(self):
        lull = self.lull(self.upstream())
        self.ask(lull, "title", "title")
        terminal = self.terminal(lull, "top")
        frame = terminal.frame_with(lambda text: "title" in text)
        self.assertLessEqual(len(frame), 24)
        self.assertLessEqual(max(map(len, frame)), 80)
        for head in ("lulld ", "SERVER", "TASK (0)", "KIND (by requests)", "ANSWER TIMES", "LAST"):
            self.assertTrue([line for line in frame if line.startswith(head)], head)
        row = next(line for line in frame if line.startswith("title"))
        self.assertEqual(row.split()[1], "2")
        self.assertIn("50.0%", row)

        def listens():
            """The stream of events begins at some time after the first frame."""
            self.ask(lull, "tags")
            terminal.read(0.2)
            return re.search(r"\d tags +(misses|hits)", CONTROL.sub("", terminal.text))
        eventually(listens)
        terminal.frame_with(lambda text: re.search(r"highest: [1-9]", text))
        terminal.key("s")
        terminal.frame_with(lambda text: "KIND (by saved)" in text)
        terminal.key("?")
        terminal.frame_with(lambda text: "this help" in text)
        terminal.key("?")
        terminal.resize(10, 40)
        frame = terminal.frame_with(lambda text: "lulld" in text and "ANSWER TIMES" not in text)
        self.assertLessEqual(len(frame), 10)
        self.assertLessEqual(max(map(len, frame)), 40)
        terminal.resize(50, 120)
        terminal.frame_with(lambda text: "ANSWER TIMES" in text)
        terminal.key("p")
        terminal.frame_with(lambda text: "PAUSED" in text)
        terminal.key("q")
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(terminal.text.rstrip().endswith("\x1b[?25h\x1b[?1049l"), terminal.text[-100:])

    def test_a_waiting_task_is_shown_with_its_reason(self):
        up = self.upstream()
        chat = Gate()
        up.when("chat", say("hi", gate=chat))
        lull = self.lull(up, tasks="settle = 0", slots=1)
        talker = self.connect(lull)
        talker.start("POST", "/v1/chat/completions", prompts.headers(), prompts.chat_body("hello"))
        eventually(lambda: lull.stats()["chat"]["open"] == 1)
        waiter = self.connect(lull)
        waiter.start("POST", "/v1/chat/completions", prompts.headers(kind="tags"), prompts.body("tags", "x"))
        terminal = self.terminal(lull, "top", columns=120)
        frame = terminal.frame_with(lambda text: "waits for" in text)
        row = next(line for line in frame if line.startswith("tags "))
        self.assertIn("waits for chat", row)
        chat.open()
        terminal.key("q")
        self.assertEqual(terminal.wait(), 0)
        self.assertEqual(waiter.response().status, 200)

    def test_a_signal_restores_the_terminal(self):
        lull = self.lull(self.upstream())
        terminal = self.terminal(lull, "top")
        terminal.frame_with(lambda text: "SERVER" in text)
        os.kill(terminal.pid, signal.SIGTERM)
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(terminal.text.rstrip().endswith("\x1b[?25h\x1b[?1049l"))

    def test_ctrl_backslash_restores_the_terminal(self):
        lull = self.lull(self.upstream())
        terminal = self.terminal(lull, "top")
        terminal.frame_with(lambda text: "SERVER" in text)
        terminal.key("\x1c")
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(terminal.text.rstrip().endswith("\x1b[?25h\x1b[?1049l"))

    @unittest.skipIf(shutil.which("bash") is None, "no shell with job control")
    def test_the_terminal_is_the_shells_while_it_is_suspended(self):
        lull = self.lull(self.upstream())
        terminal = self.terminal(lull, shell="set -m; {}; echo suspended $?; fg >/dev/null; echo ended $?")
        terminal.frame_with(lambda text: "SERVER" in text)
        terminal.text = ""
        terminal.key("\x1a")
        eventually(lambda: terminal.read(0.1) and re.search(r"suspended \d+\r\n", terminal.text))
        self.assertRegex(terminal.text, r"\x1b\[\?25h\x1b\[\?1049l(?!.*\x1b\[\?1049h.*suspended)[^\x1b]*suspended 148\r\n")
        terminal.frame_with(lambda text: "SERVER" in text)
        terminal.key("q")
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(terminal.text.rstrip().endswith("\x1b[?25h\x1b[?1049lended 0"), terminal.text[-100:])

    def test_it_ends_when_asked_beside_a_daemon_that_does_not_answer(self):
        lull = self.lull(self.upstream())
        terminal = self.terminal(lull, "top")
        terminal.frame_with(lambda text: "SERVER" in text)
        lull.signal(signal.SIGSTOP)
        try:
            while select.select([terminal.fd], [], [], 3)[0]:  # until it asks and waits: no frame comes
                terminal.read(0)
            began = time.monotonic()
            terminal.key("\x03")
            self.assertEqual(terminal.wait(), 0)
            self.assertLess(time.monotonic() - began, 30, "it waited for the answer")
        finally:
            lull.signal(signal.SIGCONT)

    def test_the_end_of_the_daemon_is_said_behind_the_screen(self):
        lull = self.lull(self.upstream())
        terminal = self.terminal(lull, "top")
        terminal.frame_with(lambda text: "SERVER" in text)
        self.assertEqual(lull.stop(), 0)
        self.assertEqual(terminal.wait(), 3)
        self.assertTrue(terminal.text.rstrip().endswith(f"\x1b[?1049llullctl: lulld on {lull.control_path} has ended"),
                        terminal.text[-200:])

    def test_a_terminal_that_vanishes_without_a_signal(self):
        """It is not the controlling terminal, as in a container: there is no SIGHUP."""
        lull = self.lull(self.upstream())
        for term in ("xterm", "dumb"):
            with self.subTest(term):
                master, slave = pty.openpty()
                process = subprocess.Popen([LULLCTL, "--socket", lull.control_path, "top"], stdin=slave, stdout=slave,
                                           stderr=slave, env=clean_environment(TERM=term), start_new_session=True)
                os.close(slave)
                os.read(master, 1)
                os.close(master)
                try:
                    self.assertEqual(process.wait(20), 1)
                finally:
                    process.kill()
                    process.wait()

    def test_dumb_terminal_pipe_and_no_daemon(self):
        lull = self.lull(self.upstream())
        self.ask(lull, "title")
        dumb = self.terminal(lull, "top", term="dumb")
        eventually(lambda: dumb.read(0.1) and dumb.text.count("tasks 1, without a call 0") > 1)
        self.assertNotIn("\x1b", dumb.text)
        piped = lull.ctl("top")
        self.assertEqual(piped.returncode, 0)
        self.assertIn("title", piped.stdout)
        self.assertNotIn("\x1b", piped.stdout)
        self.assertEqual(lull.ctl("top", "x").returncode, 2)
        lull.stop()
        self.assertEqual(lull.ctl("top").returncode, 3)
        self.assertEqual(lull.ctl("tail").returncode, 3)


class Tail(LullTest):
    def tail(self, lull, *arguments):
        process = subprocess.Popen([LULLCTL, "--socket", lull.control_path, *arguments, "tail"], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_lines(self):
        lull = self.lull(self.upstream())
        tails = [self.tail(lull), self.tail(lull, "--kind", "tags"), self.tail(lull, "--json", "--outcome", "hits")]
        client = self.connect(lull)
        seen = []

        def ask():
            for kind in ("title", "tags"):
                for _ in range(2):
                    client.post("/v1/chat/completions", prompts.body(kind, "x"), prompts.headers(kind=kind))
            return all(select.select([t.stdout], [], [], 0.05)[0] for t in tails)
        eventually(ask)  # the streams begin at some time after the processes
        seen = [t.stdout.readline() for t in tails]
        self.assertRegex(seen[0], r"^\d\d:\d\d:\d\d \w+ +\w+ +200 +[\d.]+ ms.* \[lull; .*\]$")
        self.assertRegex(seen[1], r"^\S+ tags ")
        self.assertEqual(json.loads(seen[2])["outcome"], "hits")

    def test_what_each_line_says(self):
        """Exchanges of every sort, on a terminal: colours, times, and what was left out."""
        control = ScriptedControl({"/events": [
            b': begins\n\ndata: {"time":0,"kind":"title","outcome":"hits","status":200,"ms":0.4,"upstream":"u",'
            b'"model":"m","cache_status":"lull; hit"}\n\ndata: {"time":0,"kind":"tags","outcome":"misses","sta',
            b'tus":200,"ms":900,"held_ms":100,"model_ms":800,"first_token_ms":200,"tokens_in":7,"tokens_out":3,'
            b'"upstream":"u","model":"m\\u001b[2J","cache_status":"lull; fwd=miss"}\n\n'
            b'data: {"time":0,"what":"chat","outcome":"failed","status":502,"ms":5,"path":"/v1/chat/completions"}\n\n',
            b'data: {"time":0,"what":"other","status":200,"ms":5,"path":"/v1/models"}\n\ndata: {"lost":4}\n\n'
            b'data: {"ti']})
        self.addCleanup(control.close)
        terminal = Terminal(control, "tail")
        self.addCleanup(terminal.close)
        eventually(lambda: terminal.read(0.2) and "exchanges" in terminal.text)
        control.end_streams()
        self.assertEqual(terminal.wait(), 0)
        at = r"\d\d:\d\d:\d\d "
        lines = terminal.text.split("\r\n")
        self.assertRegex(lines[0], at + r"\x1b\[32mtitle +hits +\x1b\[0m 200 +0\.4 ms u m \[lull; hit\]$")
        self.assertRegex(lines[1], at + r"\x1b\[33mtags +misses +\x1b\[0m 200 +900 ms held 100 ms model 800 ms "
                         r"first token 200 ms tokens 7\+3 u m\\x1b\[2J \[lull; fwd=miss\]$")
        self.assertRegex(lines[2], at + r"\x1b\[31mchat +failed +\x1b\[0m 502 +5\.0 ms   /v1/chat/completions$")
        self.assertRegex(lines[3], at + r"other + 200 +5\.0 ms   /v1/models$")
        self.assertEqual(lines[4:], ["(4 exchanges were not shown: this terminal read too slowly)", ""])

    def test_output_that_cannot_be_written_ends_it(self):
        lull = self.lull(self.upstream())
        with open("/dev/full", "w", encoding="ascii") as full:
            process = subprocess.Popen([LULLCTL, "--socket", lull.control_path, "tail"], stdout=full, text=True,
                                       stderr=subprocess.PIPE, env=clean_environment())
            self.addCleanup(process.stderr.close)
            client = self.connect(lull)
            eventually(lambda: client.post("/v1/chat/completions", prompts.body("title", "x"),
                                           prompts.headers(kind="title")) and process.poll() is not None)
            self.assertEqual(process.returncode, 1)
            self.assertEqual(process.stderr.read(), "lullctl: the output cannot be written\n")
            done = subprocess.run([LULLCTL, "--socket", lull.control_path, "stats"], stdout=full, text=True,
                                  stderr=subprocess.PIPE, env=clean_environment(), check=False)
            self.assertEqual((done.returncode, done.stderr), (1, "lullctl: the output cannot be written\n"))

    def test_wrong_conditions(self):
        lull = self.lull(self.upstream())
        for arguments in (("--kind", "titel"), ("--outcome", "hit"), ("--slow", "soon")):
            with self.subTest(arguments):
                self.assertEqual(lull.ctl(*arguments, "tail").returncode, 1)
                self.assertEqual(lull.ctl(*arguments, "stats").returncode, 2)


if __name__ == "__main__":
    unittest.main()
