"""Hosted endpoints as users of boto3 and of the AWS CLI meet them: every status of
the API, reached by what it means, with the official waiters; and the list.
"""
import datetime
import itertools
import json
import os
import subprocess
import tempfile
import time
import unittest
import urllib.request

import botocore.exceptions

import clients
from clients import ACCOUNT, ROLE, URL, aws, client, name, sm

runtime = client("sagemaker-runtime")
ARN = "arn:aws:sagemaker:us-east-1:%s:" % ACCOUNT
SHAPES = sm.meta.service_model
STATUSES = {"OutOfService", "Creating", "Updating", "SystemUpdating", "RollingBack", "InService", "Deleting", "Failed"}  # of the seed


def model(text, **environment):
    environment.setdefault("NAME", text)
    sm.create_model(ModelName=name(text), ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "test/hosted:1", "Environment": environment})


def variant(text, of, count=1, weight=1):
    return {"VariantName": text, "ModelName": name(of), "InstanceType": "ml.m5.large", "InitialInstanceCount": count, "InitialVariantWeight": weight}


def config(text, *variants, **kw):
    sm.create_endpoint_config(EndpointConfigName=name(text), ProductionVariants=list(variants), **kw)


def create(text, of):
    return sm.create_endpoint(EndpointName=name(text), EndpointConfigName=name(of))["EndpointArn"]


def describe(text):
    return sm.describe_endpoint(EndpointName=name(text))


def waits(waiter, text):
    """The official waiter, with a shorter pause."""
    sm.get_waiter(waiter).wait(EndpointName=name(text), WaiterConfig={"Delay": 0.1, "MaxAttempts": 900})


def reaches(text, status):
    for _ in range(900):
        d = describe(text)
        if d["EndpointStatus"] == status:
            return d
        time.sleep(0.05)
    raise AssertionError("%s is not %s but %s" % (text, status, d))


def invoke(text, body=b"x", **kw):
    return runtime.invoke_endpoint(EndpointName=name(text), Body=body, **kw)


def maintain(text):
    urllib.request.urlopen(urllib.request.Request("%s/-/api/v1/endpoints/%s/maintenance" % (URL, name(text)), method="POST"))


def shifting(kind, **size):
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": dict({"Type": kind, "WaitIntervalInSeconds": 1}, **size)}}


def read_stream(endpoint, body, folder):
    """What gosdk/main.go does, with boto3."""
    answer = runtime.invoke_endpoint_with_response_stream(EndpointName=endpoint, Body=body)
    got = ["variant " + answer["InvokedProductionVariant"]]
    try:
        for k, event in enumerate(answer["Body"]):
            got.append("part " + event["PayloadPart"]["Bytes"].decode().strip())
            open(os.path.join(folder, str(k)), "w").close()
    except botocore.exceptions.EventStreamError as error:
        return got + ["broke " + error.response["Error"]["Code"]]
    return got + ["end"]


def program_reader(command):
    """A reader that is a program."""
    def read(endpoint, body, folder):
        env = dict(os.environ, AWS_REGION=os.environ["AWS_DEFAULT_REGION"])
        done = subprocess.run(command.split() + [endpoint, body, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, env=env, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()
    return read


class Endpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.seen = set()
        model("one")
        model("two")
        config("one", variant("v", "one"))
        config("two", variant("v", "two", 2))

    @classmethod
    def tearDownClass(cls):
        assert cls.seen == STATUSES, "not seen: %s" % (STATUSES - cls.seen)
        cls.folder.cleanup()

    def file(self, text):
        return os.path.join(self.folder.name, text)

    def touch(self, text):
        open(self.file(text), "w").close()
        return self.file(text)

    def sees(self, text, status):
        """Waits for a status, which ListEndpoints must tell too; gives the description."""
        d = reaches(text, status)
        listed = sm.list_endpoints(NameContains=name(text), StatusEquals=status)["Endpoints"]
        self.assertIn(name(text), [e["EndpointName"] for e in listed])
        self.seen.add(status)
        return d

    def fails(self, code, words, call, **kw):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**kw)
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], code, error)
        self.assertIn(words, error.get("Message", ""))

    def busy(self, text):
        """CP-53: no change while there is one."""
        words = 'Cannot update in-progress endpoint "%sendpoint/%s".' % (ARN, name(text))
        self.fails("ValidationException", words, sm.update_endpoint, EndpointName=name(text), EndpointConfigName=name("two"))
        self.fails("ValidationException", words, sm.delete_endpoint, EndpointName=name(text))

    def delete(self, text):
        sm.delete_endpoint(EndpointName=name(text))
        waits("endpoint_deleted", text)

    def test_creating_to_in_service(self):
        """EP-1, EP-2, EP-20, EP-21."""
        model("gated", GATE=self.file("gate"))
        config("gated", variant("v", "gated"))
        self.assertEqual(create("create", "gated"), ARN + "endpoint/" + name("create"))
        d = self.sees("create", "Creating")
        self.assertNotIn("ProductionVariants", d)
        self.assertEqual(d["EndpointConfigName"], name("gated"))
        if "PendingDeploymentSummary" in SHAPES.shape_for("DescribeEndpointOutput").members:
            self.assertEqual(d["PendingDeploymentSummary"]["EndpointConfigName"], name("gated"))
        self.busy("create")
        self.fails("ValidationError", "", runtime.invoke_endpoint, EndpointName=name("create"), Body=b"x")
        self.touch("gate")
        waits("endpoint_in_service", "create")
        d = self.sees("create", "InService")
        v = d["ProductionVariants"][0]
        self.assertEqual((v["VariantName"], v["CurrentWeight"], v["DesiredWeight"], v["CurrentInstanceCount"], v["DesiredInstanceCount"]), ("v", 1, 1, 1, 1))
        self.assertRegex(v["DeployedImages"][0]["ResolvedImage"], "^test/hosted@sha256:[0-9a-f]{64}$")
        self.assertNotIn("FailureReason", d)
        answer = invoke("create", b"a,b", ContentType="text/csv", Accept="text/csv")
        self.assertEqual((answer["Body"].read(), answer["InvokedProductionVariant"], answer["ContentType"]), (b"gated:a,b", "v", "text/csv"))
        self.fails("ValidationException", "Cannot create already existing endpoint", sm.create_endpoint, EndpointName=name("CREATE"), EndpointConfigName=name("one"))
        self.delete("create")
        self.fails("ValidationException", 'Could not find endpoint "%sendpoint/%s".' % (ARN, name("create")), sm.describe_endpoint, EndpointName=name("create"))
        self.fails("ValidationError", "Endpoint %s of account %s not found." % (name("create"), ACCOUNT), runtime.invoke_endpoint, EndpointName=name("create"), Body=b"x")

    def test_creating_to_failed(self):
        """EP-8, EP-12."""
        model("dead", DIE=self.touch("dead"))
        config("dead", variant("v", "dead"))
        create("failed", "dead")
        with self.assertRaises(botocore.exceptions.WaiterError):
            waits("endpoint_in_service", "failed")
        d = self.sees("failed", "Failed")
        self.assertIn("The primary container for production variant v did not pass the ping health check.", d["FailureReason"])
        self.fails("ValidationException", "", sm.update_endpoint, EndpointName=name("failed"), EndpointConfigName=name("one"))
        self.delete("failed")

    def test_updating(self):
        """EP-3, EP-24, EP-40, EP-42, EP-43: each way of updating, with requests all the time."""
        create("update", "one")
        waits("endpoint_in_service", "update")
        model("slow", GATE=self.file("slow"))
        config("slow", variant("v", "slow"))
        policies = {"all at once": None, "canary": shifting("CANARY", CanarySize={"Type": "CAPACITY_PERCENT", "Value": 50}),
                    "linear": shifting("LINEAR", LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 50})}
        if "RollingUpdatePolicy" in SHAPES.shape_for("DeploymentConfig").members:
            policies["rolling"] = {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50}, "WaitIntervalInSeconds": 1}}
        to = itertools.cycle(["two", "one"])
        for label, policy in policies.items():
            target = next(to)
            kw = {"DeploymentConfig": policy} if policy else {}
            sm.update_endpoint(EndpointName=name("update"), EndpointConfigName=name(target), **kw)
            self.sees("update", "Updating")
            for _ in range(400):
                d = describe("update")
                self.assertIn(invoke("update")["Body"].read(), (b"one:x", b"two:x"))
                if d["EndpointStatus"] == "InService":
                    break
                self.assertEqual(d["EndpointStatus"], "Updating", label)
            waits("endpoint_in_service", "update")
            d = describe("update")
            self.assertEqual((d["EndpointConfigName"], "FailureReason" in d), (name(target), False), label)
            self.assertEqual(invoke("update")["Body"].read(), target.encode() + b":x", label)
            if policy:
                self.assertEqual(set(d["LastDeploymentConfig"]), set(policy))
        sm.update_endpoint(EndpointName=name("update"), EndpointConfigName=name("slow"))
        d = self.sees("update", "Updating")
        self.busy("update")
        if "PendingDeploymentSummary" in SHAPES.shape_for("DescribeEndpointOutput").members:
            self.assertEqual(d["PendingDeploymentSummary"]["EndpointConfigName"], name("slow"))
        self.touch("slow")
        waits("endpoint_in_service", "update")
        self.delete("update")

    def test_rolling_back(self):
        """EP-5, EP-11: an update whose instances die; its other one takes its time to end."""
        create("back", "one")
        waits("endpoint_in_service", "back")
        model("lingers", LINGER=self.file("lingers"))
        model("dies", GATE=self.file("never"), DIE=self.file("dies"))
        config("half", variant("l", "lingers"), variant("d", "dies"))
        sm.update_endpoint(EndpointName=name("back"), EndpointConfigName=name("half"))
        for _ in range(400):  # until the one is ready
            own = json.load(urllib.request.urlopen("%s/-/api/v1/endpoints/%s" % (URL, name("back"))))
            if [v for v in own["variants"] if v["name"] == "l" and v["ready"] == 1]:
                break
            time.sleep(0.05)
        self.touch("dies")
        self.sees("back", "RollingBack")
        self.assertEqual(invoke("back")["Body"].read(), b"one:x")
        self.busy("back")
        self.touch("lingers")
        waits("endpoint_in_service", "back")
        d = describe("back")
        self.assertEqual(d["EndpointConfigName"], name("one"))
        self.assertIn("production variant d", d["FailureReason"])
        self.delete("back")

    def test_weights_and_capacities(self):
        """EP-23, EP-30, EP-32, CP-52."""
        config("pair", variant("a", "one"), variant("b", "two", weight=3))
        create("weights", "pair")
        waits("endpoint_in_service", "weights")
        self.assertEqual(invoke("weights", TargetVariant="a")["Body"].read(), b"one:x")
        change = sm.update_endpoint_weights_and_capacities
        change(EndpointName=name("weights"), DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0}, {"VariantName": "b", "DesiredInstanceCount": 2}])
        d = self.sees("weights", "Updating")
        a, b = d["ProductionVariants"]
        self.assertEqual((a["CurrentWeight"], a["DesiredWeight"], b["DesiredInstanceCount"]), (1, 0, 2))
        waits("endpoint_in_service", "weights")
        a, b = describe("weights")["ProductionVariants"]
        self.assertEqual((a["CurrentWeight"], b["CurrentInstanceCount"]), (0, 2))
        self.assertEqual({invoke("weights")["InvokedProductionVariant"] for _ in range(50)}, {"b"})
        self.assertEqual(invoke("weights", TargetVariant="a")["InvokedProductionVariant"], "a")
        self.fails("ValidationException", 'The variant name(s) "none" is/are not present', change, EndpointName=name("weights"),
                   DesiredWeightsAndCapacities=[{"VariantName": "none", "DesiredWeight": 1}])
        self.delete("weights")

    def test_system_updating(self):
        """EP-4, EP-15, EP-22: maintenance changes nothing that a user can see."""
        gate = self.touch("open")
        model("kept", GATE=gate)
        config("kept", variant("v", "kept"))
        create("system", "kept")
        waits("endpoint_in_service", "system")
        before = describe("system")
        os.remove(gate)
        maintain("system")
        self.sees("system", "SystemUpdating")
        self.assertEqual(invoke("system")["Body"].read(), b"kept:x")
        self.busy("system")
        self.fails("ValidationException", "Cannot update in-progress endpoint", sm.update_endpoint_weights_and_capacities,
                   EndpointName=name("system"), DesiredWeightsAndCapacities=[{"VariantName": "v", "DesiredInstanceCount": 2}])
        self.touch("open")
        waits("endpoint_in_service", "system")
        after = describe("system")
        for d in (before, after):
            d.pop("LastModifiedTime"), d.pop("ResponseMetadata")
        self.assertEqual(before, after)
        self.delete("system")

    def test_out_of_service(self):
        """EP-6: the last instance is lost and cannot be replaced; then it can."""
        model("mortal", DIE=self.file("die"))
        config("mortal", variant("v", "mortal"))
        create("out", "mortal")
        waits("endpoint_in_service", "out")
        self.touch("die")
        d = self.sees("out", "OutOfService")
        self.assertIn("No instance of the endpoint can serve", d["FailureReason"])
        self.fails("ServiceUnavailable", "is OutOfService", runtime.invoke_endpoint, EndpointName=name("out"), Body=b"x")
        os.remove(self.file("die"))
        waits("endpoint_in_service", "out")
        self.assertEqual(invoke("out")["Body"].read(), b"mortal:x")
        self.assertNotIn("FailureReason", describe("out"))
        self.touch("die")
        reaches("out", "OutOfService")
        sm.update_endpoint(EndpointName=name("out"), EndpointConfigName=name("one"))
        waits("endpoint_in_service", "out")
        self.assertEqual(invoke("out")["Body"].read(), b"one:x")
        self.delete("out")

    def test_deleting(self):
        """EP-7, CP-54."""
        model("slow-end", LINGER=self.file("slow-end"))
        config("slow-end", variant("v", "slow-end"))
        create("delete", "slow-end")
        waits("endpoint_in_service", "delete")
        sm.delete_endpoint(EndpointName=name("delete"))
        self.sees("delete", "Deleting")
        self.busy("delete")
        with self.assertRaises(botocore.exceptions.ClientError):
            invoke("delete")
        self.touch("slow-end")
        waits("endpoint_deleted", "delete")
        self.fails("ValidationException", "Could not find endpoint", sm.delete_endpoint, EndpointName=name("delete"))

    def test_streams(self):
        """RT-30 to RT-33: each SDK reads a stream part by part, and its end in the middle."""
        create("stream", "one")
        waits("endpoint_in_service", "stream")
        readers = {}
        if hasattr(runtime, "invoke_endpoint_with_response_stream"):
            readers["boto3"] = read_stream
        for line in os.environ.get("STREAM_READERS", "").splitlines():
            readers[line] = program_reader(line)
        for label, read in readers.items():
            for broken in (False, True):
                with self.subTest(label, broken=broken), tempfile.TemporaryDirectory() as folder:
                    got = read(name("stream"), json.dumps({"parts": 3, "folder": folder, "break": broken}), folder)
                    self.assertEqual(got[:-1], ["variant v", "part 0 of 3", "part 1 of 3", "part 2 of 3"])
                    self.assertEqual(got[-1][:22], "broke ModelStreamError" if broken else "end", got)
                    self.assertEqual(sorted(os.listdir(folder)), ["0", "1", "2"])
        self.delete("stream")

    def test_command_line(self):
        """The AWS CLI creates, awaits, invokes, lists and deletes an endpoint."""
        endpoint = name("cli")
        aws("sagemaker", "create-endpoint-config", "--endpoint-config-name", endpoint, "--production-variants",
            "VariantName=v,ModelName=%s,InstanceType=ml.m5.large,InitialInstanceCount=1" % name("one"))
        aws("sagemaker", "create-endpoint", "--endpoint-name", endpoint, "--endpoint-config-name", endpoint)
        waits("endpoint_in_service", "cli")  # the CLI's looks every 30 seconds
        aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", endpoint)
        d = json.loads(aws("sagemaker", "describe-endpoint", "--endpoint-name", endpoint))
        self.assertEqual(d["EndpointStatus"], "InService")
        with open(self.file("body"), "wb") as f:
            f.write(b"1,2")
        told = json.loads(aws("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", endpoint, "--body", "fileb://" + self.file("body"),
                              "--content-type", "text/csv", self.file("answer")))
        self.assertEqual(told["InvokedProductionVariant"], "v")
        with open(self.file("answer"), "rb") as f:
            self.assertEqual(f.read(), b"one:1,2")
        listed = json.loads(aws("sagemaker", "list-endpoints", "--name-contains", endpoint, "--status-equals", "InService"))["Endpoints"]
        self.assertEqual([e["EndpointName"] for e in listed], [endpoint])
        aws("sagemaker", "delete-endpoint", "--endpoint-name", endpoint)
        waits("endpoint_deleted", "cli")
        aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", endpoint)
        self.assertRegex(aws("sagemaker", "describe-endpoint", "--endpoint-name", endpoint, expect=(254, 255)), "Could not find endpoint")


ROWS = 250


class Lists(unittest.TestCase):
    """CP-20 to CP-24, CP-56: pages, filters and sorts over many endpoints."""

    @classmethod
    def setUpClass(cls):
        model("row")
        sm.create_endpoint_config(EndpointConfigName=name("row"), ProductionVariants=[{
            "VariantName": "v", "ModelName": name("row"), "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}])
        folder = tempfile.TemporaryDirectory()
        die = os.path.join(folder.name, "die")
        open(die, "w").close()
        model("row-dead", DIE=die)
        config("row-dead", variant("v", "row-dead"))
        for k in range(ROWS):
            create("row-%03d" % (k * 7 % ROWS), "row-dead" if k % 50 == 0 else "row")
        for k in range(ROWS):
            reaches("row-%03d" % k, "Failed" if (k in [k * 7 % ROWS for k in range(0, ROWS, 50)]) else "InService")
        folder.cleanup()
        cls.all = cls.pages(NameContains=name("row-"), PageSize=100)
        assert len(cls.all) == ROWS, len(cls.all)

    @staticmethod
    def pages(PageSize, **kw):
        pages = sm.get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": PageSize}, **kw)
        return [e for page in pages for e in page["Endpoints"]]

    def test_sorts_and_filters(self):
        middle = sorted(e["CreationTime"] for e in self.all)[ROWS // 2].replace(microsecond=0) + datetime.timedelta(seconds=1)
        keys = {"Name": lambda e: e["EndpointName"], "CreationTime": lambda e: e["CreationTime"], "Status": lambda e: e["EndpointStatus"]}
        filters = {
            "none": ({}, lambda e: True),
            "name": ({"NameContains": name("row-01")}, lambda e: name("row-01") in e["EndpointName"]),
            "failed": ({"StatusEquals": "Failed"}, lambda e: e["EndpointStatus"] == "Failed"),
            "serving": ({"StatusEquals": "InService"}, lambda e: e["EndpointStatus"] == "InService"),
            "absent": ({"StatusEquals": "RollingBack"}, lambda e: False),
            "created after": ({"CreationTimeAfter": middle}, lambda e: e["CreationTime"] >= middle),
            "created before": ({"CreationTimeBefore": middle}, lambda e: e["CreationTime"] < middle),
            "modified after": ({"LastModifiedTimeAfter": middle}, lambda e: e["LastModifiedTime"] >= middle),
            "modified before": ({"LastModifiedTimeBefore": middle}, lambda e: e["LastModifiedTime"] < middle),
        }
        for label, (given, passes) in filters.items():
            given = dict({"NameContains": name("row-")}, **given)
            want = {e["EndpointName"] for e in self.all if passes(e)}
            for by, key in keys.items():
                for order in ("Ascending", "Descending"):
                    for size in (7, 100):
                        if size == 7 and label not in ("name", "failed", "created after"):
                            continue
                        got = self.pages(PageSize=size, SortBy=by, SortOrder=order, **given)
                        names = [e["EndpointName"] for e in got]
                        where = (label, by, order, size)
                        self.assertEqual((len(names), set(names)), (len(want), want), where)
                        values = [key(e) for e in got]
                        self.assertEqual(values, sorted(values, reverse=order == "Descending"), where)

    def test_defaults(self):
        """CP-20, CP-21: ten, the newest first."""
        page = sm.list_endpoints(NameContains=name("row-"))
        newest = sorted((e["CreationTime"] for e in self.all), reverse=True)[:10]
        self.assertEqual([e["CreationTime"] for e in page["Endpoints"]], newest)
        self.assertIn("NextToken", page)

    def test_tokens(self):
        """CP-24: a token belongs to its query, cannot be changed, and bears rows that come and go."""
        query = dict(NameContains=name("row-"), SortBy="Name", SortOrder="Ascending", MaxResults=20)
        token = sm.list_endpoints(**query)["NextToken"]
        for broken in (token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "x", token + "x"):
            with self.assertRaises(botocore.exceptions.ClientError) as caught:
                sm.list_endpoints(NextToken=broken, **query)
            self.assertEqual(caught.exception.response["Error"]["Code"], "ValidationException")
        with self.assertRaises(botocore.exceptions.ClientError):
            sm.list_endpoints(NextToken=token, **dict(query, SortOrder="Descending"))
        create("row-0005", "row")  # before the cursor
        create("row-0205", "row")  # after it
        waits("endpoint_in_service", "row-0005")
        waits("endpoint_in_service", "row-0205")
        try:
            found = [e["EndpointName"] for e in sm.list_endpoints(NextToken=token, **query)["Endpoints"]]
            self.assertEqual(found[:3], [name("row-020"), name("row-0205"), name("row-021")])
        finally:
            for text in ("row-0005", "row-0205"):
                sm.delete_endpoint(EndpointName=name(text))
                waits("endpoint_deleted", text)


if __name__ == "__main__":
    clients.main()
