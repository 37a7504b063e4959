#!/usr/bin/env python3
"""`cmake --install` with DESTDIR: the installed files; an edited lull.conf stays; manual pages that groff
formats without a warning; the same version everywhere; hardened programs."""
import glob
import os
import re
import shutil
import tempfile
import unittest

from common import BUILD, SANITIZED, SOURCE, environment, main, must, read, run, version

FILES = {
    "bin/lulld", "bin/lullctl", "lib/systemd/system/lulld.service", "lib/systemd/system/lulld.socket",
    "share/man/man1/lullctl.1", "share/man/man5/lull.conf.5", "share/man/man8/lulld.8",
    "share/doc/lull/README.md", "share/doc/lull/CHANGELOG.md", "share/doc/lull/LICENSE",
    "share/lull/open-webui-setup",
    "share/bash-completion/completions/lullctl", "share/zsh/vendor-completions/_lullctl",
    "share/fish/vendor_completions.d/lullctl.fish",
}


class Install(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = self.folder.name
        self.addCleanup(self.folder.cleanup)

    def install(self):
        must("cmake", "--install", BUILD, env=environment(DESTDIR=self.root))
        out = set()
        for base, _, names in os.walk(self.root):
            out |= {os.path.relpath(os.path.join(base, n), self.root) for n in names}
        return out

    def prefix(self):
        with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as f:
            return re.search(r"^CMAKE_INSTALL_PREFIX:PATH=/(.*)$", f.read(), re.M)[1]

    def test_what_lands_where(self):
        expected = {os.path.join(self.prefix(), f) for f in FILES} | {"etc/lull/lull.conf"}
        self.assertEqual(self.install(), expected)
        lulld = os.path.join(self.root, self.prefix(), "bin", "lulld")
        self.assertTrue(os.access(lulld, os.X_OK))
        with open(os.path.join(self.root, self.prefix(), "lib/systemd/system/lulld.service"),
                  encoding="utf-8") as f:
            self.assertIn(f"ExecStart=/{self.prefix()}/bin/lulld\n", f.read())

    def test_the_units_are_there_again_after_a_removal(self):
        """apt-get remove, then install: what the removal masked is not."""
        if shutil.which("deb-systemd-helper") is None:
            self.skipTest("deb-systemd-helper is not installed")
        self.install()
        units = os.path.join(self.root, "lib/systemd/system")
        if not os.path.isdir(units):
            shutil.copytree(os.path.join(self.root, self.prefix(), "lib/systemd/system"), units)
        script = os.path.join(SOURCE, "contrib", "packaging", "deb")
        env = environment(DPKG_ROOT=self.root, DPKG_MAINTSCRIPT_PACKAGE="lull")
        links = [os.path.join(self.root, "etc/systemd/system", unit) for unit in ("lulld.service", "lulld.socket")]
        os.makedirs(os.path.dirname(links[0]))
        must("sh", os.path.join(script, "postrm"), "remove", env=env)
        self.assertEqual([os.path.islink(link) for link in links], [True, True])
        must("sh", os.path.join(script, "postinst"), "configure", "", env=env)
        self.assertEqual([os.path.lexists(link) for link in links], [False, False])

    def test_an_edited_file_stays(self):
        self.install()
        conf = os.path.join(self.root, "etc/lull/lull.conf")
        with open(conf, encoding="utf-8") as f:
            self.assertEqual(f.read(), read("conf", "lull.conf"))
        with open(conf, "w", encoding="utf-8") as f:
            f.write("# mine\n")
        self.install()
        with open(conf, encoding="utf-8") as f:
            self.assertEqual(f.read(), "# mine\n")


class Pages(unittest.TestCase):
    def test_groff_takes_them(self):
        if shutil.which("groff") is None:
            self.skipTest("groff is not installed")
        for page in glob.glob(os.path.join(SOURCE, "docs", "man", "*.[158]")):
            self.assertEqual(run("groff", "-man", "-ww", "-z", "-Tutf8", page).stdout, "", page)


class Version(unittest.TestCase):
    def test_the_programs_say_it(self):
        for program in ("lulld", "lullctl"):
            self.assertEqual(must(os.path.join(BUILD, program), "--version"), f"{program} {version()}\n")

    def test_the_changelog_begins_with_it(self):
        self.assertEqual(re.search(r"^## (\S+)", read("CHANGELOG.md"), re.M)[1], version())

    def test_it_stands_in_one_place(self):
        found = set()
        for base, folders, names in os.walk(SOURCE):
            folders[:] = [d for d in folders if d not in (".git", "__pycache__", "node_modules", "tests")
                          and not d.startswith(("build", "e2e-work"))]
            for name in names:
                path = os.path.relpath(os.path.join(base, name), SOURCE)
                with open(os.path.join(SOURCE, path), encoding="utf-8", errors="replace") as f:
                    if re.search(rf"(?<![\d.]){re.escape(version())}(?![\d.])", f.read()):
                        found.add(path)
        self.assertEqual(found, {"CMakeLists.txt", "CHANGELOG.md"})


class Hardened(unittest.TestCase):
    def test_programs(self):
        if SANITIZED or shutil.which("readelf") is None:
            self.skipTest("built with sanitizers, or no readelf")
        for program in ("lulld", "lullctl"):
            text = must("readelf", "-W", "-h", "-l", "-d", "-s", os.path.join(BUILD, program))
            self.assertRegex(text, r"Type:\s+DYN", "position independent")
            self.assertIn("GNU_RELRO", text)
            self.assertRegex(text, r"BIND_NOW|FLAGS.*\bNOW\b")
            self.assertRegex(text, r"GNU_STACK.*\bRW \s", "the stack cannot be executed")
            self.assertIn("__stack_chk_fail", text)
            self.assertRegex(text, r"__\w+_chk@", "fortified")
            self.assertNotRegex(text, r"\(RUNPATH\)|\(RPATH\)")


if __name__ == "__main__":
    main()
