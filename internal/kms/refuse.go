package kms

import (
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/kmsapi"
)

// The one kind of keys that there is.
const (
	symmetric      = "SYMMETRIC_DEFAULT"
	encryptDecrypt = "ENCRYPT_DECRYPT"
	awsKMS         = "AWS_KMS"
)

// unsupported refuses a member by its name.
func unsupported(member, why string) error {
	return wire.Errorf(kmsapi.UnsupportedOperationException, "%s is not supported by Sagebrush: %s", member, why)
}

// refuseKey refuses what a key cannot be.
func refuseKey(in *kmsapi.CreateKeyInput) error {
	for _, m := range []struct {
		name  string
		value *string
		only  string
	}{
		{"CustomerMasterKeySpec", in.CustomerMasterKeySpec, symmetric},
		{"KeySpec", in.KeySpec, symmetric},
		{"KeyUsage", in.KeyUsage, encryptDecrypt},
		{"Origin", in.Origin, awsKMS},
	} {
		if m.value != nil && *m.value != m.only {
			return unsupported(m.name+" "+*m.value, "keys are symmetric and for encryption.")
		}
	}
	switch {
	case in.CustomerMasterKeySpec != nil && in.KeySpec != nil:
		return wire.Errorf(wire.ValidationException, "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	case in.CustomKeyStoreId != nil:
		return unsupported("CustomKeyStoreId", "keys are in the embedded keystore.")
	case in.XksKeyId != nil:
		return unsupported("XksKeyId", "keys are in the embedded keystore.")
	case value(in.MultiRegion):
		return unsupported("MultiRegion", "a key belongs to one region.")
	case in.Policy != nil || value(in.BypassPolicyLockoutSafetyCheck):
		return unsupported("Policy", "access is given by the policies of access keys.")
	}
	return nil
}

func refuseGrants(tokens []string) error {
	if len(tokens) > 0 {
		return unsupported("GrantTokens", "there are no grants.")
	}
	return nil
}

// refuseUse refuses what using a key cannot do.
func refuseUse(grants []string, recipient *kmsapi.RecipientInfo, algorithm *string) error {
	switch {
	case recipient != nil:
		return unsupported("Recipient", "there are no enclaves.")
	case algorithm != nil && *algorithm != symmetric:
		return wire.Errorf(kmsapi.InvalidKeyUsageException, "Algorithm %s is incompatible with key spec %s.", *algorithm, symmetric)
	}
	return refuseGrants(grants)
}

func refuseModifiers(modifiers []string) error {
	if len(modifiers) > 0 {
		return unsupported("DryRunModifiers", "a dry run needs the whole request.")
	}
	return nil
}
