package kmsapi

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire/wiretest"
)

var suite = wiretest.Suite{
	Service: Service,
	Strings: map[string]string{
		`[a-zA-Z0-9:/_-]+`:           "alias/volumes",
		`[a-f0-9]+`:                  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		`cluster-[2-7a-zA-Z]{11,16}`: "cluster-a23b4cdefgh",
		`[\u0020-\u00FF]*`:           "CustomMaterial",
		`[\w]+`:                      "default",
		`([a-z]+-){2,3}\d+`:          "us-east-1",
		`[a-zA-Z0-9-_.]+`:            "xks-1",
	},
}

func TestService(t *testing.T) { suite.Run(t) }

func FuzzDecode(f *testing.F) { suite.Fuzz(f, `{"CiphertextBlob":"AA=","EncryptionContext":{"a":1}}`) }
