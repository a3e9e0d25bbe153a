package wire_test

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/wiretest"
)

var suite = wiretest.Of(wire.SageMaker)

func TestService(t *testing.T) { suite.Run(t) }

func FuzzDecode(f *testing.F) {
	suite.Fuzz(f,
		`{"TransformJobName":"j","ModelName":"m","Tags":[{"Key":"team","Value":"forecast"}]}`,
		`{"Tags":[{"Key":1}],"x":[[[`)
}
