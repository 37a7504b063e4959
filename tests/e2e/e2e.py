#!/usr/bin/env python3
"""e2e.py WORK [--direct]: a real Open WebUI (installed in WORK by install.sh) driven in headless Chromium,
with lulld between it and a scripted model server, on an OpenAI type connection (with the task and user
headers) and on an Ollama type one (without them: recognised by their texts). Checks what the person
sees and what reached the model.

--direct leaves lulld out: what Open WebUI does by itself, to compare and to try the script.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
from lull import LULLD, Lull, clean_environment, free_port
from upstream import STREAM_TYPE, Upstream, good_content, last_user_text, say, stream_events

VERSION = "0.12.4"
MODELS = {"openai": "qwen3-8b", "ollama": "llama3.2:3b"}
TASKS = ("title", "tags", "follow_up", "query", "autocomplete")
HEADERS = {"X-OpenWebUI-Task": "{{TASK}}", "X-OpenWebUI-User-Id": "{{USER_ID}}",
           "X-OpenWebUI-Chat-Id": "{{CHAT_ID}}"}


class Stage:
    """The scripted model servers, the stand-in search engine, and the steps of the drive script."""

    def __init__(self):
        self.models = {name: Upstream() for name in MODELS}
        self.control = Upstream()
        self.steps = []      # (name, {model server: records so far})
        self.searches = []
        for model in self.models.values():
            model.when(lambda e: e.kind in TASKS, self.task)
            model.when("chat", self.chat)
        self.control.when("*", self.control_rule)

    def task(self, e):
        e.pause(0.25)
        say(good_content(e.kind, e.serial))(e)

    def chat(self, e):
        """A reply word by word; "very slowly" never ends by itself."""
        slowly = "very slowly" in last_user_text(e.json)
        text = f"Reply number {e.serial}. " + "".join(f"word {i} " for i in range(1, 400 if slowly else 12))
        e.pause(0.3)
        if not e.streaming:
            say(text)(e)
            return
        e.head(200, [("Content-Type", STREAM_TYPE[e.dialect])])
        for event in stream_events(e, text):
            e.piece(event)
            e.pause(0.04)
        e.end()

    def control_rule(self, e):
        if e.path.startswith("/step/"):
            name = urllib.request.unquote(e.path[6:])
            self.steps.append((name, {n: m.count() for n, m in self.models.items()}))
            body = {}
        elif e.path == "/idle":
            calls = [r for m in self.models.values() for r in m.matching() if r.method == "POST"]
            still = [r for r in calls if not r.finished.is_set()]
            last = max([r.arrived for r in calls] + [getattr(r, "ended", 0) for r in calls], default=0)
            for r in calls:
                if r.finished.is_set() and not hasattr(r, "ended"):
                    r.ended = last = time.monotonic()
            body = {"open": len(still), "chats": sum(r.kind == "chat" for r in still),
                    "quiet": time.monotonic() - last}
        elif e.path == "/search":
            self.searches.append(e.target)
            body = {"query": "x", "results": [
                {"url": "http://127.0.0.1:9/a", "title": "Latency", "score": 1.0,
                 "content": "Latency percentiles: p50, p95, p99 explained with numbers."},
                {"url": "http://127.0.0.1:9/b", "title": "Measuring", "score": 0.9,
                 "content": "How to measure latency without lying to yourself."}]}
        else:
            body = {"error": "?"}
        e.full(200, "application/json", json.dumps(body))

    def between(self, name):
        """What reached the model servers from that step to the next: {server: [records]}."""
        for i, (step, counts) in enumerate(self.steps):
            if step == name:
                ends = self.steps[i + 1][1] if i + 1 < len(self.steps) else {}
                return {n: m.matching()[counts[n]:ends.get(n)] for n, m in self.models.items()}
        return {n: [] for n in self.models}

    def stop(self):
        for server in [*self.models.values(), self.control]:
            server.stop()


class WebUI:
    def __init__(self, work, urls, stage):
        self.home = os.path.join(work, "run")
        shutil.rmtree(self.home, ignore_errors=True)
        self.data = os.path.join(self.home, "data")
        os.makedirs(self.data)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        venv = os.path.join(work, f"owui-{VERSION}")
        env = {"PATH": f"{venv}/bin:{os.environ['PATH']}", "HOME": self.data, "LANG": "C.UTF-8",
               "DATA_DIR": self.data, "WEBUI_SECRET_KEY": "end-to-end", "ENABLE_SIGNUP": "True",
               "OFFLINE_MODE": "True", "HF_HUB_OFFLINE": "1", "ENABLE_PERSISTENT_CONFIG": "False",
               "ENABLE_VERSION_UPDATE_CHECK": "False", "ENABLE_OPENAI_API": "True",
               "OPENAI_API_BASE_URLS": urls["openai"] + "/v1", "OPENAI_API_KEYS": "sk-e2e",
               "OPENAI_API_CONFIGS": json.dumps({"0": {"headers": HEADERS}}),
               "ENABLE_OLLAMA_API": "True", "OLLAMA_BASE_URLS": urls["ollama"],
               "RAG_EMBEDDING_ENGINE": "openai", "RAG_EMBEDDING_MODEL": "embed-32",
               "RAG_OPENAI_API_BASE_URL": urls["openai"] + "/v1", "RAG_OPENAI_API_KEY": "sk-embed",
               "ENABLE_AUTOCOMPLETE_GENERATION": "True", "ENABLE_WEB_SEARCH": "True",
               "WEB_SEARCH_ENGINE": "searxng",
               "SEARXNG_QUERY_URL": f"{stage.control.url}/search?q=<query>",
               "BYPASS_WEB_SEARCH_WEB_LOADER": "True", "ENABLE_EVALUATION_ARENA_MODELS": "False",
               "ENABLE_COMMUNITY_SHARING": "False", "SCARF_NO_ANALYTICS": "true", "DO_NOT_TRACK": "true",
               "ANONYMIZED_TELEMETRY": "false", "BYPASS_MODEL_ACCESS_CONTROL": "True"}
        self.log = open(os.path.join(self.home, "open-webui.log"), "wb")
        self.process = subprocess.Popen(
            [f"{venv}/bin/open-webui", "serve", "--host", "127.0.0.1", "--port", str(self.port)],
            env=env, cwd=self.home, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def wait(self):
        end = time.monotonic() + 180
        while time.monotonic() < end:
            if self.process.poll() is not None:
                sys.exit(f"Open WebUI ended; see {self.log.name}")
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=2) as r:
                    if r.status == 200:
                        return
            except OSError:
                time.sleep(0.3)
        sys.exit(f"Open WebUI does not answer; see {self.log.name}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def drive(work, webui, stage, label, shots):
    """Runs drive.js for one model; {step: what was seen}."""
    env = clean_environment(OWUI_URL=webui.url, CONTROL_URL=stage.control.url, MODEL=MODELS[label],
                            LABEL=label, SHOTS=shots, OWUI_VERSION=VERSION,
                            NODE_MODULES=os.path.join(work, "node", "node_modules"),
                            CHROMIUM=shutil.which("chromium") or shutil.which("chromium-browser") or "")
    p = subprocess.run(["node", os.path.join(HERE, "drive.js")], env=env, capture_output=True, text=True,
                       timeout=600, check=False)
    seen = {}
    for line in p.stdout.splitlines():
        if line.startswith("{"):
            o = json.loads(line)
            seen[o["step"]] = o
    if p.returncode != 0:
        print(p.stdout[-2000:], p.stderr[-2000:], file=sys.stderr)
    with open(os.path.join(shots, f"{label}-seen.json"), "w", encoding="utf-8") as f:
        json.dump(seen, f, indent=1, ensure_ascii=False)
    return seen


class Judge:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, what, ok, detail=""):
        if ok:
            self.passed += 1
            print(f"  ok      {what}")
        else:
            self.failed += 1
            print(f"  FAILED  {what}: {str(detail)[:600]}")

    def equal(self, what, have, want):
        self.check(what, have == want, f"want {want!r}, have {have!r}")


def kinds(records):
    out = {}
    for r in records:
        if r.method == "POST" and r.kind not in ("embed",):
            out[r.kind] = out.get(r.kind, 0) + 1
    return out


def judge_person(j, label, seen, direct):
    def step(name):
        s = seen.get(name, {"broke": "the step did not run"})
        j.check(f"{label}: {name} could be driven", "broke" not in s, s.get("broke"))
        return None if "broke" in s else s
    s = step("new chat")
    if s:
        j.check(f"{label}: the reply is shown", "Reply number" in s["text"] and "word 11" in s["text"], s["text"][-300:])
        chat = s["chat"] or {"title": "", "tags": [], "replies": []}
        j.check(f"{label}: the title is the model's", chat["title"].startswith("Title "), chat["title"])
        j.check(f"{label}: the title is shown in the tab and the sidebar",
                chat["title"] in s["tab"] and chat["title"] in s["side"], (s["tab"], s["side"][:300]))
        j.check(f"{label}: the tags are the model's", "technology" in [t.lower() for t in chat["tags"]], chat["tags"])
        j.check(f"{label}: the tags are shown in the chat's menu", s["tagsShown"])
        j.check(f"{label}: the follow-ups are shown", "What next, " in s["text"] and "And then?" in s["text"], s["text"][-300:])
        j.equal(f"{label}: no message of trouble", s["toasts"], [])
    s = step("second turn")
    if s:
        j.check(f"{label}: the second reply is shown", s["text"].count("Reply number") == 2, s["text"][-400:])
        j.check(f"{label}: follow-ups after the second reply",
                s["chat"] and len(s["chat"]["replies"]) == 2 and all(r["followUps"] for r in s["chat"]["replies"]), s["chat"])
        j.equal(f"{label}: no message of trouble", s["toasts"], [])
    s = step("regenerate")
    if s:
        replies = s["chat"]["replies"] if s["chat"] else []
        j.check(f"{label}: a third, different reply", len(replies) == 3 and len({r["content"] for r in replies}) == 3, replies)
        j.check(f"{label}: with follow-ups", replies and replies[-1]["followUps"], replies)
    s = step("autocomplete")
    if s:
        j.check(f"{label}: ghost text is shown", (s["first"] or "").strip().startswith("and so on"), s["first"])
        j.check(f"{label}: Escape clears it and it comes again", s["cleared"] and (s["again"] or "").strip().startswith("and so on"), s)
        if not direct:
            j.equal(f"{label}: the same suggestion, from the cache", s["again"], s["first"])
        j.check(f"{label}: Tab takes it", "and so on" in s["input"], s["input"])
    s = step("web search")
    if s:
        j.check(f"{label}: the reply to a web search is shown", "Reply number" in s["text"], s["text"][-300:])
        j.check(f"{label}: with what was found", "Retrieved 2 sources" in s["text"], s["text"][:400])
    s = step("stop")
    if s:
        j.check(f"{label}: stop was clicked", s["clicked"])
        last = s["text"].rfind("word ")
        j.check(f"{label}: the reply stays as far as it was", "word 3 " in s["text"] and "word 390" not in s["text"], s["text"][last - 50:])


def judge_model(j, label, stage, direct):
    other = "ollama" if label == "openai" else "openai"

    def reached(step):
        both = stage.between(f"{label} {step}")
        stray = kinds(both[other])
        j.equal(f"{label}: {step}: nothing went to the other model server", stray, {})
        return both[label]
    records = reached("new chat")
    j.equal(f"{label}: new chat: calls", kinds(records), {"chat": 1, "title": 1, "tags": 1, "follow_up": 1})
    records += reached("second turn")
    j.equal(f"{label}: second turn: calls", kinds(records), {"chat": 2, "title": 1, "tags": 1, "follow_up": 2})
    again = reached("regenerate")
    j.check(f"{label}: regenerate: a chat call, and follow-ups", kinds(again).get("chat") == 1, kinds(again))
    chats = [r for r in records + again if r.kind == "chat"]
    tasks = [r for r in records + again if r.kind in TASKS]
    j.check(f"{label}: chats were streamed as asked", all(r.json["stream"] is True for r in chats))
    if not direct:
        j.check(f"{label}: tasks were asked for as streams, uncompressed",
                all(r.json["stream"] is True and (r.header("Accept-Encoding") or "identity") == "identity" for r in tasks),
                [r.headers for r in tasks])
    j.check(f"{label}: no header of lull's",
            not [n for r in chats + tasks for n, _ in r.headers if "lull" in n.lower()])
    first = kinds(reached("autocomplete")).get("autocomplete", 0)
    second = kinds(reached("autocomplete again")).get("autocomplete", 0)
    j.check(f"{label}: typing asked the model once", first == 1, first)
    j.equal(f"{label}: the same text again: calls", second, 1 if direct else 0)
    queries = kinds(reached("web search")).get("query", 0)
    j.equal(f"{label}: a web search's two equal query calls: upstream calls", queries, 2 if direct else 1)
    chats = [r for step in ("stop", "stopped") for r in stage.between(f"{label} {step}")[label] if r.kind == "chat"]
    j.check(f"{label}: stop closed the model's connection", chats and chats[-1].gone.is_set(), chats)


def judge_figures(j, lull, stage):
    lull.check()
    s = lull.stats()
    print("  figures: " + json.dumps({k: {n: v for n, v in t.items() if isinstance(v, int) and v}
                                      for k, t in s["tasks"].items()}))
    chats = sum(m.count("chat") for m in stage.models.values())
    j.equal("chats counted", s["chat"]["requests"], chats)
    j.equal("nothing looked like a task and was not one", s["unrecognised"], 0)
    for kind in TASKS:
        j.check(f"{kind} was recognised", s["tasks"].get(kind, {}).get("requests", 0) > 0)
    j.check("hits", sum(t.get("hits", 0) for t in s["tasks"].values()) >= 4, s["tasks"])
    j.equal("exit status after SIGTERM", lull.stop(), 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("--direct", action="store_true")
    a = parser.parse_args()
    work = os.path.abspath(a.work)
    shots = os.path.join(work, "shots-direct" if a.direct else "shots")
    shutil.rmtree(shots, ignore_errors=True)
    os.makedirs(shots)
    stage, lull, webui, j = Stage(), None, None, Judge()
    try:
        urls = {n: m.url for n, m in stage.models.items()}
        if not a.direct:
            if not os.access(LULLD, os.X_OK):
                sys.exit(f"there is no {LULLD}: build lull first")
            lull = Lull(stage.models, server="default_upstream = openai", tasks="")
            urls = {n: f"http://127.0.0.1:{lull.port}/@{n}" for n in stage.models}
        webui = WebUI(work, urls, stage)
        webui.wait()
        for label in MODELS:
            print(f"{label}:")
            seen = drive(work, webui, stage, label, shots)
            judge_person(j, label, seen, a.direct)
            judge_model(j, label, stage, a.direct)
        if lull:
            judge_figures(j, lull, stage)
    finally:
        if webui:
            webui.stop()
        if lull:
            shutil.copy(lull.log_path, os.path.join(shots, "lulld.log"))
            lull.cleanup()
        stage.stop()
    errors = [e for m in stage.models.values() for e in m.errors]
    j.equal("mistakes of the scripted server", errors, [])
    print(f"{j.passed} passed, {j.failed} failed; screenshots in {shots}")
    sys.exit(1 if j.failed else 0)


if __name__ == "__main__":
    main()
