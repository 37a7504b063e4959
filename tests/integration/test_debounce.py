#!/usr/bin/env python3
"""Autocomplete: within the window the newest text of a typist wins; the older ones are answered empty
the moment they are superseded; a hit never waits; strangers are never taken for one typist."""
import json
import time

import prompts
from lull import LullTest, main
from prompts import MODEL, PATH, headers
from upstream import Gate, completed_text, good, say

SENTENCE = "What is the best way to store small records in a memory mapped file?"
SUPERSEDED = "lull; detail=superseded"


class DebounceTest(LullTest):
    WINDOW = "debounce = 1s"  # two requests come within it on a slow machine, too

    def one(self, debounce=None, **more):
        up = self.upstream()
        lull = self.lull(up, more=f"[task autocomplete]\n{debounce or self.WINDOW}\n", **more)
        return up, lull

    def start(self, lull, text, dialect="openai", user="u1", turns="", model=None, key="sk-a"):
        c = self.connect(lull)
        data = json.dumps({"model": model or MODEL[dialect], "stream": False, "messages": [
            {"role": "user", "content": prompts.autocomplete(text, turns)}]}).encode()
        c.start("POST", PATH[dialect], headers(dialect, key=key, kind="autocomplete", user=user), data)
        return c

    def empty(self, r, dialect="openai"):
        self.assertEqual((r.status, r.task, r.cache_status), (200, "autocomplete", SUPERSEDED), r)
        self.assertEqual(json.loads(r.content), {"text": ""})
        self.assertEqual(r.json["model"], MODEL[dialect])


class FixedWindow(DebounceTest):
    def test_the_newest_wins_and_the_older_are_answered_at_once(self):
        for dialect in ("openai", "ollama"):
            with self.subTest(dialect):
                up, lull = self.one()
                clients = []
                for n in (20, 24, 28, 32, 36):
                    clients.append(self.start(lull, SENTENCE[:n], dialect))
                    if len(clients) > 1:
                        self.empty(clients[-2].response(), dialect)
                        self.assertEqual(up.count(), 0, "answered before anything went up")
                r = clients[-1].response()
                self.assertEqual(r.cache_status, "lull; fwd=miss; stored")
                self.assertEqual([completed_text(e.json) for e in up.records], [SENTENCE[:36]])
                lull.wait_task("autocomplete", requests=5, superseded=4, misses=1, upstream_calls=1)

    def test_backspace_is_newer_too(self):
        up, lull = self.one()
        a = self.start(lull, SENTENCE[:36])
        lull_saw = self.start(lull, SENTENCE[:30])
        self.empty(a.response())
        self.assertEqual(lull_saw.response().status, 200)
        self.assertEqual([completed_text(e.json) for e in up.records], [SENTENCE[:30]])

    def test_a_lone_request_waits_for_the_window(self):
        up, lull = self.one()
        begin = time.monotonic()
        self.assertEqual(self.start(lull, SENTENCE[:20]).response().status, 200)
        self.assertGreaterEqual(up.records[0].arrived - begin, 0.48)

    def test_a_hit_never_waits(self):
        up, lull = self.one("debounce = off")
        self.assertEqual(self.start(lull, SENTENCE[:20]).response().status, 200)
        lull.write_config(more="[task autocomplete]\ndebounce = 60s\n")
        self.assertEqual(lull.reload().status, 200)
        typing = self.start(lull, SENTENCE[:30])
        self.assertIn("hit", self.start(lull, SENTENCE[:20]).response().cache_status)
        self.assertFalse(typing.readable(), "its window is over")

    def test_identical_requests_join(self):
        up, lull = self.one()
        clients = [self.start(lull, SENTENCE[:25]) for _ in range(3)]
        texts = {c.response().content for c in clients}
        self.assertEqual(len(texts), 1)
        self.assertEqual(up.count(), 1)
        lull.wait_task("autocomplete", requests=3, misses=1, collapsed=2, superseded=0)

    def test_strangers_are_not_merged(self):
        cases = {
            "another user": dict(user="u2"),
            "another key": dict(key="sk-b"),
            "another model": dict(model="other"),
            "another history": dict(turns=prompts.history(("user", "Hi"), ("assistant", "Hello"))),
        }
        for name, more in cases.items():
            with self.subTest(name):
                up, lull = self.one()
                a = self.start(lull, SENTENCE[:30])
                b = self.start(lull, SENTENCE[:34], **more)
                for c in (a, b):
                    self.assertEqual(c.response().cache_status, "lull; fwd=miss; stored")
                self.assertEqual(up.count(), 2)
                lull.check()

    def test_other_texts_and_short_ones_are_not_merged(self):
        for a, b in ((SENTENCE[:30], "Please explain how the kernel decides"),
                     ("What is the b", "What is the c"), ("What is", "What is the"), ("Hi", "Hi the"),
                     ("abcdefghijk", "abcdefghijkl")):  # 11 in common
            with self.subTest(f"{a} / {b}"):
                up, lull = self.one("debounce = 150ms")
                clients = [self.start(lull, a), self.start(lull, b)]
                for c in clients:
                    self.assertNotEqual(c.response().cache_status, SUPERSEDED)
                self.assertEqual(up.count(), 2)

    def test_code_points_are_counted_not_bytes(self):
        up, lull = self.one()
        clients = [self.start(lull, "\u00fc" * 11), self.start(lull, "\u00fc" * 14)]  # 11 in common
        for c in clients:
            self.assertNotEqual(c.response().cache_status, SUPERSEDED)
        clients = [self.start(lull, "\u00f6" * 12), self.start(lull, "\u00f6" * 14)]  # 12
        self.empty(clients[0].response())
        self.assertEqual(clients[1].response().status, 200)

    def test_without_a_user_more_must_agree(self):
        up, lull = self.one()
        clients = [self.start(lull, SENTENCE[:20], user=None), self.start(lull, SENTENCE[:23], user=None)]
        for c in clients:
            self.assertNotEqual(c.response().cache_status, SUPERSEDED, "20 in common may be two people")
        lull.control("POST", "/purge?all=yes")  # the suggestions for the shorter texts would answer
        clients = [self.start(lull, SENTENCE[:24], user=None), self.start(lull, SENTENCE[:27], user=None)]
        self.empty(clients[0].response())
        self.assertEqual(clients[1].response().status, 200)

    def test_two_tabs_typing_different_things(self):
        up, lull = self.one()
        other = "Please explain how the kernel decides which page to evict first"
        last = {}
        for n in (20, 25, 30):
            for tab, text in (("a", SENTENCE), ("b", other)):
                c = self.start(lull, text[:n])
                if tab in last:
                    self.empty(last[tab].response())
                last[tab] = c
        for c in last.values():
            self.assertEqual(c.response().status, 200)
        self.assertEqual(sorted(completed_text(e.json) for e in up.records), sorted([SENTENCE[:30], other[:30]]))

    def test_a_call_that_runs_is_followed_while_it_fits(self):
        """What has gone up is no longer in the window: its client gets its answer, and the newer text,
        which the suggestion goes on to spell, gets the rest of it without a call."""
        up, lull = self.one("debounce = 100ms")
        gate = Gate()
        up.when("*", say(json.dumps({"text": SENTENCE[20:]}), gate=gate))
        a = self.start(lull, SENTENCE[:20])
        up.wait_for(1)
        b = self.start(lull, SENTENCE[:30])
        self.assertFalse(b.readable(0.3), "answered before there was a suggestion")
        gate.open()
        r = a.response()
        self.assertEqual((r.cache_status, r.content), ("lull; fwd=miss; stored", json.dumps({"text": SENTENCE[20:]})))
        r = b.response()
        self.assertEqual(r.cache_status, "lull; fwd=miss; collapsed; detail=type-through")
        self.assertEqual(json.loads(r.content), {"text": SENTENCE[30:]})
        self.assertEqual(up.count(), 1)


class OffAndAuto(DebounceTest):
    def test_off_sends_at_once(self):
        up, lull = self.one("debounce = off")
        gate = Gate()
        up.when("*", good(gate))
        clients = [self.start(lull, SENTENCE[:n]) for n in (20, 24, 28)]
        up.wait_for(3)
        gate.open()
        for c in clients:
            self.assertEqual(c.response().cache_status, "lull; fwd=miss; stored")
        lull.wait_task("autocomplete", requests=3, misses=3, superseded=0)

    def test_auto_is_the_default_and_merges_a_burst(self):
        up = self.upstream()
        lull = self.lull(up)
        clients = []
        for n in range(20, 50, 3):
            clients.append(self.start(lull, SENTENCE[:n]))
        answers = [c.response() for c in clients]
        self.assertEqual([r.status for r in answers], [200] * 10)
        self.assertEqual(completed_text(up.records[-1].json), SENTENCE[:47], "the newest went up")
        t = lull.task("autocomplete")
        self.assertGreaterEqual(t["superseded"], 8)
        self.assertLessEqual(up.count(), 2)

    def test_debounce_elsewhere_is_an_error(self):
        import subprocess
        from lull import LULLD, clean_environment
        up, lull = self.one()
        lull.write_config(more="[task title]\ndebounce = 300ms\n")
        p = subprocess.run([LULLD, "--check", "-c", lull.config_path], capture_output=True, text=True,
                           env=clean_environment(), check=False)
        self.assertEqual(p.returncode, 2)
        self.assertIn("debounce", p.stderr)


if __name__ == "__main__":
    main()
