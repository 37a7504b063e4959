"""docs.snippets: every fenced block of the pages has a tag, and each tag one treatment:

  conf   a lull.conf: lulld --check must find nothing wrong in it. A block that begins with "# ..." is a
         fragment and is completed with an [upstream default]
  sh     every command is run (commands.py)
  env    lull's variables by lulld --check, Open WebUI's by the list in names.py; values that are JSON are read
  yaml   a part of a compose file: services, keys and variables that contrib/compose has too
  ini    a drop-in for lulld.service: by systemd-analyze verify, where there is one; its variables by lulld --check
  json   is read; headers for Open WebUI's connections must be those that lull reads
  text   output: only its names are looked at
"""
import json
import os
import re
import shutil
import subprocess
import tempfile

import commands
import compose
import names
from pages import SOURCE, read_pages

FRAGMENT = "# ..."
KNOWN = ("conf", "env", "yaml", "ini", "json", "text")  # and sh
UPSTREAM = "[upstream default]\nurl = http://127.0.0.1:11434\n"


def headers_of_lull():
    with open(os.path.join(SOURCE, "include/lull/config/options.def"), encoding="utf-8") as f:
        found = re.findall(r'^OPTION\(SERVER, "(?:task|user|chat)_header", HEADER, \w+, "([^"]+)"', f.read(), re.M)
    assert len(found) == 3, "options.def is not read any more"
    return dict(zip(found, ("{{TASK}}", "{{USER_ID}}", "{{CHAT_ID}}")))


class Checker:
    def __init__(self, lulld, folder):
        self.lulld, self.folder, self.count = lulld, folder, 0

    def scratch(self, text):
        self.count += 1
        path = os.path.join(self.folder, f"{self.count}.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def lulld_check(self, text, environment=()):
        """What lulld --check says about a file and an environment."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("LULL_")}
        return subprocess.run(
            [self.lulld, "-c", self.scratch(text), "--data-dir", os.path.join(self.folder, "data"), "--check"],
            capture_output=True, text=True, timeout=20, check=False, env={**env, **dict(environment)})

    # -- conf ------------------------------------------------------------------------------------
    def conf(self, block):
        text = re.sub(r"(?m)^(\w+_file = ).*$", lambda m: m.group(1) + self.scratch("sk-test\n"), block.text)
        if block.lines and block.lines[0].strip() == FRAGMENT and "[upstream default]" not in text:
            text += UPSTREAM
        done = self.lulld_check(text)
        out = []
        for said in done.stderr.splitlines():
            m = re.match(r".*\.conf:(\d+): (.*)", said)
            line = block.line + min(int(m.group(1)), len(block.lines)) - 1 if m else block.line
            out.append((block.page.path, line, "lulld --check: " + (m.group(2) if m else said)))
        if done.returncode != 0 and not out:
            out.append((block.page.path, block.line, f"lulld --check ended with {done.returncode}"))
        return out

    # -- env -------------------------------------------------------------------------------------
    def variables(self, page, line, given):
        """given: {name: value} of lull and of Open WebUI."""
        out = []
        ours = {k: v for k, v in given.items() if k.startswith("LULL_")}
        for name, value in ours.items():
            if value.startswith("/run/secrets/"):
                ours[name] = self.scratch("sk-test\n")
        if ours:
            if not any(k.startswith("LULL_UPSTREAM") for k in ours):
                ours["LULL_UPSTREAM"] = "http://127.0.0.1:11434"
            done = self.lulld_check("", ours)
            if done.returncode != 0 or done.stderr:
                out.append((page.path, line, "lulld --check: " + done.stderr.strip()))
        for name, value in given.items():
            if name.startswith("LULL_"):
                continue
            if name not in names.WEBUI:
                out.append((page.path, line, f"{name} is not in the list of Open WebUI's variables"))
            if name.endswith("_CONFIGS"):
                out += self.connections(page, line, value)
        return out

    def connections(self, page, line, value):
        try:
            document = json.loads(value)
        except ValueError as error:
            return [(page.path, line, f"not JSON: {error}")]
        return [(page.path, line, f"connection {n}: other headers than lull reads: {c.get('headers')}")
                for n, c in document.items() if c.get("headers") != headers_of_lull()]

    def env(self, block):
        out = []
        for i, text in enumerate(block.lines):
            if not text.strip() or text.startswith("#"):
                continue
            m = re.match(r"^([A-Z][A-Z0-9_]*)=(.*)$", text)
            value = m.group(2) if m else ""
            if m and value.startswith("'") and value.endswith("'"):
                value = value[1:-1]
            elif not m or re.search(r"[\s;&|<>\"'$]", value):
                out.append((block.page.path, block.line + i, "not NAME=VALUE or NAME='VALUE'"))
                continue
            out += self.variables(block.page, block.line + i, {m.group(1): value})
        return out

    # -- yaml, json ------------------------------------------------------------------------------
    def yaml(self, block):
        path, line = block.page.path, block.line
        try:
            document = compose.load(block.text)
        except compose.Wrong as wrong:
            return [(path, line + wrong.args[0], wrong.args[1])]
        out = [(path, line, f"the top of a compose file has no {k} here")
               for k in document if k not in ("services", "volumes")]
        used = {v.split(":")[0] for s in compose.services(document).values() for v in s.get("volumes") or []}
        declared = set(document.get("volumes") or [])
        out += [(path, line, f"the volume {v} is not declared, or not used")
                for v in {v for v in used if not v.startswith((".", "/"))} ^ declared]
        for name, service in compose.services(document).items():
            known = compose.known_keys(name)
            if known is None:
                out.append((path, line, f"no file of contrib/compose has a service {name}"))
                continue
            out += [(path, line, f"{name}: no file of contrib/compose has the key {k}")
                    for k in service if k not in known]
            given = service.get("environment") or {}
            out += self.variables(block.page, line, {k: compose.interpolate(v) for k, v in given.items()})
        return out

    # -- ini ------------------------------------------------------------------------------------
    def ini(self, block):
        path, line, out, ours, credentials = block.page.path, block.line, [], {}, set()
        for text in block.lines:
            key, _, value = text.partition("=")
            if key == "LoadCredential":
                credentials.add(value.partition(":")[0])
            elif key == "Environment":
                name, _, value = value.partition("=")
                ours[name] = value
        for name, value in ours.items():
            if value.startswith("%d/"):
                if value[3:] not in credentials:
                    out.append((path, line, f"{name}: no LoadCredential={value[3:]}"))
                ours[name] = self.scratch("sk-test\n")
        for upstream in {m[1] for m in (re.match(r"LULL_UPSTREAM_([A-Z0-9]+)_API_KEY", n) for n in ours) if m}:
            ours[f"LULL_UPSTREAM_{upstream}_URL"] = "https://api.example.org/v1"
        out += self.variables(block.page, line, {**ours, "LULL_UPSTREAM": "http://127.0.0.1:11434"})
        return out + [(path, line, "systemd-analyze: " + said) for said in self.verify(block.text)]

    def verify(self, drop_in):
        """What systemd says about the unit with this drop-in."""
        if shutil.which("systemd-analyze") is None:
            return []
        folder = tempfile.mkdtemp(dir=self.folder)
        unit = os.path.join(folder, "lulld.service")
        os.mkdir(unit + ".d")
        with open(os.path.join(SOURCE, "contrib/systemd/lulld.service.in"), encoding="utf-8") as f:
            text = f.read().replace("@LULLD@", self.lulld).replace("@LULLCTL@", self.lulld)
        for name, content in ((unit, text), (unit + ".d/docs.conf", drop_in)):
            with open(name, "w", encoding="utf-8") as f:
                f.write(content)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True,
                              timeout=60, check=False)
        return [said.replace(folder + "/", "") for said in (done.stdout + done.stderr).splitlines() if folder in said]

    def json(self, block):
        try:
            document = json.loads(block.text)
        except ValueError as error:
            return [(block.page.path, block.line, f"not JSON: {error}")]
        ours = headers_of_lull()
        if isinstance(document, dict) and any(k.lower().startswith("x-openwebui") for k in document):
            if document != ours:
                return [(block.page.path, block.line, f"other headers than lull reads: {sorted(ours)}")]
        return []

    def text(self, _):
        return []

    def check(self, page):
        out = list(page.findings)
        for block in page.blocks:
            if block.tag == "sh":
                continue
            treatment = getattr(self, block.tag, None) if block.tag in KNOWN else None
            if treatment is None:
                out.append((page.path, block.line - 1, f"a block with the tag {block.tag or '(none)'}: "
                            f"sh, {', '.join(KNOWN)} are known"))
            else:
                out += treatment(block)
        return out


def check(root, lulld, lullctl, folders):
    pages = read_pages(root)
    out = names.check(pages, commands.verbs(lullctl))
    with tempfile.TemporaryDirectory(prefix="lull-docs-") as folder:
        checker = Checker(lulld, folder)
        for page in pages.values():
            out += checker.check(page)
    for page in pages.values():
        out += commands.check(page, lulld, lullctl, folders)
    return out
