"""A Docker engine that shares nothing with that of the machine, and images of one program."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time


def build(tag, program, host=None):
    """Makes an image that holds one static program."""
    with tempfile.TemporaryDirectory() as context:
        shutil.copy(program, context + "/program")
        with open(context + "/Dockerfile", "w") as f:
            f.write('FROM scratch\nCOPY program /program\nENTRYPOINT ["/program"]\n')
        subprocess.run(["docker"] + (["-H", host] if host else []) + ["build", "--quiet", "--tag", tag, context],
                       env=dict(os.environ, DOCKER_BUILDKIT="0"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


class Engine:
    """A Docker engine of the test's own, which may be stopped. flags are dockerd's."""

    def __init__(self, *flags):
        self.flags = flags
        self.dir = "/tmp/sgb" + secrets.token_hex(4)  # short, for the socket, and a name that containerd takes
        os.mkdir(self.dir, 0o700)
        self.bridge = ("t" + os.path.basename(self.dir))[:15]
        subprocess.check_call(["ip", "link", "add", self.bridge, "type", "bridge"])
        subprocess.check_call(["ip", "addr", "add", "203.0.113.5/30", "dev", self.bridge])
        self.host = "unix://%s/s" % self.dir
        self.start()

    def start(self):
        at = lambda name: os.path.join(self.dir, name)
        base = os.path.basename(self.dir)
        self.process = subprocess.Popen(
            ["dockerd", "--host=" + self.host, "--data-root=" + at("data"), "--exec-root=" + at("exec"), "--pidfile=" + at("pid"),
             "--containerd-namespace=" + base, "--containerd-plugins-namespace=" + base + "-plugins",
             "--bridge=" + self.bridge, "--iptables=false", "--ip-masq=false", *self.flags],
            stdout=open(at("log"), "a"), stderr=subprocess.STDOUT)
        for _ in range(300):
            if subprocess.run(["docker", "-H", self.host, "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.2)
        raise SystemExit("the engine does not come up:\n" + open(at("log")).read())

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def close(self):
        self.stop()
        subprocess.run(["ip", "link", "del", self.bridge])
        for line in open("/proc/self/mounts"):
            if line.split()[1].startswith(self.dir + "/"):
                subprocess.run(["umount", "-l", line.split()[1]])
        shutil.rmtree(self.dir, ignore_errors=True)
