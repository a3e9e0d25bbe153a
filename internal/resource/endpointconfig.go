package resource

import "time"

// The kinds of hosting.
const (
	KindEndpointConfig Kind = "endpoint-config"
	KindEndpoint       Kind = "endpoint"
)

// EndpointConfig is a stored endpoint configuration. It never changes.
type EndpointConfig struct {
	Meta
	Spec EndpointConfigSpec
}

// EndpointConfigSpec is what CreateEndpointConfig was given (CP-40).
type EndpointConfigSpec struct {
	Variants []ProductionVariant
	Shadows  []ProductionVariant `json:",omitempty"`
	Capture  *DataCapture        `json:",omitempty"`
	Async    *AsyncInference     `json:",omitempty"`
	KmsKeyID string              `json:",omitempty"`
	// ExecutionRoleArn is echoed.
	ExecutionRoleArn string `json:",omitempty"`
}

// Variant gives a production variant by name.
func (s EndpointConfigSpec) Variant(name string) (ProductionVariant, bool) {
	for _, v := range s.Variants {
		if v.Name == name {
			return v, true
		}
	}
	return ProductionVariant{}, false
}

// RoutingStrategy is how an instance of a variant is chosen (EP-33).
type RoutingStrategy string

// The strategies.
const (
	RouteRandom           RoutingStrategy = "RANDOM"
	RouteLeastOutstanding RoutingStrategy = "LEAST_OUTSTANDING_REQUESTS"
)

// ProductionVariant is one variant as it was configured (CP-41).
type ProductionVariant struct {
	Name      string
	ModelName string
	// InstanceType and InitialCount are those of instances; a serverless variant has
	// neither.
	InstanceType  string           `json:",omitempty"`
	InitialCount  int              `json:",omitempty"`
	InitialWeight float64          // 1 where it was not sent (CP-41)
	Serverless    *Serverless      `json:",omitempty"`
	Scaling       *InstanceScaling `json:",omitempty"`
	Routing       RoutingStrategy  `json:",omitempty"`
	// VolumeSizeInGB, AmiVersion and SSMAccess are echoed: here the host's disk is
	// what there is.
	VolumeSizeInGB int    `json:",omitempty"`
	AmiVersion     string `json:",omitempty"`
	SSMAccess      *bool  `json:",omitempty"`
	// DownloadTimeout and StartupTimeout bound the two steps of a start (CC-22); 0
	// was not sent.
	DownloadTimeout time.Duration `json:",omitempty"`
	StartupTimeout  time.Duration `json:",omitempty"`
}

// InitialInstances is how many instances the variant begins with.
func (v ProductionVariant) InitialInstances() int {
	if v.Serverless != nil {
		return v.Serverless.Provisioned
	}
	return v.InitialCount
}

// Serverless is a variant that runs as many instances as it has requests, none
// when there are none (CP-41).
type Serverless struct {
	MemoryMB, MaxConcurrency int
	Provisioned              int `json:",omitempty"`
}

// InstanceScaling is ManagedInstanceScaling.
type InstanceScaling struct {
	Enabled  bool
	Min, Max *int
}

// DataCapture says what is kept of requests and answers (EP-50).
type DataCapture struct {
	Enabled        bool
	Percent        int
	DestinationURI string
	KmsKeyID       string `json:",omitempty"`
	Input, Output  bool
	CSV, JSON      []string `json:",omitempty"` // content types that are kept as text
	// EnableSent says whether EnableCapture was sent, so that the echo is exact.
	EnableSent bool `json:",omitempty"`
	// Modes are the capture options as they were sent.
	Modes []string `json:",omitempty"`
}

// AsyncInference is AsyncInferenceConfig (RT-22).
type AsyncInference struct {
	OutputPath, FailurePath, KmsKeyID string
	MaxConcurrent                     int `json:",omitempty"` // a client's, for each instance
	SuccessTopic, ErrorTopic          string
	IncludeResponseIn                 []string `json:",omitempty"`
}
