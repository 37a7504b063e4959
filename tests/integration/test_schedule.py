#!/usr/bin/env python3
"""The chat first, with the real daemon on real sockets: background work waits, gives way, comes back;
/flights, lullctl and explain report what waits."""
import json
import signal

import prompts
from lull import LullTest, eventually, main
from prompts import PATH, headers
from upstream import Gate, good, say, status

TASKS = "settle = 0"


def props(slots):
    return lambda e: e.full(200, "application/json", json.dumps({"total_slots": slots}))


class ScheduleTest(LullTest):
    def one_slot(self, up, tasks=TASKS, **more):
        return self.lull(up, slots=None, tasks=tasks, **more)

    def start_task(self, lull, kind, text="Bread", **more):
        c = self.connect(lull)
        c.start("POST", PATH["openai"], headers(kind=kind, **more), prompts.body(kind, text).encode())
        return c

    def load_model(self, lull):
        """Has the model answer once: a call that may still load it is not aborted before its first byte."""
        self.assertEqual(self.start_task(lull, "query", "Is it loaded?").response().status, 200)

    def start_chat(self, lull, text="Hello", **more):
        c = self.connect(lull)
        c.start("POST", PATH["openai"], headers(**more), prompts.chat_body(text, tools=False).encode())
        return c

    def flights(self, lull, count):
        """/flights, once it lists that many."""
        def look():
            f = lull.control("GET", "/flights").json
            return f if len(f["flights"]) == count else None
        return eventually(look)

    def tags_behind_a_chat(self):
        """The chat is being answered, until the gate is opened, and the tags wait."""
        up, gate = self.upstream(), Gate()
        up.when("chat", good(gate=gate, hold_at=-1))
        lull = self.one_slot(up)
        chat = self.start_chat(lull)
        up.wait_for(1, "chat")
        return up, lull, gate, chat, self.start_task(lull, "tags")

    def test_a_task_waits_for_the_chat_and_people_see_why(self):
        up, lull, gate, chat, tags = self.tags_behind_a_chat()
        seen = self.flights(lull, 1)
        flight = seen["flights"][0]
        self.assertEqual((flight["kind"], flight["state"], flight["why"], flight["waiters"]),
                         ("tags", "waiting", "chat", 1))
        self.assertGreaterEqual(flight["age_s"], flight["waited_s"])
        self.assertEqual((flight["position"], flight["left_s"]), (1, None))
        machine = seen["machines"][0]
        self.assertEqual((machine["chats"], machine["running"], machine["waiting"], machine["quiet_s"]),
                         (1, 0, 1, None))
        shown = lull.ctl("flights")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertRegex(shown.stdout, r"tags +waiting +chat ")
        explained = lull.control("POST", "/explain", prompts.body("follow_up", "x").encode()).json
        self.assertEqual(explained["waits"], "chat")
        self.assertEqual(lull.stats()["upstreams"]["default"]["queued"], 1)
        self.assertEqual(up.count("tags"), 0)
        gate.open()
        self.assertEqual(chat.response().status, 200)
        self.assertEqual(tags.response().cache_status, "lull; fwd=miss; stored")
        self.assertEqual(self.flights(lull, 0)["machines"][0]["chats"], 0)

    def test_a_task_gives_way_and_comes_back_with_all_its_waiters(self):
        up, first, chat_gate = self.upstream(), Gate(), Gate()
        up.when("tags", good(gate=first, hold_at=1), times=1)
        up.when("chat", good(gate=chat_gate, hold_at=-1))
        lull = self.one_slot(up)
        self.load_model(lull)
        waiting = [self.start_task(lull, "tags"), self.start_task(lull, "tags")]
        aborted = up.wait_for(1, "tags")[0]
        lull.wait_stats(lambda s: s["upstreams"]["default"]["running"] == 1)
        eventually(lambda: self.flights(lull, 1)["flights"][0]["waiters"] == 2)
        begun = self.flights(lull, 1)["flights"][0]["age_s"]
        eventually(lambda: self.flights(lull, 1)["flights"][0]["age_s"] >= begun + 0.002)  # of which wasted_s has some
        chat = self.start_chat(lull)
        up.wait_for(1, "chat")
        eventually(aborted.gone.is_set)
        flight = self.flights(lull, 1)["flights"][0]
        self.assertEqual((flight["state"], flight["why"], flight["requeued"], flight["waiters"]),
                         ("waiting", "chat", 1, 2))
        chat_gate.open()
        self.assertEqual(chat.response().status, 200)
        answers = [c.response() for c in waiting]
        self.assertEqual([a.status for a in answers], [200, 200])
        self.assertEqual(answers[0].content, answers[1].content)
        task = lull.task("tags")
        self.assertEqual((task["preempted"], task["upstream_calls"], task["misses"], task["collapsed"]),
                         (1, 2, 1, 1))
        self.assertGreater(task["wasted_s"], 0)

    def test_chats_never_wait(self):
        up, gate = self.upstream(), Gate()
        up.when("chat", good(gate=gate))
        lull = self.one_slot(up)
        chats = [self.start_chat(lull, f"Hello {i}") for i in range(8)]
        up.wait_for(8, "chat")
        gate.open()
        self.assertEqual([c.response().status for c in chats], [200] * 8)

    def test_llama_cpp_is_asked_for_its_slots(self):
        up, gate = self.upstream(), Gate()
        up.when(lambda e: e.path == "/api/version", status(404))
        up.when(lambda e: e.path == "/props", props(6))
        up.when("chat", good(gate=gate))
        lull = self.one_slot(up)
        self.assertEqual(self.start_task(lull, "title").response().status, 200)
        lull.wait_stats(lambda s: s["upstreams"]["default"]["slots"] == 6)
        chat = self.start_chat(lull)
        up.wait_for(1, "chat")
        self.assertEqual(self.start_task(lull, "tags").response().status, 200)
        gate.open()
        self.assertEqual(chat.response().status, 200)
        self.assertEqual([e.path for e in up.probes], ["/api/version", "/props"])

    def test_a_query_stands_before_the_reply(self):
        up, chat_gate, tags_gate = self.upstream(), Gate(), Gate()
        up.when("tags", good(gate=tags_gate, hold_at=1), times=1)
        up.when("chat", good(gate=chat_gate, hold_at=-1))
        lull = self.one_slot(up)
        self.load_model(lull)
        tags = self.start_task(lull, "tags")
        aborted = up.wait_for(1, "tags")[0]
        self.assertEqual(self.start_task(lull, "query").response().status, 200)
        eventually(aborted.gone.is_set)
        self.assertEqual(tags.response().status, 200)
        chat = self.start_chat(lull)
        up.wait_for(1, "chat")
        self.assertEqual(self.start_task(lull, "query", "Cheese").response().status, 200)
        chat_gate.open()
        self.assertEqual(chat.response().status, 200)

    def test_max_hold_ends_the_wait_beside_the_chat(self):
        up, gate = self.upstream(), Gate()
        up.when("chat", good(gate=gate, hold_at=-1))
        lull = self.one_slot(up, tasks="settle = 0\nmax_hold = 100ms")
        chat = self.start_chat(lull)
        up.wait_for(1, "chat")
        self.assertEqual(self.start_task(lull, "tags").response().status, 200)
        self.assertEqual(lull.task("tags")["preempted"], 0)
        gate.open()
        self.assertEqual(chat.response().status, 200)

    def test_follow_ups_that_would_not_be_seen(self):
        up, gate = self.upstream(), Gate()
        up.when("follow_up", good(gate=gate, hold_at=1))
        lull = self.one_slot(up)
        asked = self.start_task(lull, "follow_up", chat="c1", user="u1")
        call = up.wait_for(1, "follow_up")[0]
        chat = self.start_chat(lull, "And then?", chat="c1", user="u1")
        r = asked.response()
        self.assertEqual((r.content, r.cache_status), ('{"follow_ups": []}', "lull; detail=obsolete"))
        eventually(call.gone.is_set)
        self.assertEqual(chat.response().status, 200)
        self.assertEqual(lull.task("follow_up")["obsolete"], 1)

    def test_what_waits_is_answered_when_the_daemon_stops(self):
        _, lull, gate, chat, tags = self.tags_behind_a_chat()
        self.flights(lull, 1)
        lull.signal(signal.SIGTERM)
        eventually(lambda: lull.control("GET", "/readyz").status == 503)
        gate.open()
        self.assertEqual(chat.response().status, 200)
        r = tags.response()
        self.assertEqual((r.status, r.task), (200, "tags"))
        self.assertEqual(lull.wait(), 0)

    def test_the_chat_is_brought_back_after_its_tasks(self):
        up = self.upstream()
        up.when("chat", say("Bread is made of flour, water and salt."))
        lull = self.lull({"default": {"url": up, "rewarm": "on"}}, slots=None, tasks=TASKS)
        turn = {"chat": "c1", "user": "u1"}
        self.assertEqual(self.start_chat(lull, "What is bread?", **turn).response().status, 200)
        history = prompts.history(("user", "What is bread?"),
                                  ("assistant", "Bread is made of flour, water and salt."))
        self.assertEqual(self.start_task(lull, "tags", history, **turn).response().status, 200)
        stats = lull.wait_stats(lambda s: s["upstreams"]["default"]["rewarms"] == 1)
        again = up.wait_for(2, "chat")[1].json
        self.assertEqual(again["messages"][-1],
                         {"role": "assistant", "content": "Bread is made of flour, water and salt."})
        self.assertEqual(again["max_tokens"], 1)
        self.assertEqual(stats["chat"]["requests"], 1)
        self.assertEqual(stats["cache"]["entries"], 1)


if __name__ == "__main__":
    main()
