#!/usr/bin/env python3
"""setup_test.py WORK [RELEASE]: contrib/open-webui/setup on a real Open WebUI (installed in WORK by install.sh
WORK RELEASE), in front of two scripted model servers, lulld before the first. After setup, a chat through Open
WebUI's API makes a title, tags and follow-ups whose prompts only the task header can tell; a second run changes
nothing; --undo leaves the admin settings byte for byte as before. Needs no browser."""
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid

from judge import Judge
from stage import MODELS, OWN_TITLE, VERSION, Stage, WebUI, fresh
import upstream
from lull import SOURCE, Lull, clean_environment

SETUP = os.path.join(SOURCE, "contrib", "open-webui", "setup")
PAGES = ("/ollama/config", "/openai/config", "/api/v1/tasks/config")
ADMIN = {"name": "Admin", "email": "admin@example.org", "password": "correct-horse-7"}
OTHER_MODELS = {"object": "list", "data": [{"id": "other-1", "object": "model"}]}
KEY = "sk-of-the-other-server"
OWN_PROMPTS = {"title": OWN_TITLE, "tags": "### Aufgabe:\nGib dem Gespr\u00e4ch Schlagw\u00f6rter: {{MESSAGES:END:6}}",
               "follow_up": "### Aufgabe:\nWas k\u00f6nnte als N\u00e4chstes gefragt werden? {{MESSAGES:END:6}}"}
upstream.SIGNATURES += [(kind, text[:40]) for kind, text in OWN_PROMPTS.items() if kind != "title"]


class Admin:
    def __init__(self, url):
        self.url, self.token = url, ""
        self.token = json.loads(self.ask("/api/v1/auths/signup", ADMIN))["token"]

    def ask(self, path, body=None):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=60) as r:
            return r.read()

    def settings(self):
        return [self.ask(page) for page in PAGES]

    def chat(self, text):
        """A new chat, as the page starts one."""
        user, reply = str(uuid.uuid4()), str(uuid.uuid4())
        message = {"id": user, "parentId": None, "childrenIds": [reply], "role": "user", "content": text,
                   "models": [MODELS["ollama"]], "timestamp": 1760000000}
        tasks = {"title_generation": True, "tags_generation": True, "follow_up_generation": True}
        return self.ask("/api/chat/completions", {
            "model": MODELS["ollama"], "stream": True, "messages": [{"role": "user", "content": text}],
            "session_id": str(uuid.uuid4()), "parent_id": None, "id": reply, "user_message": message,
            "background_tasks": tasks})


def setup(webui, state, *arguments):
    """Runs setup as a person would: (exit status, what it prints)."""
    env = clean_environment(XDG_STATE_HOME=state)
    command = [SETUP, "--url", webui.url, "--email", ADMIN["email"], *arguments]
    p = subprocess.run(command, input=ADMIN["password"] + "\n", env=env, capture_output=True, text=True,
                       timeout=300, check=False)
    print("    " + (p.stdout + p.stderr).replace("\n", "\n    ").rstrip())
    return p.returncode, p.stdout + p.stderr


def judge_run(j, admin, lull, webui, stage, home):
    server, state = f"http://127.0.0.1:{lull.port}", os.path.join(home, "state")
    before = admin.settings()
    everything = ("--lull", server, "--task-model", MODELS["ollama"], "--autocomplete", "on")
    status, _ = setup(webui, state, *everything, "--dry-run")
    j.equal("dry run: exit status", status, 0)
    j.equal("dry run: the settings are as before", admin.settings(), before)
    status, _ = setup(webui, state, *everything)
    j.equal("setup: exit status", status, 0)
    ollama, openai, tasks = map(json.loads, admin.settings())
    j.equal("the Ollama connection has lull's URL", ollama["OLLAMA_BASE_URLS"], [server])
    j.equal("and the headers", sorted(ollama["OLLAMA_API_CONFIGS"]["0"]["headers"].values()),
            ["{{CHAT_ID}}", "{{TASK}}", "{{USER_ID}}"])
    j.equal("the other connection is untouched", openai, json.loads(before[1]))
    j.equal("task settings", (tasks["TASK_MODEL"], tasks["TASK_MODEL_EXTERNAL"], tasks["ENABLE_AUTOCOMPLETE_GENERATION"]),
            (MODELS["ollama"], "", True))

    admin.chat("How long is a day on Mars?")
    seen = lull.wait_stats(lambda s: all(s["tasks"].get(kind, {}).get("misses") for kind in OWN_PROMPTS), 60)
    for kind in OWN_PROMPTS:
        j.equal(f"{kind}: one request, recognised by its header", seen["tasks"][kind]["requests"], 1)
    j.equal("chats that look like tasks", seen["unrecognised"], 0)
    print("    " + lull.ctl("stats").stdout.replace("\n", "\n    ").rstrip())

    now = admin.settings()
    status, text = setup(webui, state, *everything)
    j.check("second run: nothing to change, exit status 0", status == 0 and "nothing to change" in text, text)
    j.equal("second run: the settings are as before", admin.settings(), now)
    status, _ = setup(webui, state, "--undo")
    j.equal("undo: exit status", status, 0)
    after = admin.settings()
    for page, a, b in zip(PAGES, before, after):
        j.check(f"undo: {page} is byte for byte as before", a == b, (a, b))
    status, text = setup(webui, state, "--undo")
    j.check("second undo: no record, exit status 0", status == 0 and "nothing to change" in text, text)
    status, text = setup(webui, state, "--lull", stage.models["small"].url)
    j.check("a model server is not taken for lull", status == 1 and "not lull" in text, text)
    records = [r for model in (stage.models["ollama"], stage.models["small"]) for r in model.matching()]
    j.check("the key of the other server went nowhere else",
            all(KEY not in str(r.headers) for r in records) and len(records) > 5, len(records))


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    work, release = os.path.abspath(sys.argv[1]), (sys.argv[2:] or [VERSION])[0]
    home = fresh(os.path.join(work, "run", "setup"))
    j, stage = Judge(), Stage()
    stage.models["openai"].when("models", lambda e: e.full(200, "application/json", json.dumps(OTHER_MODELS)))
    lull = Lull(stage.models["ollama"])
    webui = WebUI(work, home, {n: stage.models[n].url for n in MODELS}, stage, False, release,
                  ENABLE_PERSISTENT_CONFIG="True", ENABLE_AUTOCOMPLETE_GENERATION="False", OPENAI_API_KEYS=KEY,
                  TITLE_GENERATION_PROMPT_TEMPLATE=OWN_PROMPTS["title"],
                  TAGS_GENERATION_PROMPT_TEMPLATE=OWN_PROMPTS["tags"],
                  FOLLOW_UP_GENERATION_PROMPT_TEMPLATE=OWN_PROMPTS["follow_up"])
    try:
        webui.wait()
        judge_run(j, Admin(webui.url), lull, webui, stage, home)
    except urllib.error.HTTPError as e:
        j.check(f"Open WebUI answers {e.url}", False, e.read())
    except AssertionError as e:
        j.check("the run could be finished", False, e)
    finally:
        webui.stop()
        lull.cleanup()
        stage.stop()
    j.equal("mistakes of the scripted servers", stage.errors(), [])
    print(f"{j.passed} passed, {j.failed} failed")
    sys.exit(1 if j.failed else 0)


if __name__ == "__main__":
    main()
