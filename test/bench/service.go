package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// service is a sagebrush that serves on a port and a data folder of its own. The
// bucket "bucket" is the folder input of files; images are the trivial server.
type service struct {
	*child
	url, data string
	jobs      int
}

// images maps the images of the jobs to the trivial server.
const images = `images:
  - image: bench/trivial
    command: [%[1]s]
  - image: bench/echo
    command: [%[1]s, -echo]
`

// newService starts a sagebrush over a folder, which may be one that was used
// before.
func (b *bench) newService(ctx context.Context, data string, env []string, args ...string) (*service, error) {
	if err := os.MkdirAll(filepath.Join(data, "s3", "bucket", "in"), 0o755); err != nil {
		return nil, err
	}
	config := data + ".yaml"
	server, err := json.Marshal(filepath.Join(b.programs, "server"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, images, server), 0o600); err != nil {
		return nil, err
	}
	s := &service{data: data}
	var hello struct{ URL string }
	args = append([]string{"serve", "--json", "--log-level=warn", "--listen=127.0.0.1:0", "--data=" + data, "--config=" + config}, args...)
	if s.child, err = start(ctx, &hello, env, b.sagebrush, args...); err != nil {
		return nil, err
	}
	s.url = hello.URL
	return s, nil
}

// input is the path of an input object of the embedded S3: a plain file.
func (s *service) input(name string) string { return filepath.Join(s.data, "s3", "bucket", "in", name) }

// call makes an unsigned request for an operation.
func (s *service) call(ctx context.Context, operation string, in any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return s.http(ctx, "POST", "/", operation, body, nil)
}

// http makes a request and decodes its answer into out, if that is not nil; a *[]byte
// gets it as it is.
func (s *service) http(ctx context.Context, method, path, target string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if target != "" {
		req.Header.Set("X-Amz-Target", "SageMaker."+target)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s %s: %s: %s", method, path, target, resp.Status, answer)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = answer
		return nil
	}
	return json.Unmarshal(answer, out)
}

// job is what varies in the jobs.
type job struct {
	image, split, strategy, assemble string
	concurrent, payloadMB            int
	// watch is called with each look at the job's progress, if it is not nil.
	watch func(progress)
}

// progress is the answer at /-/api/v1/transform-jobs/NAME.
type progress struct {
	Status, FailureReason         string
	Created                       time.Time
	Started, Ended                *time.Time
	Objects, ObjectsDone, BytesIn int64
	Records, Requests             int64
}

// phase is the time from TransformStartTime to TransformEndTime.
func (p progress) phase() float64 { return p.Ended.Sub(*p.Started).Seconds() }

// stats are what a trivial server saw of one client.
type stats struct{ Requests, Bytes, Seconds, CPUSeconds float64 }

// How often a job's progress is looked at. A look costs the server half a millisecond,
// so only who needs to see every step looks often.
const (
	lookEvery  = 250 * time.Millisecond
	watchEvery = 20 * time.Millisecond
)

// run carries a job over in/ to its end, and gives what its instance's server saw
// of it and the CPU time that sagebrush took, the instance's left out.
func (s *service) run(ctx context.Context, j job) (end progress, seen stats, cpu float64, err error) {
	before, err := s.cpuSeconds()
	if err != nil {
		return end, seen, 0, err
	}
	name, err := s.create(ctx, j)
	if err != nil {
		return end, seen, 0, err
	}
	if end, err = s.await(ctx, name, j.watch); err != nil {
		return end, seen, 0, err
	}
	after, err := s.cpuSeconds()
	if err != nil {
		return end, seen, 0, err
	}
	seen, err = s.statsOf(ctx, name)
	return end, seen, after - before, err
}

// create creates the job and its model.
func (s *service) create(ctx context.Context, j job) (name string, err error) {
	s.jobs++
	name = "job-" + strconv.Itoa(s.jobs)
	err = s.call(ctx, "CreateModel", map[string]any{"ModelName": name, "PrimaryContainer": map[string]any{"Image": j.image}})
	if err != nil {
		return name, err
	}
	in := map[string]any{
		"TransformJobName": name, "ModelName": name, "MaxConcurrentTransforms": j.concurrent, "MaxPayloadInMB": j.payloadMB,
		"TransformInput": map[string]any{
			"DataSource":  map[string]any{"S3DataSource": map[string]any{"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}},
			"ContentType": "text/csv", "SplitType": j.split,
		},
		"TransformOutput":    map[string]any{"S3OutputPath": "s3://bucket/out/" + name, "AssembleWith": j.assemble},
		"TransformResources": map[string]any{"InstanceType": "ml.m5.large", "InstanceCount": 1},
	}
	if j.strategy != "" {
		in["BatchStrategy"] = j.strategy
	}
	return name, s.call(ctx, "CreateTransformJob", in)
}

// await looks at a job until it has ended.
func (s *service) await(ctx context.Context, name string, watch func(progress)) (progress, error) {
	every := lookEvery
	if watch != nil {
		every = watchEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var p progress
		if err := s.http(ctx, "GET", "/-/api/v1/transform-jobs/"+name, "", nil, &p); err != nil {
			return p, err
		}
		if watch != nil {
			watch(p)
		}
		switch p.Status {
		case "Completed":
			return p, nil
		case "InProgress":
		default:
			return p, fmt.Errorf("the job ended as %s: %s", p.Status, p.FailureReason)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// statsOf finds the statistics that the job's server printed at its end.
func (s *service) statsOf(ctx context.Context, name string) (stats, error) {
	var logs []byte // JSON lines
	if err := s.http(ctx, "GET", "/-/api/v1/transform-jobs/"+name+"/logs", "", nil, &logs); err != nil {
		return stats{}, err
	}
	for one := range bytes.Lines(logs) {
		var line struct{ Text string }
		if err := json.Unmarshal(one, &line); err != nil {
			return stats{}, err
		}
		var seen stats
		if json.Unmarshal([]byte(line.Text), &seen) == nil && seen.Requests > 0 {
			return seen, nil
		}
	}
	return stats{}, errors.New("the job's server printed no statistics")
}
