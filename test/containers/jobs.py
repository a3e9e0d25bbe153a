#!/usr/bin/env python3
"""Transform jobs in real containers, through boto3.

    test/containers/jobs.py SAGEBRUSH FOLDER IMAGE...

SAGEBRUSH is the binary, FOLDER what train.py made, IMAGE are names of images that
`build` made, whose models and expected predictions are in FOLDER under the last
part of the name. It checks, over all the rows of the diamonds:

- every image predicts what its library does;
- one model gives the same bytes as a process and in a container;
- a job whose server is killed goes on in the same container, to the same bytes;
- a job whose engine is stopped goes on when the engine is back, to the same bytes.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3

from engine import Engine

BINARY, FOLDER, IMAGES = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
ROLE = "arn:aws:iam::000000000000:role/sagemaker"
ROWS = open(os.path.join(FOLDER, "diamonds.csv"), "rb").read()


class Server:
    """A server over a data folder that outlives it."""

    def __init__(self, data, **settings):
        self.data, self.env = data, dict(os.environ, **settings)
        self.start()
        e = json.load(open(os.path.join(data, "endpoint.json")))
        kw = dict(region_name=e["region"], aws_access_key_id=e["accessKeyId"], aws_secret_access_key=e["secretAccessKey"], endpoint_url=e["url"])
        self.s3, self.sagemaker = boto3.client("s3", **kw), boto3.client("sagemaker", **kw)

    def start(self, listen="127.0.0.1:0"):
        log = open(os.path.join(self.data, "..", "server.log"), "a")
        self.process = subprocess.Popen([BINARY, "serve", "--data", self.data, "--listen", listen], stdout=subprocess.PIPE, stderr=log, env=self.env)
        url = self.process.stdout.readline().decode()
        assert url.startswith("export AWS_ENDPOINT_URL="), url
        self.url = url.strip().split("=", 1)[1]

    def kill(self):
        """Ends the server with SIGKILL and starts it again at the same address."""
        self.process.kill()
        self.process.wait()
        self.start(self.url.split("//")[1])

    def stop(self):
        self.process.terminate()
        assert self.process.wait() == 0

    def model(self, name, image, archive):
        self.s3.upload_file(archive, "bucket", "models/%s.tar.gz" % name)
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image, "ModelDataUrl": "s3://bucket/models/%s.tar.gz" % name})

    def job(self, name, model, prefix="in", **more):
        self.sagemaker.create_transform_job(
            TransformJobName=name, ModelName=model,
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/%s/" % prefix}}, "ContentType": "text/csv", "SplitType": "Line"},
            TransformOutput={"S3OutputPath": "s3://bucket/out-" + name, "AssembleWith": "Line", "Accept": "text/csv"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1}, **more)

    def end(self, name):
        """Waits for the end of a job."""
        while True:
            j = self.sagemaker.describe_transform_job(TransformJobName=name)
            if j["TransformJobStatus"] not in ("InProgress", "Stopping"):
                assert j["TransformJobStatus"] == "Completed", j
                return j
            time.sleep(0.1)

    def own(self, path):
        with urllib.request.urlopen(self.url + "/-/api/v1/transform-jobs/" + path) as answer:
            return json.load(answer)

    def why(self, name):
        return self.own(name + "/why")["why"]

    def done(self, name):
        """How many objects of a job are done."""
        return self.own(name)["objectsDone"]

    def output(self, name, key):
        return self.s3.get_object(Bucket="bucket", Key="out-%s/%s.out" % (name, key))["Body"].read()

    def digest(self, name, keys):
        return [hashlib.sha256(self.output(name, k)).hexdigest() for k in keys]


def same(predicted, expected):
    got, want = predicted.split(), expected.split()
    assert len(got) == len(want), (len(got), len(want))
    worst = max(abs(float(g) - float(w)) / max(1, abs(float(w))) for g, w in zip(got, want))
    assert worst <= 1e-6, worst
    return worst


def predictions(server):
    """Every image, over all rows, next to what the library predicts."""
    server.s3.put_object(Bucket="bucket", Key="in/diamonds.csv", Body=ROWS)
    for image in IMAGES:
        name = image.split("/")[-1].split(":")[0]
        server.model(name, image, os.path.join(FOLDER, name + ".tar.gz"))
        server.job(name, name)
        j = server.end(name)
        worst = same(server.output(name, "diamonds.csv"), open(os.path.join(FOLDER, name + ".csv"), "rb").read())
        print("%s: %d rows in %.1f s, first request %.1f s after creation, largest difference %.1e" % (
            image, ROWS.count(b"\n"), (j["TransformEndTime"] - j["CreationTime"]).total_seconds(),
            (j["TransformStartTime"] - j["CreationTime"]).total_seconds(), worst), flush=True)


# A disturbed job has objects enough that most are to come when the first is done,
# however fast the machine is.
KEYS = ["part-%d.csv" % i for i in range(12)]
SLOW = {"MaxPayloadInMB": 1, "MaxConcurrentTransforms": 1}


def survivors(server, image, disturb, name):
    """A job that is disturbed, next to one that is not."""
    for key in KEYS:
        server.s3.put_object(Bucket="bucket", Key="many/" + key, Body=ROWS * 3)
    server.model("many-process", "sagebrush/xgboost:latest", os.path.join(FOLDER, "builtin.tar.gz"))
    server.model("many-docker", image, os.path.join(FOLDER, "builtin.tar.gz"))
    server.job("calm", "many-process", "many", **SLOW)
    server.end("calm")
    want = server.digest("calm", KEYS)
    server.job(name, "many-docker", "many", **SLOW)
    while not 1 <= server.done(name) <= len(KEYS) // 2:
        assert server.done(name) == 0, "the job is too short to be disturbed"
        time.sleep(0.02)
    disturb(name)
    server.end(name)
    assert server.digest(name, KEYS) == want, "other bytes than an undisturbed job as a process"


def containers(host=None):
    command = ["docker"] + (["-H", host] if host else []) + ["ps", "-aq", "--no-trunc", "--filter", "label=sagebrush.transform-job"]
    return set(subprocess.check_output(command).decode().split())


def main():
    work = tempfile.mkdtemp(prefix="sagebrush-containers-")
    builtin = next(i for i in IMAGES if "builtin" in i)
    before = containers()

    server = Server(os.path.join(work, "a", "data"), **made(work, "a"))
    server.s3.create_bucket(Bucket="bucket")
    predictions(server)

    def kill(_):
        mine = containers() - before
        server.kill()
        left = containers() - before
        assert mine and mine == left, ("the container was not kept", mine, left)

    survivors(server, builtin, kill, "killed")
    print("a job whose server was killed: the same bytes in the same container", flush=True)
    server.stop()
    assert containers() == before, "containers are left over"

    engine = Engine()
    try:
        engine.load(builtin)
        server = Server(os.path.join(work, "b", "data"), DOCKER_HOST=engine.host, **made(work, "b"))
        server.s3.create_bucket(Bucket="bucket")

        def stop(name):
            engine.stop()
            for _ in range(200):
                if "waits for the runtime" in server.why(name):
                    break
                time.sleep(0.1)
            else:
                raise AssertionError("nothing is said of the engine: " + server.why(name))
            engine.start()

        survivors(server, builtin, stop, "stopped")
        print("a job whose engine was stopped: the same bytes", flush=True)
        server.stop()
        assert not containers(engine.host), "containers are left over"
    finally:
        engine.close()
    shutil.rmtree(work)


def made(work, name):
    os.makedirs(os.path.join(work, name, "data"))
    return {}


main()
