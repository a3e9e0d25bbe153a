package kmsapi

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire/wiretest"
)

var suite = wiretest.Of(Service)

func TestService(t *testing.T) { suite.Run(t) }

func FuzzDecode(f *testing.F) { suite.Fuzz(f, `{"CiphertextBlob":"AA=","EncryptionContext":{"a":1}}`) }
