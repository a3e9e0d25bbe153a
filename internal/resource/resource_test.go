package resource

import (
	"strings"
	"testing"
	"time"
)

// CP-8: the ARN has the name in lower case; CP-9: names that differ only in case
// are one resource.
func TestARN(t *testing.T) {
	t.Parallel()
	k := Key{Region: "us-west-2", Kind: KindTransformJob, Name: "Batch-Transform-2022"}
	const want = "arn:aws:sagemaker:us-west-2:000000000000:transform-job/batch-transform-2022"
	if got := k.ARN("000000000000"); got != want {
		t.Errorf("ARN = %s, want %s", got, want)
	}
	back, account, ok := ParseARN(want)
	if !ok || account != "000000000000" || back != k.Folded() {
		t.Errorf("ParseARN = %v %s %v", back, account, ok)
	}
	for _, bad := range []string{
		"", "arn", "arn:aws:s3:::bucket", "arn:aws:sagemaker:r:1:transform-job",
		"arn:aws:sagemaker:r:1:transform-job/", "arn:aws:sagemaker:r:1:app/x",
	} {
		if _, _, ok := ParseARN(bad); ok {
			t.Errorf("ParseARN(%q) succeeded", bad)
		}
	}
}

// BT-30: the statuses and every move between them.
func TestApply(t *testing.T) {
	t.Parallel()
	at := time.Unix(1650241569, 0)
	steps := []struct {
		name   string
		from   TransformJobStatus
		event  TransformEvent
		to     TransformJobStatus
		legal  bool
		ended  bool
		reason string
	}{
		{"list", JobInProgress, InputListed{}, JobInProgress, true, false, ""},
		{"start", JobInProgress, TransformStarted{}, JobInProgress, true, false, ""},
		{"finish", JobInProgress, TransformFinished{}, JobCompleted, true, true, ""},
		{"break", JobInProgress, TransformBroke{"why"}, JobFailed, true, true, "why"},
		{"stop", JobInProgress, StopAsked{}, JobStopping, true, false, ""},
		{"stop again", JobStopping, StopAsked{}, JobStopping, true, false, ""},
		{"halt", JobStopping, TransformHalted{}, JobStopped, true, true, ""},
		{"halt unasked", JobInProgress, TransformHalted{}, JobInProgress, false, false, ""},
		{"finish while stopping", JobStopping, TransformFinished{}, JobStopped, true, true, ""},
		{"break while stopping", JobStopping, TransformBroke{"why"}, JobStopped, true, true, ""},
		{"stop completed", JobCompleted, StopAsked{}, JobCompleted, false, false, ""},
		{"finish failed", JobFailed, TransformFinished{}, JobFailed, false, false, ""},
		{"start stopped", JobStopped, TransformStarted{}, JobStopped, false, false, ""},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			got, err := TransformJob{Status: s.from}.Apply(s.event, at)
			if (err == nil) != s.legal {
				t.Fatalf("error = %v, legal = %v", err, s.legal)
			}
			if got.Status != s.to || got.Ended.IsZero() == s.ended || got.FailureReason != s.reason {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// BT-91: a FailureReason has at most 1024 characters.
func TestFailureReasonIsClipped(t *testing.T) {
	t.Parallel()
	j, err := TransformJob{Status: JobInProgress}.Apply(TransformBroke{strings.Repeat("é", 5000)}, time.Now())
	if err != nil || len([]rune(j.FailureReason)) != MaxFailureReason {
		t.Fatalf("%d characters, %v", len([]rune(j.FailureReason)), err)
	}
}
