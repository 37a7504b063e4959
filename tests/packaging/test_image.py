#!/usr/bin/env python3
"""The image without a container tool: what the Dockerfile says, and the tree that contrib/image/collect.sh
lays out, with the programs run in it (chroot)."""
import os
import re
import shutil
import tempfile
import unittest

from common import BUILD, SANITIZED, SOURCE, environment, main, must, read, run, source, version

LARGEST = 30_000_000
PROCESSORS = r"x86_64|aarch64|amd64|arm64|linux-gnu"


def instructions(text):
    """(word, rest) of each instruction, comments and line ends taken away."""
    text = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


class Dockerfile(unittest.TestCase):
    def setUp(self):
        everything = instructions(read("Dockerfile"))
        last = max(i for i, (word, _) in enumerate(everything) if word == "FROM")
        self.build, self.final = everything[:last], everything[last:]

    def rest(self, word):
        return [rest for w, rest in self.final if w == word]

    def test_the_final_stage(self):
        self.assertEqual(self.final[0], ("FROM", "scratch"))
        self.assertEqual(self.rest("RUN"), [])
        self.assertEqual(self.rest("ENV"), [], "a mounted file must count")
        self.assertTrue(all(rest.startswith("--from=build ") for rest in self.rest("COPY")))
        self.assertRegex(self.rest("USER")[0], r"^[1-9][0-9]*:[1-9][0-9]*$")
        self.assertEqual(self.rest("STOPSIGNAL"), ["SIGTERM"])
        self.assertEqual(self.rest("ENTRYPOINT"), ['["/usr/bin/lulld"]'])
        self.assertTrue(self.rest("HEALTHCHECK")[0].endswith('CMD ["/usr/bin/lullctl", "health"]'))
        labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", " ".join(self.rest("LABEL"))))
        self.assertLessEqual({"title", "description", "licenses", "version", "revision"}, labels)

    def test_one_file_for_every_processor(self):
        for word, rest in self.build + self.final:
            self.assertNotRegex(f"{word} {rest}", PROCESSORS)
        code = re.sub(r"(?m)^\s*#.*$", "", read("contrib", "image", "collect.sh"))
        self.assertNotRegex(code, PROCESSORS)

    def test_the_context_has_what_is_copied(self):
        let_in = re.findall(r"(?m)^!(.+)$", read(".dockerignore"))
        for word, rest in self.build:
            if word == "COPY":
                for path in rest.split()[:-1]:
                    self.assertIn(path, let_in)
                    self.assertTrue(os.path.exists(source(path)))

    def test_the_user_is_the_one_that_collect_makes(self):
        uid = self.rest("USER")[0].split(":")[0]
        self.assertIn(f"lull:x:{uid}:{uid}:", read("contrib", "image", "collect.sh"))
        self.assertEqual([r for r in self.rest("COPY") if "--chown" in r and f"--chown={uid}:{uid}" not in r], [])


class Tree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if SANITIZED or shutil.which("dpkg-query") is None:
            raise unittest.SkipTest("built with sanitizers, or not Debian")
        cls.folder = tempfile.TemporaryDirectory()
        must("sh", os.path.join(SOURCE, "contrib/image/collect.sh"), BUILD, cls.folder.name)
        cls.root = os.path.join(cls.folder.name, "root")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def files(self):
        for base, _, names in os.walk(self.root):
            for name in names:
                yield os.path.relpath(os.path.join(base, name), self.root)

    def test_nothing_but_lull_and_what_it_loads(self):
        allowed = re.compile(
            r"usr/bin/lull(d|ctl)$|(usr/)?lib(64)?/.*\.so[.\d]*$|etc/(passwd|group|nsswitch\.conf|lull/lull\.conf"
            r"|ssl/certs/ca-certificates\.crt)$|usr/share/doc/[^/]+/copyright$|var/lib/dpkg/status\.d/")
        self.assertEqual([f for f in self.files() if not allowed.match(f)], [])

    def test_size(self):
        size = sum(os.path.getsize(os.path.join(self.root, f)) for f in self.files())
        print(f"{size} bytes")
        self.assertLess(size, LARGEST)

    def test_every_library_has_its_package_and_licence(self):
        libraries = [f for f in self.files() if ".so" in f]
        packages = os.listdir(os.path.join(self.root, "var/lib/dpkg/status.d"))
        self.assertGreater(len(packages), 5)
        self.assertGreater(len(libraries), len(packages) - 1)
        for name in ("libcurl4", "libssl3", "libc6"):
            self.assertTrue(any(p.startswith(name) for p in packages), name)

    def test_a_diversion_is_no_package(self):
        """Debian 13's libc6 diverts the loader's old name, and dpkg-query says so first."""
        with tempfile.TemporaryDirectory() as folder:
            fake = os.path.join(folder, "dpkg-query")
            with open(fake, "w", encoding="ascii") as f:
                f.write('#!/bin/sh\n[ "$1" != -S ] || echo "diversion by libc6 from: $2"\n'
                        f'exec {shutil.which("dpkg-query")} "$@"\n')
            os.chmod(fake, 0o755)
            must("sh", os.path.join(SOURCE, "contrib/image/collect.sh"), BUILD, folder,
                 env=environment(PATH=folder + os.pathsep + os.environ["PATH"]))
            self.assertEqual(sorted(os.listdir(os.path.join(folder, "root/var/lib/dpkg/status.d"))),
                             sorted(os.listdir(os.path.join(self.root, "var/lib/dpkg/status.d"))))

    def test_the_programs_run_in_it(self):
        if os.geteuid() != 0:
            self.skipTest("chroot needs root")
        for program in ("lulld", "lullctl"):
            self.assertEqual(must("chroot", self.root, f"/usr/bin/{program}", "--version"), f"{program} {version()}\n")
        env = {"PATH": os.environ["PATH"], "LULL_UPSTREAM": "http://ollama:11434"}
        text = must("chroot", "--userspec=11435:11435", self.root, "/usr/bin/lulld", "--print-config", env=env)
        for line in ("server.listen = 0.0.0.0:11435  (/etc/lull/lull.conf:", "server.data_dir = /data  (/etc",
                     "server.control = /run/lull/control.sock  (/etc", "upstream.default.url = http://ollama:11434  (env"):
            self.assertIn("\n" + line, "\n" + text)
        gone = run("chroot", "--userspec=11435:11435", self.root, "/usr/bin/lullctl", "health", env=env)
        self.assertEqual(gone.returncode, 3)

    def test_owned_folders(self):
        own = os.path.join(self.folder.name, "own")
        self.assertEqual(os.stat(os.path.join(own, "data")).st_mode & 0o7777, 0o700)
        self.assertEqual(os.stat(os.path.join(own, "run/lull")).st_mode & 0o7777, 0o750)


if __name__ == "__main__":
    main()
