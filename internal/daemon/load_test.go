package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// load sends requests without a pause until it is told to stop, and counts.
type load struct {
	stop     chan struct{}
	wait     sync.WaitGroup
	mu       sync.Mutex
	answers  map[string]int
	failures []string
}

func startLoad(t *testing.T, d *Daemon, endpoint string, clients int) *load {
	l := &load{stop: make(chan struct{}), answers: map[string]int{}}
	for range clients {
		l.wait.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				resp, err := client.Post(d.URL()+"/endpoints/"+endpoint+"/invocations", "text/csv", bytes.NewReader([]byte("x")))
				l.count(resp, err)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) count(resp *http.Response, err error) {
	var body []byte
	if err == nil {
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failures = append(l.failures, err.Error())
	case resp.StatusCode != 200:
		l.failures = append(l.failures, fmt.Sprint(resp.StatusCode, " ", string(body)))
	default:
		l.answers[string(body)]++
	}
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.wait.Wait()
}

// total is how many requests were answered so far.
func (l *load) total() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.answers {
		n += k
	}
	return n
}

// more waits for further answers.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	want := l.total() + n
	for l.total() < want {
		l.mu.Lock()
		failed := len(l.failures)
		l.mu.Unlock()
		if failed > 100 {
			t.Fatalf("%d failures, the first: %s", failed, l.failures[0])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// change is something that happens to an endpoint under load.
type change struct {
	name, operation string
	in              map[string]any // without the endpoint's name
	config          string         // that serves afterwards
	fails           bool           // it is rolled back
}

// rollingPolicy replaces the half of a fleet at a time.
func rollingPolicy() map[string]any {
	return map[string]any{"RollingUpdatePolicy": map[string]any{"MaximumBatchSize": map[string]any{"Type": "CAPACITY_PERCENT", "Value": 50}, "WaitIntervalInSeconds": 0}}
}

// shifting moves the traffic by steps of so many percent.
func shifting(kind, size string, percent, wait int) map[string]any {
	return map[string]any{"BlueGreenUpdatePolicy": map[string]any{"TrafficRoutingConfiguration": map[string]any{
		"Type": kind, "WaitIntervalInSeconds": wait, size: map[string]any{"Type": "CAPACITY_PERCENT", "Value": percent}}}}
}

// weights asks for weights, and instance counts where they are over 0.
func weights(v, w float64, countV, countW int) map[string]any {
	one := func(name string, weight float64, count int) map[string]any {
		m := map[string]any{"VariantName": name, "DesiredWeight": weight}
		if count > 0 {
			m["DesiredInstanceCount"] = count
		}
		return m
	}
	return map[string]any{"DesiredWeightsAndCapacities": []any{one("v", v, countV), one("w", w, countW)}}
}

// EP-3, EP-4, EP-11, EP-40 to EP-44: through updates of every kind, a weight change,
// crashes, maintenance, a rollback and a rolling restart no request fails, and the
// traffic is split by the weights (EP-30).
func TestNoRequestFails(t *testing.T) {
	t.Parallel()
	least := 20_000
	if testing.Short() {
		least = 3_000
	}
	d := start(t, t.TempDir(), withModel)
	hosted(t, d, "e", 2)
	named(t, d, "second")
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "two", "ProductionVariants": []any{variantIn("v", "second", 2, 1), variantIn("w", "e-m", 1, 3)}})
	must(t, d, "CreateModel", map[string]any{"ModelName": "dead", "PrimaryContainer": map[string]any{"Image": "test/model", "Environment": map[string]string{"MODE": "dead"}}})
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "bad", "ProductionVariants": []any{variantIn("v", "dead", 1, 1)}})
	update := func(config string, deployment map[string]any) map[string]any {
		in := map[string]any{"EndpointConfigName": config}
		if deployment != nil {
			in["DeploymentConfig"] = deployment
		}
		return in
	}
	l := startLoad(t, d, "e", 4)
	changes := []change{
		{"update", "UpdateEndpoint", update("two", nil), "two", false},
		{"weights", "UpdateEndpointWeightsAndCapacities", weights(1, 1, 1, 0), "two", false},
		{"more instances", "UpdateEndpointWeightsAndCapacities", weights(1, 4, 2, 2), "two", false},
		{"rollback", "UpdateEndpoint", update("bad", nil), "two", true},
		{"rolling", "UpdateEndpoint", update("e-c", rollingPolicy()), "e-c", false},
		{"rolling restart", "UpdateEndpoint", update("e-c", rollingPolicy()), "e-c", false}, // EP-48
		{"canary", "UpdateEndpoint", update("two", shifting("CANARY", "CanarySize", 20, 1)), "two", false},
		{"linear", "UpdateEndpoint", update("two", shifting("LINEAR", "LinearStepSize", 50, 1)), "two", false},
		{"rolling rollback", "UpdateEndpoint", update("bad", rollingPolicy()), "two", true},
	}
	each := least / (len(changes) + 8)
	l.more(t, each)
	for _, c := range changes {
		c.run(t, d, l, each)
		switch c.name {
		case "update":
			splits(t, d, "e", map[string]float64{"x>second()": 0.25, "x>e-m()": 0.75})
		case "weights":
			splits(t, d, "e", map[string]float64{"x>second()": 0.5, "x>e-m()": 0.5})
		case "more instances":
			splits(t, d, "e", map[string]float64{"x>second()": 0.2, "x>e-m()": 0.8})
		}
	}
	request(t, d, "POST", "/-/api/v1/endpoints/e/maintenance")
	l.more(t, each)
	whole(t, d, "e")
	for i := range 3 { // an instance exits in the middle of a request, which another answers
		mark := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if resp, answer := invoke(t, d, "e", "exit once "+mark, nil); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, answer)
		}
		l.more(t, each)
		whole(t, d, "e")
	}
	for range 3 { // an instance is killed by somebody else
		killOne(t, d)
		l.more(t, each)
		whole(t, d, "e")
	}
	l.more(t, max(0, least-l.total()))
	l.end()
	if len(l.failures) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(l.failures), l.total()+len(l.failures), l.failures[0])
	}
	t.Logf("%d requests: %v", l.total(), l.answers)
}

// run makes the change and waits for its end. Meanwhile other changes are refused
// (CP-53).
func (c change) run(t *testing.T, d *Daemon, l *load, requests int) {
	t.Helper()
	c.in["EndpointName"] = "e"
	must(t, d, c.operation, c.in)
	if code, out := call(t, d, "DeleteEndpoint", map[string]any{"EndpointName": "e"}); code != 400 || !strings.Contains(fmt.Sprint(out), "Cannot update in-progress endpoint") {
		t.Errorf("%s: deleting meanwhile gave %d %v", c.name, code, out)
	}
	out := status(t, d, "e", "InService")
	if out["EndpointConfigName"] != c.config || (out["FailureReason"] != nil) != c.fails {
		t.Errorf("%s: %v", c.name, out)
	}
	l.more(t, requests)
}

// samples is how many requests show how traffic is split.
const samples = 2000

// splits wants each answer as often as it should come, within the interval that
// holds 99.9 of 100 binomial samples. Chance misses it once in a thousand times, so
// it takes three misses in a row to be none.
func splits(t *testing.T, d *Daemon, endpoint string, shares map[string]float64) {
	t.Helper()
	const z = 3.2905 // of the normal distribution
	var misses []string
	for range 3 {
		counts := map[string]int{}
		for range samples {
			_, answer := invoke(t, d, endpoint, "x", nil)
			counts[answer]++
		}
		miss := ""
		for answer, p := range shares {
			if off := math.Abs(float64(counts[answer]) - samples*p); off > z*math.Sqrt(samples*p*(1-p)) {
				miss = fmt.Sprintf("%q came %d times of %d, and has the share %g", answer, counts[answer], samples, p)
			}
		}
		if miss == "" {
			return
		}
		misses = append(misses, miss)
	}
	t.Error(strings.Join(misses, "; "))
}

// killOne kills the process of an instance that lives, and waits until that is
// known: the next to die is another one.
func killOne(t *testing.T, d *Daemon) {
	t.Helper()
	records, err := filepath.Glob(filepath.Join(d.data, "run", "endpoint-*.instance.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range records {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		var r struct{ Leader struct{ Pid int } }
		if err := json.Unmarshal(text, &r); err != nil || r.Leader.Pid < 2 {
			t.Fatalf("%s: %v", text, err)
		}
		if syscall.Kill(r.Leader.Pid, syscall.SIGKILL) == nil {
			for range 6000 {
				if _, err := os.Stat(file); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatalf("%s is there a minute after its instance was killed", file)
		}
	}
	t.Fatalf("none of %d instances lives", len(records))
}
