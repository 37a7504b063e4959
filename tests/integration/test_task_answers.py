#!/usr/bin/env python3
"""What a model server answers to a task: only good answers are kept, and what it refuses of our changes is left out."""
import json

from lull import DEADLINE, main
from prompts import body
from task_test import DIALECTS, TaskTest
from upstream import Gate, cut_at, error_in_stream, good, good_content, refuse_changes, say, status, whole_document


class OnlyGoodAnswersAreKept(TaskTest):
    def twice(self, up, lull, kind, text, dialect, want_status, stored=0, head=None):
        """Asks, and once more with a healthy model server: the second answer must be its own."""
        first = self.ask(lull, kind, text, dialect, head=head)
        self.assertEqual(first.status, want_status, first)
        up.clear()
        n = up.count()
        second = self.ask(lull, kind, text, dialect, head=head)
        self.assertEqual(second.status, 200)
        if stored:
            self.hit(second, kind)
            self.assertEqual(up.count(), n)
        else:
            self.missed(second, kind)
            self.assertEqual(up.count(), n + 1)
        return first

    def both(self, rule, want_status, kind="title", stored=0, match="*"):
        """For both dialects; returns the first answers."""
        out = []
        for dialect in DIALECTS:
            with self.subTest(dialect):
                up = self.upstream()
                up.when(match, rule)
                lull = self.lull(up)
                out.append(self.twice(up, lull, kind, "bad answers", dialect, want_status, stored))
                t = lull.task(kind)
                self.assertEqual(t["requests"], 2)
                if want_status >= 400:
                    self.assertEqual(t["failed"], 1)
                lull.check()
        return out

    def test_errors_of_the_model_server_pass_untouched(self):
        for code in (401, 403, 404, 429, 500, 502, 503):
            with self.subTest(str(code)):
                for r in self.both(status(code, '{"error":"its own"}', headers=[("Retry-After", "3600")]), code):
                    self.assertEqual(r.body, b'{"error":"its own"}')
                    self.assertEqual(r.task, "title")
                    self.assertIsNone(r.header("X-Lull-Error"))
                    self.assertEqual(r.header("Retry-After"), "3600")

    def test_plain_text_errors_too(self):
        for r in self.both(status(500, "<h1>Internal</h1>", "text/html"), 500):
            self.assertEqual(r.body, b"<h1>Internal</h1>")
            self.assertIn("text/html", r.header("Content-Type"))

    def test_error_inside_a_200_stream(self):
        for r in self.both(error_in_stream(), 500):
            self.assertGreaterEqual(r.status, 500)
            self.assertIn(b"out of memory", r.body)

    def test_error_as_the_first_event(self):
        for r in self.both(error_in_stream(after=0), 500):
            self.assertIn(b"out of memory", r.body)

    def test_html_with_status_200(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                up = self.upstream()
                up.when("*", status(200, "<html>log in first</html>", "text/html"))
                lull = self.lull(up)
                r = self.ask(lull, "title", "h", dialect)
                self.assertNotIn("stored", r.cache_status)
                self.assertIn(r.status, (200, 502))
                up.clear()
                self.missed(self.ask(lull, "title", "h", dialect), "title")

    def test_answers_without_the_members_of_their_kind(self):
        prose = "I would call it: How to measure"
        for kind, text in (("title", prose), ("title", '{"name": "x"}'), ("title", '{"title": 5}'),
                           ("title", '{"title": "x"'), ("title", ""),
                           ("tags", '{"tags": "a"}'), ("tags", prose),
                           ("follow_up", '{"follow_ups": [1, 2]}'), ("follow_up", '{"follow_ups": "a"}'),
                           ("query", "latency measurement"), ("query", '{"queries": "a"}'),
                           ("autocomplete", "plain words"), ("autocomplete", '{"text": null}'),
                           ("image_prompt", '{"prompt": 1}'), ("emoji", "happy"), ("emoji", "")):
            for dialect in DIALECTS:
                with self.subTest(f"{dialect} {kind} {text}"):
                    up = self.upstream()
                    up.when(kind, say(text))
                    lull = self.lull(up, more="[task autocomplete]\ndebounce = off\n")
                    r = self.missed(self.ask(lull, kind, "without", dialect), kind, stored=False)
                    self.assertEqual(r.content, text, "served as it came")
                    up.clear()
                    self.missed(self.ask(lull, kind, "without", dialect), kind)
                    t = lull.task(kind)
                    self.assertEqual((t["stored"], t["not_stored"]), (1, 1))

    def test_good_answers_in_wrappings_are_kept(self):
        for kind, text in (("title", '```json\n{"title": "Fenced"}\n```'),
                           ("title", 'Sure! {"title": "In prose"} Hope this helps.'),
                           ("tags", '{"tags": []}'), ("title", '{"title": ""}'),
                           ("follow_up", '{"follow_ups": []}'),
                           ("query", 'Not {this} but {"queries": ["q"]}'),
                           ("emoji", " \u2764\ufe0f ")):
            for dialect in DIALECTS:
                with self.subTest(f"{dialect} {kind} {text}"):
                    up = self.upstream()
                    up.when(kind, say(text))
                    lull = self.lull(up)
                    first = self.missed(self.ask(lull, kind, "wrapped", dialect), kind)
                    second = self.hit(self.ask(lull, kind, "wrapped", dialect), kind)
                    self.assertEqual(first.content, second.content)

    def test_length(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                up = self.upstream()
                lull = self.lull(up)
                up.when("title", say('{"title": "never clos', finish="length"))
                self.missed(self.ask(lull, "title", "open", dialect), "title", stored=False)
                up.when("title", say('{"title": "closed"}', finish="length"))
                self.missed(self.ask(lull, "title", "closed", dialect), "title")
                self.hit(self.ask(lull, "title", "closed", dialect), "title")
                up.when("emoji", say("\U0001f600", finish="length"))
                self.missed(self.ask(lull, "emoji", "cut", dialect), "emoji")
                self.hit(self.ask(lull, "emoji", "cut", dialect), "emoji")

    def test_finish_reasons_that_are_not_complete(self):
        for reason in ("content_filter", "load", "cancelled"):
            with self.subTest(reason):
                up = self.upstream()
                lull = self.lull(up)
                up.when("title", say('{"title": "x"}', finish=reason))
                for dialect in DIALECTS:
                    r = self.ask(lull, "title", reason, dialect)
                    self.assertNotIn("stored", r.cache_status)
                    r = self.ask(lull, "title", reason, dialect)
                    self.assertNotIn("hit", r.cache_status)

    def test_no_end_mark(self):
        for dialect in DIALECTS:
            with self.subTest(dialect):
                up = self.upstream()
                lull = self.lull(up)
                up.when("title", say('{"title": "x"}', finish=None, end_mark=False))
                self.missed(self.ask(lull, "title", "in its form", dialect), "title")
                self.hit(self.ask(lull, "title", "in its form", dialect), "title")
                self.assertEqual(lull.task("title")["upstream_calls"], 1)
                up.when("title", say('{"title": "x', finish=None, end_mark=False))
                r = self.ask(lull, "title", "half", dialect)  # asked for as the client wrote it, too
                self.assertEqual(lull.task("title")["upstream_calls"], 3)
                self.assertNotIn("stored", r.cache_status)
                up.clear()
                self.assertNotIn("hit", self.ask(lull, "title", "half", dialect).cache_status)

    def test_a_finish_reason_is_an_end_mark(self):
        up = self.upstream()
        lull = self.lull(up)
        up.when("title", say('{"title": "x"}', finish="stop", end_mark=False))
        self.assertIn("stored", self.ask(lull, "title", "no [DONE]").cache_status)

    def test_cut_at_every_phase(self):
        phases = {
            "before the head": lambda data, at: 0,
            "in the status line": lambda data, at: 7,
            "in the head": lambda data, at: at - 5,
            "after the head": lambda data, at: at,
            "in the first event": lambda data, at: at + 30,
            "in the middle": lambda data, at: (at + len(data)) // 2,
            "before the end mark": lambda data, at: data.rfind(b"data: [DONE]") - 4
                                   if b"[DONE]" in data else data.rfind(b'"done": true') - 20,
            "before the last chunk": lambda data, at: len(data) - 5,
            "in the last chunk": lambda data, at: len(data) - 2,
        }
        for dialect in DIALECTS:
            up = self.upstream()
            lull = self.lull(up)
            for how in ("cut", "reset"):
                for name, position in phases.items():
                    with self.subTest(f"{dialect} {how} {name}"):
                        up.clear()
                        up.when("*", cut_at(position, how=how))
                        text = f"{how} {name}"
                        r = self.ask(lull, "title", text, dialect)
                        self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_broke"))
                        self.assertEqual(r.task, "title")
                        up.clear()
                        self.missed(self.ask(lull, "title", text, dialect), "title")
            t = lull.task("title")
            self.assertEqual((t["failed"], t["stored"]), (18, 18))
            lull.check()

    def test_cut_at_every_byte(self):
        up = self.upstream()
        lull = self.lull({"default": {"url": up, "breaker_failures": 1000}})
        c = self.connect(lull)
        n = 0
        while True:
            done = []

            def position(data, at, n=n, done=done):
                done.append(n >= len(data))
                return n
            up.clear()
            up.when("*", cut_at(position, text='{"title": "T"}'))
            r = self.ask(lull, "title", f"byte {n}", connection=c)
            if done[0]:
                self.missed(r, "title")  # nothing was cut off
                break
            self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_broke"), n)
            n += 1 if n < 200 else 7
        self.assertEqual(lull.committed()["cache"]["entries"], 1)

    def test_no_server_listens(self):
        lull = self.lull("http://127.0.0.1:9")
        for dialect, form in (("openai", dict), ("ollama", str)):
            r = self.ask(lull, "title", "x", dialect)
            self.assertEqual((r.status, r.header("X-Lull-Error")), (502, "upstream_unreachable"))
            self.assertIsInstance(r.json["error"], form)
            self.assertEqual(r.task, "title")
        lull.wait_task("title", requests=2, misses=2, failed=2)

    def test_timeouts_of_tasks(self):
        up = self.upstream()
        never = Gate()
        lull = self.lull({"default": {"url": up, "first_byte_timeout": "300ms", "stall_timeout": "300ms"}})
        up.when("*", good(never))
        r = self.ask(lull, "title", "first byte")
        self.assertEqual((r.status, r.header("X-Lull-Error")), (504, "upstream_timeout"))
        self.assertTrue(up.records[-1].gone.wait(DEADLINE))
        up.clear()
        up.when("*", good(never, hold_at=2))
        r = self.ask(lull, "title", "stall")
        self.assertEqual((r.status, r.header("X-Lull-Error")), (504, "upstream_timeout"))
        up.clear()
        self.assertEqual(lull.ctl("set", "upstream.default.first_byte_timeout=60s").returncode, 0)
        self.missed(self.ask(lull, "title", "stall"), "title")
        lull.wait_task("title", requests=3, failed=2)


class RefusedChanges(TaskTest):
    def test_once_more_as_written_and_remembered(self):
        for code in (400, 404, 405, 415, 422, 500, 501):
            for dialect in DIALECTS:
                with self.subTest(f"{code} {dialect}"):
                    up = self.upstream()
                    up.when("*", refuse_changes(code=code))
                    lull = self.lull(up)
                    raw = body("title", "strict", dialect)
                    r = self.missed(self.ask(lull, "title", "", dialect, raw=raw), "title")
                    self.well_formed(r, dialect)
                    self.assertEqual(up.count(), 2)
                    self.assertNotEqual(up.records[0].body.decode(), raw)
                    self.assertEqual(up.records[1].body.decode(), raw, "as the client wrote it")
                    self.hit(self.ask(lull, "title", "", dialect, raw=raw), "title")
                    raw = body("tags", "another", dialect)
                    self.missed(self.ask(lull, "tags", "", dialect, raw=raw), "tags")
                    self.assertEqual(up.count(), 3, "the refusal is remembered")
                    self.assertEqual(up.records[2].body.decode(), raw)

    def test_a_refused_schema_costs_the_schema_only(self):
        for dialect, member in (("openai", "response_format"), ("ollama", "format")):
            with self.subTest(dialect):
                up = self.upstream()

                def rule(e, member=member):
                    if member in e.json:
                        status(400, '{"error":"no"}')(e)
                    else:
                        good()(e)
                up.when("*", rule)
                lull = self.lull(up, more="[tasks]\njson_schema = yes\n")
                self.missed(self.ask(lull, "title", "one", dialect), "title")
                self.assertEqual(up.count(), 2)
                self.assertEqual(self.refused(lull), [("default", "schema", False)])
                self.missed(self.ask(lull, "title", "two", dialect), "title")
                self.assertEqual(up.count(), 3)
                self.assertTrue(up.records[2].json["stream"])
                self.assertNotIn(member, up.records[2].json)
                self.assertEqual(self.refused(lull), [("default", "schema", True)])
                self.assertIn("schema", lull.ctl("flights").stdout)
                lull.reload()
                self.assertEqual(self.refused(lull), [])

    def refused(self, lull):
        seen = lull.control("GET", "/flights").json["left_out"]
        for one in seen:
            self.assertRegex(one["since"], r"^20\d\d-\d\d-\d\dT")
        return [(one["upstream"], one["addition"], one["proven"]) for one in seen]

    def test_a_page_once_teaches_nothing(self):
        """Nor does an empty body, or a stream that is cut before its first token."""
        def empty(e):
            e.full(200, "application/json", "")

        def cut(e):
            e.head(200, [("Content-Type", "text/event-stream")])
            e.cut()
        def page(e):
            e.full(200, "text/html", "<html>")
        for name, rule, calls in (("page", page, 2), ("empty", empty, 1), ("cut", cut, 2)):
            with self.subTest(name):
                up = self.upstream()
                first = []

                def once(e, rule=rule, first=first):
                    first.append(e)
                    (rule if len(first) == 1 else good())(e)
                up.when("*", once)
                lull = self.lull(up)
                self.assertEqual(self.ask(lull, "title", "one").status, 200 if calls == 2 else 502)
                self.assertEqual(up.count(), calls)
                self.missed(self.ask(lull, "title", "two"), "title")
                self.assertEqual(up.count(), calls + 1)
                self.assertTrue(up.records[-1].json["stream"])

    def test_an_error_that_has_nothing_to_do_with_our_changes(self):
        up = self.upstream()
        up.when("*", status(400, '{"error":"context too long"}'))
        lull = self.lull(up)
        raw = body("title", "always refused")
        r = self.ask(lull, "title", "", raw=raw)
        self.assertEqual((r.status, r.body), (400, b'{"error":"context too long"}'))
        self.assertLessEqual(up.count(), 2)
        self.assertEqual(up.records[-1].body.decode(), raw)

    def test_a_server_that_ignores_stream(self):
        """A whole JSON answer to a streamed request is taken as well."""
        up = self.upstream()
        up.when("*", lambda e: e.full(200, "application/json", json.dumps(
            whole_document(e, good_content(e.kind, e.serial)))))
        lull = self.lull(up)
        for dialect in DIALECTS:
            self.missed(self.ask(lull, "title", "ignored", dialect), "title")
            self.well_formed(self.hit(self.ask(lull, "title", "ignored", dialect), "title"), dialect)


if __name__ == "__main__":
    main()
