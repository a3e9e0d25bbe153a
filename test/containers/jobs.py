#!/usr/bin/env python3
"""Transform jobs in real containers, through boto3.

    test/containers/jobs.py SAGEBRUSH MODEL FOLDER IMAGE...

SAGEBRUSH is the binary, MODEL the program of test/model, FOLDER what train.py made,
IMAGE are names of images that `build` made, whose models and expected predictions are
in FOLDER under the last part of the name. It checks, over all the rows of the diamonds:

- every image predicts what its library does;
- one model gives the same bytes as a process and in a container;
- a job whose server is killed goes on in the same container, to the same bytes;
- a job whose engine is stopped goes on when the engine is back, to the same bytes.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

import boto3

from engine import Engine, build

BINARY, MODEL, FOLDER, IMAGES = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3], sys.argv[4:]
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

    def status(self, name):
        return self.sagemaker.describe_transform_job(TransformJobName=name)

    def end(self, name):
        """Waits for the end of a job."""
        while True:
            j = self.status(name)
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


def alike(server):
    """The built-in model as a process, next to its container."""
    server.model("process", "sagebrush/xgboost:latest", os.path.join(FOLDER, "builtin.tar.gz"))
    server.job("process", "process")
    server.end("process")
    assert server.output("process", "diamonds.csv") == server.output("builtin", "diamonds.csv"), "other bytes than as a process"
    print("the same bytes as a process and in a container", flush=True)


KEYS = ["part-%d.csv" % i for i in range(6)]
HELD = "sagebrush-test/model:1"
MANY = {"MaxPayloadInMB": 1, "MaxConcurrentTransforms": 1}


def survivors(server, weights, disturb, name, host=None):
    """A job that is disturbed while its container holds the rest back, next to one of processes that is not."""
    for key in KEYS:
        server.s3.put_object(Bucket="bucket", Key="many/" + key, Body=ROWS)
    server.model("calm", "test/model:process", weights)
    server.job("calm", "calm", "many", **MANY)
    server.end("calm")
    want = server.digest("calm", KEYS)
    build(HELD, MODEL, host)
    server.model("held", HELD, weights)
    server.job(name, "held", "many", Environment={"HOLD": "7"}, **MANY)  # of two requests for each of six objects
    while server.done(name) == 0:
        assert server.status(name)["TransformJobStatus"] == "InProgress", server.status(name)
        time.sleep(0.05)
    disturb(name)
    while server.status(name)["TransformJobStatus"] == "InProgress":
        release(host)
        time.sleep(0.1)
    server.end(name)
    assert server.digest(name, KEYS) == want, "other bytes than an undisturbed job as a process"


def release(host):
    """Has the containers answer what they hold back; one that does not listen yet is told again."""
    for container in containers(host):
        found = subprocess.run(docker(host) + ["inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
        try:
            urllib.request.urlopen("http://%s:8080/release" % found.stdout.strip(), data=b"", timeout=5).close()
        except OSError:
            pass


def docker(host):
    return ["docker"] + (["-H", host] if host else [])


def containers(host=None):
    return set(subprocess.check_output(docker(host) + ["ps", "-aq", "--no-trunc", "--filter", "label=sagebrush.transform-job"]).decode().split())


def main():
    work = tempfile.mkdtemp(prefix="sagebrush-containers-")
    before = containers()
    weights = os.path.join(work, "weights.tar.gz")
    with tarfile.open(weights, "w:gz") as t:
        f = tarfile.TarInfo("weights")
        f.size = 4
        t.addfile(f, io.BytesIO(b"w42\n"))

    server = Server(os.path.join(work, "a", "data"), **made(work, "a"))
    server.s3.create_bucket(Bucket="bucket")
    predictions(server)
    alike(server)

    def kill(_):
        mine = containers() - before
        server.kill()
        left = containers() - before
        assert mine and mine == left, ("the container was not kept", mine, left)

    survivors(server, weights, kill, "killed")
    print("a job whose server was killed: the same bytes in the same container", flush=True)
    server.stop()
    assert containers() == before, "containers are left over"

    engine = Engine()
    try:
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

        survivors(server, weights, stop, "stopped", engine.host)
        print("a job whose engine was stopped: the same bytes", flush=True)
        server.stop()
        assert not containers(engine.host), "containers are left over"
    finally:
        engine.close()
    shutil.rmtree(work)


def made(work, name):
    """Makes the folder of a server, and gives its settings."""
    folder = os.path.join(work, name)
    os.makedirs(os.path.join(folder, "data"))
    with open(os.path.join(folder, "images.yaml"), "w") as f:
        json.dump({"images": [{"image": "test/model:process", "command": [MODEL]}]}, f)
    return {"SAGEBRUSH_CONFIG": os.path.join(folder, "images.yaml")}


main()
