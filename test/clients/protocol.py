"""What a port must bear: every operation of the API, what is not served included,
every refused member by its name, keys, and requests that no SDK sends.
"""
import json
import os
import unittest
import urllib.error
import urllib.request

import botocore.exceptions

import clients
from clients import ROLE, URL, client, job, name, s3, sm

SERVED = {
    "CreateTransformJob", "DescribeTransformJob", "ListTransformJobs", "StopTransformJob",
    "CreateModel", "DescribeModel", "ListModels", "DeleteModel", "AddTags", "ListTags", "DeleteTags",
    "CreateEndpointConfig", "DescribeEndpointConfig", "ListEndpointConfigs", "DeleteEndpointConfig",
    "CreateEndpoint", "DescribeEndpoint", "ListEndpoints", "UpdateEndpoint", "UpdateEndpointWeightsAndCapacities", "DeleteEndpoint"}
STRICT = os.environ["STRICT_URL"]


def post(url, body, **headers):
    """A raw request; gives status, headers and body."""
    request = urllib.request.Request(url, data=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        answer = urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status if hasattr(answer, "status") else answer.code, answer.headers, answer.read()


class Protocol(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s3.create_bucket(Bucket=name("bucket"))
        s3.put_object(Bucket=name("bucket"), Key="in/a.csv", Body=b"1\n")
        sm.create_model(ModelName=name("protocol"), ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "test/echo:latest"})

    def fails(self, code, words, call, **kw):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**kw)
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], code, error)
        self.assertIn(words, error.get("Message", ""))

    def test_every_operation(self):
        """Each answers 4xx to an empty request: its violations, or that it is not served."""
        lists = {"ListTransformJobs", "ListModels", "ListEndpoints", "ListEndpointConfigs"}  # which need no member
        names = sm.meta.service_model.operation_names
        self.assertGreater(len(names), 200)
        self.assertLessEqual(SERVED, set(names))
        for operation in names:
            status, headers, body = post(URL, b"{}", X_Amz_Target="SageMaker." + operation, Content_Type="application/x-amz-json-1.1")
            self.assertTrue(headers["x-amzn-RequestId"])
            answer = json.loads(body)
            if operation in lists:
                self.assertEqual(status, 200, (operation, answer))
                continue
            want = "ValidationException" if operation in SERVED else "UnknownOperationException"
            self.assertEqual((status, answer["__type"]), (400, want), operation)
            self.assertIn("Member must not be null" if operation in SERVED else operation, answer["message"])

    def test_path_style(self):
        """An operation by its path, without a target (as OpenSearch calls it)."""
        status, headers, body = post(URL + "/DescribeModel", json.dumps({"ModelName": name("protocol")}).encode(), Content_Type="application/json")
        self.assertEqual((status, json.loads(body)["ModelName"]), (200, name("protocol")))

    def test_bodies(self):
        """No body of a stranger makes a 500."""
        deep = b'{"Tags":' * 10000
        for body in (b"", b"{", b"[]", b"null", b'{"ModelName": 7}', b'{"ModelName": "\xff"}', deep, b"\x00" * 100, b'{"ModelName":"a"}{}'):
            for operation in ("DescribeModel", "CreateTransformJob", "AddTags"):
                status, _, answer = post(URL, body, X_Amz_Target="SageMaker." + operation)
                self.assertEqual(status, 400, (operation, body[:40], answer))
                self.assertIn(json.loads(answer)["__type"], ("SerializationException", "ValidationException"))
        status, _, _ = post(URL, b" " * (3 << 20), X_Amz_Target="SageMaker.DescribeModel")
        self.assertEqual(status, 413)
        status, _, answer = post(URL, b"{}", X_Amz_Target="DynamoDB_20120810.ListTables")
        self.assertEqual((status, json.loads(answer)["__type"]), (400, "UnknownOperationException"))

    def test_unknown_members(self):
        """CP-18: members of clients that are newer than the server are ignored."""
        status, _, body = post(URL, json.dumps({"ModelName": name("protocol"), "Newer": {"a": 1}}).encode(), X_Amz_Target="SageMaker.DescribeModel")
        self.assertEqual(status, 200, body)

    def test_refused_members(self):
        """Every member that is not acted on is refused, and named."""
        shapes = sm.meta.service_model
        resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
        for member, change in {
            "DataProcessing.OutputFilter": {"DataProcessing": {"OutputFilter": "$.SageMakerOutput"}},
            "TransformResources.TransformAmiVersion": {"TransformResources": dict(resources, TransformAmiVersion="al2-1")},
        }.items():
            if member.split(".")[-1] in shapes.shape_for(member.split(".")[0]).members:  # older clients lack it
                self.fails("ValidationException", member, job, text="refused", model=name("protocol"), **change)
        container = shapes.shape_for("ContainerDefinition").members
        for member, value in {
            "ImageConfig": {"RepositoryAccessMode": "Vpc"}, "MultiModelConfig": {"ModelCacheSetting": "Enabled"},
            "ModelPackageName": "arn:aws:sagemaker:us-east-1:000000000000:model-package/p", "InferenceSpecificationName": "i",
        }.items():
            if member in container:
                self.fails("ValidationException", "PrimaryContainer." + member, sm.create_model, ModelName="refused", PrimaryContainer={"Image": "i", member: value})
        self.fails("ValidationException", "InferenceExecutionConfig", sm.create_model, ModelName="refused", PrimaryContainer={"Image": "i"},
                   InferenceExecutionConfig={"Mode": "Serial"})
        # What says nothing is accepted: MLflow always sends it.
        job("nothing-said", name("protocol"), DataProcessing={"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"})

    def test_quota(self):
        """BT-22."""
        self.fails("ResourceLimitExceeded", "The account-level service limit 'ml.m5.large for transform job usage' is ", job, text="huge", model=name("protocol"),
                   TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 10000})

    def test_case(self):
        """CP-8, CP-9: names that differ in case are one; the name keeps its case."""
        job("Case", name("protocol"))
        self.fails("ResourceInUse", "transform-job/" + name("case").lower(), job, text="cASE", model=name("protocol"))
        self.assertEqual(sm.describe_transform_job(TransformJobName=name("CASE"))["TransformJobName"], name("Case"))

    def test_job_tags(self):
        """CP-60 to CP-62: tags of a job, from its creation."""
        arn = job("tagged", name("protocol"), Tags=[{"Key": "team", "Value": "a"}])["TransformJobArn"]
        self.assertEqual(sm.list_tags(ResourceArn=arn)["Tags"], [{"Key": "team", "Value": "a"}])
        self.fails("ValidationException", "aws:", sm.add_tags, ResourceArn=arn, Tags=[{"Key": "aws:x", "Value": ""}])
        self.fails("ValidationException", "Could not find", sm.list_tags, ResourceArn=arn + "-not")

    def test_model_lists(self):
        """CP-21, CP-37: filters and sorts of models."""
        for k in ("b", "c", "a"):
            sm.create_model(ModelName=name("sorted-" + k), ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "i"})
        begin = sm.describe_model(ModelName=name("sorted-b"))["CreationTime"].replace(microsecond=0)
        for want, kw in {
            "cba": dict(SortBy="Name"), "abc": dict(SortBy="Name", SortOrder="Ascending"),
            "acb": {}, "bca": dict(SortBy="CreationTime", SortOrder="Ascending"), "acb ": dict(CreationTimeAfter=begin), "": dict(CreationTimeBefore=begin),
        }.items():
            found = sm.list_models(NameContains=name("sorted-"), **kw)["Models"]
            self.assertEqual("".join(m["ModelName"][-1] for m in found), want.strip(), kw)

    def test_conditional_put(self):
        """S3: If-None-Match, by a raw request, since old clients do not know it."""
        url = "%s/%s/once" % (URL, name("bucket"))
        for want in (200, 412):
            request = urllib.request.Request(url, data=b"1", method="PUT", headers={"If-None-Match": "*", "Content-Type": "text/plain"})
            try:
                status = urllib.request.urlopen(request).status
            except urllib.error.HTTPError as error:
                status = error.code
            self.assertEqual(status, want)

    def test_strict(self):
        """--auth keys: its own key passes; the unsigned do not."""
        keys = dict(aws_access_key_id=os.environ["STRICT_KEY"], aws_secret_access_key=os.environ["STRICT_SECRET"])
        self.assertEqual(client("sagemaker", url=STRICT, **keys).list_models()["Models"], [])
        client("s3", url=STRICT, **keys).create_bucket(Bucket=name("strict"))
        status, _, body = post(STRICT, b"{}", X_Amz_Target="SageMaker.ListModels")
        self.assertEqual((status, json.loads(body)["__type"]), (403, "MissingAuthenticationTokenException"))
        for path in ("/" + name("strict"), "/-/metrics"):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(STRICT + path)
            self.assertEqual(caught.exception.code, 403, path)
        self.assertEqual(urllib.request.urlopen(STRICT + "/-/health").status, 200)


if __name__ == "__main__":
    clients.main()
