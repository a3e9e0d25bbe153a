package cwlogs

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire/wiretest"
)

var suite = wiretest.Suite{
	Service: Service,
	Strings: map[string]string{
		`\d{12}`:              "000000000000",
		`[\.\-_/#A-Za-z0-9]+`: "/aws/sagemaker/TransformJobs",
		`[\.\-_/#A-Za-z0-9]*`: "TransformJobs",
		`[^:*]*`:              "job/i-0123-1650241569/data-log",
		`[\w#+=/:,.@-]*`:      "arn:aws:logs:us-west-2:000000000000:log-group:/aws/sagemaker/TransformJobs",
	},
	Multiline: map[string]string{`[^:*]*`: ":"},
}

func TestService(t *testing.T) { suite.Run(t) }

func FuzzDecode(f *testing.F) { suite.Fuzz(f, `{"logGroupName":1,"x":[[[`) }
