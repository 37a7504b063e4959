#!/usr/bin/env python3
"""One short typing trace in real time: the real lulld on real sockets, a scripted model server with one
slot, and the same two kinds of clients as bench_typing. Prints the figures of both, side by side: they
should differ by no more than the machine's own delays can explain.

usage: typing_live.py [--people solo] [--match 60] [--latency 0.3] [--minutes 1]
Needs lulld, bench_typing and typing_traces in LULL_BIN_DIR (default: build/); takes a little longer than the
trace: the runs are made at the same time, each with a daemon and a model of its own.
"""
import argparse
import csv
import json
import multiprocessing
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
if "LULL_BIN_DIR" in os.environ:
    os.environ["LULL_BIN_DIR"] = os.path.abspath(os.environ["LULL_BIN_DIR"])
from client import Client  # noqa: E402
from lull import BIN, SOURCE, Lull  # noqa: E402
from upstream import Gone, Upstream, last_user_text, stream_events, whole_document  # noqa: E402

PAUSE, SEEN, EDITOR_WAIT, TTL = 1.0, 0.25, 1.0, 600.0
CLIENTS, POLICIES = ("editor", "every-key"), ("direct", "auto")
MARKS = ("\n</chat_history>\n<type>general</type>  \n<text>", "</text>  \n#### Output:\n")


def program(name):
    for folder in (BIN, os.path.join(BIN, "tests")):
        if os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    sys.exit(f"{name} is not in {BIN}: ninja -C {BIN} {name}")


def template():
    """The prompt of 0.12.4 up to the history."""
    with open(os.path.join(SOURCE, "tests/fixtures/requests/open-webui.jsonl"), encoding="utf-8") as f:
        for line in f:
            d = json.loads(line)
            if (d["kind"], d["version"], d["note"]) == ("autocomplete", "0.12.4", "new chat"):
                prompt = json.loads(d["body"])["messages"][0]["content"]
                return prompt[:prompt.rindex("<chat_history>\n") + len("<chat_history>\n")]
    raise AssertionError("no template in the fixtures")


def remainder(shorter, suggestion, longer):
    """What is left of a suggestion when longer text is before the caret; "" when it does not fit."""
    if not longer.startswith(shorter):
        return ""
    typed = longer[len(shorter):]
    if suggestion.startswith(typed):
        rest = suggestion[len(typed):]
    elif (typed[:1] == " " and shorter[-1:] not in ("", " ", "\n") and suggestion[:1] not in ("", " ")
          and suggestion.startswith(typed[1:])):
        rest = suggestion[len(typed) - 1:]
    else:
        return ""
    return rest if rest.strip() else ""


class Model:
    """One slot, in order of arrival; three tenths of an answer's time for the prompt, then its tokens."""

    def __init__(self, keys, latency):
        self.latency = latency
        self.suggestions = {(k["history"], k["before"]): k["suggestion"] for k in keys}
        self.records = {}  # (history, text): time of an answer's end, and its model time until it is seen
        self.turn, self.condition = [], threading.Condition()
        self.calls = self.aborted = 0
        self.spent = self.used = 0.0
        self.server = Upstream()
        self.server.when(lambda e: e.kind in ("autocomplete", "chat"), self.answer)

    def answer(self, e):
        text = None
        e.serial = len(self.server.records)
        if e.kind == "autocomplete":
            history, _, rest = last_user_text(e.json).rpartition(MARKS[0])
            text = (history.rpartition("<chat_history>\n")[2], rest[:-len(MARKS[1])])
            with self.condition:
                self.calls += 1
        content = "word " * 12 if text is None else json.dumps({"text": self.suggestions[text]},
                                                               ensure_ascii=False)
        if e.streaming:
            e.head(200, [("Content-Type", "text/event-stream")])
        self.wait_for_slot(e)
        begun = time.monotonic()
        try:
            self.generate(e, content, self.latency if text else 1 + self.latency / 2)
            if text:
                self.records[text] = [time.monotonic(), time.monotonic() - begun]
        except Gone:
            self.aborted += 1
            raise
        finally:
            with self.condition:
                self.spent += time.monotonic() - begun if text else 0
                self.turn.remove(e)
                self.condition.notify_all()
        if e.streaming:
            e.end()
        else:
            e.full(200, "application/json", json.dumps(whole_document(e, content), ensure_ascii=False))

    def wait_for_slot(self, e):
        with self.condition:
            self.turn.append(e)
            while self.turn[0] is not e:
                self.condition.wait(0.01)
                if e.streaming and e.connection.peer_gone():
                    self.turn.remove(e)
                    self.aborted += 1
                    self.condition.notify_all()
                    raise Gone()

    def generate(self, e, content, seconds):
        begun = time.monotonic()
        events = stream_events(e, content) if e.streaming else [None]
        for i, event in enumerate(events):
            due = begun + seconds * (0.3 + 0.7 * (i + 1) / len(events))
            time.sleep(max(0, due - time.monotonic()))
            if event is not None:
                e.piece(event)

    def seen(self, history, text, shown):
        for n in range(len(text), -1, -1):
            record = self.records.get((history, text[:n]))
            if record and remainder(text[:n], self.suggestions[(history, text[:n])], text) == shown:
                self.used += record[1]
                record[1] = 0.0
                return


class Editor:
    """What tests/bench/typing/editor.c is."""

    def __init__(self, desk, client, person):
        self.desk, self.client, self.person = desk, client, person
        self.before, self.at_end, self.message, self.history = "", True, None, ""
        self.ghost, self.shown_at, self.serial = "", 0.0, 0
        self.due, self.loading, self.version, self.asked = None, False, 0, 0

    def show(self, text, serial):
        if text != self.ghost:
            self.shown_at = self.desk.now()
        self.ghost, self.serial = text, serial

    def clear(self):
        self.ghost, self.serial = "", 0

    def take_text(self, key):
        self.before, self.at_end = key["before"], key["at_end"]
        self.message, self.history = key["message"], key["history"]

    def key(self, key):
        if self.client == "editor":
            if key["kind"] != "tap" or self.ghost:
                self.version += 1
            self.clear()
            self.take_text(key)
            self.due = None if key["kind"] == "click" else self.desk.now() + EDITOR_WAIT
            return
        if key["kind"] == "tap":
            return
        typed = key["before"][len(self.before):]
        along = (key["kind"] in ("text", "paste") and key["at_end"] and self.ghost
                 and key["before"].startswith(self.before) and self.ghost.startswith(typed))
        if along and self.ghost[len(typed):].strip():
            self.ghost = self.ghost[len(typed):]
        else:
            self.clear()
        self.take_text(key)
        if key["kind"] in ("text", "backspace", "paste") and self.before.strip():
            self.desk.ask(self)

    def tab(self, key):
        self.clear()
        self.version += 1
        self.take_text(key)
        if self.client == "every-key":
            self.desk.ask(self)

    def fire(self):
        self.due = None
        if not self.loading and self.at_end and self.before.strip():
            self.loading, self.asked = True, self.version
            self.desk.ask(self)

    def answer(self, serial, message, text, suggestion):
        if self.client == "editor":
            self.loading = False
            if self.version == self.asked and suggestion.strip():
                self.show(suggestion, serial)
            return
        typed = self.before[len(text):]
        if (serial < self.serial or not self.at_end or message != self.message
                or not self.before.startswith(text) or not suggestion.startswith(typed)):
            return
        if suggestion[len(typed):].strip():
            self.show(suggestion[len(typed):], serial)


class Desk:
    """What tests/bench/typing/desk.c is: plays the keys and judges the pauses."""

    def __init__(self, keys, client, model, port, users):
        self.model, self.port, self.users = model, port, users
        self.persons = {}
        for k in keys:
            self.persons.setdefault(k["person"], []).append(k)
        self.editors = {(p, t): Editor(self, client, p) for p in self.persons for t in (0, 1)}
        self.next = {p: 0 for p in self.persons}
        self.judged = {p: False for p in self.persons}
        self.answers, self.under_way, self.serial = queue.Queue(), 0, 0
        self.opening = template()
        self.requests = self.pauses = self.shown = self.by_tab = 0
        self.waits, self.how = [], {}
        self.begun = time.monotonic()

    def now(self):
        return time.monotonic() - self.begun

    # -- the wire --------------------------------------------------------------------------------
    def post(self, person, task, document, done):
        headers = [("Content-Type", "application/json"), ("Authorization", "Bearer sk-test")]
        if self.users:
            headers.append(("X-OpenWebUI-User-Id", f"6f1c2d3e-0000-4000-8000-{person:012d}"))
        headers.append(("X-OpenWebUI-Task", task))
        body = json.dumps(document, separators=(",", ":"), ensure_ascii=False)

        def work():
            with Client(self.port, timeout=300) as c:
                done(c.request("POST", "/v1/chat/completions", headers, body))
        self.under_way += 1
        threading.Thread(target=work, daemon=True).start()

    def ask(self, e):
        self.serial += 1
        self.requests += 1
        given = (e, self.serial, e.message, e.before)
        prompt = self.opening + e.history + MARKS[0] + e.before + MARKS[1]
        self.post(e.person, "autocomplete_generation",
                  {"model": "qwen3-8b", "messages": [{"role": "user", "content": prompt}],
                   "stream": False}, lambda r: self.answers.put((given, r)))

    def send(self, person, text):
        self.post(person, "", {"stream": True, "model": "qwen3-8b",
                               "messages": [{"role": "user", "content": text}]},
                  lambda r: self.answers.put((None, r)))

    def take_answer(self, given, response):
        self.under_way -= 1
        if given is None:
            return
        how = response.cache_status if response.status == 200 else f"status {response.status}"
        how = "call" if how.startswith("lull; fwd=miss; stored") or how in ("", "lull; fwd=miss") else how.replace("lull; ", "").split("; ttl")[0]
        self.how[how] = self.how.get(how, 0) + 1
        text = json.loads(response.content).get("text", "") if response.status == 200 else ""
        given[0].answer(*given[1:], text)

    # -- the keys --------------------------------------------------------------------------------
    def is_pause(self, keys, i):
        k = keys[i]
        return (i + 1 < len(keys) and keys[i + 1]["tab"] == k["tab"] and k["kind"] != "send"
                and k["at_end"] and bool(k["before"].strip())
                and keys[i + 1]["at"] - k["at"] >= PAUSE * 1e6)

    def judge(self, keys, i):
        last = keys[i - 1]
        e = self.editors[(last["person"], last["tab"])]
        seen = bool(e.ghost) and self.now() - e.shown_at >= SEEN
        if seen:
            self.model.seen(last["history"], e.before, e.ghost)
        if self.is_pause(keys, i - 1):
            self.pauses += 1
            self.shown += seen
            if seen:
                self.waits.append(max(0.0, e.shown_at - last["at"] / 1e6))

    def take(self, keys, i):
        """Tab in place of key i; the number of the next key, or None."""
        k = keys[i]
        e = self.editors[(k["person"], k["tab"])]
        if not (k["takes"] and e.ghost and self.now() - e.shown_at >= SEEN
                and e.message == k["message"] and e.at_end):
            return None
        for j in range(i, len(keys)):
            x = keys[j]
            if x["message"] != k["message"] or x["tab"] != k["tab"] or x["kind"] == "send":
                return None
            if (x["kind"] in ("text", "paste") and x["at_end"]
                    and x["before"] == e.before + e.ghost):
                taken = sum(self.is_pause(keys, n) for n in range(i, j + 1))
                self.pauses += taken
                self.by_tab += taken
                e.tab(x)
                return j + 1
        return None

    def press(self, person):
        keys, i = self.persons[person], self.next[person]
        if i > 0 and not self.judged[person]:
            self.judge(keys, i)
        after = self.take(keys, i)
        self.judged[person] = after is not None
        self.next[person] = i + 1 if after is None else after
        if after is None:
            self.editors[(person, keys[i]["tab"])].key(keys[i])
            if keys[i]["kind"] == "send":
                self.send(person, keys[i]["message"])

    def play(self):
        while True:
            due = [(keys[self.next[p]]["at"] / 1e6, "key", p) for p, keys in self.persons.items()
                   if self.next[p] < len(keys)]
            due += [(e.due, "second", which) for which, e in self.editors.items() if e.due is not None]
            if not due and self.under_way == 0:
                return
            at, what, whose = min(due, default=(self.now() + 1, "", None))
            try:
                self.take_answer(*self.answers.get(timeout=max(0.0, at - self.now())))
            except queue.Empty:
                if what == "key":
                    self.press(whose)
                elif what == "second":
                    self.editors[whose].fire()


def one_run(given):
    client, policy, keys, latency, users = given
    model = Model(keys, latency)
    lull, address = None, model.server.port
    folder = tempfile.mkdtemp(prefix="typing-")
    try:
        if policy == "auto":
            address = os.path.join(folder, "port.sock")
            lull = Lull(model.server, more="[task autocomplete]\ndebounce = auto\n",
                        listen=f"unix:{address}")
        desk = Desk(keys, client, model, address, users)
        desk.play()
        if lull is not None:
            lull.check()
            figures = lull.task("autocomplete")
            assert figures["requests"] == desk.requests, figures
            assert figures["upstream_calls"] == model.calls, figures
            assert lull.stop() == 0, lull.log_text()
        assert not model.server.errors, model.server.errors
        waits = sorted(desk.waits)

        def at(p):
            return round(waits[-(-len(waits) * p // 100) - 1] * 1000) if waits else -1
        return {"client": client, "policy": policy, "requests": desk.requests, "calls": model.calls,
                "model_s": model.spent, "wasted_s": model.spent - model.used, "pauses": desk.pauses,
                "shown": desk.shown, "by_tab": desk.by_tab, "p50_ms": at(50), "p95_ms": at(95),
                "waited_s": sum(waits), "how": desk.how}
    finally:
        if lull is not None:
            lull.cleanup()
        model.server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--people", default="solo", choices=("solo", "tabs", "strangers", "shared"))
    parser.add_argument("--match", default="60", choices=("0", "30", "60"))
    parser.add_argument("--latency", default="0.3", choices=("0.3", "1", "5"))
    parser.add_argument("--minutes", default=1, type=int)
    a = parser.parse_args()
    which = [a.people, a.match, a.latency]
    out = subprocess.run([program("typing_traces"), "--keys", *which, str(a.minutes)], check=True,
                         capture_output=True, text=True).stdout
    keys = [json.loads(line) for line in out.splitlines()]
    with tempfile.NamedTemporaryFile(suffix=".csv") as f:
        subprocess.run([program("bench_typing"), "--people", a.people, "--match", a.match, "--latency",
                        a.latency, "--minutes", str(a.minutes), "--policy", "auto", "--policy",
                        "direct", "--csv", f.name], check=True, stdout=subprocess.DEVNULL)
        with open(f.name, encoding="ascii") as g:
            virtual = {(r["client"], r["policy"]): r for r in csv.DictReader(g)}
    runs = [(c, p, keys, float(a.latency), a.people in ("solo", "tabs")) for c in CLIENTS
            for p in POLICIES]
    columns = "requests calls model_s wasted_s pauses shown by_tab p50_ms p95_ms waited_s".split()
    print(f"{len(keys)} keys of {a.people}, {a.match} % right, {a.latency} s an answer, "
          f"{a.minutes} min; the first line of each pair in real time, the second in virtual time")
    print(f"{'client':10} {'policy':7} " + " ".join(f"{c:>8}" for c in columns))
    with multiprocessing.Pool(len(runs)) as pool:
        for r in pool.imap(one_run, runs):
            v = virtual[(r["client"], r["policy"])]
            for row, what in ((r, "real"), (v, "virtual")):
                values = [f"{float(row[c]):8.1f}" if c.endswith("_s") else f"{int(row[c]):8d}"
                          for c in columns]
                print(f"{r['client']:10} {r['policy']:7} {' '.join(values)}  {what}")
            print(f"           how: {r['how']}")


if __name__ == "__main__":
    main()
