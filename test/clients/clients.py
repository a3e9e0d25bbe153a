"""Real clients against a running server: what a user of boto3 and of the AWS CLI
does, with every answer checked against the client's own model of the API.

test/clients/run starts the servers and sets the environment.
"""
import datetime
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import warnings

import boto3
import botocore.config
import botocore.exceptions

URL = os.environ["AWS_ENDPOINT_URL"]
RUN = os.environ["RUN"]
DATA = "internal/demo/data/"
ACCOUNT = "000000000000"


def client(service, url=URL, **kw):
    config = botocore.config.Config(parameter_validation=False, s3={"addressing_style": "path"}, retries={"max_attempts": 0})
    c = boto3.client(service, endpoint_url=url, config=config, **kw)
    if service in ("sagemaker", "kms", "application-autoscaling"):
        c.meta.events.register("after-call.%s.*" % service, validate)
    return c


checked = 0


def validate(http_response, parsed, model, **kw):
    """Checks a raw answer against botocore's output shape of the operation."""
    global checked
    if http_response.status_code != 200:
        body = json.loads(http_response.content)
        assert set(body) <= {"__type", "message", "Message"} and body["message"], body
        assert http_response.status_code < 500, body
        return
    assert http_response.headers["x-amzn-requestid"], http_response.headers
    assert http_response.headers["content-type"] == "application/x-amz-json-1.1"
    if model.output_shape is None:
        assert http_response.content == b"", http_response.content
    else:
        conforms(json.loads(http_response.content), model.output_shape, model.name)
    checked += 1


# Members that AWS answers and Debian's botocore does not know yet.
NEWER = {
    "logGroupClass", "logGroupArn", "GetKeyPolicy.PolicyName",
    "GetKeyRotationStatus.KeyId", "GetKeyRotationStatus.RotationPeriodInDays", "GetKeyRotationStatus.NextRotationDate",
}


def conforms(value, shape, path):
    kind = shape.type_name
    if kind == "structure":
        for name in shape.required_members:
            assert name in value, "%s lacks %s" % (path, name)
        for name, member in value.items():
            if (name in NEWER or path + "." + name in NEWER) and name not in shape.members:
                continue
            assert name in shape.members, "%s has an unknown member %s" % (path, name)
            conforms(member, shape.members[name], path + "." + name)
    elif kind == "list":
        for i, member in enumerate(value):
            conforms(member, shape.member, "%s[%d]" % (path, i))
    elif kind == "map":
        for name, member in value.items():
            conforms(member, shape.value, path + "." + name)
    elif kind == "timestamp":
        assert isinstance(value, (int, float)), "%s is %r" % (path, value)
    elif kind == "string":
        assert isinstance(value, str), "%s is %r" % (path, value)
        assert not shape.enum or value in shape.enum, "%s is %r" % (path, value)
    elif kind in ("integer", "long"):
        assert isinstance(value, int), "%s is %r" % (path, value)
    elif kind == "boolean":
        assert isinstance(value, bool), "%s is %r" % (path, value)


sm = client("sagemaker")
s3 = client("s3")


ROLE = "arn:aws:iam::%s:role/sagemaker" % ACCOUNT


def name(text):
    return RUN + "-" + text


def job(text, model, source="s3://%s/in/", **kw):
    bucket = name("bucket")
    request = dict(
        TransformJobName=name(text),
        ModelName=model,
        TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source % bucket if "%" in source else source}},
                        "ContentType": "text/csv", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": "s3://%s/out/%s" % (bucket, text), "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    request.update(kw)
    return sm.create_transform_job(**request)


def wait(text, attempts=600):
    waiter = sm.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName=name(text), WaiterConfig={"Delay": 0.1, "MaxAttempts": attempts})
    return sm.describe_transform_job(TransformJobName=name(text))


def aws(*args, expect=(0,)):
    done = subprocess.run([os.environ["AWS"], "--endpoint-url", URL, "--output", "json", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode in expect, (args, done.returncode, done.stdout, done.stderr)
    return done.stdout if 0 in expect else done.stderr


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s3.create_bucket(Bucket=name("bucket"))
        s3.put_object(Bucket=name("bucket"), Key="in/a.csv", Body=b"1,2\n3,4\n")
        s3.upload_file(DATA + "model.tar.gz", name("bucket"), "model/model.tar.gz")
        sm.create_model(ModelName=name("echo"), ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "test/echo:latest"})

    def fails(self, code, words, call, **kw):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**kw)
        error = caught.exception.response["Error"]
        self.assertEqual((error["Code"], True), (code, words in error.get("Message", "")), error)
        return error.get("Message", "")

    def test_quick_start(self):
        """The main job with the built-in model, by its own name and by AWS's."""
        rows = gzip.open(DATA + "diamonds.csv.gz").read()
        expected = [float(x) for x in gzip.open(DATA + "expected.csv.gz").read().split()]
        s3.put_object(Bucket=name("bucket"), Key="diamonds/diamonds.csv", Body=rows)
        images = {"own": "sagebrush/xgboost:latest", "aws": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"}
        for label, image in images.items():
            arn = sm.create_model(ModelName=name("Diamonds-" + label), ExecutionRoleArn=ROLE,
                                  PrimaryContainer={"Image": image, "ModelDataUrl": "s3://%s/model/model.tar.gz" % name("bucket")})["ModelArn"]
            self.assertEqual(arn, "arn:aws:sagemaker:us-east-1:%s:model/%s-diamonds-%s" % (ACCOUNT, RUN, label))  # CP-8
            job("Score-" + label, name("Diamonds-" + label), "s3://%s/diamonds/")
            d = wait("Score-" + label)
            self.assertEqual(d["TransformJobStatus"], "Completed", d)
            body = s3.get_object(Bucket=name("bucket"), Key="out/Score-%s/diamonds.csv.out" % label)["Body"].read()
            got = [float(x) for x in body.split()]
            self.assertEqual(len(got), 53940)
            worst = max(abs(a - b) for a, b in zip(got, expected))
            self.assertLessEqual(worst, 1e-5 * max(expected))

    def test_describe_is_as_recorded(self):
        """BT-160 to BT-162, T-1: exactly these members of a minimal job."""
        job("minimal", name("echo"), TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://%s/in/" % name("bucket")}}},
            TransformOutput={"S3OutputPath": "s3://%s/out/minimal" % name("bucket")})
        d = wait("minimal")
        d.pop("ResponseMetadata")
        self.assertEqual(sorted(d), sorted([
            "TransformJobName", "TransformJobArn", "TransformJobStatus", "ModelName", "TransformInput", "TransformOutput",
            "TransformResources", "CreationTime", "TransformStartTime", "TransformEndTime", "DataProcessing"]))
        self.assertEqual(d["TransformOutput"], {"S3OutputPath": "s3://%s/out/minimal" % name("bucket"), "AssembleWith": "None", "KmsKeyId": ""})
        self.assertEqual((d["TransformInput"]["CompressionType"], d["TransformInput"]["SplitType"]), ("None", "None"))
        self.assertEqual(d["DataProcessing"], {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"})

    def test_errors(self):
        """The wording that clients depend on."""
        arn = "arn:aws:sagemaker:us-east-1:%s:" % ACCOUNT
        self.fails("ValidationException", 'Could not find model "%smodel/nope".' % arn, sm.describe_model, ModelName="nope")
        self.fails("ValidationException", 'Could not find model "%smodel/nope".' % arn, sm.delete_model, ModelName="nope")
        self.fails("ValidationException", 'Cannot create already existing model "%smodel/%s".' % (arn, name("echo")),
                   sm.create_model, ModelName=name("echo"), PrimaryContainer={"Image": "i"})
        self.fails("ValidationException", "Specify one of either Image and Model Data URL", sm.create_model, ModelName="x", PrimaryContainer={})
        self.fails("ValidationException", "Could not access model data at s3://%s/none." % name("bucket"), sm.create_model,
                   ModelName="x", PrimaryContainer={"Image": "i", "ModelDataUrl": "s3://%s/none" % name("bucket")})
        self.fails("ValidationException", "Could not find requested job with name: nope", sm.describe_transform_job, TransformJobName="nope")
        self.fails("ValidationException", "Could not find job to update with name", sm.stop_transform_job, TransformJobName="nope")
        self.fails("ValidationException", 'Could not find model "%smodel/nope".' % arn, job, text="no-model", model="nope")
        job("twice", name("echo"))
        self.fails("ResourceInUse", "Job name must be unique within an AWS account and region, and a job with this name already exists (%stransform-job/%s)" % (arn, name("twice")),
                   job, text="twice", model=name("echo"))
        wait("twice")
        self.fails("ValidationException", "The request was rejected because the transform job is in status Completed", sm.stop_transform_job, TransformJobName=name("twice"))
        message = self.fails("ValidationException", "No S3 objects found under S3 URL", job, text="no-input", model=name("echo"), source="s3://%s/nothing/")
        self.assertIn('permissions on bucket "%s".' % name("bucket"), message)
        message = self.fails("ValidationException", "3 validation errors detected: ", sm.create_transform_job, TransformJobName="-", ModelName=name("echo"),
                             BatchStrategy="Some", MaxPayloadInMB=-1, TransformOutput={"S3OutputPath": "s3://b/"},
                             TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/"}}},
                             TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1})
        self.assertIn("Value 'Some' at 'batchStrategy' failed to satisfy constraint: Member must satisfy enum value set: [MultiRecord, SingleRecord]", message)
        self.fails("UnknownOperationException", "ListTrainingJobs", sm.list_training_jobs)
        self.fails("UnknownOperationException", "ListNotebookInstances", sm.list_notebook_instances)

    def test_refused_by_name(self):
        """What is not supported is refused, never ignored."""
        for member, change in {
            "DataProcessing.InputFilter": {"DataProcessing": {"InputFilter": "$[1:]"}},
            "DataProcessing.JoinSource=Input": {"DataProcessing": {"JoinSource": "Input"}},
            "DataCaptureConfig": {"DataCaptureConfig": {"DestinationS3Uri": "s3://b/"}},
            "ExperimentConfig": {"ExperimentConfig": {"ExperimentName": "e"}},
        }.items():
            self.fails("ValidationException", member, job, text="refused", model=name("echo"), **change)
        models = {
            "PrimaryContainer.ModelPackageName": {"PrimaryContainer": {"ModelPackageName": "p"}},
            "VpcConfig": {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}},
        }
        for member, change in models.items():
            self.fails("ValidationException", member, sm.create_model, ModelName="refused", **change)

    def test_lists(self):
        """250 jobs, every filter and sort, and pages that are complete."""
        for i in range(250):
            job("many-%03d" % i, name("echo"))
        began = sm.describe_transform_job(TransformJobName=name("many-100"))["CreationTime"]
        pages = list(sm.get_paginator("list_transform_jobs").paginate(NameContains=name("many"), SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 40}))
        names = [j["TransformJobName"] for p in pages for j in p["TransformJobSummaries"]]
        self.assertEqual(names, [name("many-%03d" % i) for i in range(250)])
        self.assertNotIn("NextToken", pages[-1])
        newest = sm.list_transform_jobs(NameContains=name("many"))["TransformJobSummaries"]
        self.assertEqual([j["TransformJobName"] for j in newest], [name("many-%03d" % i) for i in range(249, 239, -1)])  # BT-163
        began = began.replace(microsecond=0)  # botocore sends whole seconds
        everyone = [j for p in pages for j in p["TransformJobSummaries"]]
        count = {True: 0, False: 0}
        for word, later in (("CreationTimeAfter", True), ("CreationTimeBefore", False)):
            found = [j for p in sm.get_paginator("list_transform_jobs").paginate(NameContains=name("many"), **{word: began}) for j in p["TransformJobSummaries"]]
            self.assertEqual(len(found), sum((j["CreationTime"] >= began) == later for j in everyone), word)
            count[later] = len(found)
        self.assertEqual(count[True] + count[False], 250)
        tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
        self.assertEqual(sm.list_transform_jobs(NameContains=name("many"), LastModifiedTimeAfter=tomorrow)["TransformJobSummaries"], [])
        self.assertEqual(len(sm.list_transform_jobs(NameContains=name("many"), LastModifiedTimeBefore=tomorrow, SortBy="Status", MaxResults=7)["TransformJobSummaries"]), 7)
        self.assertEqual(sm.list_transform_jobs(NameContains=name("many"), StatusEquals="Failed")["TransformJobSummaries"], [])
        first = sm.list_transform_jobs(NameContains=name("many"))
        self.fails("ValidationException", "NextToken", sm.list_transform_jobs, NameContains="other", NextToken=first["NextToken"])  # CP-23
        self.fails("ValidationException", "NextToken", sm.list_transform_jobs, NextToken="made-up")
        deadline = time.time() + 300
        while time.time() < deadline:
            if not sm.list_transform_jobs(NameContains=name("many"), StatusEquals="InProgress")["TransformJobSummaries"]:
                break
            time.sleep(0.2)
        done = [j for p in sm.get_paginator("list_transform_jobs").paginate(NameContains=name("many"), StatusEquals="Completed") for j in p["TransformJobSummaries"]]
        self.assertEqual(len(done), 250)

    def test_stop(self):
        sm.create_model(ModelName=name("slow"), ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "test/echo:1", "Environment": {"SLOW": "60"}})
        job("stopped", name("slow"))
        self.assertEqual(sm.stop_transform_job(TransformJobName=name("stopped"))["ResponseMetadata"]["HTTPStatusCode"], 200)
        d = wait("stopped")
        self.assertEqual((d["TransformJobStatus"], "FailureReason" in d), ("Stopped", False))

    def test_models_and_tags(self):
        arn = sm.create_model(ModelName=name("Tagged"), ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "i"}, Tags=[{"Key": "a", "Value": "1"}])["ModelArn"]
        d = sm.describe_model(ModelName=name("Tagged"))
        self.assertEqual((d["ModelName"], d["PrimaryContainer"]["Mode"], d["EnableNetworkIsolation"]), (name("Tagged"), "SingleModel", False))
        self.assertEqual(sm.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])["Tags"], [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        sm.delete_tags(ResourceArn=arn, TagKeys=["a", "missing"])
        self.assertEqual([t for p in sm.get_paginator("list_tags").paginate(ResourceArn=arn) for t in p["Tags"]], [{"Key": "b", "Value": "2"}])
        self.assertIn(name("Tagged"), [m["ModelName"] for p in sm.get_paginator("list_models").paginate(NameContains=RUN) for m in p["Models"]])
        sm.delete_model(ModelName=name("Tagged"))
        self.fails("ValidationException", "Could not find model", sm.list_tags, ResourceArn=arn)

    def test_s3(self):
        bucket = name("files")
        s3.create_bucket(Bucket=bucket)
        big = os.urandom(1 << 20) * 20
        with tempfile.NamedTemporaryFile() as f:
            f.write(big)
            f.flush()
            s3.upload_file(f.name, bucket, "big")  # a multipart upload
        self.assertEqual(s3.get_object(Bucket=bucket, Key="big")["Body"].read(), big)
        self.assertEqual(s3.get_object(Bucket=bucket, Key="big", Range="bytes=5-14")["Body"].read(), big[5:15])
        for key in ("a/1", "a/2", "b c+d/ü"):
            s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata={"k": "v"})
        listed = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
        self.assertEqual(([c["Key"] for c in listed["Contents"]], [p["Prefix"] for p in listed["CommonPrefixes"]]), (["big"], ["a/", "b c+d/"]))
        keys = [o["Key"] for p in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1}) for o in p["Contents"]]
        self.assertEqual(keys, ["a/1", "a/2", "b c+d/ü", "big"])
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "b c+d/ü"})
        head = s3.head_object(Bucket=bucket, Key="copy")
        self.assertEqual((head["ContentLength"], head["Metadata"]), (len("b c+d/ü".encode()), {"k": "v"}))
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/1"})
        self.assertEqual(urllib.request.urlopen(url).read(), b"a/1")
        self.fails("404", "", s3.head_object, Bucket=bucket, Key="none")
        self.fails("NoSuchKey", "", s3.get_object, Bucket=bucket, Key="none")
        self.fails("NoSuchBucket", "", s3.list_objects_v2, Bucket=name("nowhere"))
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in keys + ["copy"]]})
        self.assertNotIn("Contents", s3.list_objects_v2(Bucket=bucket))
        s3.delete_bucket(Bucket=bucket)

    def test_identity(self):
        self.assertEqual(client("sts").get_caller_identity()["Account"], ACCOUNT)
        self.assertEqual(client("iam").get_role(RoleName="SageMaker")["Role"]["Arn"], "arn:aws:iam::%s:role/SageMaker" % ACCOUNT)

    def test_keys(self):
        """Open servers take any unknown key; a known one must sign; strict servers know who they know."""
        stranger = dict(aws_access_key_id="test", aws_secret_access_key="test")
        client("sagemaker", **stranger).list_models()
        client("s3", **stranger).list_buckets()
        forged = dict(aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="forged")
        self.fails("InvalidSignatureException", "signature", client("sagemaker", **forged).list_models)
        self.fails("SignatureDoesNotMatch", "signature", client("s3", **forged).list_buckets)
        strict = os.environ["STRICT_URL"]
        self.fails("UnrecognizedClientException", "invalid", client("sagemaker", url=strict, **stranger).list_models)
        self.fails("InvalidAccessKeyId", "", client("s3", url=strict, **stranger).list_buckets)

    def test_command_line(self):
        """The AWS CLI does the main job from start to end."""
        bucket = name("cli")
        aws("s3", "mb", "s3://" + bucket)
        with tempfile.TemporaryDirectory() as folder:
            for i in range(3):
                with open(os.path.join(folder, "%d.csv" % i), "w") as f:
                    f.write("%d\n" % i)
            aws("s3", "sync", folder, "s3://%s/in" % bucket)
        aws("sagemaker", "create-model", "--model-name", bucket, "--primary-container", "Image=test/echo:1", "--execution-role-arn", ROLE)
        aws("sagemaker", "create-transform-job", "--transform-job-name", bucket, "--model-name", bucket,
            "--transform-input", "DataSource={S3DataSource={S3DataType=S3Prefix,S3Uri=s3://%s/in/}},SplitType=Line" % bucket,
            "--transform-output", "S3OutputPath=s3://%s/out" % bucket,
            "--transform-resources", "InstanceType=ml.m5.large,InstanceCount=1")
        for _ in range(300):
            status = json.loads(aws("sagemaker", "describe-transform-job", "--transform-job-name", bucket))["TransformJobStatus"]
            if status != "InProgress":
                break
            time.sleep(0.1)
        self.assertEqual(status, "Completed")
        aws("sagemaker", "wait", "transform-job-completed-or-stopped", "--transform-job-name", bucket)
        with tempfile.TemporaryDirectory() as folder:
            aws("s3", "cp", "--recursive", "s3://%s/out" % bucket, folder)
            self.assertEqual(sorted(os.listdir(folder)), ["0.csv.out", "1.csv.out", "2.csv.out"])
            self.assertEqual(open(os.path.join(folder, "2.csv.out")).read(), "2\n")
        listed = json.loads(aws("sagemaker", "list-transform-jobs", "--name-contains", bucket))["TransformJobSummaries"]
        self.assertEqual([j["TransformJobStatus"] for j in listed], ["Completed"])
        self.assertRegex(aws("sagemaker", "describe-transform-job", "--transform-job-name", "nope", expect=(254, 255)),  # CLI 2 and 1
                         "ValidationException.*Could not find requested job")
        url = aws("s3", "presign", "s3://%s/out/1.csv.out" % bucket).strip()
        self.assertEqual(urllib.request.urlopen(url).read(), b"1\n")
        aws("s3", "rm", "--recursive", "s3://" + bucket)
        aws("s3", "rb", "s3://" + bucket)


def main():
    """Runs the tests of the script that is running, and says how much was checked."""
    warnings.simplefilter("ignore", ResourceWarning)  # botocore keeps its connections
    program = unittest.main(exit=False, verbosity=1, warnings="ignore")
    checked = sys.modules[client.__module__].checked
    print("%d answers were checked against botocore's shapes" % checked)
    raise SystemExit(not program.result.wasSuccessful())


if __name__ == "__main__":
    main()
