#!/usr/bin/env python3
"""Tasks that are asked again: answered from the cache where the question is the same, and asked once more where the
client or a setting wants it."""
import json
import os
import re
import signal
import time

import prompts
from client import Cut
from lull import eventually, main
from prompts import CACHED, body, headers
from task_test import DIALECTS, MISS, TaskTest
from upstream import after, good, good_content, say


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

    def test_a_data_file_that_is_cut_ends_lulld_once(self):
        up = self.upstream()
        lull = self.lull(up)
        self.missed(self.ask(lull, "title", "cut"), "title")
        lull.committed()
        lull.killed = True  # it ends by a signal, as it should
        os.truncate(os.path.join(lull.data_dir, "data.mdb"), 8192)
        with self.assertRaises((Cut, OSError)):
            self.ask(lull, "title", "cut")
        self.assertEqual(lull.wait(), -signal.SIGBUS)
        self.assertIn("crashed", os.listdir(lull.data_dir))
        lull.start()
        lull.killed = False
        self.assertNotIn("crashed", os.listdir(lull.data_dir))
        self.missed(self.ask(lull, "title", "cut"), "title")
        self.hit(self.ask(lull, "title", "cut"), "title")

    def test_keep_requests_no(self):
        up = self.upstream()
        lull = self.lull(up, cache="keep_requests = no")
        self.missed(self.ask(lull, "title", "xyzzy-in-the-request"), "title")
        self.hit(self.ask(lull, "title", "xyzzy-in-the-request"), "title")
        lull.committed()
        lull.check()
        lull.stop()
        for name in os.listdir(lull.data_dir):
            with open(os.path.join(lull.data_dir, name), "rb") as f:
                self.assertNotIn(b"xyzzy-in-the-request", f.read(), name)


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


if __name__ == "__main__":
    main()
