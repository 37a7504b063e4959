"""sh blocks. Every command is run by bash in a folder of its own, with the real lulld, lullctl and curl, against a
lulld that stands in front of a scripted model server and has answers in its cache. The addresses and paths
of the pages are replaced by the test's own.

What cannot run in a test is checked otherwise, and there is a closed list of it: docker (the compose file, its
services, its volumes; the options of build, network and run), systemctl (the units in contrib/systemd), apt-get (what
contrib/ makes or names), cd and contrib/… (they are there). A command that is in neither list is an error.
"""
import functools
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time

import compose
import names
from pages import SOURCE

sys.path.insert(0, os.path.join(SOURCE, "tests", "integration"))

RUN = {"lulld", "lullctl", "build/lulld", "build/lullctl", "curl", "cat", "ls", "mv", "rm", "mkdir", "install", "printf", "chmod"}
TOUCH = {"cat", "ls", "mv", "rm", "mkdir", "install", "chmod"}  # their paths must be the test's own
ENDS_BY_ITSELF = {"-t", "--check", "--print-config", "--help-config", "-h", "--help", "-V", "--version"}  # of lulld
BREAKS = {"|", "&&", "||", ";"}
UPSTREAMS = ("default", "big")
DOCKER_RUN = {"-d", "--read-only"}  # options of docker run without a value; those with one:
DOCKER_RUN_VALUE = {"--name", "--network", "--restart", "--add-host", "--stop-timeout", "-e", "-v", "--cap-drop"}
LIMIT = 20
counts = {"run": 0, "checked otherwise": 0}  # commands, for the last line of the test


class Wrong(Exception):
    """What is wrong with a command."""


@functools.lru_cache(None)
def verbs(lullctl):
    """The verbs of lullctl --help."""
    text = subprocess.run([lullctl, "--help"], capture_output=True, text=True, timeout=10, check=False).stdout
    found = set(re.findall(r"^  ([a-z]+) ", text, re.M))
    assert "stats" in found, "lullctl --help is not read any more"
    return frozenset(found)


# -- taking a block apart ------------------------------------------------------------------------------
def commands_of(block):
    """[(line, text)]: continued lines and here-documents belong to their command."""
    out, lines, i = [], block.lines, 0
    while i < len(lines):
        first, text = i, lines[i]
        while text.endswith("\\") and i + 1 < len(lines):
            i += 1
            text += "\n" + lines[i]
        mark = re.search(r"<<'(\w+)'", text)
        while mark and i + 1 < len(lines):
            i += 1
            text += "\n" + lines[i]
            if lines[i] == mark.group(1):
                break
        i += 1
        if text.strip() and not text.strip().startswith("#"):
            out.append((block.line + first, text))
    return out


def simple_commands(text):
    """[[word …]] of the first line (a here-document left out); redirections are [">", file] in place."""
    head = re.sub(r"<<'\w+'.*", "", text, flags=re.S) if "<<'" in text else text
    lexer = shlex.shlex(head.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    out = [[]]
    try:
        for word in lexer:
            if word in BREAKS:
                out.append([])
            else:
                out[-1].append(word)
    except ValueError as error:
        raise Wrong(str(error)) from None
    return [c for c in out if c]


# -- what is checked otherwise -------------------------------------------------------------------------
def need_file(path, what):
    if not os.path.exists(os.path.join(SOURCE, path)):
        raise Wrong(f"{what}: there is no {path}")
    return path


class Elsewhere:
    """The commands that cannot run here. folder: where cd has led, relative to the source. own_services: of the
    reader's own compose file, which the page adds to; docker compose means it where no cd and no -f say another."""

    def __init__(self, own_services=()):
        self.folder, self.own_services = "", own_services

    def cd(self, words):
        self.folder = os.path.normpath(os.path.join(self.folder, words[1]))
        if not os.path.isdir(os.path.join(SOURCE, self.folder)):
            raise Wrong(f"there is no folder {self.folder}")

    def docker(self, words):
        if words[1:3] == ["volume", "rm"]:
            projects = [(d.get("name"), d.get("volumes") or {}) for d in compose.files().values()]
            if words[3] not in {f"{name}_{volume}" for name, volumes in projects for volume in volumes}:
                raise Wrong(f"no file of contrib/compose makes a volume {words[3]}")
            return None
        if words[1:2] == ["build"]:
            if words[2:4] != ["-t", "lull"] or not os.path.exists(os.path.join(SOURCE, self.folder, words[4], "Dockerfile")):
                raise Wrong("docker build -t lull FOLDER, with a Dockerfile in it")
            return None
        if words[1:2] == ["network"]:
            if words[2] not in ("create", "connect") or words[3] != "lull":
                raise Wrong("docker network create|connect lull is known here")
            return None
        if words[1:2] == ["run"]:
            return self.docker_run(words[2:])
        if words[1:2] != ["compose"]:
            raise Wrong(f"docker {words[1]} is not known here")
        rest, path = words[2:], "compose.yaml"
        if self.folder == "" and rest[:1] != ["-f"] and self.own_services:
            return self.compose("the page's compose file", self.own_services, rest)
        if rest[:1] == ["-f"]:
            path, rest = rest[1], rest[2:]
        path = need_file(os.path.normpath(os.path.join(self.folder, path)), "docker compose")
        if os.path.dirname(path) != "contrib/compose":
            raise Wrong(f"docker compose: no compose file in {os.path.dirname(path) or 'the root'}")
        name = os.path.basename(path)
        return self.compose(name, compose.services(compose.files()[name]), rest)

    def docker_run(self, rest):
        """The image must be lull's, the volume where it keeps its data, the variables those that lulld knows."""
        while rest and rest[0].startswith("-"):
            if rest[0] not in DOCKER_RUN | DOCKER_RUN_VALUE:
                raise Wrong(f"docker run {rest[0]} is not known here")
            if rest[0] == "-v" and rest[1] != "lull:/data":
                raise Wrong("the image keeps its data in /data")
            if rest[0] == "-e" and not names.is_lull_variable(rest[1].partition("=")[0]):
                raise Wrong(f"{rest[1]} is no variable of lull")
            rest = rest[1:] if rest[0] in DOCKER_RUN else rest[2:]
        if rest != ["lull"]:
            raise Wrong("docker run … lull: the image, and nothing behind it")

    def compose(self, name, services, rest):
        verb, rest = rest[0], [w for w in rest[1:] if w not in ("-d", "-f")]
        if verb not in ("up", "down", "exec", "logs", "restart", "pull", "build"):
            raise Wrong(f"docker compose {verb} is not known here")
        named = rest[:1] if verb == "exec" else rest
        for service in named:
            if service not in services:
                raise Wrong(f"{name} has no service {service}")
        if verb != "exec":
            return None
        if rest[0] == "lull" and rest[1] in ("lullctl", "lulld"):
            return rest[1:]  # the image has nothing else; run it
        if rest[0] == "ollama" and rest[1] == "ollama":
            return None
        raise Wrong(f"{rest[1]} is not in the image of {rest[0]}")

    def systemctl(self, words):
        verb, units = words[1], [w for w in words[2:] if w != "--now"]
        if verb not in ("enable", "disable", "start", "stop", "restart", "reload", "status", "edit") or not units:
            raise Wrong(f"systemctl {verb} is not known here")
        for unit in units:
            unit = unit if "." in unit else unit + ".service"
            folder = os.path.join(SOURCE, "contrib/systemd")
            if not {unit, unit + ".in"} & set(os.listdir(folder)):
                raise Wrong(f"contrib/systemd has no {unit}")

    def sudoedit(self, words):
        if os.path.dirname(words[1]) != "/etc/lull":
            raise Wrong(f"sudoedit {words[1]}: only files of /etc/lull are known here")

    def apt_get(self, words):
        packages = [w for w in words[2:] if not w.startswith("-")]
        if words[1] != "install" or not packages:
            raise Wrong("apt-get install PACKAGE is known here")
        with open(os.path.join(SOURCE, "contrib/setup/packages.sh"), encoding="utf-8") as f:
            known = set(re.findall(r"[a-z0-9.+-]+", f.read()))
        for package in packages:
            if package != "./build-deb/lull_*.deb" and package not in known:
                raise Wrong(f"nothing here makes or names the package {package}")

    def script(self, words):
        path = need_file(os.path.normpath(os.path.join(self.folder, words[0])), "a script")
        if not os.stat(os.path.join(SOURCE, path)).st_mode & stat.S_IXUSR:
            raise Wrong(f"{path} cannot be executed")
        if os.path.basename(path) == "run.sh" and not all(re.match(r"(https?://|unix:)", w) for w in words[1:2]):
            raise Wrong(f"{path} takes a URL first")

    def look(self, words):
        """None: not of this family. Else (command to run, or None)."""
        word = words[1] if words[0] == "sudo" else words[0]
        rest = words[words.index(word):]
        family = {"cd": self.cd, "docker": self.docker, "systemctl": self.systemctl, "sudoedit": self.sudoedit,
                  "apt-get": self.apt_get}.get(word, self.script if word.startswith("contrib/") else None)
        if family is None:
            return None
        return (family(rest),)


# -- what is run ---------------------------------------------------------------------------------------
class Shop:
    """A folder, the programs under their names, and a lulld with something in its cache."""

    def __init__(self, lulld, lullctl, folder):
        from lull import Lull, free_port  # imported late: lull.py wants LULL_BIN_DIR
        from upstream import Upstream, say
        self.folder, self.lulld, self.free_port = folder, lulld, free_port
        self.work = os.path.join(folder, "work")
        self.decoy = os.path.join(folder, "var-lib-lull")  # what the pages call /var/lib/lull
        home, etc = os.path.join(folder, "lull"), os.path.join(folder, "etc")
        for path in (self.work, self.decoy, home, etc, os.path.join(folder, "bin"), os.path.join(self.work, "build")):
            os.makedirs(path)
        self.up = Upstream()
        self.up.when(lambda e: e.kind == "chat" and b"title" in e.body, say('{"title": "Hello"}'))
        self.up.when(lambda e: e.kind == "chat" and b"apple tree" in e.body, say("It depends."))
        self.lull = Lull({name: self.up for name in UPSTREAMS}, folder=home)
        self.program("lullctl", f'export LULL_SERVER_CONTROL={self.lull.control_path}\nexec "{lullctl}" "$@"')
        self.program("lulld", f'exec "{lulld}" -c {self.lull.config_path} --data-dir {folder}/other "$@"')
        for name in ("lulld", "lullctl"):  # as contrib/setup/run.sh leaves them in a checkout
            os.symlink(os.path.join(folder, "bin", name), os.path.join(self.work, "build", name))
        self.program("sudo", 'exec "$@"')
        curl = shutil.which("curl")
        if curl is None or os.environ.get("LULL_DOCS_OWN_CURL"):
            curl = f'{sys.executable}" -B "{os.path.join(os.path.dirname(os.path.abspath(__file__)), "curl.py")}'
        self.program("curl", f'exec "{curl}" --fail "$@"')
        self.replace = [("/run/lull/control.sock", self.lull.control_path), ("/etc/lull/lull.conf", self.lull.config_path),
                        ("/etc/lull/", etc + "/"), ("/var/lib/lull", self.decoy), ("127.0.0.1:11435", f"127.0.0.1:{self.lull.port}"),
                        ("http://127.0.0.1:11434", self.up.url)]
        self.seed()

    def program(self, name, text):
        path = os.path.join(self.folder, "bin", name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o755)

    def seed(self):
        """Files that the pages name, a chat, and the answers to its tasks in the cache."""
        from prompts import body, chat_body
        for name in ("data.mdb", "lock.mdb"):
            with open(os.path.join(self.decoy, name), "w", encoding="ascii"):
                pass
        if not os.path.exists(os.path.join(self.work, "request.json")):
            with open(os.path.join(self.work, "request.json"), "w", encoding="utf-8") as f:
                f.write(body("title", "How do I prune an apple tree?"))
        with self.lull.client() as c:
            r = c.post("/v1/chat/completions", chat_body("How do I prune an apple tree?", tools=False))
            assert r.status == 200, r
            for kind in ("title", "tags", "query"):
                r = c.post("/v1/chat/completions", body(kind, "How do I prune an apple tree?"))
                assert r.status == 200, r
        self.lull.committed()

    def an_id(self):
        for _ in range(2):
            entries = json.loads(self.lull.ctl("--json", "ls").stdout)["entries"]
            if entries:
                return entries[0]["id"]
            self.seed()
        raise Wrong("nothing is in the cache")

    def own(self, text):
        for theirs, ours in self.replace:
            text = text.replace(theirs, ours)
        return re.sub(r"\bID\b", lambda _: self.an_id(), text)

    def inside(self, path):
        return os.path.realpath(os.path.join(self.work, path)).startswith(os.path.realpath(self.folder) + "/")

    def admit(self, commands):
        """Whether these simple commands may run here."""
        for words in commands:
            words = words[1:] if words[0] == "sudo" else words
            if words[0] not in RUN:
                raise Wrong(f"{words[0]} is not known: neither run nor checked by the test")
            for i, word in enumerate(words):
                is_path = i > 0 and (words[0] in TOUCH or words[i - 1] in (">", "<", "-o"))
                if is_path and not word.startswith("-") and word != "/dev/null" and not self.inside(word):
                    raise Wrong(f"{word} is outside of the test")

    def run(self, text):
        text = self.own(text)
        commands = simple_commands(text)
        self.admit(commands)
        if len(commands) == 1 and commands[0][0] == "lulld" and not set(commands[0]) & ENDS_BY_ITSELF:
            self.foreground(commands[0][1:])
            return
        env = {k: v for k, v in os.environ.items()
               if not k.startswith("LULL_") and not k.lower().endswith("_proxy")}
        env["PATH"] = os.path.join(self.folder, "bin") + ":" + env.get("PATH", "")
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=self.work, env=env, timeout=LIMIT,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", check=False)
        if done.returncode != 0:
            raise Wrong(f"ended with {done.returncode}: {done.stdout.strip()[-400:]}")

    def foreground(self, arguments):
        """A lulld that stays in the foreground: it must become ready, and end well when asked."""
        from client import Client, Cut
        control = os.path.join(self.folder, "second.sock")
        process = subprocess.Popen(
            [self.lulld, "-c", "/dev/null", "--listen", f"127.0.0.1:{self.free_port()}", "--control", control,
             "--data-dir", os.path.join(self.folder, "second")] + arguments, cwd=self.work,
            env={k: v for k, v in os.environ.items() if not k.startswith("LULL_")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ready, end = False, time.monotonic() + LIMIT
        while not ready and process.poll() is None and time.monotonic() < end:
            try:
                with Client(control) as c:
                    ready = c.get("/readyz").status == 200
            except (OSError, Cut):
                time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        out = process.communicate(timeout=LIMIT)[0]
        if not ready or process.returncode != 0:
            raise Wrong(f"lulld ended with {process.returncode}: {out[-400:]}")

    def close(self):
        self.lull.cleanup()
        self.up.stop()


def check_block(shop, elsewhere, block, out):
    for line, text in commands_of(block):
        try:
            commands = simple_commands(text)
            found = elsewhere.look(commands[0]) if len(commands) == 1 else None
            counts["run" if found is None or found[0] else "checked otherwise"] += 1
            if found is None:
                shop.run(text)
            elif found[0] is not None:
                shop.run(shlex.join(found[0]))
        except Wrong as wrong:
            out.append((block.page.path, line, f"{text.splitlines()[0]}: {wrong}"))
        except subprocess.TimeoutExpired:
            out.append((block.page.path, line, f"{text.splitlines()[0]}: does not end within {LIMIT} s"))
        except IndexError:
            out.append((block.page.path, line, f"{text.splitlines()[0]}: something is missing"))


def own_services(page):
    """The services that the page's yaml blocks have; snippets.py reports a block that cannot be read."""
    out = set()
    for block in page.blocks:
        if block.tag == "yaml":
            try:
                out |= set(compose.services(compose.load(block.text)))
            except compose.Wrong:
                pass
    return out


def check(page, lulld, lullctl, folders):
    """folders(): a new folder. One lulld for each page that has commands."""
    blocks, out = [b for b in page.blocks if b.tag == "sh"], []
    own = own_services(page)
    if not blocks:
        return out
    shop = Shop(lulld, lullctl, folders())
    try:
        elsewhere = section = None
        for block in blocks:
            if block.section != section:  # cd holds until the next heading
                elsewhere, section = Elsewhere(own), block.section
            check_block(shop, elsewhere, block, out)
    finally:
        shop.close()
    return out
