"""Application Auto Scaling of endpoints, by boto3 and the AWS CLI, with every answer
checked against the client's own model; and refusals by their codes and names.
"""
import json
import time
import unittest

import botocore.exceptions

import clients
from clients import ACCOUNT, ROLE, aws, client, name, sm

auto = client("application-autoscaling")
DIMENSION = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
INVOCATIONS = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
CONCURRENT = {"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}


class AutoScaling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sm.create_model(ModelName=name("echo"), ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "test/echo:latest"})
        variants = [{"VariantName": v, "ModelName": name("echo"), "InstanceType": "ml.m5.large", "InitialInstanceCount": 1} for v in ("One", "two")]
        sm.create_endpoint_config(EndpointConfigName=name("c"), ProductionVariants=variants)
        sm.create_endpoint(EndpointName=name("E"), EndpointConfigName=name("c"))
        sm.get_waiter("endpoint_in_service").wait(EndpointName=name("E"), WaiterConfig={"Delay": 1, "MaxAttempts": 120})

    @classmethod
    def tearDownClass(cls):
        sm.delete_endpoint(EndpointName=name("E"))
        sm.get_waiter("endpoint_deleted").wait(EndpointName=name("E"), WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        left = auto.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[cls.variant("One"), cls.variant("two")])
        assert left["ScalableTargets"] == [], left

    @staticmethod
    def variant(text):
        return "endpoint/%s/variant/%s" % (name("E"), text)

    def of(self, text, **kw):
        return dict(DIMENSION, ResourceId=self.variant(text), **kw)

    def fails(self, code, words, call, **kw):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**kw)
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], code, error)
        self.assertIn(words, error.get("Message", ""))

    def policy(self, text, policy, metric=INVOCATIONS, value=70.0, **kw):
        kw.setdefault("PredefinedMetricSpecification", metric)
        return auto.put_scaling_policy(**self.of(text, PolicyName=policy, PolicyType="TargetTrackingScaling",
                                                 TargetTrackingScalingPolicyConfiguration=dict({k: v for k, v in kw.items() if v}, TargetValue=value)))

    def test_life(self):
        """Register, put, describe, delete, deregister: what a policy's owner does."""
        auto.register_scalable_target(**self.of("One", MinCapacity=1, MaxCapacity=2))
        auto.register_scalable_target(**self.of("One", MaxCapacity=3, SuspendedState={"DynamicScalingInSuspended": True}))
        target = auto.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[self.variant("One")])["ScalableTargets"][0]
        self.assertEqual((target["ResourceId"], target["MinCapacity"], target["MaxCapacity"], target["ScalableDimension"], target["SuspendedState"]),
                         (self.variant("One"), 1, 3, DIMENSION["ScalableDimension"],
                          {"DynamicScalingInSuspended": True, "DynamicScalingOutSuspended": False, "ScheduledScalingSuspended": False}))
        self.assertTrue(target["RoleARN"].endswith("AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"), target)
        made = self.policy("One", "SageMakerEndpointInvocationScalingPolicy", ScaleInCooldown=60, ScaleOutCooldown=30)
        self.assertRegex(made["PolicyARN"], "^arn:aws:autoscaling:us-east-1:%s:scalingPolicy:[0-9a-f-]{36}:resource/sagemaker/%s:policyName/SageMakerEndpointInvocationScalingPolicy$" % (ACCOUNT, self.variant("One")))
        self.assertEqual(made["Alarms"], [])
        self.assertEqual(self.policy("One", "SageMakerEndpointInvocationScalingPolicy", value=80.5, ScaleInCooldown=60)["PolicyARN"], made["PolicyARN"])
        self.policy("One", "custom", metric=None, CustomizedMetricSpecification=self.custom())
        policies = auto.describe_scaling_policies(**self.of("One"))["ScalingPolicies"]
        self.assertEqual([p["PolicyName"] for p in policies], ["SageMakerEndpointInvocationScalingPolicy", "custom"])
        self.assertEqual(policies[0]["PolicyARN"], made["PolicyARN"])
        self.assertEqual(policies[0]["TargetTrackingScalingPolicyConfiguration"],
                         {"TargetValue": 80.5, "PredefinedMetricSpecification": INVOCATIONS, "ScaleInCooldown": 60, "DisableScaleIn": False})
        self.assertEqual(policies[1]["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"], self.custom())
        only = auto.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=["custom"])["ScalingPolicies"]
        self.assertEqual([p["PolicyName"] for p in only if p["ResourceId"] == self.variant("One")], ["custom"])
        auto.delete_scaling_policy(**self.of("One", PolicyName="custom"))
        self.fails("ObjectNotFoundException", "No scaling policy found", auto.delete_scaling_policy, **self.of("One", PolicyName="custom"))
        auto.deregister_scalable_target(**self.of("One"))
        self.assertEqual(auto.describe_scaling_policies(**self.of("One"))["ScalingPolicies"], [])
        self.fails("ObjectNotFoundException", "No scalable target found for service namespace: sagemaker, resource ID: endpoint/", auto.deregister_scalable_target, **self.of("One"))

    def custom(self, **kw):
        return dict({"MetricName": "ConcurrentRequestsPerModel", "Namespace": "AWS/SageMaker", "Statistic": "Average", "Dimensions": [
            {"Name": "EndpointName", "Value": name("E")}, {"Name": "VariantName", "Value": "One"}]}, **kw)

    def test_activities(self):
        """The count moves into its limits, through Updating, and tells why (EP-47)."""
        auto.register_scalable_target(**self.of("two", MinCapacity=2, MaxCapacity=2))
        for _ in range(600):
            activities = auto.describe_scaling_activities(**self.of("two"))["ScalingActivities"]
            if activities and activities[0]["StatusCode"] != "InProgress":
                break
            time.sleep(0.2)
        self.assertEqual([(a["StatusCode"], a["Cause"], a["Description"]) for a in activities],
                         [("Successful", "minimum capacity was set to 2", "Setting desired instance count to 2.")])
        self.assertGreater(activities[0]["EndTime"], activities[0]["StartTime"])
        shown = {v["VariantName"]: v for v in sm.describe_endpoint(EndpointName=name("E"))["ProductionVariants"]}
        self.assertEqual((shown["two"]["CurrentInstanceCount"], shown["One"]["CurrentInstanceCount"]), (2, 1))
        auto.deregister_scalable_target(**self.of("two"))

    def test_pages(self):
        auto.register_scalable_target(**self.of("One", MinCapacity=1, MaxCapacity=2))
        for i in range(7):
            self.policy("One", "page-%d" % i, DisableScaleIn=True)
        pages = list(auto.get_paginator("describe_scaling_policies").paginate(ResourceId=self.variant("One"), PaginationConfig={"PageSize": 3}, **DIMENSION))
        found = [p["PolicyName"] for page in pages for p in page["ScalingPolicies"]]
        self.assertEqual(([n for n in found if n.startswith("page-")], len(pages) > 2), (["page-%d" % i for i in range(7)], True))
        self.fails("InvalidNextTokenException", "", auto.describe_scaling_policies, ServiceNamespace="sagemaker", NextToken="x")
        self.fails("ValidationException", "must also specify a resource ID", auto.describe_scaling_policies, **DIMENSION)
        self.fails("ValidationException", "1 to 50", auto.describe_scalable_targets, ServiceNamespace="sagemaker", MaxResults=51)

    def test_refusals(self):
        """What is not scaled is refused by its name."""
        register = auto.register_scalable_target
        self.fails("ValidationException", "MinCapacity", register, **self.of("two"))
        self.fails("ValidationException", "Maximum capacity cannot be less than minimum capacity", register, **self.of("two", MinCapacity=2, MaxCapacity=1))
        self.fails("ValidationException", "Could not find variant", register, **self.of("three", MinCapacity=1, MaxCapacity=1))
        self.fails("ValidationException", "Could not find endpoint", register, **dict(self.of("two", MinCapacity=1, MaxCapacity=1), ResourceId="endpoint/nope/variant/v"))
        self.fails("ValidationException", "endpoint/NAME/variant/VARIANT", register, **dict(self.of("two", MinCapacity=1, MaxCapacity=1), ResourceId="e"))
        self.fails("ValidationException", "ecs", register, ServiceNamespace="ecs", ResourceId="service/a/b", ScalableDimension="ecs:service:DesiredCount", MinCapacity=1, MaxCapacity=1)
        self.fails("ValidationException", "sagemaker:variant:DesiredProvisionedConcurrency", register, **dict(self.of("two"), ScalableDimension="sagemaker:variant:DesiredProvisionedConcurrency"))
        put = auto.put_scaling_policy
        self.fails("ObjectNotFoundException", "No scalable target registered", self.policy, text="nope", policy="p")
        auto.register_scalable_target(**self.of("One", MinCapacity=1, MaxCapacity=2))
        for kind in ("StepScaling", "PredictiveScaling"):
            self.fails("ValidationException", "PolicyType=" + kind, put, **self.of("One", PolicyName="p", PolicyType=kind))
        self.fails("ValidationException", "PolicyType is missing", put, **self.of("One", PolicyName="p"))
        self.fails("ValidationException", "TargetTrackingScalingPolicyConfiguration", put, **self.of("One", PolicyName="p", PolicyType="TargetTrackingScaling"))
        self.fails("ValidationException", "over 0", self.policy, text="One", policy="p", value=0)
        self.fails("ValidationException", "negative", self.policy, text="One", policy="p", ScaleInCooldown=-1)
        for kind in ("SageMakerInferenceComponentInvocationsPerCopy", "SageMakerVariantProvisionedConcurrencyUtilization", "ECSServiceAverageCPUUtilization"):
            self.fails("ValidationException", "PredefinedMetricType=" + kind, self.policy, text="One", policy="p", metric={"PredefinedMetricType": kind})
        for words, change in {
            "Namespace=/aws/sagemaker/Endpoints": {"Namespace": "/aws/sagemaker/Endpoints"},
            "MetricName=CPUUtilization": {"MetricName": "CPUUtilization"},
            "Statistic=Sum of ConcurrentRequestsPerModel": {"Statistic": "Sum"},
            "Unit=Percent": {"Unit": "Percent"},
            "Dimensions has EndpointName=other": {"Dimensions": [{"Name": "EndpointName", "Value": "other"}]},
            "Dimensions must have": {"Dimensions": []},
            "needs a MetricName": {"Statistic": None},
        }.items():
            spec = {k: v for k, v in self.custom(**change).items() if v is not None}
            self.fails("ValidationException", words, self.policy, text="One", policy="p", metric=None, CustomizedMetricSpecification=spec)
        self.fails("UnknownOperationException", "PutScheduledAction", auto.put_scheduled_action, ScheduledActionName="a", **self.of("One"))

    def test_cli(self):
        args = ["--service-namespace", "sagemaker", "--resource-id", self.variant("two"), "--scalable-dimension", DIMENSION["ScalableDimension"]]
        aws("application-autoscaling", "register-scalable-target", *args, "--min-capacity", "1", "--max-capacity", "2")
        made = json.loads(aws("application-autoscaling", "put-scaling-policy", *args, "--policy-name", "cli", "--policy-type", "TargetTrackingScaling",
                              "--target-tracking-scaling-policy-configuration", json.dumps({"TargetValue": 5, "PredefinedMetricSpecification": CONCURRENT})))
        listed = json.loads(aws("application-autoscaling", "describe-scaling-policies", "--service-namespace", "sagemaker", "--policy-names", "cli"))["ScalingPolicies"]
        self.assertIn(made["PolicyARN"], [p["PolicyARN"] for p in listed])
        aws("application-autoscaling", "deregister-scalable-target", *args)


if __name__ == "__main__":
    clients.main()
