"""CloudWatch Logs as its clients use it: boto3, the AWS CLI, and the exact calls of
SageMaker SDK v2's and v3's log readers, while a job runs and after it.
"""
import json
import subprocess
import threading
import time
import unittest
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.exceptions
import botocore.session

import clients
from clients import ACCOUNT, ROLE, URL, aws, client, job, name, s3, sm, validate, wait

GROUP = "/aws/sagemaker/TransformJobs"
SECRET = "hunter2-is-not-for-logs"

cw = client("logs")
cw.meta.events.register("after-call.logs.*", validate)


class Poll:
    """SageMaker SDK v2: _logs_init, _flush_log_streams and logs.py, call by call (OB-30).

    The stream list is local to a flush, as it is in the SDK: the positions last.
    """

    def __init__(self, text, instances):
        self.name, self.instances, self.positions, self.printed, self.calls = name(text), instances, {}, [], 0

    def flush(self):
        streams = []
        try:
            page = cw.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=self.name + "/", orderBy="LogStreamName", limit=min(self.instances, 50))
            streams = [s["logStreamName"] for s in page["logStreams"]]
            while "nextToken" in page:
                self.calls += 1
                assert self.calls < 1000, "the SDK would go on for ever"
                page = cw.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=self.name + "/", orderBy="LogStreamName", limit=50)
                streams.extend(s["logStreamName"] for s in page["logStreams"])
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
        for stream in streams:
            self.positions.setdefault(stream, (0, 0))
            for event in self.events(stream, *self.positions[stream]):
                self.printed.append((stream, event["message"]))
                timestamp, skip = self.positions[stream]
                self.positions[stream] = (timestamp, skip + 1) if event["timestamp"] == timestamp else (event["timestamp"], 1)

    def events(self, stream, start, skip):
        """logs.log_stream of the SDK."""
        token, count = {}, 1
        while count > 0:
            self.calls += 1
            assert self.calls < 1000, "the SDK would go on for ever"
            answer = cw.get_log_events(logGroupName=GROUP, logStreamName=stream, startTime=start, startFromHead=True, **token)
            token = {"nextToken": answer["nextForwardToken"]}
            events = answer["events"]
            count = len(events)
            if count > skip:
                events, skip = events[skip:], 0
            else:
                skip, events = skip - count, []
            for event in events:
                yield event

    def until_the_end(self):
        """logs_for_transform_job, with a shorter pause."""
        ended = False
        while True:
            self.flush()
            if ended:
                return
            status = sm.describe_transform_job(TransformJobName=self.name)["TransformJobStatus"]
            ended = status in ("Completed", "Failed", "Stopped")
            time.sleep(0.1)


class Logs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bucket = name("bucket")
        s3.create_bucket(Bucket=cls.bucket)
        for i in range(4):
            s3.put_object(Bucket=cls.bucket, Key="in/%d.csv" % i, Body=b"one\ntwo\n")
        sm.create_model(ModelName=name("talker"), ExecutionRoleArn=ROLE, PrimaryContainer={
            "Image": "test/echo:latest", "Environment": {"TALK": "20", "SLOW": "0.2", "API_TOKEN": SECRET}})

    def start(self, text, **kw):
        job(text, name("talker"), **kw)

    def container(self, printed):
        return [m for stream, m in printed if not stream.endswith("/data-log")]

    def test_sdk_v2(self):
        """OB-30, OB-31: wait(logs=True) ends, and nothing is lost. With one instance the
        SDK prints each line of the container twice, as it does on AWS; with two, which
        fill its first page with the streams of one instance, too."""
        for text, instances in (("v2-one", 1), ("v2-two", 2)):
            self.start(text, TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": instances})
            poll = Poll(text, instances)
            poll.until_the_end()
            lines = self.container(poll.printed)
            streams = {s for s, _ in poll.printed}
            self.assertEqual(len(streams), 2 * instances, streams)
            heard = 0
            for stream in streams:
                mine = list(dict.fromkeys(m for s, m in poll.printed if s == stream and m.startswith("talking")))
                self.assertEqual(mine, ["talking %d" % i for i in range(len(mine))])
                heard += len(mine)
            self.assertEqual(heard, 20)  # five lines for each of four objects, whoever gets them
            self.assertIn("my token is ****", lines)
            before = len(poll.printed)
            poll.flush()
            self.assertEqual(len(poll.printed), before)

    def test_sdk_v3(self):
        """OB-34: lists until there are as many streams as instances, and never again; the
        data-log is there with the container's stream."""
        self.start("v3")
        while True:
            try:
                found = cw.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=name("v3") + "/")["logStreams"]
            except cw.exceptions.ResourceNotFoundException:
                found = []
            if found:
                break
            time.sleep(0.01)
        wait("v3")
        self.assertEqual(len(found), 2, found)
        texts = []
        for stream in found:
            kw = {}
            while True:
                answer = cw.get_log_events(logGroupName=GROUP, logStreamName=stream["logStreamName"], startFromHead=True, **kw)
                if kw.get("nextToken") == answer["nextForwardToken"]:
                    break
                kw = {"nextToken": answer["nextForwardToken"]}
                texts.extend(e["message"] for e in answer["events"])
        self.assertIn("talking 19", texts)
        self.assertTrue(any("[sagemaker logs]: MaxConcurrentTransforms=" in t for t in texts), texts)

    def test_groups(self):
        self.start("groups")
        wait("groups")
        (group,) = cw.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
        self.assertEqual(group["arn"], "arn:aws:logs:us-east-1:%s:log-group:%s:*" % (ACCOUNT, GROUP))
        self.assertGreater(group["storedBytes"], 0)
        cw.put_retention_policy(logGroupName=GROUP, retentionInDays=7)
        self.assertEqual(cw.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"][0]["retentionInDays"], 7)
        cw.delete_retention_policy(logGroupName=GROUP)
        self.assertNotIn("retentionInDays", cw.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"][0])
        for call, kw in ((cw.describe_log_streams, {}), (cw.filter_log_events, {}), (cw.put_retention_policy, {"retentionInDays": 7})):
            with self.assertRaises(cw.exceptions.ResourceNotFoundException) as caught:
                call(logGroupName="/aws/sagemaker/Endpoints/nope", **kw)
            self.assertIn("The specified log group does not exist.", str(caught.exception))
        with self.assertRaises(cw.exceptions.InvalidParameterException) as caught:
            cw.filter_log_events(logGroupName=GROUP, filterPattern='{ $.level = "ERROR" }')
        self.assertIn("JSON filter patterns", str(caught.exception))

    def test_paginators(self):
        self.start("pages")
        wait("pages")
        prefix = name("pages") + "/"
        pages = cw.get_paginator("describe_log_streams").paginate(logGroupName=GROUP, logStreamNamePrefix=prefix, PaginationConfig={"PageSize": 1})
        self.assertEqual(len([s for p in pages for s in p["logStreams"]]), 2)
        pages = list(cw.get_paginator("filter_log_events").paginate(logGroupName=GROUP, logStreamNamePrefix=prefix, filterPattern='"talking" -"talking 7"', PaginationConfig={"PageSize": 3}))
        self.assertGreater(len(pages), 5)
        self.assertEqual([e["message"] for p in pages for e in p["events"]], ["talking %d" % i for i in range(20) if i != 7])
        ids = [e["eventId"] for p in pages for e in p["events"]]
        self.assertEqual(len(set(ids)), len(ids))

    def test_secrets(self):
        """I8: the value of a variable that is called a token is in no line, however the
        container prints it."""
        self.start("secrets")
        wait("secrets")
        events = cw.filter_log_events(logGroupName=GROUP, logStreamNamePrefix=name("secrets") + "/")["events"]
        texts = [e["message"] for e in events]
        self.assertNotIn(SECRET, "\n".join(texts))
        self.assertIn("my token is ****", texts)
        self.assertIn("in two pieces: ****", texts)

    def test_cli_filter(self):
        self.start("cli")
        wait("cli")
        found = json.loads(aws("logs", "filter-log-events", "--log-group-name", GROUP, "--log-stream-name-prefix", name("cli") + "/", "--filter-pattern", "?\"talking 3\" ?\"talking 4\""))
        self.assertEqual([e["message"] for e in found["events"]], ["talking 3", "talking 4"])
        streams = json.loads(aws("logs", "describe-log-streams", "--log-group-name", GROUP, "--log-stream-name-prefix", name("cli") + "/"))["logStreams"]
        self.assertEqual(len(streams), 2)
        events = json.loads(aws("logs", "get-log-events", "--log-group-name", GROUP, "--log-stream-name", streams[0]["logStreamName"], "--limit", "2"))
        self.assertEqual(len(events["events"]), 2)
        missing = aws("logs", "get-log-events", "--log-group-name", GROUP, "--log-stream-name", "nope", expect=(255, 254))
        self.assertIn("ResourceNotFoundException", missing)

    def test_cli_tail(self):
        """aws logs tail, and tail --follow while the job runs."""
        if clients.os.environ["AWS_MAJOR"] != "2":
            self.skipTest("AWS CLI 1 has no logs tail")
        prefix = name("tail") + "/"
        self.start("tail-first")  # makes the group, which tail does not wait for
        wait("tail-first")
        command = [clients.os.environ["AWS"], "--endpoint-url", URL, "logs", "tail", GROUP, "--log-stream-name-prefix", prefix, "--format", "short", "--since", "1h"]
        tail = subprocess.Popen(command + ["--follow"], stdout=subprocess.PIPE, universal_newlines=True)
        try:
            self.start("tail")
            seen = []
            watchdog = threading.Timer(60, tail.kill)
            watchdog.start()
            for line in tail.stdout:
                seen.append(line.strip())
                if line.strip().endswith("talking 19"):
                    break
            watchdog.cancel()
        finally:
            tail.kill()
            tail.wait()
            tail.stdout.close()
        talk = [line.split(" ", 1)[1] for line in seen if "talking" in line]
        self.assertEqual(talk, ["talking %d" % i for i in range(20)])
        wait("tail")
        done = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout
        self.assertIn("talking 0", done)
        self.assertIn("[sagemaker logs]: MaxConcurrentTransforms=", done)

    def test_follow(self):
        """Our own path: JSON lines while the job runs, and the end with the job."""
        self.start("follow")
        request = botocore.awsrequest.AWSRequest("GET", "%s/-/api/v1/transform-jobs/%s/logs?follow=1" % (URL, name("follow")))
        botocore.auth.SigV4Auth(botocore.session.get_session().get_credentials(), "sagemaker", "us-east-1").add_auth(request)
        answer = urllib.request.urlopen(urllib.request.Request(request.url, headers=dict(request.headers)), timeout=60)
        lines = [json.loads(line) for line in answer]
        self.assertEqual([l["text"] for l in lines if l["text"].startswith("talking")], ["talking %d" % i for i in range(20)])
        self.assertEqual(sm.describe_transform_job(TransformJobName=name("follow"))["TransformJobStatus"], "Completed")
        self.assertEqual(sorted(l["time"] for l in lines), [l["time"] for l in lines])

    def test_endpoint(self):
        """OB-21, OB-33: an endpoint has a group of its own, which SDK v2's deploy reads with
        FilterLogEvents; it outlives the endpoint (OB-22)."""
        endpoint = name("Endpoint")
        sm.create_endpoint_config(EndpointConfigName=endpoint, ProductionVariants=[{
            "VariantName": "AllTraffic", "ModelName": name("talker"), "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
        sm.create_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint)
        sm.get_waiter("endpoint_in_service").wait(EndpointName=endpoint, WaiterConfig={"Delay": 0.2, "MaxAttempts": 300})
        client("sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body=b"1\n", ContentType="text/csv")
        group, seen = "/aws/sagemaker/Endpoints/" + endpoint, []
        for _ in range(100):
            seen = [e["message"] for e in cw.filter_log_events(logGroupName=group, logStreamNamePrefix="AllTraffic/")["events"]]
            if "talking 4" in seen:
                break
            time.sleep(0.1)
        self.assertIn("talking 4", seen)
        self.assertIn("my token is ****", seen)
        sm.delete_endpoint(EndpointName=endpoint)
        sm.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig={"Delay": 0.2, "MaxAttempts": 300})
        self.assertEqual([g["logGroupName"] for g in cw.describe_log_groups(logGroupNamePrefix=group)["logGroups"]], [group])

    def test_keys(self):
        """Where signatures are required, they are for logs too."""
        strict = dict(url=clients.os.environ["STRICT_URL"], region_name="us-east-1")
        good = client("logs", aws_access_key_id=clients.os.environ["STRICT_KEY"], aws_secret_access_key=clients.os.environ["STRICT_SECRET"], **strict)
        self.assertEqual(good.describe_log_groups()["logGroups"], [])
        bad = client("logs", aws_access_key_id=clients.os.environ["STRICT_KEY"], aws_secret_access_key="wrong", **strict)
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            bad.describe_log_groups()
        self.assertEqual(caught.exception.response["Error"]["Code"], "InvalidSignatureException")


if __name__ == "__main__":
    clients.main()
