#!/usr/bin/env python3
"""contrib/open-webui/setup against a stand-in of the admin API of Open WebUI 0.12.4, whose answers are those of
the real one, with a real lulld before a scripted model server. tests/e2e/setup_test.py runs the real one."""
import copy
import http.server
import json
import os
import re
import stat
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

from lull import SOURCE, LullTest, clean_environment, free_port, main

SETUP = os.path.join(SOURCE, "contrib", "open-webui", "setup")
PASSWORD, TOKEN, KEY, API_KEY = "a-secret-password", "eyJ.a-secret-token.x", "sk-a-secret-key", "sk-of-the-admin"
OUR_HEADERS = {"X-OpenWebUI-Task": "{{TASK}}", "X-OpenWebUI-User-Id": "{{USER_ID}}", "X-OpenWebUI-Chat-Id": "{{CHAT_ID}}"}
PAGES = {"/ollama/config": "ollama", "/openai/config": "openai", "/api/v1/tasks/config": "tasks"}
UNREACHABLE = (500, {"detail": "Open WebUI: Server Connection Error"})
NO_ADMIN = "You do not have permission to access this resource. Please contact your administrator for assistance."
NO_MATCH = "The email or password provided is incorrect. Please check for typos and try logging in again."
TASK_SETTINGS = {"TASK_MODEL": "", "TASK_MODEL_EXTERNAL": "", "TASK_MODEL_PARAMS": {},
                 "ENABLE_AUTOCOMPLETE_GENERATION": False, "AUTOCOMPLETE_GENERATION_INPUT_MAX_LENGTH": -1,
                 "ENABLE_TITLE_GENERATION": True, "TITLE_GENERATION_PROMPT_TEMPLATE": ""}


class StandIn(http.server.ThreadingHTTPServer):
    """What setup uses of Open WebUI. `saved` is what a save keeps of a document; `posts` are the saves."""
    daemon_threads = True

    def __init__(self, ollama=(), openai=()):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.version, self.role, self.auth, self.redirect = "0.12.4", "admin", True, None
        self.saved = lambda page, document: document
        self.posts = []
        self.settings = {
            "ollama": {"ENABLE_OLLAMA_API": True, "OLLAMA_BASE_URLS": list(ollama), "OLLAMA_API_CONFIGS": {}},
            "openai": {"ENABLE_OPENAI_API": True, "OPENAI_API_BASE_URLS": list(openai),
                       "OPENAI_API_KEYS": [KEY] * len(openai), "OPENAI_API_CONFIGS": {}},
            "tasks": dict(TASK_SETTINGS)}
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, method, path, token, form):
        if path == "/api/config":
            return 200, {"status": True, "name": "Open WebUI", "version": self.version, "features": {"auth": self.auth}}
        if path == "/api/version":
            return 200, {"version": self.version, "deployment_id": ""}
        if path == "/api/v1/auths/signin":
            right = (form["email"], form["password"]) == (("a@b.c", PASSWORD) if self.auth else ("", ""))
            return (200, {"token": TOKEN, "role": self.role}) if right else (400, {"detail": NO_MATCH})
        if token not in (TOKEN, API_KEY):
            return 401, {"detail": "401 Unauthorized" if token else "Not authenticated"}
        if path == "/api/v1/auths/":
            if token == API_KEY:
                return 403, {"detail": "A human session is required."}
            return 200, {"id": "1", "name": "A", "role": self.role, "email": "a@b.c", "token": TOKEN}
        if self.role != "admin":
            return 401, {"detail": NO_ADMIN}
        if path == "/api/models":
            return 200, {"data": [{"id": "qwen3-8b"}, {"id": "qwen3-0.6b"}]}
        if path.endswith("/verify"):
            return verify(form, "/models" if path == "/openai/verify" else "/api/version", path == "/openai/verify")
        page = PAGES.get(path.removesuffix("/update"))
        if method == "POST":
            self.posts.append(page)
            for urls, configs in (("OLLAMA_BASE_URLS", "OLLAMA_API_CONFIGS"), ("OPENAI_API_BASE_URLS", "OPENAI_API_CONFIGS")):
                if urls in form:  # only configurations by index are kept
                    known = {str(i) for i in range(len(form[urls]))}
                    form[configs] = {k: v for k, v in form[configs].items() if k in known}
            self.settings[page] = self.saved(page, form)
        return 200, self.settings[page]


def verify(form, path, as_it_is):
    """Open WebUI calls the URL itself; OpenAI's form hands on status and document."""
    headers = {}
    if form.get("key"):
        headers["Authorization"] = "Bearer " + form["key"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(form["url"] + path, headers=headers), timeout=20) as r:
            return 200, json.loads(r.read())
    except urllib.error.HTTPError as e:
        document = json.loads(e.read())
        return (e.code, document) if as_it_is else (500, {"detail": f"Unexpected error: External Error: {document['error']}"})
    except OSError:
        return UNREACHABLE


class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self, method="GET"):
        length = int(self.headers.get("Content-Length") or 0)
        form = json.loads(self.rfile.read(length)) if length else None
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        status, document = (301, {}) if self.server.redirect else self.server.answer(method, self.path, token, form)
        data = json.dumps(document).encode()
        self.send_response(status)
        if self.server.redirect:
            self.send_header("Location", self.server.redirect)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        self.do_GET("POST")


class SetupTest(LullTest):
    check_figures = False

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = folder.name
        self.record = os.path.join(folder.name, "lull", "open-webui-setup.json")
        self.up = self.upstream()
        self.daemon = self.lull(self.up)
        self.address = f"http://127.0.0.1:{self.daemon.port}"

    def site(self, **more):
        site = StandIn(**more)
        self.addCleanup(site.server_close)
        self.addCleanup(site.shutdown)
        return site

    def run_setup(self, site, *arguments, who=("--email", "a@b.c"), given=PASSWORD + "\n", **environment):
        """(exit status, all output); in no output is a secret."""
        env = clean_environment(XDG_STATE_HOME=self.state, **environment)
        p = subprocess.run([SETUP, "--url", getattr(site, "url", site), *who, *arguments], input=given, env=env,
                           capture_output=True, text=True, timeout=120, check=False)
        text = p.stdout + p.stderr
        self.assertNotIn("Traceback", text)
        for secret in (PASSWORD, TOKEN, KEY, API_KEY):
            self.assertNotIn(secret, text)
        return p.returncode, text

    def succeed(self, site, *arguments, **more):
        status, text = self.run_setup(site, *arguments, **more)
        self.assertEqual(status, 0, text)
        return text

    def refuse(self, site, words, *arguments, **more):
        """setup fails with these words, and nothing was saved."""
        before = list(getattr(site, "posts", []))
        status, text = self.run_setup(site, *arguments, **more)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, words)
        self.assertEqual(getattr(site, "posts", []), before)
        return text


class There(SetupTest):
    def test_there_and_back(self):
        site = self.site(ollama=[self.up.url], openai=["http://127.0.0.1:9/v1"])
        before = copy.deepcopy(site.settings)
        text = self.succeed(site, "--lull", self.address, "--task-model", "qwen3-0.6b", "--autocomplete", "on")
        self.assertIn(f"connection 1 (ollama), URL: {self.up.url} -> {self.address}\n", text)
        self.assertEqual(site.settings["ollama"], {**before["ollama"], "OLLAMA_BASE_URLS": [self.address],
                                                   "OLLAMA_API_CONFIGS": {"0": {"headers": OUR_HEADERS}}})
        self.assertEqual(site.settings["openai"], before["openai"])
        self.assertEqual(site.settings["tasks"], {**before["tasks"], "TASK_MODEL": "qwen3-0.6b",
                                                  "ENABLE_AUTOCOMPLETE_GENERATION": True})
        self.assertEqual(site.posts, ["ollama", "tasks"])
        self.assertEqual(stat.S_IMODE(os.stat(self.record).st_mode), 0o600)
        with open(self.record, encoding="utf-8") as f:
            self.assertNotRegex(f.read(), "|".join(map(re.escape, (KEY, PASSWORD, TOKEN))))

        text = self.succeed(site, "--lull", self.address, "--task-model", "qwen3-0.6b", "--autocomplete", "on")
        self.assertIn("nothing to change", text)
        self.assertEqual(site.posts, ["ollama", "tasks"])

        self.succeed(site, "--undo", "--dry-run")
        self.assertEqual(site.posts, ["ollama", "tasks"])
        self.succeed(site, "--undo")
        self.assertEqual(json.dumps(site.settings), json.dumps(before))
        self.assertIn("nothing to change", self.succeed(site, "--undo"))
        self.assertEqual(len(site.posts), 4)

    def test_dry_run_saves_nothing(self):
        site = self.site(ollama=[self.up.url])
        self.assertIn("nothing was changed", self.succeed(site, "--lull", self.address, "--dry-run"))
        self.assertEqual(site.posts, [])
        self.assertFalse(os.path.exists(self.record))

    def test_configuration_and_headers_that_are_there_stay(self):
        site = self.site(openai=[self.up.url + "/v1/"])
        config = {"enable": True, "prefix_id": "a", "headers": {"X-Extra": KEY, "x-openwebui-task": "old"}, "tags": []}
        site.settings["openai"]["OPENAI_API_CONFIGS"] = {"0": config}
        before = copy.deepcopy(site.settings)
        text = self.succeed(site, "--lull", self.address + "/v1/")
        self.assertIn("header x-openwebui-task: (hidden) -> {{TASK}}", text)
        self.assertEqual(site.settings["openai"]["OPENAI_API_BASE_URLS"], [self.address + "/v1"])
        self.assertEqual(site.settings["openai"]["OPENAI_API_KEYS"], [KEY])
        self.assertEqual(site.settings["openai"]["OPENAI_API_CONFIGS"]["0"], {**config, "headers": {
            "X-Extra": KEY, "x-openwebui-task": "{{TASK}}", "X-OpenWebUI-User-Id": "{{USER_ID}}",
            "X-OpenWebUI-Chat-Id": "{{CHAT_ID}}"}})
        self.succeed(site, "--undo")
        self.assertEqual(json.dumps(site.settings), json.dumps(before))

    def test_empty_headers_come_back_as_they_were(self):
        for config in ({"headers": None}, {"headers": {}, "enable": True}, {"headers": ""}, {"tags": []}):
            with self.subTest(config=config):
                site = self.site(ollama=[self.up.url])
                site.settings["ollama"]["OLLAMA_API_CONFIGS"] = {"0": config}
                before = json.dumps(site.settings)
                self.succeed(site, "--lull", self.address)
                self.assertEqual(site.settings["ollama"]["OLLAMA_API_CONFIGS"]["0"]["headers"], OUR_HEADERS)
                self.succeed(site, "--undo")
                self.assertEqual(json.dumps(site.settings), before)

    def test_configurations_by_url_survive(self):
        """Old releases kept configurations by URL: a save drops those, so they move to the index."""
        other = "http://127.0.0.1:9"
        site = self.site(ollama=[self.up.url, other])
        site.settings["ollama"]["OLLAMA_API_CONFIGS"] = {self.up.url: {"key": KEY}, other: {"prefix_id": "b"}}
        self.succeed(site, "--lull", self.address)
        self.assertEqual(site.settings["ollama"]["OLLAMA_API_CONFIGS"],
                         {"0": {"key": KEY, "headers": OUR_HEADERS}, "1": {"prefix_id": "b"}})
        self.succeed(site, "--undo")
        self.assertEqual(site.settings["ollama"]["OLLAMA_API_CONFIGS"], {"0": {"key": KEY}, "1": {"prefix_id": "b"}})

    def test_task_model_of_external_connections(self):
        site = self.site(openai=[self.up.url + "/v1"])
        self.refuse(site, "no model 'gone'; it has qwen3-8b", "--lull", self.address, "--task-model", "gone")
        self.succeed(site, "--lull", self.address, "--task-model", "qwen3-0.6b")
        self.assertEqual([site.settings["tasks"][k] for k in ("TASK_MODEL", "TASK_MODEL_EXTERNAL")], ["", "qwen3-0.6b"])

    def test_one_of_several_upstreams(self):
        big = self.upstream()
        big.when("models", lambda e: e.full(200, "application/json", '{"data":[{"id":"big-1"}]}'))
        self.daemon = self.lull({"default": self.up, "big": big})
        site = self.site(openai=[self.up.url + "/v1", big.url + "/v1"])
        address = f"http://127.0.0.1:{self.daemon.port}"
        self.succeed(site, "--lull", address)
        self.succeed(site, "--lull", address + "/@big")
        self.assertEqual(site.settings["openai"]["OPENAI_API_BASE_URLS"], [address + "/v1", address + "/@big/v1"])
        self.succeed(site, "--undo")
        self.assertEqual(site.settings["openai"]["OPENAI_API_BASE_URLS"], [self.up.url + "/v1", big.url + "/v1"])


class Choice(SetupTest):
    def test_several_connections_with_the_server(self):
        site = self.site(ollama=[self.up.url], openai=["http://127.0.0.1:9/v1", self.up.url + "/v1"])
        self.refuse(site, "choose with --connection", "--lull", self.address)
        self.refuse(site, "must not have both", "--lull", self.address, "--connection", "1")
        self.succeed(site, "--lull", self.address, "--connection", "all")
        self.assertEqual(site.settings["ollama"]["OLLAMA_BASE_URLS"], [self.address])
        self.assertEqual(site.settings["openai"]["OPENAI_API_BASE_URLS"], ["http://127.0.0.1:9/v1", self.address + "/v1"])

    def test_the_server_is_added_again_later(self):
        site = self.site(ollama=[self.up.url])
        self.succeed(site, "--lull", self.address)
        site.settings["ollama"]["OLLAMA_BASE_URLS"].append(self.up.url)
        self.refuse(site, "connection 2 .* must not have both", "--lull", self.address)
        site.settings["ollama"]["OLLAMA_API_CONFIGS"]["1"] = {"enable": False}
        self.assertIn("nothing to change", self.succeed(site, "--lull", self.address))

    def test_a_twin_is_named(self):
        twin = self.upstream()
        site = self.site(ollama=[self.up.url, twin.url])
        self.assertRegex(self.succeed(site, "--lull", self.address, "--connection", "1"),
                         "warning: connection 2 .* lists the same models")

    def test_a_key_reaches_its_own_server_only(self):
        other = self.upstream()
        other.when("models", lambda e: e.full(200, "application/json", '{"data":[{"id":"other-1"}]}'))
        site = self.site(ollama=[self.up.url], openai=[other.url + "/v1"])
        self.refuse(site, "lull lists other models, not other-1", "--lull", self.address, "--connection", "2")
        self.succeed(site, "--lull", self.address)
        self.assertTrue(any(r.header("Authorization") for r in other.matching()))
        self.assertEqual([r.header("Authorization") for r in self.up.matching() if r.header("Authorization")], [])

    def test_no_connection_fits(self):
        other = self.upstream()
        other.when("models", lambda e: e.full(200, "application/json", '{"data":[{"id":"other-1"}]}'))
        site = self.site(openai=[other.url + "/v1"])
        self.refuse(site, "no server of an enabled connection(.|\n)*other-1", "--lull", self.address)
        self.refuse(site, "no server of an enabled connection", "--lull", self.address, "--connection", "all")
        self.refuse(site, "no connection 2", "--lull", self.address, "--connection", "2")
        site.settings["openai"]["ENABLE_OPENAI_API"] = False
        self.refuse(site, "connection 1 is disabled", "--lull", self.address, "--connection", "1")

    def test_client_token(self):
        daemon = self.lull(self.up, server="client_token = " + KEY)
        address = f"http://127.0.0.1:{daemon.port}"
        site = self.site(openai=[self.up.url + "/v1"])
        self.refuse(site, "client_token of lull.conf", "--lull", address)
        self.succeed(site, "--lull", address, "--connection", "1")
        site = self.site(ollama=[self.up.url])
        self.refuse(site, "client_token of lull.conf", "--lull", address, "--connection", "1")


class Again(SetupTest):
    def test_runs_add_up(self):
        site = self.site(ollama=[self.up.url])
        before = copy.deepcopy(site.settings)
        self.succeed(site, "--lull", self.address, "--no-headers")
        self.assertEqual(site.settings["ollama"]["OLLAMA_API_CONFIGS"], {})
        self.succeed(site, "--lull", self.address, "--task-model", "qwen3-8b")
        self.succeed(site, "--lull", self.address, "--task-model", "qwen3-0.6b")
        self.assertEqual(site.settings["tasks"]["TASK_MODEL"], "qwen3-0.6b")
        self.succeed(site, "--undo")
        self.assertEqual(json.dumps(site.settings), json.dumps(before))

    def test_what_was_changed_since_stays(self):
        site = self.site(ollama=[self.up.url])
        self.succeed(site, "--lull", self.address, "--task-model", "qwen3-8b")
        site.settings["tasks"]["TASK_MODEL"] = "qwen3-0.6b"
        site.settings["ollama"]["OLLAMA_API_CONFIGS"]["0"]["headers"]["X-OpenWebUI-Task"] = "mine"
        text = self.succeed(site, "--undo")
        self.assertRegex(text, "warning: the header X-OpenWebUI-Task was changed")
        self.assertRegex(text, "warning: TASK_MODEL was changed")
        self.assertEqual(site.settings["ollama"]["OLLAMA_BASE_URLS"], [self.up.url])
        self.assertEqual(site.settings["ollama"]["OLLAMA_API_CONFIGS"], {"0": {"headers": {"X-OpenWebUI-Task": "mine"}}})
        self.assertEqual(site.settings["tasks"]["TASK_MODEL"], "qwen3-0.6b")

    def test_a_connection_that_moved_or_went(self):
        site = self.site(ollama=[self.up.url])
        self.succeed(site, "--lull", self.address)
        site.settings["ollama"]["OLLAMA_BASE_URLS"].insert(0, "http://127.0.0.1:9")
        site.settings["ollama"]["OLLAMA_API_CONFIGS"] = {"1": site.settings["ollama"]["OLLAMA_API_CONFIGS"]["0"]}
        self.succeed(site, "--undo")
        self.assertEqual(site.settings["ollama"]["OLLAMA_BASE_URLS"], ["http://127.0.0.1:9", self.up.url])
        self.assertEqual(site.settings["ollama"]["OLLAMA_API_CONFIGS"], {})
        self.succeed(site, "--lull", self.address)
        site.settings["ollama"]["OLLAMA_BASE_URLS"] = ["http://127.0.0.1:9"]
        self.assertRegex(self.succeed(site, "--undo"), f"{self.up.url}.* was changed since")

    def test_a_record_for_each_open_webui(self):
        first, second = self.site(ollama=[self.up.url]), self.site(ollama=[self.up.url])
        self.succeed(first, "--lull", self.address)
        self.succeed(second, "--lull", self.address)
        self.succeed(first, "--undo")
        self.assertEqual(first.settings["ollama"]["OLLAMA_BASE_URLS"], [self.up.url])
        self.assertEqual(second.settings["ollama"]["OLLAMA_BASE_URLS"], [self.address])
        self.succeed(second, "--undo")
        self.assertEqual(second.settings["ollama"]["OLLAMA_BASE_URLS"], [self.up.url])


class Refusals(SetupTest):
    def test_accounts(self):
        site = self.site(ollama=[self.up.url])
        lull = ("--lull", self.address)
        self.refuse(site, "sign-in of a@b.c failed: HTTP 400, The email or password", *lull, given="wrong\n")
        self.refuse(site, "nothing on standard input", *lull, given="")
        self.refuse(site, "no account given: use --email", *lull, who=())
        self.refuse(site, "does not accept the token: HTTP 401", *lull, who=("--token", "-"), given="other\n")
        self.refuse(site, "the token has characters", *lull, who=(), OPEN_WEBUI_TOKEN=TOKEN + "\n\u00e4")
        site.role = "user"
        self.refuse(site, r"a@b.c is not an admin \(role: user\)", *lull)
        self.refuse(site, "refuses GET /ollama/config: HTTP 401, You do not have permission", *lull, OPEN_WEBUI_TOKEN=API_KEY, who=())

    def test_ways_to_sign_in(self):
        site = self.site(ollama=[self.up.url])
        dry = ("--lull", self.address, "--dry-run")
        self.succeed(site, *dry, given="", OPEN_WEBUI_PASSWORD=PASSWORD)
        self.succeed(site, *dry, who=("--token", "-"), given=TOKEN + "\n")
        self.succeed(site, *dry, who=(), given="", OPEN_WEBUI_TOKEN=TOKEN)
        self.succeed(site, *dry, who=(), given="", OPEN_WEBUI_TOKEN=API_KEY)
        site.auth = False
        self.succeed(site, *dry, who=(), given="")

    def test_wrong_addresses(self):
        site = self.site(ollama=[self.up.url])
        free = f"http://127.0.0.1:{free_port()}"
        self.refuse(free, "cannot be reached: .*refused", "--lull", self.address)
        self.refuse(self.address.replace("http:", "https:"), "speaks plain HTTP: write http://", "--lull", self.address)
        self.refuse(self.address, "is not an Open WebUI", "--lull", self.address)
        self.refuse(site, "cannot reach lull at .*NO_PROXY", "--lull", free)
        self.refuse(site, "is not lull", "--lull", self.up.url)
        site.redirect = "https://chat.example.org/"
        self.refuse(site, "redirects to https://chat.example.org/; give --url", "--lull", self.address)

    def test_the_model_server_is_down(self):
        site = self.site(ollama=[self.up.url])
        self.up.stop()
        self.refuse(site, "its models cannot be listed: HTTP 502, the model server cannot be reached", "--lull", self.address)

    def test_releases(self):
        site = self.site(openai=[self.up.url + "/v1"])
        lull = ("--lull", self.address)
        for version, words in (("0.9.6", "cannot send the task.*by hand"), ("0.9.2", "sends? the user and the chat|send the user and"),
                               ("0.6.10", r"send the user\. "), ("main", "the release 'main' is unknown")):
            site.version = version
            self.refuse(site, words, *lull)
        self.succeed(site, *lull, "--no-headers")
        self.assertEqual(site.settings["openai"]["OPENAI_API_BASE_URLS"], [self.address + "/v1"])
        self.assertEqual(site.settings["openai"]["OPENAI_API_CONFIGS"], {})

    def test_a_release_that_drops_the_headers(self):
        site = self.site(ollama=[self.up.url])
        site.saved = lambda page, document: {**document, "OLLAMA_API_CONFIGS": {}} if page == "ollama" else document
        status, text = self.run_setup(site, "--lull", self.address)
        self.assertEqual(status, 1, text)
        self.assertIn("did not keep what was saved (header X-OpenWebUI-Task", text)
        site.saved = lambda page, document: document
        self.succeed(site, "--undo")
        self.assertEqual(site.settings["ollama"]["OLLAMA_BASE_URLS"], [self.up.url])

    def test_without_a_record_nothing_is_changed(self):
        site = self.site(ollama=[self.up.url])
        os.makedirs(self.record)
        self.refuse(site, "cannot be read", "--lull", self.address)

    def test_wrong_usage(self):
        for arguments in ((), ("--undo", "--lull", "http://lull"), ("--lull", "lull:11435"), ("--lull", "http://a:b@c"),
                          ("--lull", self.address, "--connection", "x"), ("--lull", self.address, "--autocomplete", "yes")):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.run_setup("http://127.0.0.1:9", *arguments)[0], 2)

    def test_json(self):
        site = self.site(ollama=[self.up.url])
        result = json.loads(self.succeed(site, "--lull", self.address, "--json"))
        self.assertEqual((result["changed"], result["open_webui"], result["warnings"]), (True, "0.12.4", []))
        self.assertEqual(result["changes"][0], {"connection": 1, "kind": "ollama", "setting": "URL",
                                                "old": self.up.url, "new": self.address})
        self.assertFalse(json.loads(self.succeed(site, "--lull", self.address, "--json"))["changed"])
        site.role = "user"
        status, text = self.run_setup(site, "--lull", self.address, "--json")
        self.assertEqual((status, json.loads(text)["error"]), (1, "a@b.c is not an admin (role: user)"))


if __name__ == "__main__":
    main()
