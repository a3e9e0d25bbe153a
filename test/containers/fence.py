#!/usr/bin/env python3
"""Containers of a server that is not root reach no service of the machine.

    test/containers/fence.py SAGEBRUSH DIALER

runs in a network of its own (test/containers/fence makes it), whose packet filter is
nobody else's: an engine, a server as the user nobody, who may use the engine and nothing
more, and models (DIALER is their program) that try to connect to a service which listens
on all addresses.
"""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import boto3

from engine import Engine, build

BINARY, DIALER = (os.path.abspath(p) for p in sys.argv[1:])
ROLE = "arn:aws:iam::000000000000:role/sagemaker"
NOBODY = pwd.getpwnam("nobody")
MACHINE = "203.0.113.9"  # an address of this machine, which is none of its bridges'
IMAGE = "sagebrush-test/dialer:1"


def listen():
    """A service on all addresses, for as long as this process lives."""
    service = socket.create_server(("0.0.0.0", 0))

    def serve():
        while True:
            service.accept()[0].close()

    threading.Thread(target=serve, daemon=True).start()
    return service.getsockname()[1]


class Server:
    """A server as the user nobody; it is ended by close."""

    def __init__(self, engine, **settings):
        self.home = tempfile.mkdtemp(prefix="sagebrush-fence-")
        os.chown(self.home, NOBODY.pw_uid, NOBODY.pw_gid)
        binary = shutil.copy(BINARY, self.home)
        self.log = open(self.home + "/log", "w")
        env = dict(PATH=os.environ["PATH"], HOME=self.home, DOCKER_HOST=engine.host, **settings)
        self.process = subprocess.Popen(
            [binary, "serve", "--data", self.home + "/data", "--listen", "127.0.0.1:0"], env=env, stdout=subprocess.PIPE, stderr=self.log,
            user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[])
        assert self.process.stdout.readline().startswith(b"export AWS_ENDPOINT_URL="), open(self.log.name).read()
        e = json.load(open(self.home + "/data/endpoint.json"))
        kw = dict(region_name=e["region"], aws_access_key_id=e["accessKeyId"], aws_secret_access_key=e["secretAccessKey"], endpoint_url=e["url"])
        self.s3, self.sagemaker = boto3.client("s3", **kw), boto3.client("sagemaker", **kw)
        self.s3.create_bucket(Bucket="bucket")

    def reached(self, addresses, isolated=False):
        """What a model says of each address."""
        name = "isolated" if isolated else "plain"
        self.s3.put_object(Bucket="bucket", Key="in/addresses", Body="\n".join(addresses).encode())
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, EnableNetworkIsolation=isolated, PrimaryContainer={"Image": IMAGE})
        self.sagemaker.create_transform_job(
            TransformJobName=name, ModelName=name,
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}}},
            TransformOutput={"S3OutputPath": "s3://bucket/" + name}, TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1})
        while (job := self.sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] == "InProgress":
            time.sleep(0.1)
        assert job["TransformJobStatus"] == "Completed", (job, open(self.log.name).read())
        lines = self.s3.get_object(Bucket="bucket", Key=name + "/addresses.out")["Body"].read().decode().splitlines()
        assert len(lines) == len(addresses), lines
        return lines

    def close(self):
        self.process.terminate()
        assert self.process.wait() == 0
        self.log.close()
        log = open(self.log.name).read()
        shutil.rmtree(self.home)
        return log


def main():
    subprocess.check_call(["ip", "addr", "add", MACHINE + "/32", "dev", "lo"])
    port = listen()
    addresses = ["%s:%d" % (host, port) for host in ("", MACHINE)]
    engine = Engine("--group=" + str(NOBODY.pw_gid))
    os.chmod(engine.dir, 0o711)
    try:
        build(IMAGE, DIALER, engine.host)
        # The control: a server that lets containers reach the machine.
        server = Server(engine, SAGEBRUSH_DOCKER_REACH_HOST="true")
        lines = server.reached(addresses)
        server.close()
        assert all(line.endswith(": connected") for line in lines), lines

        server = Server(engine)
        lines = server.reached(addresses) + server.reached(addresses[:1], isolated=True)
        log = server.close()
        assert not any(line.endswith(": connected") for line in lines), (lines, log)
        assert log.count("raised the fence") == 1, log
        left = subprocess.check_output(["docker", "-H", engine.host, "ps", "-aq"]).decode()
        assert not left, "containers are left over: " + left
    finally:
        engine.close()
    print("containers of a server that is not root reach no service of the machine:", *lines, sep="\n  ")


main()
