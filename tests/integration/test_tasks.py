#!/usr/bin/env python3
"""Tasks: recognised, answered from the cache, sent on to the task model, and only good answers kept."""
import json
import re
import time

import prompts
from lull import DEADLINE, LullTest, eventually, main
from prompts import CACHED, HEADER_VALUES, PATH, body, chat_body, headers
from upstream import (Gate, after, cut_at, error_in_stream, good, good_content, refuse_changes, say, status,
                      whole_document)

DIALECTS = ("openai", "ollama")
MISS = "lull; fwd=miss; stored"
NOT_STORED = "lull; fwd=miss"


class TaskTest(LullTest):
    def ask(self, lull, kind, text, dialect="openai", path=None, connection=None, raw=None, head=None,
            extra=(), **more):
        """One task, as Open WebUI sends it without custom headers."""
        c = connection or self.connect(lull)
        given = raw if raw is not None else body(kind, text, dialect, **more)
        return c.post(path or PATH[dialect], given,
                      (headers(dialect) if head is None else head) + list(extra))

    def hit(self, r, kind, ttl=None):
        """A hit: from the disk with its time to live, or from what is still being written."""
        self.assertEqual((r.status, r.task), (200, kind), r)
        m = re.fullmatch(r"lull; hit; (?:ttl=(\d+)|detail=pending)", r.cache_status)
        self.assertTrue(m, r.cache_status)
        if ttl is not None and m.group(1) is not None:
            self.assertLessEqual(int(m.group(1)), ttl)
            self.assertGreaterEqual(int(m.group(1)), ttl - 60)
        return r

    def missed(self, r, kind, stored=True):
        self.assertEqual((r.status, r.task), (200, kind), r)
        self.assertEqual(r.cache_status, MISS if stored else NOT_STORED)
        return r

    def bypass(self, r, kind, reason, code=200):
        self.assertEqual((r.status, r.task), (code, kind), r)
        self.assertEqual(r.cache_status, f"lull; fwd=bypass; detail={reason}")
        return r

    def well_formed(self, r, dialect, model=None, generate=False):
        """The answer as Open WebUI needs it."""
        self.assertEqual(r.status, 200)
        self.assertTrue(r.header("Content-Type").startswith("application/json"))
        self.assertIsNone(r.header("Content-Encoding"))
        self.assertEqual(r.header("Content-Length"), str(len(r.body)))
        document = r.json
        self.assertEqual(document["model"], model or prompts.MODEL[dialect])
        if dialect == "openai":
            self.assertEqual(document["object"], "chat.completion")
            self.assertEqual(len(document["choices"]), 1)
            choice = document["choices"][0]
            self.assertEqual((choice["index"], choice["finish_reason"]), (0, "stop"))
            self.assertEqual(choice["message"]["role"], "assistant")
        else:
            self.assertIs(document["done"], True)
            if not generate:
                self.assertEqual(document["message"]["role"], "assistant")
        self.assertIsInstance(r.content, str)


class MissThenHit(TaskTest):
    TTL = {"title": 604800, "emoji": 604800, "query": 43200, "image_prompt": 43200, "tags": 3600,
           "follow_up": 3600, "autocomplete": 600}

    def test_every_cached_kind_in_both_dialects(self):
        up = self.upstream()
        up.when("*", after(0.001, good()))
        lull = self.lull(up)
        calls = 0
        for dialect in DIALECTS:
            for kind in CACHED:
                for named in (False, True):
                    with self.subTest(f"{dialect} {kind} header={named}"):
                        text = f"{dialect} {kind} {named} what is it?"
                        head = headers(dialect, kind=kind if named else None)
                        first = self.missed(self.ask(lull, kind, text, dialect, head=head), kind)
                        calls += 1
                        self.well_formed(first, dialect)
                        serial = up.records[-1].serial
                        self.assertEqual(first.content, good_content(kind, serial))
                        second = self.hit(self.ask(lull, kind, text, dialect, head=head), kind,
                                          self.TTL[kind])
                        self.well_formed(second, dialect)
                        self.assertEqual(second.content, first.content)
                        self.assertEqual(up.count(), calls)
        lull.committed()
        for kind in CACHED:
            r = self.ask(lull, kind, f"ollama {kind} False what is it?", "ollama")
            self.assertIn("ttl=", self.hit(r, kind, self.TTL[kind]).cache_status)
            lull.wait_task(kind, requests=9)
        stats = lull.stats()
        for kind in CACHED:
            t = lull.task(kind, stats)
            self.assertEqual((t["requests"], t["hits"], t["misses"], t["stored"], t["upstream_calls"]),
                             (9, 5, 4, 4, 4), kind)
            self.assertGreater(t["saved_s"], 0, kind)
            self.assertGreater(t["tokens_in"], 0, kind)
        self.assertEqual(stats["chat"]["requests"], 0)
        self.assertEqual(stats["unrecognised"], 0)
        self.assertEqual(stats["cache"]["state"], "on")

    def test_older_templates_and_json_with_blanks_and_escapes(self):
        up = self.upstream()
        lull = self.lull(up)
        turns = prompts.first_turn("Warum \u00fc \U0001f914?")
        for kind, text in (("title", prompts.title_old(turns)), ("follow_up", prompts.follow_up_old(turns))):
            document = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": False}
            spaced = json.dumps(document)
            compact = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
            self.assertNotEqual(spaced, compact)
            self.missed(self.ask(lull, kind, "", raw=spaced), kind)
            self.hit(self.ask(lull, kind, "", raw=compact), kind)
            reordered = json.dumps(dict(reversed(document.items())))
            self.hit(self.ask(lull, kind, "", raw=reordered), kind)
        self.assertEqual(up.count(), 2)

    def test_a_leading_system_message_of_the_task_model_is_no_chat(self):
        up = self.upstream()
        lull = self.lull(up)
        document = json.loads(body("tags", "with a system message"))
        document["messages"].insert(0, {"role": "system", "content": "Be brief."})
        raw = json.dumps(document)
        self.missed(self.ask(lull, "tags", "", raw=raw), "tags")
        self.hit(self.ask(lull, "tags", "", raw=raw), "tags")

    def test_all_paths_of_a_dialect(self):
        up = self.upstream()
        lull = self.lull(up)
        for i, path in enumerate(("/v1/chat/completions", "/chat/completions", "/v1//chat/completions",
                                  "//chat/completions")):
            self.missed(self.ask(lull, "title", f"path {i}", path=path), "title")
            self.assertEqual(up.records[-1].path, re.sub("/+", "/", path))
            self.hit(self.ask(lull, "title", f"path {i}", path=path), "title")
        # slashes aside, these are the same question
        self.hit(self.ask(lull, "title", "path 0", path="//v1//chat/completions"), "title")

    def test_generate_with_a_prompt(self):
        up = self.upstream()
        lull = self.lull(up)
        raw = json.dumps({"model": "m", "prompt": prompts.prompt("tags", "generated"), "stream": False})
        first = self.missed(self.ask(lull, "tags", "", "ollama", "/api/generate", raw=raw), "tags")
        self.assertEqual(up.records[-1].path, "/api/generate")
        second = self.hit(self.ask(lull, "tags", "", "ollama", "/api/generate", raw=raw), "tags")
        for r in (first, second):
            self.assertIsInstance(r.json["response"], str)
            self.well_formed(r, "ollama", "m", generate=True)
        self.assertEqual(first.content, second.content)

    def test_the_addressed_upstream_by_name_shares_its_entries(self):
        up = self.upstream()
        lull = self.lull(up)
        self.missed(self.ask(lull, "title", "shared"), "title")
        self.hit(self.ask(lull, "title", "shared", path="/@default/v1/chat/completions"), "title")
        self.assertEqual(up.count(), 1)

    def test_two_upstreams_share_nothing(self):
        one, two = self.upstream(), self.upstream()
        lull = self.lull({"one": one, "two": two}, server="default_upstream = one")
        self.missed(self.ask(lull, "title", "apart", path="/@one/v1/chat/completions"), "title")
        self.missed(self.ask(lull, "title", "apart", path="/@two/v1/chat/completions"), "title")
        self.assertEqual((one.count(), two.count()), (1, 1))

    def test_what_changes_the_answer_is_in_the_key(self):
        up = self.upstream()
        lull = self.lull(up)
        base = json.loads(body("title", "key"))
        self.missed(self.ask(lull, "title", "", raw=json.dumps(base)), "title")
        for change in ({"model": "other"}, {"max_tokens": 999}, {"temperature": 0.1}, {"seed": 1},
                       {"unknown_member": {"a": [1, 2]}},
                       {"chat_template_kwargs": {"enable_thinking": False}},
                       {"messages": [{"role": "system", "content": "x"}] + base["messages"]}):
            with self.subTest(str(change)[:40]):
                r = self.ask(lull, "title", "", raw=json.dumps({**base, **change}),
                             head=headers(kind="title"))
                self.assertEqual(r.cache_status, MISS)
        for change in ({"user": "x"}, {"metadata": {"a": 1}}):
            with self.subTest(str(change)):
                self.hit(self.ask(lull, "title", "", raw=json.dumps({**base, **change})), "title")

    def test_scope(self):
        up = self.upstream()
        lull = self.lull(up)

        def ask(key, user=None):
            return self.ask(lull, "tags", "scoped", head=headers(key=key, user=user)).cache_status
        self.assertEqual(ask("sk-a"), MISS)
        self.assertEqual(ask("sk-b"), MISS, "another Authorization")
        self.assertEqual(ask("sk-a", "u1"), MISS, "a user")
        self.assertEqual(ask("sk-a", "u2"), MISS, "another user")
        self.assertIn("hit", ask("sk-a"))
        self.assertIn("hit", ask("sk-b"))
        self.assertIn("hit", ask("sk-a", "u1"))
        self.assertIn("hit", ask("sk-a", "u2"))
        self.assertEqual(up.count(), 4)

    def test_scope_settings(self):
        up = self.upstream()
        lull = self.lull(up, more="[task tags]\nscope = shared\n[task title]\nscope = user\n"
                                  "[task emoji]\nscope = auth\n")

        def ask(kind, key, user=None):
            return self.ask(lull, kind, "scoped", head=headers(key=key, user=user))
        self.missed(ask("tags", "sk-a", "u1"), "tags")
        self.hit(ask("tags", "sk-b", "u2"), "tags")
        self.bypass(ask("title", "sk-a"), "title", "no-user")
        self.bypass(ask("title", "sk-a"), "title", "no-user")
        self.missed(ask("title", "sk-a", "u1"), "title")
        self.hit(ask("title", "sk-a", "u1"), "title")
        self.missed(ask("title", "sk-a", "u2"), "title")
        self.missed(ask("emoji", "sk-a", "u1"), "emoji")
        self.hit(ask("emoji", "sk-a", "u2"), "emoji")
        self.missed(ask("emoji", "sk-b", "u1"), "emoji")
        lull.wait_task("title", requests=5, bypassed=2, misses=2, hits=1)

    def test_chat_id_and_other_headers_are_not_in_the_key(self):
        up = self.upstream()
        lull = self.lull(up)
        self.missed(self.ask(lull, "tags", "h", head=headers(kind="tags", user="u", chat="c1")), "tags")
        self.hit(self.ask(lull, "tags", "h", head=headers(kind="tags", user="u", chat="c2")
                          + [("X-Request-Id", "r2")]), "tags")

    def test_no_compression_is_asked_for_and_headers_go_to_the_addressed_upstream(self):
        up = self.upstream()
        lull = self.lull(up)
        self.missed(self.ask(lull, "title", "h", head=headers(kind="title", user="u7", key="sk-client")),
                    "title")
        e = up.records[0]
        self.assertIn((e.header("Accept-Encoding") or "identity").lower(), ("identity", ""))
        self.assertEqual(e.header("Authorization"), "Bearer sk-client")
        self.assertEqual(e.header("X-OpenWebUI-User-Id"), "u7")
        self.assertIs(e.json["stream"], True, "cancellable tasks are streamed")
        self.assertEqual(e.json["stream_options"]["include_usage"], True)
        self.assertEqual(e.json["messages"], json.loads(body("title", "h"))["messages"])
        self.assertEqual(e.json["max_tokens"], 1000)

    def test_ttl_runs_out(self):
        up = self.upstream()
        lull = self.lull(up, more="[task tags]\nttl = 1s\n")
        first = self.missed(self.ask(lull, "tags", "short"), "tags")
        self.assertEqual(self.hit(self.ask(lull, "tags", "short"), "tags", 1).content, first.content)
        c = self.connect(lull)
        again = eventually(lambda: (lambda r: None if "hit" in r.cache_status else r)(
            self.ask(lull, "tags", "short", connection=c)))
        self.missed(again, "tags")
        self.assertNotEqual(first.content, again.content)

    def test_empty_suggestions_are_kept_for_half_a_minute(self):
        up = self.upstream()
        up.when("autocomplete", say('{"text": ""}'))
        lull = self.lull(up, more="[task autocomplete]\ndebounce = off\n")
        self.missed(self.ask(lull, "autocomplete", "nothing comes to my mind"), "autocomplete")
        self.hit(self.ask(lull, "autocomplete", "nothing comes to my mind"), "autocomplete", 30)

    def test_hits_survive_a_restart(self):
        up = self.upstream()
        lull = self.lull(up)
        answers = {kind: self.missed(self.ask(lull, kind, "restart"), kind).content for kind in CACHED}
        lull.check()
        lull.restart()
        for kind in CACHED:
            self.assertEqual(self.hit(self.ask(lull, kind, "restart"), kind).content, answers[kind])
        self.assertEqual(up.count(), len(CACHED))

    def test_hits_survive_kill_9(self):
        up = self.upstream()
        lull = self.lull(up)
        answers = {kind: self.missed(self.ask(lull, kind, "killed"), kind).content for kind in CACHED}
        lull.committed()
        lull.restart("kill")
        for kind in CACHED:
            self.assertEqual(self.hit(self.ask(lull, kind, "killed"), kind).content, answers[kind])
        self.assertEqual(up.count(), len(CACHED))

    def test_keep_requests_no(self):
        up = self.upstream()
        lull = self.lull(up, cache="keep_requests = no")
        self.missed(self.ask(lull, "title", "xyzzy-in-the-request"), "title")
        self.hit(self.ask(lull, "title", "xyzzy-in-the-request"), "title")
        lull.committed()
        lull.check()
        lull.stop()
        import os
        for name in os.listdir(lull.data_dir):
            with open(os.path.join(lull.data_dir, name), "rb") as f:
                self.assertNotIn(b"xyzzy-in-the-request", f.read(), name)


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


class PerRequest(TaskTest):
    def test_no_store(self):
        up = self.upstream()
        lull = self.lull(up)
        self.missed(self.ask(lull, "title", "kept"), "title")
        for i in (1, 2):
            r = self.ask(lull, "title", "kept", extra=[("Cache-Control", "no-store")])
            self.bypass(r, "title", "no-store")
            self.assertEqual(up.count(), 1 + i)
        r = self.ask(lull, "title", "fresh", extra=[("Cache-Control", "max-age=0, no-store")])
        self.bypass(r, "title", "no-store")
        self.missed(self.ask(lull, "title", "fresh"), "title")
        self.assertEqual(self.hit(self.ask(lull, "title", "kept"), "title").content, good_content("title", 1))
        lull.wait_task("title", requests=6, bypassed=3, misses=2, hits=1, stored=2)

    def test_no_cache_makes_a_new_answer_and_keeps_it(self):
        up = self.upstream()
        lull = self.lull(up)
        self.missed(self.ask(lull, "title", "n"), "title")
        r = self.ask(lull, "title", "n", extra=[("Cache-Control", "no-cache")])
        self.assertEqual((r.status, r.task, r.content), (200, "title", good_content("title", 2)))
        self.assertNotIn("hit", r.cache_status)
        self.assertEqual(self.hit(self.ask(lull, "title", "n"), "title").content, good_content("title", 2))
        self.assertEqual(up.count(), 2)

    def test_ambiguous_documents_bypass(self):
        up = self.upstream()
        lull = self.lull(up)
        text = json.dumps(prompts.prompt("title", "ambiguous"))
        message = '"messages":[{"role":"user","content":%s}]' % text
        for name, raw in {
                "duplicate keys": '{"model":"m","model":"m",%s,"stream":false}' % message,
                "NUL": '{"model":"m",%s,"stream":false,"x":"a\\u0000b"}' % message,
                "number over 2^53": '{"model":"m",%s,"stream":false,"seed":9007199254740993}' % message,
        }.items():
            with self.subTest(name):
                n = up.count()
                for i in (1, 2):
                    r = self.ask(lull, "title", "", raw=raw, head=headers(kind="title"))
                    self.bypass(r, "title", "ambiguous-json")
                    self.assertEqual(up.count(), n + i)
                    self.assertEqual(up.records[-1].body.decode(), raw)

    def test_trailing_garbage_is_never_cached(self):
        up = self.upstream()
        lull = self.lull(up)
        raw = body("title", "trailing") + " garbage"
        for i in (1, 2):
            r = self.ask(lull, "title", "", raw=raw, head=headers(kind="title"))
            self.assertNotIn("hit", r.cache_status)
            self.assertEqual(up.count(), i)
            self.assertEqual(up.records[-1].body.decode(), raw)

    def test_cache_switched_off_for_a_kind(self):
        up = self.upstream()
        lull = self.lull(up, more="[task title]\ncache = no\n")
        for i in (1, 2):
            self.bypass(self.ask(lull, "title", "no cache"), "title", "cache-off")
            self.assertEqual(up.count(), i)
        self.missed(self.ask(lull, "tags", "cache"), "tags")
        self.assertEqual(lull.committed()["cache"]["entries"], 1)

    def test_cache_switched_on_for_a_kind(self):
        up = self.upstream()
        lull = self.lull(up, more="[task tool_selection]\ncache = yes\n")
        self.missed(self.ask(lull, "tool_selection", "cached"), "tool_selection")
        self.hit(self.ask(lull, "tool_selection", "cached"), "tool_selection")


class Regenerate(TaskTest):
    def test_a_title_asked_again_later_is_made_again(self):
        up = self.upstream()
        lull = self.lull(up)
        turns = prompts.history(("user", "How?"), ("assistant", "Like this."))
        raw = json.dumps({"model": "m", "stream": False, "max_tokens": 1000,
                          "messages": [{"role": "user", "content": prompts.title(turns)}]})
        c = self.connect(lull)

        def ask():
            return self.ask(lull, "title", "", raw=raw, connection=c)
        self.missed(ask(), "title")
        answered = time.monotonic()
        self.assertEqual(self.hit(ask(), "title").content, good_content("title", 1))
        plain = self.ask(lull, "title", "no reply yet")
        self.missed(plain, "title")
        time.sleep(max(0, answered + 5.3 - time.monotonic()))  # the rule speaks of 5 s
        r = ask()
        self.assertEqual((r.status, r.task), (200, "title"))
        self.assertNotEqual(r.content, good_content("title", 1))
        self.assertIn("regenerate", r.cache_status)
        fresh = r.content
        self.assertEqual(self.hit(ask(), "title").content, fresh, "stored over the old")
        self.hit(self.ask(lull, "title", "no reply yet"), "title")
        t = lull.task("title")
        self.assertEqual((t["regenerated"], t["requests"]), (1, 6))
        self.assertEqual(up.count("title"), 3)


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
