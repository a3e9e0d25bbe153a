package autoscaling

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire/wiretest"
)

var suite = wiretest.Of(Service)

func TestService(t *testing.T) { suite.Run(t) }

func FuzzDecode(f *testing.F) { suite.Fuzz(f, `{"ServiceNamespace":1,"x":[[[`) }
