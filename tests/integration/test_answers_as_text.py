#!/usr/bin/env python3
"""What lullctl makes of answers and ends that a daemon gives rarely: each with its words and its status."""
import json
import os
import pty
import subprocess
import unittest

from lull import LULLCTL, clean_environment
from scripted_control import ScriptedControl


def lines(*documents):
    return [b"".join(json.dumps(d).encode() + b"\n" for d in documents)]


def result(candidate, **more):
    return {"id": "07ab", "candidate": candidate, "stored": "Red\nApples", "ok": True, "shape": True, "answer": "Pears",
            "done": 1, "of": 3, **more}


SUMMARY = {"summary": [
    {"candidate": "small", "calls": 2, "failed": 0, "shape": 0.5, "latency_ms": {"p50": 20, "p95": 41}, "tokens_in": 70,
     "tokens_out": 3, "cost_per_1000": 0.01234},
    {"candidate": "größer\x1b", "calls": 1, "failed": 1, "skipped": 4, "latency_ms": {}}]}


class AnswersAsText(unittest.TestCase):
    def ctl(self, answers, *arguments, **more):
        control = ScriptedControl(answers)
        self.addCleanup(control.close)
        control.end_streams()
        return control.ctl(*arguments, **more)

    def compare(self, *documents, more=()):
        return self.ctl({"/compare": lines(*documents)}, "compare", "--kind", "title", "--model", "small", *more)

    def test_compare_says_what_failed_was_skipped_and_was_estimated(self):
        done = self.compare(result("small", estimated=True), result("größer\x1b", ok=False, error="refused\x07"),
                            result("small", id="08", shape=False, answer="No"), SUMMARY, more=["--show"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, """\
07ab
  (stored)    Red
              Apples
  small       Pears
  größer\\x1b  failed: refused\\x07

08
  (stored)    Red
              Apples
  small       No   <- not of the right shape

candidate   calls failed   shape   p50 ms   p95 ms  tokens in        out  cost/1000
small           2      0    50 %       20       41         70          3    0.01234
größer\\x1b      1      1       -        -        -          -          -          -
größer\\x1b failed: refused\\x07
größer\\x1b: 4 skipped, their upstream is not configured any more
tokens are partly estimated from bytes: not every server said them
""")

    def test_compare_that_does_not_end_is_an_error(self):
        done = self.compare(result("small"))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "lullctl: not finished: it ended early\n")
        done = self.compare(result("small"), {**SUMMARY, "error": "the daemon is stopping"})
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "lullctl: not finished: the daemon is stopping\n")

    def test_compare_counts_on_a_terminal(self):
        control = ScriptedControl({"/compare": lines(result("small"), result("small", done=2), SUMMARY)})
        self.addCleanup(control.close)
        control.end_streams()
        ours, theirs = pty.openpty()
        done = subprocess.run([LULLCTL, "--socket", control.control_path, "compare", "--kind", "title", "--model", "m"],
                              stdout=subprocess.PIPE, stderr=theirs, env=clean_environment(), timeout=30, check=False)
        os.close(theirs)
        said = os.read(ours, 4096)
        os.close(ours)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(said, b"\r1 of 3 \r2 of 3 \r" + 20 * b" " + b"\r")
        self.assertNotIn(b"of 3", done.stdout)

    def test_options_of_compare_that_are_too_long(self):
        for arguments in (["--kind", "k" * 1001, "--model", "m"],
                          ["--kind", "title", "--model", "m", "--last", "1" * 21]):
            done = self.ctl({}, "compare", *arguments)
            self.assertEqual((done.returncode, done.stderr), (2, "lullctl: that is too long; try lullctl --help\n"))

    def test_explain_says_how_the_nearest_differs(self):
        differences = [{"path": "model", "mine": "a", "stored": "b", "position": 0},
                       {"path": "seed", "only": "mine", "mine": "5"}, {"path": "top_k", "only": "stored", "stored": "7"},
                       {"path": "messages[0].content", "position": 11, "mine": "x", "stored": "y"}]
        answer = {"decision": "miss", "joins": True, "ttl_s": 60,
                  "last_miss": {"at": "Monday", "expired": "Sunday"},
                  "nearest": {"id": "07", "created": "May", "expires": "June", "equal": 5, "different": 6,
                              "differences": differences}}
        text = self.ctl({"/explain": answer}, "explain", "--last-miss", "title").stdout
        for line in ("decision     miss", "joins        yes", "ttl_s        60",
                     "missed       at Monday; its stored answer had expired at Sunday",
                     "nearest      07, stored May, expires June: 5 values are equal, 6 differ",
                     "  seed: only in the missed request", "  top_k: only in the stored request",
                     "  messages[0].content: from character 12", "  and 2 more"):
            self.assertIn(line + "\n", text)
        answer["nearest"].update(different=0, differences=[])
        text = self.ctl({"/explain": answer}, "explain", "--last-miss", "title").stdout
        self.assertIn("  the path, its query or values of the kind differ\n", text)
        answer["nearest"]["expired"] = True
        text = self.ctl({"/explain": answer}, "explain", "--last-miss", "title").stdout
        self.assertIn("stored May, expired June", text)
        self.assertNotIn("values of the kind differ", text)

    def test_what_is_too_long_is_not_sent(self):
        done = self.ctl({}, "get", "i" * 1001)
        self.assertEqual((done.returncode, done.stderr), (2, "lullctl: that is no id\n"))
        done = self.ctl({}, "set", *[f"task.title.extra=x{'y' * 60000}" for _ in range(20)])
        self.assertEqual((done.returncode, done.stderr), (2, "lullctl: that is more than fits into one request\n"))

    @unittest.skipIf(os.geteuid() != 0 or not os.path.exists("/proc/self/fd"), "only root can become another user")
    def test_a_socket_of_another_user(self):
        control = ScriptedControl({})
        self.addCleanup(control.close)
        os.chmod(control.control_path, 0o600)
        program = os.open(LULLCTL, os.O_RDONLY)  # the folder it is built in may be closed to others
        self.addCleanup(os.close, program)
        done = subprocess.run([f"/proc/self/fd/{program}", "--socket", control.control_path, "stats"],
                              pass_fds=[program], user=65534, capture_output=True, text=True,
                              env=clean_environment(), timeout=30, check=False)
        self.assertEqual(done.returncode, 3)
        said = done.stderr.partition("profiling:")[0]  # a build for coverage cannot write its counters as that user
        self.assertEqual(said, f"lullctl: {control.control_path}: you may not use it; root may, and the group that "
                         "control_group names\n")

    def test_no_field_of_any_answer_controls_the_terminal(self):
        """Whatever listens on the socket."""
        evil = "a\x1b[2J\x9bz"
        names = ("id kind expires next state why upstream machine addition since model version mode dialect old new name "
                 "at expired created not_compared what outcome cache_status path day candidate error stored answer").split()
        row = {name: evil for name in names}
        answer = {**row, "tasks": {evil: row}, "upstreams": {evil: row}, "flights": [row], "machines": [row],
                  "left_out": [row], "prefix": [row], "entries": [row], "days": [{**row, "kinds": {evil: {}}, "total": {}}],
                  "set": [row], "changed": [evil], "restart": [evil], "nearest": row, "last_miss": row,
                  "policy": {evil: {"value": evil, "origin": evil}}, "decided_by": [evil], "cache": row}
        event = b"data: " + json.dumps({**row, "time": 1}).encode() + b"\n\n"
        for verb in ("stats", "flights", "ls", "get x", "config", "reload", "set a.b=c", "report", "explain /dev/null",
                     "health", "tail"):
            target = {"stats": "/stats", "flights": "/flights", "ls": "/entries", "get x": "/entries/x",
                      "config": "/config", "reload": "/reload", "set a.b=c": "/config", "report": "/report",
                      "explain /dev/null": "/explain", "health": "/readyz", "tail": "/events"}[verb]
            document = {evil: {"value": evil, "origin": evil}} if verb == "config" else answer
            done = self.ctl({target: [event] if verb == "tail" else document}, *verb.split())
            self.assertIn("[2J", done.stdout, verb)
            self.assertNotRegex(done.stdout, "[\x00-\x08\x0b-\x1f\x7f-\x9f]", verb)

    def test_an_answer_without_a_document(self):
        for verb, target in ((("--json", "config", "--changed"), "/config"), (("stats",), "/stats")):
            done = self.ctl({target: 204}, *verb)
            self.assertEqual((done.returncode, done.stderr), (1, "lullctl: lulld answered 204\n"))

    def test_a_path_that_no_socket_can_have(self):
        control = ScriptedControl({})
        self.addCleanup(control.close)
        path = "/tmp/" + "x" * 103
        done = subprocess.run([LULLCTL, "--socket", path, "stats"], capture_output=True, text=True,
                              env=clean_environment(), timeout=30, check=False)
        self.assertEqual((done.returncode, done.stderr),
                         (3, f"lullctl: the path of a socket has 107 bytes at most, not 108: {path}\n"))
        done = subprocess.run([LULLCTL, "--socket", path[:-1], "stats"], capture_output=True, text=True,
                              env=clean_environment(), timeout=30, check=False)
        self.assertEqual((done.returncode, done.stderr.replace(path[:-1], "P")),
                         (3, "lullctl: no answer on P: No such file or directory; is lulld running? --socket names another\n"))

    def test_a_kind_that_is_longer_than_its_column(self):
        event = b'data: {"time":0,"kind":"context_compaction","outcome":"misses"}\n\n'
        self.assertIn(" context_compaction misses ", self.ctl({"/events": [event]}, "tail").stdout)
        answer = {"policy": {"a_key_of_twenty_bytes": {"value": "5", "origin": "o"}}, "decided_by": ["a_key_of_twenty_bytes"]}
        self.assertIn("  a_key_of_twenty_bytes 5  (o)", self.ctl({"/explain": answer}, "explain", "/dev/null").stdout)

    def test_a_stream_that_ends_is_no_error(self):
        done = self.ctl({"/events": [b'data: {"time":0,"kind":"title","outcome":"hits"}\n\n']}, "--json", "tail")
        self.assertEqual((done.returncode, done.stdout), (0, '{"time":0,"kind":"title","outcome":"hits"}\n'))


if __name__ == "__main__":
    unittest.main()
