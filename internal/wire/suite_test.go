package wire_test

import (
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/wiretest"
)

var suite = wiretest.Suite{
	Service:   wire.SageMaker,
	Strings:   samples,
	Multiline: map[string]string{`[\S\s]*`: "", `[\s\S]+`: ""},
	BadKey:    "1 bad key",
}

func TestService(t *testing.T) { suite.Run(t) }

func FuzzDecode(f *testing.F) {
	suite.Fuzz(f,
		`{"TransformJobName":"j","ModelName":"m","Tags":[{"Key":"team","Value":"forecast"}]}`,
		`{"Tags":[{"Key":1}],"x":[[[`)
}

// samples has a string that satisfies each pattern of the served shapes.
var samples = map[string]string{
	`.*`:                "any text, even ü",
	`[A-Za-z0-9\.\-_]+`: "a.b-c_d",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:automl-job/.*`: "arn:aws:sagemaker:us-west-2:000000000000:automl-job/a",
	`[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`:                              "A-name--1",
	`[\S]+`:                                                         "000000000000.dkr.ecr.us-west-2.amazonaws.com/image:tag",
	`[a-zA-Z_][a-zA-Z0-9_]*`:                                        "KEY_1",
	`[\S\s]*`:                                                       "any text\nof two lines",
	`[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}`:                             "experiment-1",
	`[a-zA-Z0-9:/_-]*`:                                              "alias/my_key",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:labeling-job/.*`: "arn:aws:sagemaker:us-west-2:000000000000:labeling-job/a",
	`/(?!.*\.\.)[a-zA-Z0-9/_.\-]+`:                                    "/metrics/a.b",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:model/.*`:        "arn:aws:sagemaker:us-west-2:000000000000:model/m",
	`[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?`:                         "model-1",
	`[a-zA-Z0-9-]+`:  "subscription-1",
	`[a-zA-Z0-9\-]+`: "recommendation-1",
	`arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:.+`:                   "arn:aws:sagemaker:us-west-2:000000000000:model/m",
	`arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`:           "arn:aws:iam::000000000000:role/service-role/r",
	`(https|s3)://([^/]+)/?(.*)`:                                         "s3://bucket/prefix/object.csv",
	`[-0-9a-zA-Z]+`:                                                      "sg-0123456789",
	`([\p{L}\p{Z}\p{N}_.:/=+\-@]*)`:                                      "sagebrush:größe 1",
	`(https|s3)://([^/])/?(.*)`:                                          "s3://b/capture",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:endpoint/.*`:        "arn:aws:sagemaker:us-west-2:000000000000:endpoint/e",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:endpoint-config/.*`: "arn:aws:sagemaker:us-west-2:000000000000:endpoint-config/c",
	`arn:aws[a-z\-]*:sns:[a-z0-9\-]*:[0-9]{12}:[a-zA-Z0-9_.-]+`:          "arn:aws:sns:us-west-2:000000000000:topic",
	`[\s\S]+`:    "any text\nof two lines",
	`(?!\s*$).+`: "an alarm",
	`[a-zA-Z0-9](-*[a-zA-Z0-9])*\/[a-zA-Z0-9](-*[a-zA-Z0-9+.])*`:                                                          "application/x-a+b.c",
	`[a-zA-Z0-9](-*[a-zA-Z0-9])*\/[a-zA-Z0-9](-*[a-zA-Z0-9.])*`:                                                           "text/csv",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z0-9\-]{1,14}/.*`:                                                 "arn:aws:sagemaker:us-west-2:000000000000:training-plan/p",
	`[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*`:                                                                                        "al2-ami-1",
	`[a-zA-Z_][a-zA-Z0-9_]{0,1023}`:                                                                                       "SAGEMAKER_PROGRAM",
	`arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:transform-job/.*`:                                                    "arn:aws:sagemaker:us-west-2:000000000000:transform-job/j",
	`(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:[a-z\-]*\/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)(\/[0-9]{1,9})?`: "group/12",
}
