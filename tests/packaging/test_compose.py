#!/usr/bin/env python3
"""The compose files without an engine: by the schema of the compose specification, and lull's own --check
of the configuration that each of them gives it, with the lines that a comment offers switched on too."""
import functools
import glob
import json
import os
import re
import tempfile
import unittest
from urllib.parse import urlsplit

from common import LULLD, environment, load_yaml, main, read, run, schema_findings, source, tool_folder

FILES = sorted(glob.glob(source("contrib", "compose", "*.yaml")))
# what open_webui 0.12.4 reads from its environment
WEBUI_NAMES = set("OLLAMA_BASE_URLS OLLAMA_API_CONFIGS ENABLE_OLLAMA_API OPENAI_API_BASE_URLS OPENAI_API_KEYS "
                  "OPENAI_API_CONFIGS ENABLE_OPENAI_API ENABLE_AUTOCOMPLETE_GENERATION "
                  "ENABLE_FORWARD_USER_INFO_HEADERS ENABLE_SIGNUP DEFAULT_USER_ROLE".split())
HEADERS = {"task_header": "{{TASK}}", "user_header": "{{USER_ID}}", "chat_header": "{{CHAT_ID}}"}


def interpolate(value):
    """${NAME:-default} with nothing set; other forms are not used here."""
    value = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", str(value))
    if "$" in value.replace("$$", ""):
        raise AssertionError(f"an interpolation that this test does not know: {value}")
    return value.replace("$$", "$")


def offered(text):
    """LULL_ variables that stand in comments, to be switched on by taking the # away."""
    return dict(re.findall(r"^\s*# (LULL_[A-Z_]+): (\S.*)$", text, re.M))


def with_gpu(text):
    """The file with the commented lines from "# deploy:" on switched on."""
    keys = "resources|reservations|devices|- driver|count|capabilities"
    return re.sub(rf"^( *)# (deploy:|  +(?:{keys}):.*)$", r"\1\2", text, flags=re.M)


def every_file(check):
    """A test of one document, for each file."""
    @functools.wraps(check)
    def test(self):
        self.assertGreaterEqual(len(self.files), 6)
        for name, document in self.files.items():
            with self.subTest(file=name):
                check(self, name, document)
    return test


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tools = tool_folder()
        cls.files = {os.path.basename(p): load_yaml(cls.tools, p) for p in FILES}
        cls.scratch = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def lull_environment(self, document):
        """LULL_ variables; what is a secret or a mounted file in the container is one here."""
        given = {k: interpolate(v) for k, v in document["services"]["lull"].get("environment", {}).items()}
        for name, value in given.items():
            if value.startswith("/run/secrets/"):
                self.assertIn(os.path.basename(value), document["services"]["lull"]["secrets"])
                self.assertIn(os.path.basename(value), document["secrets"])
                given[name] = os.path.join(self.scratch.name, os.path.basename(value))
                with open(given[name], "w", encoding="ascii") as f:
                    f.write("sk-test\n")
        return given

    def lull_file(self, document):
        """lull.conf as the container has it: the image's, or the mounted one."""
        for volume in document["services"]["lull"]["volumes"]:
            if volume.split(":")[1] == "/etc/lull":
                return source("contrib", "compose", volume.split(":")[0], "lull.conf")
        return source("contrib", "image", "lull.conf")

    def lulld(self, document, option, **more):
        return run(LULLD, "-c", self.lull_file(document), "--data-dir", os.path.join(self.scratch.name, "data"),
                   option, env=environment(**self.lull_environment(document), **more))

    def assert_good(self, done):
        """One line: the file, ok, and each upstream; no warning."""
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"\A\S+: ok, upstream .*\n\Z")

    def effective(self, document):
        done = self.lulld(document, "--print-config")
        self.assertEqual(done.returncode, 0, done.stdout)
        rows = [re.match(r"(\S+) = (.*?)  \((.*)\)$", line) for line in done.stdout.splitlines()]
        return {m[1]: (m[2], m[3]) for m in rows if m}

    def test_schema(self):
        self.assertEqual(schema_findings(self.tools, "vendor.compose-spec", *FILES), "")

    @every_file
    def test_one_project(self, _, document):
        self.assertEqual(document["name"], "lull", "another project has another, empty Open WebUI")

    def test_gpu_lines(self):
        changed = []
        for path in FILES:
            text = read("contrib", "compose", os.path.basename(path))
            server = next((s for s in ("ollama", "llama") if f"\n  {s}:\n" in text), None)
            if server is None:
                continue
            changed.append(os.path.join(self.scratch.name, os.path.basename(path)))
            with open(changed[-1], "w", encoding="utf-8") as f:
                f.write(with_gpu(text))
            resources = load_yaml(self.tools, changed[-1])["services"][server]["deploy"]["resources"]
            self.assertEqual(resources["reservations"]["devices"],
                             [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}])
        self.assertEqual(len(changed), 5)
        self.assertEqual(schema_findings(self.tools, "vendor.compose-spec", *changed), "")

    def test_schema_check_can_fail(self):
        wrong = os.path.join(self.scratch.name, "wrong.yaml")
        with open(wrong, "w", encoding="ascii") as f:
            f.write("services:\n  lull:\n    imaje: lull\n")
        self.assertIn("imaje", schema_findings(self.tools, "vendor.compose-spec", wrong))

    @every_file
    def test_lulld_takes_the_configuration(self, _, document):
        self.assert_good(self.lulld(document, "--check"))

    def test_and_what_the_comments_offer(self):
        seen = 0
        for name, document in self.files.items():
            for variable, value in offered(read("contrib", "compose", name)).items():
                with self.subTest(file=name, variable=variable):
                    self.assert_good(self.lulld(document, "--check", **{variable: value}))
                    seen += 1
        self.assertGreater(seen, 0)

    def test_the_check_can_fail(self):
        document = self.files["compose.yaml"]
        self.assertEqual(self.lulld(document, "--check", LULL_TASKS_MODLE="x").returncode, 2)

    @every_file
    def test_every_variable_has_its_effect(self, _, document):
        values = self.effective(document)
        for variable in self.lull_environment(document):
            without = json.loads(json.dumps(document))
            del without["services"]["lull"]["environment"][variable]
            self.assertNotEqual(self.lulld(document, "--print-config").stdout,
                                self.lulld(without, "--print-config").stdout, variable)
        self.assertEqual(values["server.listen"][0], "0.0.0.0:11435")
        self.assertEqual(values["server.control"][0], "/run/lull/control.sock")

    @every_file
    def test_every_model_server_can_be_reached(self, _, document):
        services, lull = document["services"], document["services"]["lull"]
        for key, (url, _) in self.effective(document).items():
            if not key.endswith(".url"):
                continue
            host = urlsplit(url).hostname
            if url.startswith("unix:"):
                folder = os.path.dirname(url[len("unix:"):])
                volume = next(v.split(":")[0] for v in lull["volumes"] if v.split(":")[1] == folder)
                others = [n for n, s in services.items() if n != "lull" and f"{volume}:{folder}" in s["volumes"]]
                self.assertEqual(len(others), 1, f"who is at the other end of {url}?")
            elif host == "host.docker.internal":
                self.assertIn("host.docker.internal:host-gateway", lull["extra_hosts"])
            elif not url.startswith("https://"):
                self.assertIn(host, services)

    @every_file
    def test_hardened(self, _, document):
        lull = document["services"]["lull"]
        self.assertIs(lull["read_only"], True)
        self.assertEqual(lull["cap_drop"], ["ALL"])
        self.assertEqual(lull["security_opt"], ["no-new-privileges:true"])
        self.assertTrue({"mem_limit", "pids_limit", "restart"} <= set(lull))
        self.assertFalse({"ports", "user", "privileged", "network_mode"} & set(lull))
        self.assertIn("lull:/data", lull["volumes"])
        context = os.path.join(source("contrib", "compose"), lull["build"])
        self.assertTrue(os.path.exists(os.path.join(context, "Dockerfile")))

    @every_file
    def test_open_webui_goes_through_lull_and_says_what_it_asks_for(self, _, document):
        values = self.effective(document)
        webui = document["services"]["open-webui"]["environment"]
        self.assertLessEqual(set(webui), WEBUI_NAMES)  # no ENABLE_PERSISTENT_CONFIG: it undoes Admin Settings
        kinds = {"OLLAMA": ("OLLAMA_BASE_URLS", "http://lull:11435"),
                 "OPENAI": ("OPENAI_API_BASE_URLS", "http://lull:11435/v1")}
        used = [k for k, (name, _) in kinds.items() if name in webui]
        self.assertEqual(len(used), 1)
        self.assertEqual(webui[kinds[used[0]][0]], kinds[used[0]][1])
        other = "OPENAI" if used == ["OLLAMA"] else "OLLAMA"
        self.assertEqual(webui[f"ENABLE_{other}_API"], "False")
        headers = json.loads(webui[f"{used[0]}_API_CONFIGS"])["0"]["headers"]
        self.assertEqual(headers, {values["server." + k][0]: v for k, v in HEADERS.items()})

    @every_file
    def test_volumes_are_declared_and_used(self, _, document):
        named = {v.split(":")[0] for s in document["services"].values() for v in s.get("volumes", [])}
        self.assertEqual({n for n in named if not n.startswith((".", "/"))}, set(document["volumes"]))

    @every_file
    def test_secrets_and_models_stay_out_of_git(self, _, document):
        files = [s["file"] for s in document.get("secrets", {}).values()]
        files += [v.split(":")[0] + "/x" for s in document["services"].values() for v in s.get("volumes", [])
                  if v.startswith("./") and v != "./etc-lull:/etc/lull:ro"]
        for path in files:
            folder = os.path.normpath(os.path.join("contrib/compose", os.path.dirname(path)))
            self.assertIn(f"/{folder}/\n", read(".gitignore"))


if __name__ == "__main__":
    main()
