package autoscaling

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire/wiretest"
)

// anyText is all but what XML cannot carry.
const anyText = `[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*`

var suite = wiretest.Suite{
	Service: Service,
	Strings: map[string]string{
		anyText:      "endpoint/e/variant/v",
		`\p{Print}+`: "policy",
	},
	Multiline: map[string]string{anyText: "\x00"},
}

func TestService(t *testing.T) { suite.Run(t) }

func FuzzDecode(f *testing.F) { suite.Fuzz(f, `{"ServiceNamespace":1,"x":[[[`) }
