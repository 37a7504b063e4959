#!/usr/bin/env python3
"""Where the control socket and the data are when nothing is said, and the health check of the image."""
import os
import shutil
import signal
import subprocess
import tempfile

from lull import (DEADLINE, LULLCTL, LULLD, LullTest, clean_environment, eventually, main)
from prompts import PATH, chat_body, headers
from upstream import Gate, good


def places(**environment):
    """control and data_dir of a daemon for which neither file nor argument says anything."""
    done = subprocess.run([LULLD, "-c", "/dev/null", "--upstream", "http://127.0.0.1:1", "--print-config"],
                          capture_output=True, text=True, timeout=DEADLINE, check=True,
                          env=clean_environment(**environment))
    values = dict(line.split(" = ", 1) for line in done.stdout.splitlines() if " = " in line)
    return [values["server." + key].split("  (")[0] for key in ("control", "data_dir")]


class Places(LullTest):
    def test_what_the_service_manager_made_is_taken(self):
        with tempfile.TemporaryDirectory() as folder:
            runtime, state = os.path.join(folder, "run"), os.path.join(folder, "state")
            self.assertEqual(places(RUNTIME_DIRECTORY=runtime, STATE_DIRECTORY=state),
                             [runtime + "/control.sock", state])

    def test_anything_else_in_these_variables_is_not(self):
        usual = places()
        for value in ("", "relative", "/run/a:/run/b"):
            self.assertEqual(places(RUNTIME_DIRECTORY=value, STATE_DIRECTORY=value), usual)

    def test_lullctl_looks_in_the_same_place(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)  # after the daemon has ended
        lull = self.lull(self.upstream(), control=os.path.join(folder.name, "control.sock"))
        done = subprocess.run([LULLCTL, "health"], capture_output=True, text=True, timeout=DEADLINE,
                              env=clean_environment(RUNTIME_DIRECTORY=folder.name), check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(lull.running())

    def test_a_socket_that_one_may_not_use_is_not_a_missing_daemon(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to run as another user")
        lull = self.lull(self.upstream(), server="control_mode = 0600")
        os.chmod(lull.folder, 0o755)
        program = shutil.copy(LULLCTL, lull.folder)  # in a folder that every user may enter
        done = subprocess.run([program, "--socket", lull.control_path, "health"], capture_output=True, text=True,
                              timeout=DEADLINE, env=clean_environment(), check=False, user=65534, group=65534)
        self.assertEqual(done.returncode, 3)
        self.assertIn("you may not use it", done.stderr)


SETUP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "contrib", "setup")


class Setup(LullTest):
    """run.sh behind its packages and its build, which other tests run."""

    def tree(self, folder):
        """A checkout that is built, and commands that find nothing to do."""
        os.makedirs(os.path.join(folder, "contrib"))
        shutil.copytree(SETUP, os.path.join(folder, "contrib", "setup"))
        os.mkdir(os.path.join(folder, "build"))
        for program in LULLD, LULLCTL:
            shutil.copy(program, os.path.join(folder, "build"))
        tools = os.path.join(folder, "tools")
        os.mkdir(tools)
        for name, text in ("cmake", 'echo "$*" >"$0.arguments"'), ("ninja", ""), ("dpkg-query", "echo installed"):
            with open(os.path.join(tools, name), "w", encoding="ascii") as f:
                f.write(f"#!/bin/sh\n{text}\n")
            os.chmod(os.path.join(tools, name), 0o755)
        return clean_environment(PATH=tools + os.pathsep + os.environ["PATH"])

    def test_a_path_with_blanks_and_no_home(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root = os.path.join(folder.name, "a check out")
        environment = self.tree(root)
        environment.pop("HOME", None)
        environment["XDG_STATE_HOME"] = os.path.join(folder.name, "its state")
        control = os.path.join(folder.name, "its run", "control.sock")
        log = os.path.join(folder.name, "log")
        with open(log, "wb") as to:
            process = subprocess.Popen([os.path.join(root, "contrib", "setup", "run.sh"), "http://127.0.0.1:9", "--listen",
                                        "127.0.0.1:0", "--control", control], stdout=to, stderr=to, env=environment)
        self.addCleanup(process.kill)

        def said():
            with open(log, encoding="utf-8") as f:
                text = f.read()
            return text if "listening on" in text or process.poll() is not None else None
        text = eventually(said)
        look = text.split("look at it      ")[1].split("\n")[0]
        done = subprocess.run(["bash", "-c", look], capture_output=True, text=True, timeout=DEADLINE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        data = os.path.join(environment["XDG_STATE_HOME"], "lull")
        self.assertIn(f"data folder     {data}\n", text)
        self.assertEqual(os.stat(data).st_mode & 0o777, 0o700)
        process.terminate()
        self.assertEqual(process.wait(DEADLINE), 0)

    def test_without_state_home_it_is_below_the_users_home(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        environment = self.tree(folder.name)
        environment.pop("HOME", None)
        environment.pop("XDG_STATE_HOME", None)
        done = subprocess.run([os.path.join(folder.name, "contrib", "setup", "run.sh"), "--listen", "nonsense"],
                              capture_output=True, text=True, timeout=DEADLINE, env=environment, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertNotIn("unbound", done.stderr)
        self.assertIn("no address", done.stderr)


    def run_sh(self, folder, environment, *arguments, **more):
        return subprocess.run([os.path.join(folder, "contrib", "setup", "run.sh"), *arguments], capture_output=True,
                              text=True, timeout=DEADLINE, env=environment, check=False, **more)

    def test_a_word_that_is_no_url_is_said_before_the_build(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_sh(folder, self.tree(folder), "127.0.0.1:11434")
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("write it as http://127.0.0.1:11434", done.stderr)
            self.assertFalse(os.path.exists(os.path.join(folder, "tools", "cmake.arguments")))

    def test_a_build_folder_of_another_user_is_named(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to run as another user")
        with tempfile.TemporaryDirectory() as folder:
            environment = self.tree(folder)
            os.chmod(folder, 0o755)
            done = self.run_sh(folder, environment, user=65534, group=65534, extra_groups=[])
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"run.sh: {folder}/build belongs to root; remove the folder: sudo rm -r {folder}/build", done.stderr)

    def test_a_checkout_that_was_moved_is_configured_from_the_beginning(self):
        with tempfile.TemporaryDirectory() as folder:
            environment = self.tree(folder)
            for home, fresh in (folder, False), ("/elsewhere", True):
                with open(os.path.join(folder, "build", "CMakeCache.txt"), "w", encoding="utf-8") as f:
                    f.write(f"CMAKE_HOME_DIRECTORY:INTERNAL={os.path.realpath(home)}\n")
                self.run_sh(folder, environment, "--listen", "nonsense")
                with open(os.path.join(folder, "tools", "cmake.arguments"), encoding="utf-8") as f:
                    self.assertEqual("--fresh" in f.read(), fresh)


class Health(LullTest):
    def test_it_says_ready_then_draining_then_gone(self):
        up = self.upstream()
        gate = Gate()
        up.when("*", good(gate))
        lull = self.lull(up)
        well = lull.ctl("health")
        self.assertEqual((well.returncode, well.stdout), (0, "ready; cache on; upstream default not tried yet\n"))
        chat = self.connect(lull)
        chat.start("POST", PATH["openai"], headers(), chat_body("Hi").encode())
        up.wait_for(1)
        lull.signal(signal.SIGTERM)
        eventually(lambda: lull.control("GET", "/readyz").status == 503)
        self.assertEqual(lull.ctl("health").returncode, 1)
        gate.open()
        self.assertEqual(chat.response().status, 200)
        self.assertEqual(lull.wait(), 0)
        gone = lull.ctl("health")
        self.assertEqual((gone.returncode, gone.stdout), (3, ""))


if __name__ == "__main__":
    main()
