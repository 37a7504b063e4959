#!/usr/bin/env python3
"""Tasks: which requests are tasks, and what is done with them where kinds are switched off, observed, or sent on to the
task model."""
import json

import prompts
from lull import main
from prompts import CACHED, HEADER_VALUES, PATH, body, chat_body, headers
from task_test import DIALECTS, TaskTest
from upstream import after, good, say, status


class Recognition(TaskTest):
    def is_chat(self, lull, up, path, raw, head):
        """Asked twice: reaches the model server twice as it is, no header of ours."""
        n = up.count()
        for i in (1, 2):
            r = self.connect(lull).post(path, raw, head)
            self.assertIsNone(r.task, r)
            self.assertIsNone(r.header("Cache-Status"))
            self.assertEqual(up.count(), n + i)
            self.assertEqual(up.records[-1].body.decode(), raw)

    def test_what_is_a_chat(self):
        up = self.upstream()
        lull = self.lull(up)
        streamed = json.loads(body("title", "streamed"))
        with_tools = json.loads(body("title", "with tools"))
        with_tools["tools"] = json.loads(chat_body("x"))["tools"]
        longer = json.loads(body("title", "longer"))
        longer["messages"] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
                              *longer["messages"]]
        pasted = {"model": "m", "stream": False, "messages": [
            {"role": "user", "content": prompts.prompt("title", "x") + "\nIs this a good prompt?"}]}
        opening = {"model": "m", "stream": False, "messages": [
            {"role": "user", "content": "### Task:\nGenerate a concise title summarizing the chat history.\n"
                                        "Is this a good prompt? Say why."}]}
        rag = {"model": "m", "stream": False, "messages": [{"role": "user", "content": prompts.rag("Why?")}]}
        cases = {
            "a chat": (chat_body("Hi"), None),
            "not streamed": (chat_body("Hi", stream=False, tools=False), None),
            "a task prompt, streamed": (json.dumps({**streamed, "stream": True}), None),
            "a task prompt with tools": (json.dumps(with_tools), None),
            "a task prompt in a longer conversation": (json.dumps(longer), None),
            "a pasted prompt with a question": (json.dumps(pasted), None),
            "the opening of a prompt": (json.dumps(opening), None),
            "the RAG template": (json.dumps(rag), None),
            "a task prompt, header empty": (body("title", "empty header"), ""),
            "a task prompt, header unknown": (body("title", "unknown header"), "haiku_generation"),
            "moa by its header": (json.dumps({**json.loads(chat_body("moa")), "stream": True}), "moa"),
            "moa by its text": (json.dumps({"model": "m", "stream": False, "messages": [
                {"role": "user", "content": prompts.moa("q")}]}), None),
            "not JSON": ("this is not JSON", None),
            "no messages": ('{"model":"m","messages":[]}', None),
            "an array": ("[1,2,3]", None),
        }
        for name, (raw, header) in cases.items():
            with self.subTest(name):
                self.is_chat(lull, up, "/v1/chat/completions", raw, headers(kind=header))
        # Ollama streams when the member is absent
        absent = json.loads(body("title", "absent", "ollama"))
        del absent["stream"]
        self.is_chat(lull, up, "/api/chat", json.dumps(absent), headers("ollama"))
        stats = lull.stats()
        self.assertEqual(stats["tasks"], {})
        self.assertGreaterEqual(stats["unrecognised"], 2, "the unknown header value is counted, twice")

    def test_openai_without_stream_is_not_streamed(self):
        up = self.upstream()
        lull = self.lull(up)
        absent = json.loads(body("title", "absent"))
        del absent["stream"]
        self.missed(self.ask(lull, "title", "", raw=json.dumps(absent)), "title")
        null = {**absent, "stream": None, "seed": 1}
        self.missed(self.ask(lull, "title", "", raw=json.dumps(null)), "title")

    def test_a_stream_member_that_is_no_boolean_counts_as_streamed(self):
        up = self.upstream()
        lull = self.lull(up)
        for value in (1, "true", "false", [], {}):
            raw = body("title", "odd", stream=value)
            r = self.ask(lull, "title", "", raw=raw)
            self.assertEqual((r.status, r.task), (200, None), value)  # without the header: a chat
            self.assertEqual(up.matching()[-1].body, raw.encode(), value)
            with lull.client() as c:
                r = c.post("/v1/chat/completions", raw, headers(kind="title"))
            self.assertIn("detail=stream", r.cache_status, value)
            self.assertEqual(up.matching()[-1].body, raw.encode(), value)

    def test_header_speaks_before_the_text(self):
        up = self.upstream()
        lull = self.lull(up)
        raw = json.dumps({"model": "m", "stream": False,
                          "messages": [{"role": "user", "content": "Ein eigener \u00dcbersetzungs-Prompt: Titel?"}]})
        up.when("chat", say('{"title": "Eigener"}'))
        self.missed(self.ask(lull, "title", "", raw=raw, head=headers(kind="title")), "title")
        self.hit(self.ask(lull, "title", "", raw=raw, head=headers(kind="title")), "title")
        self.without_the_header(lull, raw)

    def without_the_header(self, lull, raw):
        r = self.ask(lull, "title", "", raw=raw)
        self.assertIsNone(r.task, "the same without the header is a chat")

    def test_kinds_that_are_not_cached(self):
        up = self.upstream()
        lull = self.lull(up)
        for dialect in DIALECTS:
            for kind in ("tool_selection", "memory_review", "context_compaction"):
                for named in (False, True):
                    with self.subTest(f"{dialect} {kind} {named}"):
                        n = up.count()
                        for i in (1, 2):
                            r = self.ask(lull, kind, f"plain {dialect} {named}", dialect,
                                         head=headers(dialect, kind=kind if named else None))
                            self.assertEqual((r.status, r.task), (200, kind))
                            self.assertNotIn("hit", r.cache_status)
                            self.assertNotIn("stored", r.cache_status)
                            self.assertEqual(up.count(), n + i)
        t = lull.task("tool_selection")
        self.assertEqual((t["requests"], t["stored"], t["hits"]), (8, 0, 0))
        self.assertEqual(lull.stats()["cache"]["entries"], 0)

    def test_streamed_tasks_named_by_header_pass_through(self):
        up = self.upstream()
        lull = self.lull(up)
        raw = json.dumps({**json.loads(body("title", "s")), "stream": True})
        r = self.ask(lull, "title", "", raw=raw, head=headers(kind="title"))
        self.bypass(r, "title", "stream")
        self.assertEqual(r.header("Content-Type"), "text/event-stream")
        self.assertEqual(up.records[0].body.decode(), raw)
        self.assertEqual(r.body, up.records[0].payload)
        lull.wait_task("title", requests=1, bypassed=1)

    def test_responses_api_is_bypassed(self):
        up = self.upstream()
        lull = self.lull(up)
        raw = json.dumps({"model": "m", "stream": False, "input": [
            {"role": "user", "type": "message", "content": [
                {"type": "input_text", "text": prompts.prompt("title", "r")}]}]})
        for i in (1, 2):
            r = self.connect(lull).post("/v1/responses", raw, headers(kind="title"))
            self.assertEqual((r.status, r.task), (200, "title"))
            self.assertTrue(r.cache_status.startswith("lull; fwd=bypass"), r.cache_status)
            self.assertEqual(up.count(), i)
            self.assertEqual(up.records[-1].body.decode(), raw)
        lull.wait_task("title", requests=2, bypassed=2)
        r = self.connect(lull).post("/v1/responses", raw, headers())
        self.assertIsNone(r.task, "without the header it is a chat")
        lull.wait_stats(lambda s: s["chat"]["requests"] == 1)

    def test_header_name_is_configurable(self):
        up = self.upstream()
        lull = self.lull(up, server="task_header = X-My-Task\nuser_header = X-My-User")
        raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "free"}], "stream": False})
        up.when("chat", say('{"title": "T"}'))
        r = self.ask(lull, "title", "", raw=raw, extra=[("X-My-Task", "title_generation"), ("X-My-User", "u1")])
        self.missed(r, "title")
        r = self.ask(lull, "title", "", raw=raw, extra=[("X-My-Task", "title_generation"), ("X-My-User", "u2")])
        self.missed(r, "title")
        r = self.ask(lull, "title", "", raw=raw, extra=[("X-OpenWebUI-Task", "title_generation")])
        self.assertIsNone(r.task)

    def test_no_header_at_all(self):
        up = self.upstream()
        lull = self.lull(up, server="task_header = -")
        r = self.ask(lull, "title", "by text", head=headers(kind=""))
        self.missed(r, "title")

    def test_own_kind(self):
        up = self.upstream()
        up.when(lambda e: "Zusammenfassung" in e.body.decode(), say('{"kurz": "so"}'))
        lull = self.lull(up, more="[task summary]\nmatch = \"Bitte eine Zusammenfassung\"\n"
                                  "answer = {\"kurz\": \"\"}\nttl = 1h\n")
        raw = json.dumps({"model": "m", "stream": False,
                          "messages": [{"role": "user", "content": "Bitte eine Zusammenfassung: abc"}]})
        self.missed(self.ask(lull, "summary", "", raw=raw), "summary")
        self.hit(self.ask(lull, "summary", "", raw=raw), "summary", 3600)
        self.assertEqual(lull.task("summary")["requests"], 2)

    def test_edited_template_of_a_kind_we_know(self):
        up = self.upstream()
        up.when(lambda e: "Gib mir" in e.body.decode(), say('{"title": "Eigener Titel"}'))
        lull = self.lull(up, more='[task title]\nmatch = "Gib mir einen Titel"\n')
        raw = json.dumps({"model": "m", "stream": False,
                          "messages": [{"role": "user", "content": "Gib mir einen Titel f\u00fcr: abc"}]})
        self.missed(self.ask(lull, "title", "", raw=raw), "title")
        self.hit(self.ask(lull, "title", "", raw=raw), "title")
        self.missed(self.ask(lull, "title", "the default one still counts"), "title")

    def test_mode_off(self):
        up = self.upstream()
        lull = self.lull(up, tasks="mode = off")
        for i in (1, 2):
            r = self.ask(lull, "title", "off", head=headers(kind="title"))
            self.assertEqual(r.status, 200)
            self.assertIsNone(r.task)
            self.assertEqual(up.count(), i)
            self.assertEqual(up.records[-1].body.decode(), body("title", "off"))
        self.assertEqual(lull.stats()["tasks"], {})


class SwitchedOff(TaskTest):
    EMPTY = {"title": '{"title": ""}', "tags": '{"tags": []}', "follow_up": '{"follow_ups": []}',
             "autocomplete": '{"text": ""}', "emoji": ""}

    def test_harmless_answers_without_a_call(self):
        up = self.upstream()
        kinds = list(self.EMPTY) + ["query"]
        lull = self.lull(up, more="".join(f"[task {k}]\nenabled = no\n" for k in kinds))
        for dialect in DIALECTS:
            for kind in kinds:
                with self.subTest(f"{dialect} {kind}"):
                    r = self.ask(lull, kind, 'the "last" message', dialect)
                    self.assertEqual((r.status, r.task, r.cache_status), (200, kind, "lull; detail=switched-off"))
                    self.well_formed(r, dialect)
                    if kind == "query":
                        self.assertEqual(json.loads(r.content), {"queries": ['the "last" message']})
                    elif kind == "emoji":
                        self.assertEqual(r.content, "")
                    else:
                        self.assertEqual(json.loads(r.content), json.loads(self.EMPTY[kind]))
        self.assertEqual(up.count(), 0)
        for kind in kinds:
            lull.wait_task(kind, requests=2, switched_off=2, upstream_calls=0)
        self.missed(self.ask(lull, "image_prompt", "still on"), "image_prompt")

    def test_last_user_message_of_a_longer_history(self):
        lull = self.lull(self.upstream(), more="[task query]\nenabled = no\n")
        turns = prompts.history(("user", "first"), ("assistant", "reply"), ("user", "second\nwith a line"))
        raw = json.dumps({"model": "m", "stream": False,
                          "messages": [{"role": "user", "content": prompts.query(turns)}]})
        r = self.ask(lull, "query", "", raw=raw)
        self.assertEqual(json.loads(r.content), {"queries": ["second\nwith a line"]})


class Observe(TaskTest):
    def test_everything_is_forwarded_unchanged_and_counted(self):
        up = self.upstream()
        up.when("*", after(0.001, good()))
        lull = self.lull(up, tasks="mode = observe")
        for dialect in DIALECTS:
            for kind in CACHED:
                with self.subTest(f"{dialect} {kind}"):
                    n = up.count()
                    for i in (1, 2):
                        raw = body(kind, f"observed {dialect}", dialect)
                        r = self.ask(lull, kind, "", dialect, raw=raw, head=headers(dialect, kind=kind))
                        self.bypass(r, kind, "observe")
                        e = up.records[-1]
                        self.assertEqual(up.count(), n + i)
                        self.assertEqual(e.body.decode(), raw)
                        self.assertEqual(e.header("Accept-Encoding"), "gzip, deflate, br")
                        self.assertEqual(r.body, e.payload)
        for kind in CACHED:
            t = lull.wait_task(kind, requests=4, bypassed=4, would_hit=2, hits=0, saved_s=0)
            self.assertGreater(t["would_save_s"], 0, kind)
            self.assertLess(t["would_save_s"], t["upstream_s"], kind)
        n = len(CACHED)
        out = lull.ctl("stats").stdout
        self.assertRegex(out, rf"observe: would have answered {2 * n} of {4 * n} tasks without a call, saving [0-9.]+ s ")
        metrics = lull.control("GET", "/metrics").body.decode()
        self.assertIn('lull_task_would_hit_total{kind="title"} 2\n', metrics)
        # what was seen is not served once observing is over, nor the line shown
        lull.write_config(tasks="mode = on")
        self.assertEqual(lull.reload().status, 200)
        self.assertNotIn("would have", lull.ctl("stats").stdout)
        seen = up.count()
        for want in ("miss", "hit"):
            r = self.ask(lull, "title", "", raw=body("title", "observed openai", "openai"), head=headers("openai", kind="title"))
            self.assertIn(want, r.cache_status)
        self.assertEqual(up.count(), seen + 1)

    def test_a_forbidden_origin_is_not_refused(self):
        up = self.upstream()
        lull = self.lull(up, tasks="mode = observe")
        r = self.ask(lull, "title", "x", head=[*headers("openai", kind="title"), ("Origin", "http://evil.test")])
        self.bypass(r, "title", "observe")
        lull.wait_task("title", requests=1, bypassed=1, rejected=0)

    def test_errors_pass_too(self):
        up = self.upstream()
        up.when("*", status(500, "oops", "text/plain"))
        lull = self.lull(up, tasks="mode = observe")
        r = self.ask(lull, "title", "x")
        self.assertEqual((r.status, r.body, r.task), (500, b"oops", "title"))
        lull.wait_task("title", bypassed=1, failed=1)


class TaskModel(TaskTest):
    def test_another_model_and_upstream_and_nothing_of_the_client(self):
        big, small = self.upstream(), self.upstream()
        lull = self.lull({"default": big, "small": {"url": small, "api_key": "sk-small"}},
                         more="[tasks]\nupstream = small\n[task title]\nmodel = tiny:1b\n")
        secrets = [("Authorization", "Bearer s3cret-auth"), ("Cookie", "token=s3cret-cookie"),
                   ("X-OpenWebUI-Task", "title_generation"), ("X-OpenWebUI-User-Id", "s3cret-user"),
                   ("X-OpenWebUI-User-Name", "s3cret-name"), ("X-OpenWebUI-User-Email", "s3cret@example.org"),
                   ("X-OpenWebUI-User-Role", "s3cret-role"), ("X-OpenWebUI-Chat-Id", "s3cret-chat"),
                   ("X-OpenWebUI-User-Jwt", "s3cret.jwt.x"), ("X-Api-Key", "s3cret-api"),
                   ("api-key", "s3cret-azure"), ("X-Custom", "s3cret-custom"), ("Referer", "http://s3cret/"),
                   ("User-Agent", "s3cret-agent"), ("X-Forwarded-For", "s3cret-ip"),
                   ("OpenAI-Organization", "s3cret-org"), ("Accept-Language", "s3cret-language"),
                   ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate, br")]
        for dialect in DIALECTS:
            with self.subTest(dialect):
                n = small.count()
                r = self.ask(lull, "title", f"rerouted {dialect}", dialect, head=secrets)
                self.missed(r, "title")
                self.well_formed(r, dialect)
                self.assertEqual((big.count(), small.count()), (0, n + 1))
                e = small.records[-1]
                self.assertEqual(e.path, PATH[dialect])
                self.assertEqual(e.json["model"], "tiny:1b")
                self.assertNotIn(b"s3cret", e.raw_head + e.raw_body)
                self.assertEqual(e.header("Authorization"), "Bearer sk-small")
                self.assertFalse([h for h, _ in e.headers if h.lower().startswith("x-openwebui")])
                self.assertEqual(e.json["messages"], json.loads(body("title", f"rerouted {dialect}", dialect))["messages"])
                self.hit(self.ask(lull, "title", f"rerouted {dialect}", dialect, head=secrets), "title")
        r = self.ask(lull, "tags", "only the upstream")
        self.missed(r, "tags")
        self.assertEqual(small.records[-1].json["model"], prompts.MODEL["openai"])
        stats = lull.stats()
        self.assertEqual(stats["upstreams"]["small"]["calls"], 3)
        self.assertEqual(stats["upstreams"]["default"]["calls"], 0)
        r = self.connect(lull).post("/v1/chat/completions", chat_body("a chat stays"), headers())
        self.assertEqual((r.status, big.count("chat")), (200, 1))

    def test_no_key_means_no_authorization(self):
        big, small = self.upstream(), self.upstream()
        lull = self.lull({"default": big, "small": small}, more="[task tags]\nupstream = small\n")
        self.missed(self.ask(lull, "tags", "x", head=headers(key="s3cret")), "tags")
        self.assertIsNone(small.records[0].header("Authorization"))
        self.assertNotIn(b"s3cret", small.records[0].raw_head)

    def test_same_upstream_another_model(self):
        up = self.upstream()
        lull = self.lull(up, tasks="model = tiny")
        r = self.missed(self.ask(lull, "follow_up", "m", model="big"), "follow_up")
        self.assertEqual(up.records[0].json["model"], "tiny")
        self.assertEqual(r.json["model"], "big")
        # another chat model asks the same of the same task model: one entry, each its own name
        r = self.hit(self.ask(lull, "follow_up", "m", model="bigger"), "follow_up")
        self.assertEqual(r.json["model"], "bigger")
        self.assertEqual(up.count(), 1)

    def test_bypassed_tasks_are_rerouted_without_client_headers_too(self):
        big, small = self.upstream(), self.upstream()
        lull = self.lull({"default": big, "small": small}, more="[task title]\nupstream = small\nmodel = tiny\n")
        r = self.ask(lull, "title", "x", head=headers(key="s3cret", kind="title", user="s3cret"),
                     extra=[("Cache-Control", "no-store")])
        self.assertEqual(r.status, 200)
        self.assertEqual((big.count(), small.count()), (0, 1))
        self.assertNotIn(b"s3cret", small.records[0].raw_head)
        self.assertEqual(small.records[0].json["model"], "tiny")


class WhatIsNotChanged(TaskTest):
    def test_bodies_that_must_not_be_streamed(self):
        up = self.upstream()
        lull = self.lull(up)
        for more in ({"logprobs": True}, {"n": 2}):
            raw = json.dumps({**json.loads(body("title", f"as is {more}")), **more})
            r = self.ask(lull, "title", "", raw=raw, head=headers(kind="title"))
            self.assertEqual((r.status, r.task), (200, "title"))
            self.assertNotEqual(up.records[-1].json.get("stream"), True, more)

    def test_header_values_all(self):
        up = self.upstream()
        lull = self.lull(up, more="[task autocomplete]\ndebounce = off\n")
        for kind, value in HEADER_VALUES.items():
            raw = json.dumps({"model": "m", "stream": False,
                              "messages": [{"role": "user", "content": f"free text {kind}"}]})
            r = self.ask(lull, kind, "", raw=raw, head=headers(kind=value))
            self.assertEqual(r.task, None if kind == "moa" else kind)


if __name__ == "__main__":
    main()
