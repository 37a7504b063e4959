"""The stage of the end-to-end test: scripted model servers whose answers say who gave them, a stand-in
search engine, the steps of the drive script, and the Open WebUI under test.

Every answer carries the name of its server and the number of the call, so that what a person sees can
be traced to the very call that made it, and an answer that was mixed up cannot pass.
"""
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
import upstream
from lull import free_port
from upstream import STREAM_TYPE, Gone, Upstream, last_user_text, say, stream_events

VERSION = "0.12.4"
MODELS = {"openai": "qwen3-8b", "ollama": "llama3.2:3b"}  # by the label of their connection
TASKS = ("title", "tags", "follow_up", "query", "autocomplete")
HEADERS = {"X-OpenWebUI-Task": "{{TASK}}", "X-OpenWebUI-User-Id": "{{USER_ID}}",
           "X-OpenWebUI-Chat-Id": "{{CHAT_ID}}"}
# a translated title prompt: only the task header identifies it
OWN_TITLE = ("### Aufgabe:\nGib dem Gespr\u00e4ch einen kurzen Titel.\n### Ausgabe:\n"
             'JSON: { "title": "dein Titel" }\n<chat_history>\n{{MESSAGES:END:2}}\n</chat_history>')
upstream.SIGNATURES.append(("title", OWN_TITLE[:40]))


def task_answer(server, kind, serial):
    """(the object that a task is answered with)"""
    return {"title": {"title": f"Title {serial} of {server}"},
            "tags": {"tags": ["Technology", f"{server} {serial}"]},
            "follow_up": {"follow_ups": [f"What next, {server} {serial}?", "And then?"]},
            "query": {"queries": [f"latency {server} {serial}", "percentiles"]},
            "autocomplete": {"text": f" and so on, {server} {serial}"}}[kind]


class Stage:
    """Model servers: one for each connection, and "small", which only a task model can lead to."""

    def __init__(self):
        self.models = {name: Upstream() for name in (*MODELS, "small")}
        self.control = Upstream()
        self.steps = []  # (name, when, {model server: requests so far}, figures of lulld)
        self.figures = dict  # what gives them
        self.searches = []
        for name, model in self.models.items():
            model.when(lambda e: e.kind in TASKS, self.task_rule(name))
            model.when("chat", self.chat_rule)
        self.control.when("*", self.control_rule)

    @staticmethod
    def task_rule(server):
        def rule(e):
            e.answer = task_answer(server, e.kind, e.serial)
            e.pause(0.25)
            say(json.dumps(e.answer))(e)
        return rule

    @staticmethod
    def chat_rule(e):
        """A reply word by word; asked to answer very slowly, it goes on for minutes."""
        slowly = "very slowly" in last_user_text(e.json)
        e.answer = f"Reply number {e.serial}. " + " ".join(f"word {i}" for i in range(1, 1500 if slowly else 12))
        try:
            e.pause(0.3)
            if not e.streaming:
                say(e.answer)(e)
                return
            e.head(200, [("Content-Type", STREAM_TYPE[e.dialect])])
            for event in stream_events(e, e.answer):
                e.piece(event)
                e.pause(0.04)
            e.end()
        except Gone:
            e.left = time.monotonic()
            raise

    def control_rule(self, e):
        if e.path.startswith("/step/"):
            name = urllib.request.unquote(e.path[6:])
            counts = {n: m.count() for n, m in self.models.items()}
            self.steps.append((name, time.monotonic(), counts, self.figures()))
            body = {}
        elif e.path == "/idle":
            calls = [r for m in self.models.values() for r in m.matching() if r.method == "POST"]
            for r in calls:
                if r.finished.is_set() and not hasattr(r, "ended"):
                    r.ended = time.monotonic()
            still = [r for r in calls if not r.finished.is_set()]
            last = max((max(r.arrived, getattr(r, "ended", 0)) for r in calls), default=0)
            body = {"open": len(still), "chats": sum(r.kind == "chat" for r in still),
                    "calls": len(calls), "quiet": time.monotonic() - last}
        elif e.path == "/search":
            self.searches.append(urllib.request.unquote(e.target.replace("+", " ")))
            body = {"query": "x", "results": [  # one: Open WebUI brings several into no fixed order
                {"url": "http://127.0.0.1:9/a", "title": "Latency", "score": 1.0,
                 "content": "Latency percentiles: p50, p95, p99 explained with numbers."}]}
        else:
            body = {"error": "?"}
        e.full(200, "application/json", json.dumps(body))

    def between(self, name):
        """What reached the model servers from that step to the next: {server: [requests]}."""
        for i, (step, _, counts, _) in enumerate(self.steps):
            if step == name:
                ends = self.steps[i + 1][2] if i + 1 < len(self.steps) else {}
                return {n: m.matching()[counts[n]:ends.get(n)] for n, m in self.models.items()}
        return {n: [] for n in self.models}

    def when(self, name):
        """The moment at which that step began."""
        return next((when for step, when, _, _ in self.steps if step == name), None)

    def counted(self, name, kind, figure):
        """By how much that figure of that kind grew from that step to the next."""
        for i, (step, _, _, stats) in enumerate(self.steps):
            if step == name:
                later = self.steps[i + 1][3] if i + 1 < len(self.steps) else self.figures()
                a, b = (s.get("tasks", {}).get(kind, {}).get(figure, 0) for s in (stats, later))
                return b - a
        return None

    def errors(self):
        return [e for m in (*self.models.values(), self.control) for e in m.errors]

    def stop(self):
        for server in (*self.models.values(), self.control):
            server.stop()


class WebUI:
    """An unmodified Open WebUI with its own data folder. urls: {label: URL of its connection}; more: environment."""

    def __init__(self, work, home, urls, stage, headers, version=VERSION, **more):
        self.home = home
        data = os.path.join(home, "data")
        os.makedirs(data)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        venv = os.path.join(work, f"owui-{version}")
        env = {"PATH": f"{venv}/bin:{os.environ['PATH']}", "HOME": home, "LANG": "C.UTF-8",
               "DATA_DIR": data, "WEBUI_SECRET_KEY": "end-to-end", "ENABLE_SIGNUP": "True",
               "OFFLINE_MODE": "True", "HF_HUB_OFFLINE": "1", "ENABLE_PERSISTENT_CONFIG": "False",
               "ENABLE_VERSION_UPDATE_CHECK": "False", "ENABLE_OPENAI_API": "True",
               "OPENAI_API_BASE_URLS": urls["openai"] + "/v1", "OPENAI_API_KEYS": "sk-e2e",
               "ENABLE_OLLAMA_API": "True", "OLLAMA_BASE_URLS": urls["ollama"],
               "RAG_EMBEDDING_ENGINE": "openai", "RAG_EMBEDDING_MODEL": "embed-32",
               "RAG_OPENAI_API_BASE_URL": urls["openai"] + "/v1", "RAG_OPENAI_API_KEY": "sk-embed",
               "ENABLE_AUTOCOMPLETE_GENERATION": "True", "ENABLE_WEB_SEARCH": "True",
               "WEB_SEARCH_ENGINE": "searxng",
               "SEARXNG_QUERY_URL": f"{stage.control.url}/search?q=<query>",
               "BYPASS_WEB_SEARCH_WEB_LOADER": "True", "ENABLE_EVALUATION_ARENA_MODELS": "False",
               "ENABLE_COMMUNITY_SHARING": "False", "SCARF_NO_ANALYTICS": "true", "DO_NOT_TRACK": "true",
               "ANONYMIZED_TELEMETRY": "false", "BYPASS_MODEL_ACCESS_CONTROL": "True"}
        if headers:
            configs = json.dumps({"0": {"headers": HEADERS}})
            env.update(OPENAI_API_CONFIGS=configs, OLLAMA_API_CONFIGS=configs,
                       TITLE_GENERATION_PROMPT_TEMPLATE=OWN_TITLE)
        env.update(more)
        self.log = open(os.path.join(home, "open-webui.log"), "wb")
        self.process = subprocess.Popen(
            [f"{venv}/bin/open-webui", "serve", "--host", "127.0.0.1", "--port", str(self.port)],
            env=env, cwd=home, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

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


def fresh(folder):
    """An empty folder of that name."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder
