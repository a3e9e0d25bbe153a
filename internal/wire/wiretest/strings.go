package wiretest

import "github.com/sagebrush-ml/sagebrush/internal/wire"

// Of makes the suite of a service.
func Of(service *wire.Service) Suite { return Suite{Service: service} }

// anyText is all but what XML cannot carry.
const anyText = `[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*`

// matching has a string that satisfies each pattern of the served shapes of all
// services.
var matching = map[string]string{
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
	`[a-zA-Z0-9:/_-]+`:           "alias/volumes",
	`[a-f0-9]+`:                  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	`cluster-[2-7a-zA-Z]{11,16}`: "cluster-a23b4cdefgh",
	`[\u0020-\u00FF]*`:           "CustomMaterial",
	`[\w]+`:                      "default",
	`([a-z]+-){2,3}\d+`:          "us-east-1",
	`[a-zA-Z0-9-_.]+`:            "xks-1",
	`\d{12}`:                     "000000000000",
	`[\.\-_/#A-Za-z0-9]+`:        "/aws/sagemaker/TransformJobs",
	`[\.\-_/#A-Za-z0-9]*`:        "TransformJobs",
	`[^:*]*`:                     "job/i-0123-1650241569/data-log",
	`[\w#+=/:,.@-]*`:             "arn:aws:logs:us-west-2:000000000000:log-group:/aws/sagemaker/TransformJobs",
	anyText:                      "endpoint/e/variant/v",
	`\p{Print}+`:                 "policy",
}

// multiline are patterns that allow line ends, with a tail that breaks them; "" for
// one that takes any text. All others are broken by a line end.
var multiline = map[string]string{
	`[\S\s]*`: "",
	`[\s\S]+`: "",
	`[^:*]*`:  ":",
	anyText:   "\x00",
}

// badKey is a key that no map of the service allows; "" where it has none.
func (s Suite) badKey() string {
	if s.Service == wire.SageMaker {
		return "1 bad key"
	}
	return ""
}
