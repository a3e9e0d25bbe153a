package crash_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

const bucket = "crash"

// kills and quickKills are how often the server dies, in all and with -short.
const (
	kills      = 50
	quickKills = 8
)

// seedVariable repeats a run: CRASH_SEED=N go test ./test/crash.
const seedVariable = "CRASH_SEED"

func TestKill(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	left := kills
	if testing.Short() {
		left = quickKills
	}

	s, _ := newServer(t)
	want := s.prepare(t)
	began := time.Now()
	s.create(t, "undisturbed")
	eventually(t, "the undisturbed job completes", func() bool { return s.status(t, "undisturbed") == "Completed" })
	whole := time.Since(began)
	compare(t, s.visible(t, "undisturbed"), want)

	jobs := 0
	for n := 1; left > 0; n++ {
		name := fmt.Sprintf("job-%d", n)
		s.create(t, name)
		left = s.survive(t, name, want, left, func() time.Duration { return time.Duration(random.Int64N(int64(whole))) })
		jobs = n
	}
	t.Logf("%d jobs of %s survived all kills, %d of them midway in the output; each left the same %d objects", jobs, whole.Round(time.Millisecond), s.midway, len(want))
}

// survive kills the server at random instants of a job and starts it again, until
// the job is completed or no kills are left. It gives the kills that are left.
func (s *server) survive(t *testing.T, name string, want map[string][]byte, left int, instant func() time.Duration) int {
	t.Helper()
	for completed := false; !completed; {
		var now <-chan time.Time
		if left > 0 {
			now = time.After(instant())
		}
		completed = s.completes(t, name, want, now)
		if completed {
			break
		}
		s.kill(t)
		left--
		if n := s.wholeOnly(t, name, want); n > 0 && n < len(want) {
			s.midway++
		}
		eventually(t, "the models end with their server", func() bool { return len(s.models(t)) == 0 })
		s.start(t)
	}
	compare(t, s.visible(t, name), want)
	return left
}

// completes waits for the end of the job, and reports false when the signal to
// kill the server comes first.
func (s *server) completes(t *testing.T, name string, want map[string][]byte, kill <-chan time.Time) bool {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		select {
		case <-kill:
			return false
		case <-deadline:
			t.Fatalf("the job %s has not ended in %s", name, patience)
		case <-tick.C:
			s.wholeOnly(t, name, want)
			if s.status(t, name) == "Completed" {
				return true
			}
		}
	}
}

// wholeOnly checks that every output that can be seen is whole (I2), and gives
// their number.
func (s *server) wholeOnly(t *testing.T, name string, want map[string][]byte) int {
	t.Helper()
	part := s.visible(t, name)
	for key, body := range part {
		if !bytes.Equal(body, want[key]) {
			t.Errorf("%s/%s is visible with %d bytes that are not the output (%d bytes)", name, key, len(body), len(want[key]))
		}
	}
	return len(part)
}

// prepare makes the input and the model, and computes what must come of it: many
// small objects, some with thousands of records, one of 4 MiB, one empty.
func (s *server) prepare(t *testing.T) (want map[string][]byte) {
	t.Helper()
	s.do(t, http.MethodPut, "/"+bucket, nil)
	want = map[string][]byte{}
	for i := range 120 {
		n := 1 + i%7
		switch {
		case i == 50:
			n = 0
		case i == 60:
			n = 200_000
		case i%20 == 0:
			n = 20_000
		}
		var body bytes.Buffer
		for k := range n {
			fmt.Fprintf(&body, "object %d record %d\n", i, k)
		}
		key := fmt.Sprintf("%d/data-%03d", i%3, i)
		s.do(t, http.MethodPut, "/"+bucket+"/in/"+key, body.Bytes())
		want[key+".out"] = answer(body.Bytes())
	}
	s.call(t, "CreateModel", map[string]any{"ModelName": "upper", "PrimaryContainer": map[string]string{"Image": image}})
	return want
}

// create creates a job whose output goes to a folder of its name.
func (s *server) create(t *testing.T, name string) {
	t.Helper()
	s.call(t, "CreateTransformJob", map[string]any{
		"TransformJobName": name, "ModelName": "upper", "MaxPayloadInMB": 1, "MaxConcurrentTransforms": 2, "BatchStrategy": "MultiRecord",
		"TransformInput": map[string]any{
			"SplitType":  "Line",
			"DataSource": map[string]any{"S3DataSource": map[string]string{"S3DataType": "S3Prefix", "S3Uri": "s3://" + bucket + "/in/"}},
		},
		"TransformOutput":    map[string]string{"S3OutputPath": "s3://" + bucket + "/" + name},
		"TransformResources": map[string]any{"InstanceType": "ml.m5.large", "InstanceCount": 2},
	})
}

// compare wants the whole output, byte for byte.
func compare(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	if keys, all := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(keys, all) {
		t.Errorf("the output is %d objects, want %d: %q", len(keys), len(all), keys)
	}
	for key, body := range want {
		if !bytes.Equal(got[key], body) {
			t.Errorf("%s has %d bytes that are not the %d expected", key, len(got[key]), len(body))
		}
	}
}
