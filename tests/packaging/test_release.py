#!/usr/bin/env python3
"""The source tarball and the Debian package: the same source gives the same bytes, also from the tarball,
elsewhere and without git; the package is what Debian's policy asks for."""
import glob
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import unittest

from common import SOURCE, environment, main, must, need, read, run, version

EPOCH = "1790000000"
CONFIGURE = ("-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_INSTALL_PREFIX=/usr", "-DLULL_TESTS=OFF")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Release(unittest.TestCase):
    """Two source trees, two build folders: the tree of this test, and what dist made of it."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="lull-release-")
        folder = cls.scratch.name
        cls.env = environment(SOURCE_DATE_EPOCH=EPOCH)
        cls.tarball = cls.dist(SOURCE, os.path.join(folder, "first"))
        with tarfile.open(cls.tarball) as tar:
            tar.extractall(os.path.join(folder, "unpacked"))
        cls.unpacked = os.path.join(folder, "unpacked", f"lull-{version()}")
        cls.builds = [os.path.join(folder, "one"), os.path.join(folder, "elsewhere", "two")]
        for source, build in zip((SOURCE, cls.unpacked), cls.builds):
            must("cmake", "-S", source, "-B", build, *CONFIGURE)
            must("ninja", "-C", build, "-j2", "lulld", "lullctl")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def dist(cls, tree, out):
        os.makedirs(out)
        return must(os.path.join(tree, "contrib", "packaging", "dist"), out, env=cls.env).splitlines()[-1]

    def test_tarball_from_the_tarball_is_the_same(self):
        self.assertFalse(os.path.exists(os.path.join(self.unpacked, ".git")))
        again = self.dist(self.unpacked, os.path.join(self.scratch.name, "second"))
        self.assertEqual(digest(self.tarball), digest(again))

    def test_tarball_says_nothing_of_this_machine(self):
        with tarfile.open(self.tarball) as tar:
            members = tar.getmembers()
        self.assertEqual({m.mtime for m in members}, {int(EPOCH)})
        self.assertEqual({(m.uid, m.gid, m.uname, m.gname) for m in members}, {(0, 0, "", "")})
        self.assertLessEqual({m.mode for m in members}, {0o644, 0o755, 0o777})
        self.assertTrue(all(m.name.startswith(f"lull-{version()}/") for m in members))

    def test_tarball_has_what_git_tracks(self):
        if not os.path.exists(os.path.join(SOURCE, ".git")) or shutil.which("git") is None:
            self.skipTest("not a git checkout")
        tracked = must("git", "-c", f"safe.directory={SOURCE}", "-C", SOURCE, "ls-files").splitlines()
        with tarfile.open(self.tarball) as tar:
            names = {n.split("/", 1)[1] for n in tar.getnames()}
        self.assertEqual(names, set(tracked))

    def test_programs_are_the_same(self):
        for program in ("lulld", "lullctl"):
            one, two = (os.path.join(build, program) for build in self.builds)
            self.assertEqual(digest(one), digest(two))
            with open(one, "rb") as f:
                text = f.read()
            self.assertNotIn(SOURCE.encode(), text)
            self.assertNotIn(self.scratch.name.encode(), text)

    def test_debian_package(self):
        for tool in ("dpkg-deb", "dpkg-shlibdeps", "file"):
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} is not installed")
        packages = []
        must("chmod", "-R", "g+w", self.unpacked)  # as after a checkout with another umask
        for build in self.builds:
            must("ninja", "-C", build, "package", env=self.env)
            packages += glob.glob(os.path.join(build, "*.deb"))
        self.assertEqual(len(packages), 2)
        self.assertEqual(digest(packages[0]), digest(packages[1]))
        self.look_into(packages[0])
        if shutil.which("lintian") is None:
            print("lintian is not installed: not asked")
            return
        said = run("lintian", "--allow-root", packages[0]).stdout
        print(said)
        self.assertNotRegex(said, r"(?m)^E: ")

    def look_into(self, package):
        control = must("dpkg-deb", "--field", package)
        self.assertIn(f"Version: {version()}-1\n", control)
        self.assertRegex(control, r"Depends: .*libc6.*libcurl4")
        self.assertEqual(must("dpkg-deb", "-I", package, "conffiles"), "/etc/lull/lull.conf\n")
        files = {line.split()[5] for line in must("dpkg-deb", "--contents", package).splitlines()}
        for path in ("usr/bin/lulld", "usr/bin/lullctl", "etc/lull/lull.conf", "usr/lib/systemd/system/lulld.service",
                     "usr/share/man/man8/lulld.8.gz", "usr/share/doc/lull/copyright"):
            self.assertIn("./" + path, files)


class Licence(unittest.TestCase):
    def test_one_text(self):
        licence = re.sub(r"\s+", " ", read("LICENSE").split("\n\n", 2)[2])
        debian = re.sub(r"(?m)^ \.?", "", read("contrib", "packaging", "deb", "copyright"))
        self.assertIn(licence.strip(), re.sub(r"\s+", " ", debian))
        self.assertIn("the lull authors", read("LICENSE"))


if __name__ == "__main__":
    need("cmake", "ninja", "tar", "gzip")
    main()
