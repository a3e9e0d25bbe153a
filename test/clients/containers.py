"""Models that misbehave, as users of boto3 meet them: the job ends as AWS says, the
reason names the object, no output of it is visible, and the next job is unharmed.
"""
import unittest
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.exceptions
import botocore.session
import json

import clients
from clients import ROLE, URL, job, name, s3, sm

CLIENT = "ClientError: See job logs for more information"
ALGORITHM = "AlgorithmError: See job logs for more information"


def logs(text):
    """The texts of a job's data-log, from our own path, signed as boto3 signs."""
    request = botocore.awsrequest.AWSRequest("GET", "%s/-/api/v1/transform-jobs/%s/logs" % (URL, name(text)))
    botocore.auth.SigV4Auth(botocore.session.get_session().get_credentials(), "sagemaker", "us-east-1").add_auth(request)
    answer = urllib.request.urlopen(urllib.request.Request(request.url, headers=dict(request.headers)))
    lines = [json.loads(line) for line in answer]
    return [l["text"].split("[sagemaker logs]: ")[1] for l in lines if l["stream"].endswith("/data-log")]


class Containers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bucket = name("bucket")
        s3.create_bucket(Bucket=cls.bucket)
        s3.put_object(Bucket=cls.bucket, Key="in/a.csv", Body=b"good\n")
        s3.put_object(Bucket=cls.bucket, Key="in/b.csv", Body=b"good\nbad\n")
        s3.put_object(Bucket=cls.bucket, Key="in/c.csv", Body=b"good\n")

    def run_job(self, text, retries=0, image="test/echo:latest", **environment):
        sm.create_model(ModelName=name(text), ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image, "Environment": environment})
        job(text, name(text), ModelClientConfig={"InvocationsMaxRetries": retries, "InvocationsTimeoutInSeconds": 2})
        waiter = sm.get_waiter("transform_job_completed_or_stopped")
        try:
            waiter.wait(TransformJobName=name(text), WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})
            finished = True
        except botocore.exceptions.WaiterError as error:
            self.assertIn("terminal failure state", str(error))  # WP-3
            finished = False
        d = sm.describe_transform_job(TransformJobName=name(text))
        self.assertEqual(finished, d["TransformJobStatus"] == "Completed", d)
        listed = s3.list_objects_v2(Bucket=self.bucket, Prefix="out/%s/" % text).get("Contents", [])
        return d, [o["Key"].split("/")[-1] for o in listed]

    def fails(self, text, reason, words, outputs=("a.csv.out", "c.csv.out"), **environment):
        d, found = self.run_job(text, **environment)
        self.assertEqual(d["TransformJobStatus"], "Failed")
        self.assertTrue(d["FailureReason"].startswith(reason), d["FailureReason"])
        for word in words:
            self.assertIn(word, d["FailureReason"])
        if outputs is not None:
            self.assertEqual(found, list(outputs))
        self.assertNotIn("b.csv.out", found)
        # The next job on the same server is unharmed.
        d, found = self.run_job(text + "-next")
        self.assertEqual((d["TransformJobStatus"], found), ("Completed", ["a.csv.out", "b.csv.out", "c.csv.out"]))

    def test_client_error(self):
        """T-6, BT-82: 413 in AWS's words, and then what AWS does not say."""
        self.fails("c413", CLIENT, [self.bucket + "/in/b.csv", "413", "no bad please"], BAD="bad", HOW="413")
        lines = logs("c413")
        where = "%s/in/b.csv: " % self.bucket
        at = lines.index(where + "ClientError: 413")
        self.assertEqual(lines[at:at + 5], [where + t for t in ("ClientError: 413", "", "Message:", "no bad please", "really")])

    def test_server_error(self):
        """T-7, BT-83."""
        self.fails("c500", ALGORITHM, ["in/b.csv", "500"], BAD="bad", HOW="500")
        self.assertIn("%s/in/b.csv: Bad HTTP status received from algorithm: 500" % self.bucket, logs("c500"))

    def test_server_error_once(self):
        """T-7, BT-88: tried again, and well."""
        d, found = self.run_job("c503", retries=1, BAD="bad", HOW="503", TIMES="1")
        self.assertEqual((d["TransformJobStatus"], len(found)), ("Completed", 3))

    def test_hang(self):
        """T-8, BT-84."""
        self.fails("hang", ALGORITHM, ["in/b.csv"], BAD="bad", HOW="hang")
        self.assertIn("%s/in/b.csv: Unable to get response from algorithm" % self.bucket, logs("hang"))

    def test_exit(self):
        """BT-36: the job is over; what was done before may be there."""
        self.fails("exit", ALGORITHM, ["exited with code 7"], outputs=None, BAD="bad", HOW="exit")

    def test_endless(self):
        self.fails("endless", ALGORITHM, ["in/b.csv"], BAD="bad", HOW="endless")

    def test_garbage(self):
        self.fails("garbage", ALGORITHM, ["in/b.csv"], BAD="bad", HOW="garbage")

    def test_not_installed(self):
        """An image that nothing is known of: the reason says what to do."""
        d, found = self.run_job("unknown-image", image="acme/unknown:1")
        self.assertEqual((d["TransformJobStatus"], found), ("Failed", []))
        self.assertIn("acme/unknown:1", d["FailureReason"])

    def test_waiting_for_nothing(self):
        """WP-3: an unknown job ends the wait at once."""
        with self.assertRaises(botocore.exceptions.WaiterError) as caught:
            sm.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="nope", WaiterConfig={"Delay": 60, "MaxAttempts": 2})
        self.assertIn("Could not find requested job with name", str(caught.exception.last_response))


if __name__ == "__main__":
    clients.main()
