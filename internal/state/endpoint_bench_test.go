package state

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// hostedCount is how many endpoints the benchmarks have.
const hostedCount = 100_000

// hostedEndpoint is an endpoint as it is when it serves: two variants with a model
// each, two instances and a data capture. Names and times do not go together.
func hostedEndpoint(n int) resource.Endpoint {
	name := fmt.Sprintf("endpoint-%06d", n*7919%hostedCount)
	created := time.Unix(1_700_000_000+int64(n), 0)
	config := resource.EndpointConfigSpec{Capture: &resource.DataCapture{Enabled: true, Percent: 10, DestinationURI: "s3://bucket/capture/" + name}}
	fleet := resource.Fleet{Generation: 1, ConfigName: name + "-config", Models: map[string]resource.ModelSpec{}, Started: created}
	for _, v := range []string{"AllTraffic", "Canary"} {
		config.Variants = append(config.Variants, resource.ProductionVariant{
			Name: v, ModelName: name + "-model", InstanceType: "ml.m5.large", InitialCount: 1, InitialWeight: 1,
		})
		fleet.Variants = append(fleet.Variants, resource.FleetVariant{Name: v, Weight: 1, Effective: 1, Count: 1, Images: []resource.DeployedImage{{
			Specified: "registry.example/models/ranker:12", Resolved: "registry.example/models/ranker@sha256:7b3c9f2e0d1a7b3c9f2e0d1a7b3c9f2e0d1a7b3c9f2e0d1a7b3c9f2e0d1a7b3c", ResolvedAt: created,
		}}})
		fleet.Models[v] = resource.ModelSpec{Container: resource.Container{
			Image: "registry.example/models/ranker:12", ModelDataURL: "s3://bucket/models/" + name + "/model.tar.gz",
			Environment: map[string]string{"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_REGION": region, "LOG_LEVEL": "info"},
		}}
	}
	fleet.Config = config
	e := resource.NewEndpoint(resource.Meta{
		Key: resource.Key{Region: region, Kind: resource.KindEndpoint, Name: name}, Created: created, Modified: created.Add(time.Duration(n%9000) * time.Minute),
		Tags: []resource.Tag{{Key: "team", Value: "search"}},
	}, fleet, nil)
	e.Current, e.Pending, e.Change = &fleet, nil, nil
	e.Status = []resource.EndpointStatus{resource.EndpointInService, resource.EndpointInService, resource.EndpointInService, resource.EndpointFailed, resource.EndpointUpdating}[n%5]
	if n%1000 == 0 {
		e.Status = resource.EndpointSystemUpdating
	}
	for _, v := range []string{"AllTraffic", "Canary"} {
		e.Instances = append(e.Instances, resource.EndpointInstance{ID: fmt.Sprintf("endpoint-%012x%s", n, v[:1]), Generation: 1, Variant: v})
	}
	return e
}

// p99 measures many runs of something and reports their median and 99th percentile:
// by the clock, and by the CPU time of the thread, which others on the machine do not
// disturb.
func p99(b *testing.B, run func()) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var took, used []time.Duration
	for b.Loop() {
		began, cpu := time.Now(), threadTime(b)
		run()
		took, used = append(took, time.Since(began)), append(used, threadTime(b)-cpu)
	}
	for name, all := range map[string][]time.Duration{"": took, "cpu-": used} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"p50-µs")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"p99-µs")
	}
}

// threadTime is the CPU time of this thread.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkEndpoints is the store with 100,000 endpoints: pages of 100 at a random
// place of the list, by each filter and each sort, and reading one.
func BenchmarkEndpoints(b *testing.B) {
	s := openAt(b, filepath.Join(b.TempDir(), "state.db"))
	for from := 0; from < hostedCount; from += 5000 {
		update(b, s, func(tx *Tx) error {
			for n := from; n < from+5000; n++ {
				if err := tx.CreateEndpoint(hostedEndpoint(n)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	any := func() resource.Endpoint { return hostedEndpoint(random.IntN(hostedCount)) }
	b.Run("describe", func(b *testing.B) {
		p99(b, func() {
			key := any().Key
			view(b, s, func(tx *Tx) error { _, err := tx.Endpoint(key); return err })
		})
	})
	b.Run("keys", func(b *testing.B) {
		p99(b, func() { view(b, s, func(tx *Tx) error { _, err := tx.EndpointKeys(); return err }) })
	})
	late, early := hostedEndpoint(hostedCount-500).Created, hostedEndpoint(hostedCount/2).Created
	for _, f := range []struct {
		name string
		q    Query
	}{
		{"all", Query{}},
		{"name=common", Query{NameContains: "endpoint"}},
		{"name=rare", Query{NameContains: "-05555"}},
		{"name=absent", Query{NameContains: "zzz"}},
		{"status=common", Query{Status: "InService"}},
		{"status=rare", Query{Status: "SystemUpdating"}},
		{"status=absent", Query{Status: "RollingBack"}},
		{"created=late", Query{CreatedAfter: &late}},
		{"created=half", Query{CreatedAfter: &early}},
		{"created=before", Query{CreatedBefore: &early}},
		{"modified=late", Query{ModifiedAfter: &late}},
		{"modified=before", Query{ModifiedBefore: &early}},
		{"all filters", Query{NameContains: "5", Status: "InService", CreatedAfter: &early, ModifiedAfter: &early}},
	} {
		for _, by := range []Sort{SortByName, SortByCreationTime, SortByStatus} {
			for _, descending := range []bool{false, true} {
				order := "ascending"
				if descending {
					order = "descending"
				}
				b.Run(fmt.Sprintf("list/%s/by=%s/%s", f.name, by, order), func(b *testing.B) {
					p99(b, func() {
						q := f.q
						q.Region, q.Limit, q.SortBy, q.Descending = region, 100, by, descending
						if random.IntN(4) > 0 { // the first page, or any
							e := any()
							q.After = &Cursor{Name: e.Name, Created: toNano(e.Created), Status: cmp.Or(q.Status, string(e.Status))}
						}
						view(b, s, func(tx *Tx) error { _, _, err := tx.ListEndpoints(q); return err })
					})
				})
			}
		}
	}
}
