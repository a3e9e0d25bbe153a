package resource

import (
	"fmt"
	"time"
)

// TransformJobStatus is a status of the API (BT-30). There is no pending one:
// a job is InProgress from its creation.
type TransformJobStatus string

// Every status of the seed.
const (
	JobInProgress TransformJobStatus = "InProgress"
	JobCompleted  TransformJobStatus = "Completed"
	JobFailed     TransformJobStatus = "Failed"
	JobStopping   TransformJobStatus = "Stopping"
	JobStopped    TransformJobStatus = "Stopped"
)

// Terminal reports whether a job in this status will never move again.
func (s TransformJobStatus) Terminal() bool {
	return s == JobCompleted || s == JobFailed || s == JobStopped
}

// TransformJob is a stored batch transform job.
type TransformJob struct {
	Meta
	Spec TransformSpec
	// Model is the model as it was when the job was created. The job keeps it, so
	// that deleting the model does not break the job (BT-34).
	Model ModelSpec

	Status        TransformJobStatus
	FailureReason string // at most MaxFailureReason characters
	// Listed reports that the input was listed and recorded, object by object, and
	// InputBucket is where the objects are: a manifest may name another bucket.
	Listed      bool
	InputBucket string
	// Images are what the model's images were resolved to when the job began, one
	// for each container. A job that is taken up again runs the same (EP-22).
	Images []DeployedImage `json:",omitempty"`
	// Started is when the first instance served; zero until then (BT-31).
	Started time.Time
	// Ended is set with every terminal status.
	Ended time.Time
}

// DeployedImage is an image as it was named and as it was resolved (EP-21).
type DeployedImage struct {
	Specified, Resolved string
	ResolvedAt          time.Time
}

// MaxFailureReason bounds FailureReason, in characters (BT-91).
const MaxFailureReason = 1024

// SplitType says what a record is (BT-60 to BT-63).
type SplitType string

// The split types of the API.
const (
	SplitNone     SplitType = "None"
	SplitLine     SplitType = "Line"
	SplitRecordIO SplitType = "RecordIO"
	SplitTFRecord SplitType = "TFRecord"
)

// BatchStrategy says how many records one request carries (BT-70 to BT-74).
type BatchStrategy string

// The strategies of the API. The container calls them MULTI_RECORD and
// SINGLE_RECORD (CC-30).
const (
	MultiRecord  BatchStrategy = "MultiRecord"
	SingleRecord BatchStrategy = "SingleRecord"
)

// AssembleType says what stands between answers in an output object (BT-107).
type AssembleType string

// The assemblies. RecordIO is promised by the seed and by nobody else (SD-6).
const (
	AssembleNone     AssembleType = "None"
	AssembleLine     AssembleType = "Line"
	AssembleRecordIO AssembleType = "RecordIO"
)

// OutputLayout says whether an input becomes one output object or a series.
type OutputLayout string

// The layouts. Parts is the seed's: NAME.part0001 and so on, an object for each
// mini-batch (SD-5).
const (
	LayoutSingle OutputLayout = "single"
	LayoutParts  OutputLayout = "parts"
)

// TransformSpec is what CreateTransformJob was given, defaults not filled in:
// nil and "" mean that the member was not sent, so that DescribeTransformJob
// can echo exactly what the real service echoes (BT-160 to BT-162).
type TransformSpec struct {
	ModelName               string
	MaxConcurrentTransforms *int
	MaxPayloadInMB          *int // units of 2^20 bytes (BT-76)
	BatchStrategy           BatchStrategy
	ModelClient             *ModelClientConfig
	Environment             map[string]string
	Input                   TransformInput
	Output                  TransformOutput
	Resources               TransformResources
	// Layout is resolved at creation from the compat setting and the job's tag.
	Layout OutputLayout
	// DefaultConcurrency is what an unset MaxConcurrentTransforms means: 0 asks
	// the container (CC-32), 1 is the seed's answer (SD-8).
	DefaultConcurrency int
	// AlwaysNewline is the literal reading of AssembleWith=Line (BT-109).
	AlwaysNewline bool
}

// ModelClientConfig bounds one invocation (BT-4). Nil members were not sent.
type ModelClientConfig struct {
	InvocationsTimeoutInSeconds *int
	InvocationsMaxRetries       *int
}

// TransformInput is the dataset and how it is read.
type TransformInput struct {
	S3DataType  string // S3Prefix or ManifestFile
	S3URI       string
	ContentType *string
	Compression string // "", None or Gzip
	Split       SplitType
}

// TransformOutput is where and how answers are kept.
type TransformOutput struct {
	S3OutputPath string
	Accept       *string
	AssembleWith AssembleType
	KmsKeyID     string `json:",omitempty"` // encrypts the output (BT-112)
}

// TransformResources is what the job runs on.
type TransformResources struct {
	InstanceType   string
	InstanceCount  int
	VolumeKmsKeyID string `json:",omitempty"` // encrypts the instances' data (SD-1)
}

// TransformEvent is something that happened to a job. Apply is the only place
// where a job's status changes.
type TransformEvent interface{ transformEvent() }

type (
	// InputListed says that every input object has been recorded.
	InputListed struct{ Bucket string }
	// ImagesResolved says which images the job runs, once and for all.
	ImagesResolved struct{ Images []DeployedImage }
	// TransformStarted says that the first instance serves (BT-31).
	TransformStarted struct{}
	// TransformFinished says that every object succeeded.
	TransformFinished struct{}
	// TransformBroke says that the job cannot succeed any more, and why.
	TransformBroke struct{ Reason string }
	// StopAsked is StopTransformJob.
	StopAsked struct{}
	// TransformHalted says that nothing of a job that was asked to stop runs any more.
	TransformHalted struct{}
)

func (InputListed) transformEvent()       {}
func (ImagesResolved) transformEvent()    {}
func (TransformStarted) transformEvent()  {}
func (TransformFinished) transformEvent() {}
func (TransformBroke) transformEvent()    {}
func (StopAsked) transformEvent()         {}
func (TransformHalted) transformEvent()   {}

// Apply returns the job as it is after an event. An illegal move is an error
// and leaves the job as it was: nothing moves after a terminal status.
//
// A job that was asked to stop ends as Stopped even when its last object
// succeeded or failed in the meantime: the user's wish came first (BT-150).
func (j TransformJob) Apply(e TransformEvent, at time.Time) (TransformJob, error) {
	if j.Status.Terminal() {
		return j, fmt.Errorf("transform job %s is %s and takes no %T", j.Name, j.Status, e)
	}
	switch e := e.(type) {
	case InputListed:
		j.Listed, j.InputBucket = true, e.Bucket
	case ImagesResolved:
		if j.Images == nil {
			j.Images = e.Images
		}
	case TransformStarted:
		if j.Started.IsZero() {
			j.Started = at
		}
	case StopAsked:
		j.Status = JobStopping
	case TransformFinished:
		j.end(JobCompleted, at)
	case TransformBroke:
		j.end(JobFailed, at)
		if j.Status == JobFailed {
			j.FailureReason = clip(e.Reason, MaxFailureReason)
		}
	case TransformHalted:
		if j.Status != JobStopping {
			return j, fmt.Errorf("transform job %s is %s and was not asked to stop", j.Name, j.Status)
		}
		j.end(JobStopped, at)
	default:
		return j, fmt.Errorf("transform job %s: unknown event %T", j.Name, e)
	}
	j.Modified = at
	return j, nil
}

// end moves to a terminal status, or to Stopped when a stop was asked for.
func (j *TransformJob) end(s TransformJobStatus, at time.Time) {
	if j.Status == JobStopping {
		s = JobStopped
	}
	j.Status, j.Ended = s, at
}

// clip shortens s to at most n characters, with an ellipsis where it cut.
func clip(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
