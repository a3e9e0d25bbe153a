package api

import "github.com/sagebrush-ml/sagebrush/internal/kms"

// keyService is the table of KMS's operations that are served.
func keyService(k *kms.Service) map[string]operation {
	return map[string]operation{
		"CancelKeyDeletion":               bind(k.CancelKeyDeletion),
		"CreateAlias":                     bind(k.CreateAlias),
		"CreateKey":                       bind(k.CreateKey),
		"Decrypt":                         bind(k.Decrypt),
		"DeleteAlias":                     bind(k.DeleteAlias),
		"DescribeKey":                     bind(k.DescribeKey),
		"DisableKey":                      bind(k.DisableKey),
		"DisableKeyRotation":              bind(k.DisableKeyRotation),
		"EnableKey":                       bind(k.EnableKey),
		"EnableKeyRotation":               bind(k.EnableKeyRotation),
		"Encrypt":                         bind(k.Encrypt),
		"GenerateDataKey":                 bind(k.GenerateDataKey),
		"GenerateDataKeyWithoutPlaintext": bind(k.GenerateDataKeyWithoutPlaintext),
		"GetKeyPolicy":                    bind(k.GetKeyPolicy),
		"GetKeyRotationStatus":            bind(k.GetKeyRotationStatus),
		"ListAliases":                     bind(k.ListAliases),
		"ListKeys":                        bind(k.ListKeys),
		"ListResourceTags":                bind(k.ListResourceTags),
		"ReEncrypt":                       bind(k.ReEncrypt),
		"ScheduleKeyDeletion":             bind(k.ScheduleKeyDeletion),
		"TagResource":                     bind(k.TagResource),
		"UntagResource":                   bind(k.UntagResource),
		"UpdateAlias":                     bind(k.UpdateAlias),
	}
}
