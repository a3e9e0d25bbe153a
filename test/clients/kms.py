"""The key service: every operation that is served, by boto3 and the AWS CLI, with
every answer checked against the client's own model; and refusals by their codes.
"""
import base64
import json
import os
import tempfile
import unittest

import botocore.exceptions

import clients
from clients import ACCOUNT, URL, aws, client, name
from protocol import STRICT, post

kms = client("kms")
ARN = "arn:aws:kms:us-east-1:%s:" % ACCOUNT
SERVED = {
    "CancelKeyDeletion", "CreateAlias", "CreateKey", "Decrypt", "DeleteAlias", "DescribeKey", "DisableKey", "DisableKeyRotation",
    "EnableKey", "EnableKeyRotation", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GetKeyPolicy",
    "GetKeyRotationStatus", "ListAliases", "ListKeys", "ListResourceTags", "ReEncrypt", "ScheduleKeyDeletion", "TagResource",
    "UntagResource", "UpdateAlias",
}


class KMS(unittest.TestCase):
    def fails(self, code, words, call, **kw):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**kw)
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], code, error)
        self.assertIn(words, error.get("Message", ""))

    def key(self, **kw):
        return kms.create_key(**kw)["KeyMetadata"]["KeyId"]

    def test_create(self):
        made = kms.create_key(Description="test", Tags=[{"TagKey": "team", "TagValue": "a"}])["KeyMetadata"]
        self.assertEqual(made["Arn"], ARN + "key/" + made["KeyId"])
        for by in (made["KeyId"], made["Arn"]):
            self.assertEqual(kms.describe_key(KeyId=by)["KeyMetadata"], made)
        self.assertEqual((made["KeyState"], made["Enabled"], made["KeyManager"], made["KeySpec"], made["CustomerMasterKeySpec"], made["KeyUsage"], made["Origin"]),
                         ("Enabled", True, "CUSTOMER", "SYMMETRIC_DEFAULT", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"))
        self.assertEqual(kms.list_resource_tags(KeyId=made["KeyId"])["Tags"], [{"TagKey": "team", "TagValue": "a"}])
        self.assertIn(made["KeyId"], {k["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2}) for k in page["Keys"]})

    def test_encrypt(self):
        key, other = self.key(), self.key()
        context = {"who": "boto3", "ü": "ö"}
        blob = kms.encrypt(KeyId=key, Plaintext=b"a text", EncryptionContext=context)["CiphertextBlob"]
        opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
        self.assertEqual((opened["Plaintext"], opened["KeyId"]), (b"a text", ARN + "key/" + key))
        self.fails("InvalidCiphertextException", "", kms.decrypt, CiphertextBlob=blob)
        self.fails("InvalidCiphertextException", "", kms.decrypt, CiphertextBlob=b"nonsense")
        self.fails("IncorrectKeyException", "does not identify", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=other)
        again = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=other)
        self.assertEqual((again["SourceKeyId"], again["KeyId"]), (ARN + "key/" + key, ARN + "key/" + other))
        self.assertEqual(kms.decrypt(CiphertextBlob=again["CiphertextBlob"], KeyId=other)["Plaintext"], b"a text")

    def test_data_keys(self):
        key = self.key()
        made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
        self.assertEqual(len(made["Plaintext"]), 32)
        self.assertEqual(kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"], made["Plaintext"])
        blind = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=64)
        self.assertNotIn("Plaintext", blind)
        self.assertEqual(len(kms.decrypt(CiphertextBlob=blind["CiphertextBlob"])["Plaintext"]), 64)
        self.fails("ValidationException", "either number of bytes or key spec", kms.generate_data_key, KeyId=key)

    def test_aliases(self):
        key, other, alias = self.key(), self.key(), "alias/" + name("a")
        kms.create_alias(AliasName=alias, TargetKeyId=key)
        self.fails("AlreadyExistsException", alias, kms.create_alias, AliasName=alias, TargetKeyId=key)
        self.assertEqual(kms.describe_key(KeyId=ARN + alias)["KeyMetadata"]["KeyId"], key)
        kms.update_alias(AliasName=alias, TargetKeyId=other)
        self.assertEqual([a["AliasName"] for a in kms.list_aliases(KeyId=other)["Aliases"]], [alias])
        self.assertEqual(kms.list_aliases(KeyId=key)["Aliases"], [])
        kms.delete_alias(AliasName=alias)
        self.fails("NotFoundException", "Alias %s is not found." % (ARN + alias), kms.encrypt, KeyId=alias, Plaintext=b"x")
        self.assertEqual(kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyManager"], "AWS")

    def test_states(self):
        key = self.key()
        kms.disable_key(KeyId=key)
        self.fails("DisabledException", "%skey/%s is disabled." % (ARN, key), kms.encrypt, KeyId=key, Plaintext=b"x")
        kms.enable_key(KeyId=key)
        kms.enable_key_rotation(KeyId=key)
        self.assertTrue(kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"])
        kms.disable_key_rotation(KeyId=key)
        self.assertFalse(kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"])
        self.assertEqual(kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)["KeyId"], ARN + "key/" + key)
        self.fails("KMSInvalidStateException", "is pending deletion.", kms.generate_data_key, KeyId=key, KeySpec="AES_256")
        kms.cancel_key_deletion(KeyId=key)
        self.assertEqual(kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"], "Disabled")

    def test_tags_and_policy(self):
        key = self.key()
        kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "b", "TagValue": ""}])
        kms.untag_resource(KeyId=key, TagKeys=["a"])
        self.assertEqual(kms.list_resource_tags(KeyId=key)["Tags"], [{"TagKey": "b", "TagValue": ""}])
        self.assertEqual(json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])["Version"], "2012-10-17")

    def test_refused(self):
        for word, kw in {
            "KeySpec RSA_2048": dict(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY"), "KeyUsage": dict(KeyUsage="SIGN_VERIFY"),
            "CustomerMasterKeySpec HMAC_256": dict(CustomerMasterKeySpec="HMAC_256"), "Origin": dict(Origin="EXTERNAL"), "MultiRegion": dict(MultiRegion=True), "Policy": dict(Policy="{}"),
        }.items():
            self.fails("UnsupportedOperationException", word, kms.create_key, **kw)
        self.fails("ValidationException", "CustomerMasterKeySpec is deprecated", kms.create_key, KeySpec="SYMMETRIC_DEFAULT", CustomerMasterKeySpec="SYMMETRIC_DEFAULT")
        self.fails("NotFoundException", "Invalid keyId 'nonsense'", kms.describe_key, KeyId="nonsense")

    def test_every_operation(self):
        """Each answers 4xx to an empty request: its violations, or that it is not served."""
        names = kms.meta.service_model.operation_names
        self.assertLessEqual(SERVED, set(names))
        for operation in names:
            status, _, body = post(URL, b"{}", X_Amz_Target="TrentService." + operation)
            answer = json.loads(body) if body else {}
            if operation in ("CreateKey", "ListKeys", "ListAliases"):
                self.assertEqual(status, 200, (operation, answer))
                continue
            want = "ValidationException" if operation in SERVED else "UnknownOperationException"
            self.assertEqual((status, answer["__type"]), (400, want), operation)

    def test_cli(self):
        key = json.loads(aws("kms", "create-key"))["KeyMetadata"]["KeyId"]
        with tempfile.NamedTemporaryFile() as f:  # the CLI of both ages takes bytes from a file alone
            f.write(b"by hand")
            f.flush()
            blob = json.loads(aws("kms", "encrypt", "--key-id", key, "--plaintext", "fileb://" + f.name))["CiphertextBlob"]
            f.seek(0)
            f.write(base64.b64decode(blob))
            f.flush()
            opened = json.loads(aws("kms", "decrypt", "--ciphertext-blob", "fileb://" + f.name))["Plaintext"]
        self.assertEqual(base64.b64decode(opened), b"by hand")

    def test_strict(self):
        """--auth keys: who has no key gets nothing."""
        status, _, body = post(STRICT, b"{}", X_Amz_Target="TrentService.ListKeys")
        self.assertEqual((status, json.loads(body)["__type"]), (403, "MissingAuthenticationTokenException"))
        keys = dict(aws_access_key_id=os.environ["STRICT_KEY"], aws_secret_access_key=os.environ["STRICT_SECRET"])
        self.assertIsInstance(client("kms", url=STRICT, **keys).list_keys()["Keys"], list)


if __name__ == "__main__":
    clients.main()
