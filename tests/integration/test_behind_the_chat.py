#!/usr/bin/env python3
"""Tasks behind their conversation, over real sockets: what is sent is what the next chat request of that
conversation begins with, for conversations made at random and for captured ones; what people see of it;
that what is learnt survives a restart. And the headers that only tasks carry."""
import json
import os
import random

import prompts
from lull import SOURCE, LullTest, main
from prompts import PATH, headers
from upstream import BEHIND

TRAFFIC = os.path.join(os.path.dirname(SOURCE), "shared", "traffic")
CONVERSATIONS = int(os.environ.get("LULL_CONVERSATIONS", "150"))


def answer_with(text, thinking="", calls=None, cached=None):
    """A rule: that content, after thinking, with cached tokens in its usage."""
    def rule(e):
        message = {"role": "assistant", "content": text}
        if thinking:
            message["reasoning_content"] = thinking
        if calls:
            message["tool_calls"] = calls
        usage = {"prompt_tokens": 900, "completion_tokens": 20,
                 "prompt_tokens_details": {"cached_tokens": 0 if cached is None else cached}}
        choice = {"index": 0, "finish_reason": "tool_calls" if calls else "stop"}
        if e.streaming:
            e.head(200, [("Content-Type", "text/event-stream")])
            e.piece("data: " + json.dumps({"choices": [{**choice, "delta": message}], "usage": usage}) + "\n\n")
            e.piece("data: [DONE]\n\n")
            e.end()
        else:
            e.full(200, "application/json", json.dumps({"choices": [{**choice, "message": message}], "usage": usage}))
    return rule


class BehindTest(LullTest):
    def one(self, prefix="chat", **more):
        up = self.upstream()
        return up, self.lull(up, tasks=f"settle = 0\nmax_hold = 60s\nprefix = {prefix}\n", slots=1, **more)

    def chat(self, c, up, messages, reply, chat="one", user="ann", **more):
        up.clear()
        up.when(lambda e: e.json is not None and e.json["messages"] == messages, answer_with(reply, **more))
        document = {"model": "m", "stream": True, "messages": messages}
        r = c.post(PATH["openai"], json.dumps(document), headers(user=user, chat=chat, kind=""))
        self.assertEqual(r.status, 200)
        up.clear()

    def task(self, c, kind, prompt, chat="one", user="ann"):
        document = {"model": "m", "stream": False, "messages": [{"role": "user", "content": prompt}]}
        return c.post(PATH["openai"], json.dumps(document), headers(user=user, chat=chat, kind=kind))

    @staticmethod
    def was_behind(exchange):
        return prompts_last(exchange.json).startswith(BEHIND)


def prompts_last(document):
    content = document["messages"][-1]["content"]
    return content if isinstance(content, str) else ""


class Seen(BehindTest):
    """What people see of it."""

    def test_figures_explain_and_flights_say_it(self):
        up, lull = self.one("auto")
        with lull.client() as c:
            self.chat(c, up, [{"role": "user", "content": "What is bread?"}], "Baked dough.")
            up.when("follow_up", answer_with(json.dumps({"follow_ups": ["Why?"]}), cached=800))
            turns = prompts.history(("user", "What is bread?"), ("assistant", "Baked dough."))
            r = self.task(c, "follow_up", prompts.follow_up(turns))
            self.assertEqual(r.status, 200)
            self.assertTrue(self.was_behind(up.matching("follow_up")[-1]))
            other = prompts.history(("user", "What is bread?"), ("assistant", "Something else."))
            self.task(c, "tags", prompts.tags(other))
            lull.wait_task("follow_up", requests=1)
            stats = lull.wait_task("tags", requests=1)
        tasks = lull.stats()["tasks"]
        self.assertEqual((tasks["follow_up"]["prefix_used"], tasks["follow_up"]["prefix_not"]), (1, {}), stats)
        self.assertEqual((tasks["tags"]["prefix_used"], tasks["tags"]["prefix_not"]), (0, {"differs": 1}))
        metrics = lull.control("GET", "/metrics").body.decode()
        self.assertIn('lull_task_prefix_used_total{kind="follow_up"} 1\n', metrics)
        self.assertIn('lull_task_prefix_not_total{kind="tags",reason="differs"} 1\n', metrics)
        learnt = lull.control("GET", "/flights").json["prefix"]
        self.assertEqual([(m["model"], m["first"]["state"], m["first"]["tokens_read"]) for m in learnt],
                         [("m", "on", 100)])
        self.assertEqual(learnt[0]["kinds"]["follow_up"]["chat"], {"answers": 1, "wrong_form": 0})
        self.assertIn("on: 100 of 900 read", lull.ctl("flights").stdout)
        for text, want in (("Baked dough.", ("chat", None)), ("Another.", ("as-asked", "differs"))):
            body = json.dumps({"model": "m", "stream": False, "messages": [{"role": "user", "content": prompts.tags(
                prompts.history(("user", "What is bread?"), ("assistant", text)))}]})
            head = [("X-Explain-" + n, v) for n, v in headers(user="ann", chat="one", kind="tags")]
            e = lull.control("POST", "/explain", body, head).json
            self.assertEqual((e["prefix"], e.get("prefix_not")), want)

    def test_what_is_learnt_survives_a_restart(self):
        up, lull = self.one("auto")
        with lull.client() as c:
            for i in range(3):
                self.chat(c, up, [{"role": "user", "content": f"Question {i}"}], f"Answer {i} to that.", chat=str(i))
                up.when("follow_up", answer_with(json.dumps({"follow_ups": ["Why?"]}), cached=0))
                self.task(c, "follow_up", prompts.follow_up(prompts.history(
                    ("user", f"Question {i}"), ("assistant", f"Answer {i} to that."))), chat=str(i))
        self.assertEqual(lull.stats()["tasks"]["follow_up"]["prefix_not"], {"no_gain": 1})
        before = lull.control("GET", "/flights").json["prefix"]
        self.assertEqual(before[0]["first"]["state"], "off")
        lull.restart()
        self.assertEqual(lull.control("GET", "/flights").json["prefix"], before)

    def test_no_conversation_in_log_or_cache(self):
        up, lull = self.one("chat", server="log_level = debug\n")
        with lull.client() as c:
            self.chat(c, up, [{"role": "system", "content": "planted-system"},
                              {"role": "user", "content": "What is bread?"}], "Baked dough.")
            up.when("tags", answer_with(json.dumps({"tags": ["A"]})))
            self.task(c, "tags", prompts.tags(prompts.history(("user", "What is bread?"), ("assistant", "Baked dough."))))
        self.assertIn("planted-system", up.matching("tags")[-1].body.decode())
        self.assertNotIn("planted-system", lull.log_text())
        entry = lull.control("GET", "/entries").json["entries"][0]["id"]
        self.assertNotIn("planted-system", lull.control("GET", "/entries/" + entry).body.decode())


class Generated(BehindTest):
    """Conversations at random, as Open WebUI plays them: whenever a task was asked behind one, the messages
    before its instruction are those that the next request of the conversation begins with."""

    def play(self, rng, c, up, i):
        """One conversation; the number of its tasks that were asked behind it."""
        user, chat = f"user{i % 3}", rng.choice((f"chat{i}", f"chat{i}", None))
        messages, shown, behind, pending = [], [], 0, None
        if rng.random() < 0.4:
            messages.append({"role": "system", "content": rng.choice(("Be brief.", "Answer as a pirate \U0001f3f4."))})
        for turn in range(rng.randint(1, 4)):
            text = f"Question {i}.{turn}: " + rng.choice(("why?", "USER: x\nASSISTANT: y", "ü\u2028\"\\", "w " * 700))
            added = rng.random() < 0.15  # a document is put into this request only
            content = "### Task:\nUse the context.\n" + text if added else text
            if rng.random() < 0.1 and not added:
                content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": "data:x"}}]
            request = messages + [{"role": "user", "content": content}]
            if pending is not None:  # the request that goes on: does it begin so?
                self.assertEqual(request[:len(pending)], pending)
                pending = None
            if rng.random() < 0.2:  # a tool is called first
                call = [{"id": "c", "type": "function", "function": {"name": "now", "arguments": "{}"}}]
                self.chat(c, up, request, "", chat=chat, user=user, calls=call)
                request = request + [{"role": "assistant", "content": "", "tool_calls": call},
                                     {"role": "tool", "tool_call_id": "c", "content": "12:00"}]
            reply = f"Reply {i}.{turn} " + rng.choice(("", "with\nlines ", "![p](http://x/y.png) ", "z " * 600))
            sent, thinking = rng.choice(((reply, ""), ("<think>hm</think>\n" + reply, ""), (reply, "hm"),
                                         (reply + "<think>late</think>", "")))
            self.chat(c, up, request, sent, chat=chat, user=user, thinking=thinking)
            kept = reply.strip() if "late" not in sent else reply.strip() + " (as shown)"
            messages = (request if not added else request[:-1] + [{"role": "user", "content": text}]) + [
                {"role": "assistant", "content": kept}]
            shown += [("user", text), ("assistant", kept.replace("![p](http://x/y.png)", "").strip())]
            kind = rng.choice(("follow_up", "tags", "title"))
            up.when(kind, answer_with(json.dumps({"follow_ups": ["a"], "tags": ["b"], "title": "c"})))
            history = prompts.history(*shown[-rng.choice((2, 6)):])
            self.task(c, kind, getattr(prompts, kind)(history), chat=chat, user=user)
            asked = up.matching(kind)
            if asked and self.was_behind(asked[-1]):
                behind += 1
                pending = asked[-1].json["messages"][:-1]
            if rng.random() < 0.1:  # edited: the conversation goes on otherwise
                messages, pending = messages[:-2], None
                shown = shown[:-2]
        return behind

    def test_what_is_sent_is_what_the_next_request_begins_with(self):
        up, lull = self.one("chat")
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        behind = 0
        with self.subTest(seed=seed), lull.client() as c:
            for i in range(CONVERSATIONS):
                behind += self.play(rng, c, up, i)
        self.assertGreater(behind, CONVERSATIONS // 3)


def recorded(record):
    """A rule: the answer that was recorded."""
    response = record["response"]
    kept = ("content-type",)
    lines = [(n, v) for n, v in response["headers"] if n.lower() in kept]

    def rule(e):
        if e.streaming:
            e.head(response["status"], lines)
            e.piece(response["body"])
            e.end()
        else:
            e.full(response["status"], dict(lines).get("Content-Type", "application/json"), response["body"])
    return rule


def usable(record):
    """A whole exchange of a chat or a task over an API that lull assembles."""
    response = record.get("response") or {}
    if record["method"] != "POST" or not record["path"].endswith(("/chat/completions", "/api/chat")):
        return False
    return response.get("t_done") is not None and response.get("body") and not record.get("fault")


class Captured(BehindTest):
    """Captured requests, one after the other, answered as they were then. A title that came beside its chats
    comes after them."""

    KINDS = ("title", "tags", "follow_up", "query")

    def in_order(self, records):
        titles, chats = [], 0
        for r in records:
            if r["kind"] == "title" and "\nASSISTANT: \n</chat" in json.loads(r["body"])["messages"][-1]["content"]:
                titles.append(r)
                continue
            if chats and r["kind"] != "chat":  # several models are asked at the same time
                yield from titles
                titles, chats = [], 0
            chats += r["kind"] == "chat"
            yield r
        yield from titles

    def replay(self, name, totals):
        with open(os.path.join(TRAFFIC, name), encoding="utf-8") as f:
            records = [r for r in map(json.loads, f) if usable(r)]
        up, lull = self.one("chat", more="[task autocomplete]\nenabled = no\n[task title]\nfirst_turn_wait = 0\n")
        later = []  # what was asked behind a conversation, and is to be compared with what comes
        with lull.client() as c:
            for r in self.in_order(records):
                document = json.loads(r["body"])
                if r["kind"] == "chat":
                    texts = [m for m in document["messages"] if m["role"] == "user"]
                    for asked in later:
                        users = [m for m in asked if m["role"] == "user"]
                        if len(document["messages"]) > len(asked) and texts[:len(users)] == users:
                            self.assertEqual(document["messages"][:len(asked)], asked)
                            totals["followed"] += 1
                up.clear()
                up.when("*", recorded(r))
                before = up.count()
                c.request("POST", r["path"], [h for h in r["headers"] if h[0] not in ("Host", "Content-Length")],
                          r["body"].encode())
                for e in up.matching()[before:][:1] if r["kind"] in self.KINDS else ():
                    if self.was_behind(e):
                        later.append(e.json["messages"][:-1])
                    else:
                        self.assertEqual(e.json["messages"], document["messages"])
        tasks = lull.stats()["tasks"]
        for kind in self.KINDS:
            if kind in tasks:
                totals[kind, "used"] = totals.get((kind, "used"), 0) + tasks[kind]["prefix_used"]
                for why, n in tasks[kind]["prefix_not"].items():
                    totals[kind, why] = totals.get((kind, why), 0) + n

    def test_captured_conversations(self):
        if not os.path.isdir(TRAFFIC):
            self.skipTest("there is no ../shared/traffic")
        totals = {"followed": 0}
        for name in sorted(os.listdir(TRAFFIC)):
            if name.endswith(".jsonl"):
                with self.subTest(name):
                    self.replay(name, totals)
        print(totals)
        self.assertGreater(totals["followed"], 0)
        self.assertGreater(totals["follow_up", "used"], 0)


class TaskHeader(LullTest):
    def test_tasks_carry_it_and_nothing_else_does(self):
        up = self.upstream()
        lull = self.lull({"default": {"url": up, "task_header": "X-SMG-Priority: 10; X-Class:  low ;"}})
        with lull.client() as c:
            c.post(PATH["openai"], prompts.body("title", "Bread"), headers(kind="title") + [("x-class", "mine")])
            c.post(PATH["openai"], prompts.body("tags", "Bread", stream=True), headers(kind="tags"))
            c.post(PATH["openai"], prompts.chat_body("Hello"), headers(kind=""))
            c.request("GET", "/v1/models", headers())
        for kind in ("title", "tags"):  # of its own call, and passed through
            names = [(n.lower(), v) for n, v in up.matching(kind)[0].headers]
            self.assertEqual([v for n, v in names if n == "x-smg-priority"], ["10"])
            self.assertEqual([v for n, v in names if n == "x-class"], ["low"])
        for kind in ("chat", "models"):
            self.assertIsNone(up.matching(kind)[0].header("X-SMG-Priority"))

    def test_observe_changes_nothing(self):
        up = self.upstream()
        lull = self.lull({"default": {"url": up, "task_header": "X-Class: low"}}, tasks="mode = observe\n")
        with lull.client() as c:
            c.post(PATH["openai"], prompts.body("title", "Bread"), headers(kind="title"))
        self.assertIsNone(up.matching("title")[0].header("X-Class"))


if __name__ == "__main__":
    main()
