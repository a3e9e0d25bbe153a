#!/usr/bin/env python3
"""The real binary on a real cluster of two nodes, through boto3.

    test/kubernetes/cases.py SAGEBRUSH MODEL

SAGEBRUSH is the binary; MODEL is the program that the image sagebrush-test/model:1 has,
to run it as a process. KUBECONFIG says where the cluster is.
"""

import glob
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest
import urllib.request

import boto3
import botocore
import botocore.config

BINARY, MODEL = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
IMAGE = "sagebrush-test/model:1"
ROLE = "arn:aws:iam::000000000000:role/sagemaker"
KUBECTL = [os.environ.get("SAGEBRUSH_TEST_CLUSTER", os.path.join(os.path.dirname(os.path.abspath(__file__)), "cluster")), "kubectl"]
PATIENCE = 180


def kubectl(*args, **more):
    return subprocess.run(KUBECTL + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, universal_newlines=True, **more).stdout


def pods(selector="sagebrush.endpoint"):
    """The nodes of the pods, by their names, but for those that are on their way out."""
    found = json.loads(kubectl("get", "pods", "-A", "-o", "json", "-l", selector))["items"]
    return {p["metadata"]["name"]: p["spec"].get("nodeName") for p in found if "deletionTimestamp" not in p["metadata"]}


def wait(what, holds):
    limit = time.time() + PATIENCE
    while True:
        got = holds()
        if got:
            return got
        assert time.time() < limit, "waited in vain: " + what
        time.sleep(0.05)


class Server:
    """A server over a data folder that outlives it."""

    def __init__(self, data, *flags):
        self.data, self.flags = data, flags
        self.start("127.0.0.1:0")
        e = json.load(open(os.path.join(data, "endpoint.json")))
        kw = dict(region_name=e["region"], aws_access_key_id=e["accessKeyId"], aws_secret_access_key=e["secretAccessKey"], endpoint_url=e["url"],
                  config=botocore.config.Config(retries={"total_max_attempts": 1}, max_pool_connections=20))
        self.s3, self.sm, self.runtime = (boto3.client(s, **kw) for s in ("s3", "sagemaker", "sagemaker-runtime"))

    def start(self, listen):
        log = open(self.data + ".log", "a")
        self.process = subprocess.Popen([BINARY, "serve", "--data", self.data, "--listen", listen] + list(self.flags), stdout=subprocess.PIPE, stderr=log)
        url = self.process.stdout.readline().decode()
        assert url.startswith("export AWS_ENDPOINT_URL="), open(self.data + ".log").read()
        self.url = url.strip().split("=", 1)[1]

    def kill(self):
        """Ends the server with SIGKILL and starts it again at the same address."""
        self.process.kill()
        self.process.wait()
        self.start(self.url.split("//")[1])

    def stop(self):
        self.process.terminate()
        assert self.process.wait() == 0

    def model(self):
        self.s3.create_bucket(Bucket="bucket")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as t:
            f = tarfile.TarInfo("weights")
            f.size = 4
            t.addfile(f, io.BytesIO(b"w42\n"))
        self.s3.put_object(Bucket="bucket", Key="model.tar.gz", Body=archive.getvalue())
        self.sm.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://bucket/model.tar.gz"})

    def transform(self, rows, objects=1, meanwhile=lambda: None, model={}):
        """The output of a job over objects that all have the same rows; model are its variables."""
        self.model()
        for n in range(objects):
            self.s3.put_object(Bucket="bucket", Key="in/%d" % n, Body=rows)
        self.sm.create_transform_job(
            TransformJobName="j", ModelName="m",
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}}, "ContentType": "text/csv", "SplitType": "Line"},
            TransformOutput={"S3OutputPath": "s3://bucket/out", "AssembleWith": "None"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2}, Environment=model)
        meanwhile()
        job = wait("the job ends", self.ended)
        assert job["TransformJobStatus"] == "Completed", job
        outputs = [self.s3.get_object(Bucket="bucket", Key="out/%d.out" % n)["Body"].read() for n in range(objects)]
        assert len(set(outputs)) == 1, "the objects have different outputs"
        return outputs[0]

    def ended(self):
        """The job, when it has ended."""
        job = self.sm.describe_transform_job(TransformJobName="j")
        return job["TransformJobStatus"] != "InProgress" and job

    def released(self):
        """Has the job's models answer whatever HOLD says; one that does not listen yet has to be told again."""
        for pod in json.loads(kubectl("get", "pods", "-A", "-o", "json", "-l", "sagebrush.transform-job"))["items"]:
            try:
                urllib.request.urlopen("http://%s:8080/release" % pod["status"].get("podIP"), data=b"", timeout=5).close()
            except OSError:
                pass
        return True

    def done(self):
        """How many objects of the job are done."""
        with urllib.request.urlopen(self.url + "/-/api/v1/transform-jobs/j") as answer:
            return json.load(answer)["objectsDone"]

    def host(self, name, count):
        self.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[
            {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": count}])
        self.sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return self.until(name, "InService")

    def describe(self, name):
        return self.sm.describe_endpoint(EndpointName=name)

    def until(self, name, status):
        return wait("%s is %s" % (name, status), lambda: (lambda d: d["EndpointStatus"] == status and d)(self.describe(name)))

    def delete(self, name):
        self.sm.delete_endpoint(EndpointName=name)
        wait("no pod is left", lambda: not json.loads(kubectl("get", "pods", "-A", "-o", "json", "-l", "sagebrush.owner"))["items"])


class Load:
    """Callers that never rest. What failed is in failures."""

    def __init__(self, server, name, callers=4):
        self.server, self.name, self.over = server, name, threading.Event()
        self.answers, self.failures, self.slowest = [0] * callers, [], 0
        self.threads = [threading.Thread(target=self.call, args=(k,)) for k in range(callers)]
        for t in self.threads:
            t.start()

    def call(self, k):
        while not self.over.is_set():
            began = time.time()
            try:
                got = self.server.runtime.invoke_endpoint(EndpointName=self.name, Body=b"hello\n")["Body"].read()
                if got != b"6 HELLO w42\n":
                    self.failures.append(got)
            except Exception as error:
                self.failures.append(error)
            self.answers[k] += 1
            self.slowest = max(self.slowest, time.time() - began)

    def end(self):
        self.over.set()
        for t in self.threads:
            t.join()
        return sum(self.answers)


class Cases(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=FOLDER)

    def serve(self, name, *flags):
        data = os.path.join(self.folder, name)
        os.mkdir(data)
        server = Server(data, *flags)
        self.addCleanup(server.stop)
        return server

    def claim(self, data):
        """A claim whose root is a data folder."""
        kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "sagebrush-data"}, "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "", "hostPath": {"path": data},
                "claimRef": {"namespace": "default", "name": "sagebrush-data"}}},
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "sagebrush-data", "namespace": "default"}, "spec": {
                "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": "sagebrush-data", "resources": {"requests": {"storage": "1Gi"}}}}]}))
        self.addCleanup(kubectl, "delete", "--wait=false", "pvc/sagebrush-data", "pv/sagebrush-data")

    def test_transform(self):
        """The same job gives the same bytes as processes and as pods, with the data folder on every node or on a claim."""
        rows = b"".join(b"row %d of many\n" % n for n in range(50000))
        config = os.path.join(self.folder, "images.yaml")
        with open(config, "w") as f:
            json.dump({"images": [{"image": IMAGE, "command": [MODEL]}]}, f)
        want = self.serve("process", "--config", config).transform(rows)
        self.assertEqual(want.count(b"\n"), 50000)
        self.assertEqual(self.serve("host", "--runtime", "kubernetes").transform(rows), want)
        self.claim(os.path.join(self.folder, "claim"))
        self.assertEqual(self.serve("claim", "--runtime", "kubernetes", "--kubernetes-data", "claim:sagebrush-data").transform(rows), want)
        self.assertEqual(pods("sagebrush.owner"), {})

    def test_evicted(self):
        """A job goes on when one of its pods is evicted, to the same bytes."""
        rows = b"".join(b"row %d of many\n" % n for n in range(10000))
        server = self.serve("data", "--runtime", "kubernetes")

        def evict():
            wait("each pod has answered and holds the next", lambda: server.done() == 2)
            victim = sorted(pods("sagebrush.transform-job"))[0]
            uid = lambda: kubectl("get", "pod", victim, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
            before = uid()
            kubectl("create", "--raw", "/api/v1/namespaces/default/pods/%s/eviction" % victim, "-f", "-", input=json.dumps(
                {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim, "namespace": "default"}}))
            wait("the pod is gone", lambda: uid() != before)
            wait("the job ends", lambda: server.released() and server.ended())

        output = server.transform(rows, objects=8, meanwhile=evict, model={"HOLD": "1"})
        self.assertEqual(output, b"".join(b"%d %s w42\n" % (len(row) + 1, row.upper()) for row in rows.splitlines()))
        self.assertEqual(pods("sagebrush.owner"), {})

    def account(self):
        """A kubeconfig of the account whose rights docs/kubernetes.md lists."""
        page = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/kubernetes.md")).read()
        kubectl("apply", "-f", "-", input=page.split("<!-- file: sagebrush-rbac.yaml -->\n```yaml\n")[1].split("```")[0])
        self.addCleanup(kubectl, "delete", "namespace/sagebrush", "clusterrole/sagebrush-nodes", "clusterrolebinding/sagebrush-nodes")
        config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        config["users"][0]["user"] = {"token": kubectl("create", "token", "sagebrush", "-n", "sagebrush").strip()}
        config["contexts"][0]["context"]["namespace"] = "sagebrush"
        path = os.path.join(self.folder, "kubeconfig")
        with open(path, "w") as f:
            json.dump(config, f)
        return path

    def refused(self, server, name):
        """EP-4: what is refused while the platform replaces instances."""
        for call, args in (
            (server.sm.delete_endpoint, {}),
            (server.sm.update_endpoint, {"EndpointConfigName": name}),
            (server.sm.update_endpoint_weights_and_capacities, {"DesiredWeightsAndCapacities": [{"VariantName": "v", "DesiredInstanceCount": 1}]}),
        ):
            with self.assertRaises(botocore.exceptions.ClientError) as caught:
                call(EndpointName=name, **args)
            error = caught.exception.response["Error"]
            self.assertEqual(error["Code"], "ValidationException")
            self.assertIn("Cannot update in-progress endpoint", error["Message"])

    def test_drain(self):
        """EP-4, EP-22: a node is drained under load, and no request fails."""
        server = self.serve("data", "--runtime", "kubernetes", "--kubernetes-config", self.account())
        server.model()
        before = server.host("drained", 2)
        first = pods()
        self.assertEqual(len(set(first.values())), 2, "the instances are not spread: %s" % first)
        node = sorted(first.values())[0]
        load = Load(server, "drained")
        self.addCleanup(load.end)
        wait("the load runs", lambda: min(load.answers) > 50)
        self.addCleanup(kubectl, "uncordon", node)
        began = time.time()
        drain = subprocess.Popen(KUBECTL + ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=%ds" % PATIENCE],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        server.until("drained", "SystemUpdating")
        seen = time.time() - began
        self.refused(server, "drained")
        after = server.until("drained", "InService")
        replaced = time.time() - began
        said = drain.communicate()[0]
        self.assertEqual(drain.returncode, 0, said)
        drained = time.time() - began
        time.sleep(1)
        answered = load.end()
        self.assertEqual(load.failures, [])
        print("drain: SystemUpdating after %.1f s, InService after %.1f s, drained after %.1f s; %d requests, none failed, the slowest took %.0f ms"
              % (seen, replaced, drained, answered, 1000 * load.slowest))
        images = lambda d: [v["DeployedImages"][0]["ResolvedImage"] for v in d["ProductionVariants"]]
        self.assertEqual(images(before), images(after))
        self.assertEqual(after["ProductionVariants"][0]["CurrentInstanceCount"], 2)
        last = pods()
        self.assertEqual((len(last), node in last.values()), (2, False), last)
        self.assertEqual(len(set(first) & set(last)), 1, "the other instance was to stay")
        server.delete("drained")

    def test_kill(self):
        """The pods of a server that was killed are taken over by the next one."""
        server = self.serve("data", "--runtime", "kubernetes")
        server.model()
        server.host("kept", 2)
        before = pods()
        server.kill()
        server.until("kept", "InService")
        self.assertEqual(pods(), before)
        self.assertEqual(server.runtime.invoke_endpoint(EndpointName="kept", Body=b"again\n")["Body"].read(), b"6 AGAIN w42\n")
        server.delete("kept")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="sagebrush-kubernetes-") as FOLDER:
        passed = unittest.main(argv=sys.argv[:1], verbosity=2, warnings="ignore", exit=False).result.wasSuccessful()
        for log in [] if passed else glob.glob(FOLDER + "/*/*.log"):
            sys.stderr.write("%s:\n%s\n" % (log, open(log).read()))
    sys.exit(0 if passed else 1)
