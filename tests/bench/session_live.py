#!/usr/bin/env python3
"""A person's session on a real model server, as Open WebUI 0.12 plays it: the title beside the first chat,
follow-ups and tags after its reply, the second message 1 s after the reply, 6 s of typing with
autocompletes, the third message. Each mode plays it RUNS times, in turn; prints medians and, against the
session without tasks, what the chats waited.

usage: session_live.py --url http://127.0.0.1:18080 [--dialect openai] [--model NAME] [--runs 3] [--words 0]
                       [--modes none,direct,lull,as-asked,rewarm] [--reply 90] [--tasks 'settle = 2s'] [--json FILE]

Modes: none = chats alone; direct = all straight to the server; lull = through lulld as it comes;
as-asked = through lulld with `prefix = as-asked`; rewarm = the same with `rewarm = on`. --words makes the first
message longer. Model seconds are those of the tasks after the replies, by lulld's own figures. lulld is found in LULL_BIN_DIR (default: build/). A first token is the
first piece of a stream with text in it: llama.cpp sends the head before it has a slot.
"""
import argparse
import json
import os
import random
import statistics
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
if "LULL_BIN_DIR" in os.environ:
    os.environ["LULL_BIN_DIR"] = os.path.abspath(os.environ["LULL_BIN_DIR"])
from client import Client, Cut  # noqa: E402
from lull import SOURCE, Lull  # noqa: E402
from prompts import PATH, headers  # noqa: E402

TASK_TOKENS = {"title": 24, "tags": 30, "follow_up": 100, "autocomplete": 20}
LULL = ("lull", "as-asked", "rewarm")
WORDS = ("flour", "water", "salt", "the dough rests", "in a warm room", "until it has doubled", "and then", "the oven is hot",
         "an hour later", "the crumb is open", "bake it dark", "on a stone")
TITLE_AHEAD, READING, TYPING, KEY_PAUSE, DEADLINE = 0.015, 1.0, 6.0, 1.2, 300.0
MESSAGES = (
    "I keep a small bakery and would like to understand sourdough better than I do. My starter smells of "
    "acetone on warm days and rises slowly on cold ones, and the loaves come out dense in the middle. Please "
    "explain what happens in the dough between mixing and baking, which of those steps I can control with "
    "nothing but time and temperature, and how I would notice from the outside that each of them is done.",
    "That helps. Now assume that my kitchen has twenty-eight degrees in summer and sixteen in winter, and "
    "that I can bake at five in the morning only. Make a plan for both seasons: when to feed the starter, "
    "when to mix, when to shape, and what to change first when a loaf comes out too sour or too flat.",
    "Good. Last question: a customer asks for a loaf without salt. What does salt do in the dough besides "
    "the taste, what will go wrong without it, and what would you change in the plan for that loaf only?",
)


def templates():
    """The prompts of 0.12.4 up to the history, by kind."""
    found = {}
    with open(os.path.join(SOURCE, "tests/fixtures/requests/open-webui.jsonl"), encoding="utf-8") as f:
        for line in f:
            d = json.loads(line)
            if d["version"] == "0.12.4" and d["kind"] in TASK_TOKENS and d["kind"] not in found:
                prompt = json.loads(d["body"])["messages"][-1]["content"]
                if "<chat_history>\n" in prompt:
                    found[d["kind"]] = prompt[:prompt.rindex("<chat_history>\n") + len("<chat_history>\n")]
    missing = set(TASK_TOKENS) - set(found)
    if missing:
        raise AssertionError(f"no template in the fixtures for {missing}")
    return found


class Session:
    """One play of it against one base URL."""

    def __init__(self, args, address, base, tasks, number):
        self.args, self.address, self.base, self.tasks = args, address, base, tasks
        self.templates = templates()
        self.chat_id = f"session-{number}"
        self.messages = []
        self.first, self.spent, self.kinds, self.lost = [], [], {}, []
        self.number = number
        self.lock = threading.Lock()
        self.dropped = 0

    def body(self, messages, stream, tokens):
        d = {"model": self.args.model, "messages": messages, "stream": stream}
        if self.args.dialect == "ollama":
            d["options"] = {"num_predict": tokens, "temperature": 0}
        else:
            d |= {"max_tokens": tokens, "temperature": 0}
            if self.args.ignore_eos and stream:
                d["ignore_eos"] = True
        return json.dumps(d).encode()

    def send(self, client, body, kind=None):
        head = headers(dialect=self.args.dialect, kind=kind, user="u1", chat=self.chat_id)
        client.start("POST", self.base + PATH[self.args.dialect], head, body)

    def text_of(self, line):
        line = line.strip()
        if self.args.dialect == "openai":
            if not line.startswith("data: {"):
                return ""
            choices = json.loads(line[6:]).get("choices") or [{}]
            return (choices[0].get("delta") or {}).get("content") or ""
        return (json.loads(line).get("message") or {}).get("content") or "" if line else ""

    def chat(self, text):
        """Sends a message; its reply. Notes the first token and the whole time."""
        self.messages.append({"role": "user", "content": text})
        began, first, reply, rest = time.monotonic(), None, "", ""
        with Client(self.address, timeout=DEADLINE) as c:
            self.send(c, self.body(self.messages, True, self.args.reply))
            deadline = began + DEADLINE
            r = c.response_head(deadline)
            if r.status != 200:
                raise AssertionError(f"the chat was answered {r.status}")
            while piece := c.read_chunk(r, deadline):
                *lines, rest = (rest + piece.decode()).split("\n")
                for line in lines:
                    text = self.text_of(line)
                    if text and first is None:
                        first = time.monotonic() - began
                    reply += text
        self.first.append(first)
        self.spent.append(time.monotonic() - began)
        self.messages.append({"role": "assistant", "content": reply.strip()})  # as Open WebUI repeats it

    def task(self, kind, history, end=""):
        began = time.monotonic()
        prompt = self.templates[kind] + history + "\n</chat_history>" + end
        body = self.body([{"role": "user", "content": prompt}], False, TASK_TOKENS[kind])
        try:
            with Client(self.address, timeout=DEADLINE) as c:
                self.send(c, body, kind)
                r = c.response(DEADLINE)
        except (Cut, OSError) as e:
            r = None
            self.lost.append(f"{kind}: {e!r}")
        with self.lock:
            if r is not None and r.status == 200:
                detail = (r.cache_status or "").partition("detail=")[2]
                self.kinds.setdefault(kind, []).append((time.monotonic() - began, detail))
            elif r is not None:
                self.lost.append(f"{kind}: {r.status}")

    def history(self, kind):
        """As 0.12.4 writes it: tags have the last six messages, follow-ups the first of the person and the last
        four, each cut to 1,000 characters."""
        if kind != "follow_up":
            return "\n".join(f"{m['role'].upper()}: {m['content']}" for m in self.messages[-6:])
        chosen = self.messages[-4:] if len(self.messages) <= 4 else self.messages[:1] + self.messages[-4:]
        cut = [(m["role"].upper(), m["content"]) for m in chosen]
        return "\n".join(f"{r}: {c if len(c) <= 1000 else c[:498] + '...' + c[-499:]}" for r, c in cut)

    def background(self, fn, *arguments):
        if not self.tasks:
            return None
        t = threading.Thread(target=fn, args=arguments)
        t.start()
        return t

    def after_reply(self, follow_up, tags):
        self.task("follow_up", follow_up)
        if tags:
            self.task("tags", tags)

    def type(self, text, history):
        """Open WebUI's editor: a second after the last key, one request in flight."""
        flying, end = None, time.monotonic() + TYPING
        typed = 0
        while time.monotonic() < end:
            time.sleep(min(KEY_PAUSE, max(0, end - time.monotonic())))
            typed += len(text) // 6
            if self.args.no_autocomplete:
                continue
            if flying is not None and flying.is_alive():
                self.dropped += 1
                continue
            flying = self.background(self.task, "autocomplete", history,
                                     f"\n<type>general</type>  \n<text>{text[:typed]}</text>  \n#### Output:\n")
        return flying

    def play(self):
        threads = []
        began = time.monotonic()
        pick = random.Random(self.number)
        story = " ".join(pick.choice(WORDS) for _ in range(self.args.words))
        first = f"({self.number}) " + story + MESSAGES[0]
        threads.append(self.background(self.task, "title", f"USER: {first}\nASSISTANT: "))
        time.sleep(TITLE_AHEAD)
        self.chat(first)
        threads.append(self.background(self.after_reply, self.history("follow_up"), self.history("tags")))
        time.sleep(READING)
        self.chat(MESSAGES[1])
        threads.append(self.background(self.after_reply, self.history("follow_up"), None))
        threads.append(self.type(MESSAGES[2], self.history("tags")))
        self.chat(MESSAGES[2])
        whole = time.monotonic() - began
        threads.append(self.background(self.after_reply, self.history("follow_up"), None))
        for t in threads:
            if t is not None:
                t.join()
        return whole


def play(args, mode, number):
    """One session in that mode: its figures."""
    lull = None
    address, base = args.address, ""
    if mode in LULL:
        keys = {"url": args.url, "rewarm": "on" if mode == "rewarm" else "off"}
        prefix = "auto" if mode == "lull" else "as-asked"
        lull = Lull({"default": keys}, slots=None, tasks=f"prefix = {prefix}\n" + args.tasks)
        address = lull.port
    try:
        s = Session(args, address, base, mode != "none", number)
        out = {"mode": mode, "whole": s.play(), "first": s.first, "spent": s.spent, "waiting": sum(s.spent),
               "tasks": s.kinds, "lost": s.lost, "dropped": s.dropped}
        if lull is not None:
            up = lull.stats()
            out["upstream"] = {k: up["upstreams"]["default"][k] for k in
                               ("calls", "aborted", "slots", "rewarms", "rewarm_s", "abort_cost_ms", "turn_ttft_ms")}
            out["wasted_s"] = sum(t["wasted_s"] for t in up["tasks"].values())
            after = [up["tasks"][k] for k in ("follow_up", "tags") if k in up["tasks"]]
            out["after_s"] = sum(t["upstream_s"] - t["wasted_s"] for t in after)
            out["prefix"] = {k: (t["prefix_used"], t["prefix_not"]) for k, t in up["tasks"].items()}
        return out
    finally:
        if lull is not None:
            lull.stop()
            lull.cleanup()


def median(values):
    return statistics.median(values) if values else float("nan")


def report(args, runs):
    print(f"{'':22}" + "".join(f"{m:>10}" for m in args.modes))

    def row(name, fn):
        print(f"{name:22}" + "".join(f"{fn(runs[m]):>10.2f}" for m in args.modes))
    for i in range(3):
        row(f"first token, turn {i + 1} s", lambda r, i=i: median([x["first"][i] for x in r]))
    row("waiting for chats s", lambda r: median([x["waiting"] for x in r]))
    row("whole session s", lambda r: median([x["whole"] for x in r]))
    if "none" in runs:
        ideal = median([x["waiting"] for x in runs["none"]])
        row("waiting / no tasks", lambda r: median([x["waiting"] for x in r]) / ideal)
    for kind in TASK_TOKENS:
        row(f"{kind} s", lambda r, k=kind: median([t for x in r for t, d in x["tasks"].get(k, [])]))
        row(f"{kind} answered", lambda r, k=kind: sum(len(x["tasks"].get(k, [])) for x in r))
        row(f"{kind} by us, empty", lambda r, k=kind: sum(1 for x in r for t, d in x["tasks"].get(k, []) if d))
    row("lost", lambda r: sum(len(x["lost"]) for x in r))
    for line in sorted({line for m in args.modes for x in runs[m] for line in x["lost"]}):
        print(f"# lost: {line}")
    row("editor's latch, dropped", lambda r: sum(x["dropped"] for x in r))
    row("after-reply model s", lambda r: median([x.get("after_s", 0) for x in r]))
    row("wasted model s", lambda r: median([x.get("wasted_s", 0) for x in r]))
    row("rewarm s", lambda r: median([x.get("upstream", {}).get("rewarm_s", 0) for x in r]))
    for mode in args.modes:
        if mode in LULL:
            print(f"{mode}: {json.dumps(runs[mode][-1]['upstream'])}\n    {json.dumps(runs[mode][-1]['prefix'])}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--url", required=True)
    p.add_argument("--dialect", default="openai", choices=("openai", "ollama"))
    p.add_argument("--model", default="gemma3-270m")
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--modes", default="none,direct,lull,rewarm")
    p.add_argument("--reply", type=int, default=90)
    p.add_argument("--words", type=int, default=0, help="words put before the first message")
    p.add_argument("--no-autocomplete", action="store_true", help="the person types as long, and nothing is asked")
    p.add_argument("--ignore-eos", action="store_true", help="llama.cpp: replies of exactly that many tokens")
    p.add_argument("--tasks", default="", help="lines for [tasks] of lull.conf, to try other values")
    p.add_argument("--json")
    args = p.parse_args()
    args.modes = args.modes.split(",")
    host, _, port = args.url.removeprefix("http://").partition(":")
    args.address = (host, int(port))
    runs = {m: [] for m in args.modes}
    number = int(time.time()) % 100000 * 100
    for _ in range(args.runs):
        for mode in args.modes:
            number += 1
            one = play(args, mode, number)
            runs[mode].append(one)
            print(f"# {mode}: waiting {one['waiting']:.2f} s, first {[round(x, 2) for x in one['first']]}", flush=True)
    report(args, runs)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(runs, f, indent=1)


if __name__ == "__main__":
    main()
