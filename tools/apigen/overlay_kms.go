package main

// kmsOverlay has facts as of 2026, for the served operations only.
var kmsOverlay = overlay{
	shapes: map[string]shape{
		"BackingKeyIdType":   {Type: "string", Min: bound("64"), Max: bound("64"), Pattern: `[a-f0-9]+`},
		"DryRunModifierType": {Type: "string", Enum: []string{"IGNORE_CIPHERTEXT"}},
		"DryRunModifierList": {Type: "list", Member: &ref{Shape: "DryRunModifierType"}},
	},
	members: map[string][]member{
		"DecryptRequest":                          {{"DryRunModifiers", ref{Shape: "DryRunModifierList"}}},
		"DecryptResponse":                         {{"KeyMaterialId", ref{Shape: "BackingKeyIdType"}}},
		"GenerateDataKeyResponse":                 {{"KeyMaterialId", ref{Shape: "BackingKeyIdType"}}},
		"GenerateDataKeyWithoutPlaintextResponse": {{"KeyMaterialId", ref{Shape: "BackingKeyIdType"}}},
		"KeyMetadata":                             {{"CurrentKeyMaterialId", ref{Shape: "BackingKeyIdType"}}},
		"ReEncryptRequest":                        {{"DryRunModifiers", ref{Shape: "DryRunModifierList"}}},
		"ReEncryptResponse": {
			{"SourceKeyMaterialId", ref{Shape: "BackingKeyIdType"}},
			{"DestinationKeyMaterialId", ref{Shape: "BackingKeyIdType"}},
		},
	},
	enums: map[string][]insertion{
		"KeySpec":              {{values: []string{"ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ECC_NIST_EDWARDS25519"}}},
		"SigningAlgorithmSpec": {{values: []string{"ML_DSA_SHAKE_256", "ED25519_SHA_512", "ED25519_PH_SHA_512"}}},
	},
	patterns: map[string]string{
		// A policy is refused by name; matching its 131072 characters would be work for
		// nothing.
		"PolicyType": ``,
	},
	ops: []string{"GetKeyLastUsage"},
}
