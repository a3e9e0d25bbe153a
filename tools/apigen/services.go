package main

import "path"

// service is one service of AWS whose shapes are generated.
type service struct {
	name    string // as texts say it: "CloudWatch Logs"
	folder  string // of its package, under internal/wire; "" is package wire itself
	model   string // its model in the SDK's module
	invalid string // the code of a violation of the model's constraints
	served  []string
	overlay overlay
}

// services are all services that are generated. One more is an entry here, its
// operations in served, and a folder with a package comment and a test that runs
// wiretest.
var services = []service{
	{
		name:    "SageMaker",
		model:   "models/apis/sagemaker/2017-07-24/api-2.json",
		invalid: "ValidationException",
		served:  served.sageMaker,
		overlay: sageMakerOverlay,
	},
	{
		name:    "CloudWatch Logs",
		folder:  "cwlogs",
		model:   "models/apis/logs/2014-03-28/api-2.json",
		invalid: "InvalidParameterException",
		served:  served.cloudWatchLogs,
		overlay: cloudWatchLogsOverlay,
	},
	{
		name:    "KMS",
		folder:  "kmsapi",
		model:   "models/apis/kms/2014-11-01/api-2.json",
		invalid: "ValidationException",
		served:  served.kms,
		overlay: kmsOverlay,
	},
	{
		name:    "Application Auto Scaling",
		folder:  "autoscaling",
		model:   "models/apis/application-autoscaling/2016-02-06/api-2.json",
		invalid: "ValidationException",
		served:  served.autoScaling,
		overlay: autoScalingOverlay,
	},
}

// inWire says that the service is generated into package wire itself.
func (s service) inWire() bool { return s.folder == "" }

// pkg is the name of the service's package.
func (s service) pkg() string {
	if s.inWire() {
		return "wire"
	}
	return path.Base(s.folder)
}

// variable is what the service's value is called there.
func (s service) variable() string {
	if s.inWire() {
		return s.name
	}
	return "Service"
}
