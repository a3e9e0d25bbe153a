package daemon

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/autoscaling"
	"github.com/sagebrush-ml/sagebrush/internal/wire/cwlogs"
	"github.com/sagebrush-ml/sagebrush/internal/wire/kmsapi"
	"github.com/sagebrush-ml/sagebrush/internal/wire/wiretest"
)

// served are the services whose shapes come from a model.
func served() []*wire.Service {
	return []*wire.Service{cwlogs.Service, kmsapi.Service, autoscaling.Service, wire.SageMaker}
}

// mutants sends changed requests, and counts.
type mutants struct {
	t      *testing.T
	d      *Daemon
	seed   uint64
	client *http.Client
	queue  chan mutant

	mu    sync.Mutex
	sent  int
	full  bool     // nothing is put aside any more
	over  int      // too large to be judged by anything but its size
	valid int      // what the model allows still
	later []mutant // of these, what is sent in the end; those of the first half of the run
	wrong int
}

// mutant is one request, and what it must be refused with.
type mutant struct {
	service *wire.Service
	op      wire.Operation
	wiretest.Mutation
}

// add sends a mutant, unless it is one that is refused for its size alone. A request that
// the model still allows is put aside.
func (m *mutants) add(x mutant) {
	switch {
	case x.Code == "":
		if m.valid++; !m.full {
			m.later = append(m.later, x)
		}
	case len(x.Body) > 2<<20:
		m.over++
	default:
		m.sent++
		m.queue <- x
	}
}

// judged is add for a change of unknown outcome: the model decides.
func (m *mutants) judged(x mutant) {
	e := &wire.Error{}
	if err := wire.DecodeInto(x.Body, x.op.NewInput()); err != nil && !errors.As(err, &e) {
		m.t.Fatal(err)
	}
	x.Code, x.Want = e.Code, []string{e.Message}
	m.add(x)
}

// send sends what is in the queue until it is closed.
func (m *mutants) send() {
	for x := range m.queue {
		status, code, text := m.post(x.service.Target+"."+x.op.Name, x.Body)
		ok := status/100 == 4 && code == x.Code || x.Code == "" && status/100 != 5 && status != 0
		for _, want := range x.Want {
			ok = ok && strings.Contains(text, want)
		}
		if ok {
			continue
		}
		m.mu.Lock()
		if m.wrong++; m.wrong < 20 {
			m.t.Errorf("seed %d: %s, %s: %d %s %.500s\nwant %s %.500q\nrequest %.2000q", m.seed, x.op.Name, x.Name, status, code, text, x.Code, x.Want, x.Body)
		}
		m.mu.Unlock()
	}
}

// post sends a body as it is.
func (m *mutants) post(target string, body []byte) (status int, code wire.Code, text string) {
	req, err := http.NewRequestWithContext(m.t.Context(), "POST", m.d.URL()+"/", bytes.NewReader(body))
	if err != nil {
		m.t.Error(err)
		return 0, "", ""
	}
	req.Header.Set("X-Amz-Target", target)
	resp, err := m.client.Do(req)
	if err != nil {
		return 0, "", err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err.Error()
	}
	var e struct {
		Type    wire.Code `json:"__type"`
		Message string    `json:"message"`
	}
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &e); err != nil {
			return resp.StatusCode, "", string(answer)
		}
	}
	return resp.StatusCode, e.Type, e.Message
}

// with sends through several connections what f adds.
func (m *mutants) with(f func()) {
	m.queue = make(chan mutant, 64)
	var all sync.WaitGroup
	for range 4 {
		all.Go(m.send)
	}
	f()
	close(m.queue)
	all.Wait()
}

// strange changes the bytes of a request at random.
func (m *mutants) strange(rng *rand.Rand, service *wire.Service, op wire.Operation, body []byte) {
	add := func(name string, b []byte) {
		m.judged(mutant{service, op, wiretest.Mutation{Name: name, Body: b}})
	}
	at := rng.IntN(len(body))
	cut := func(with string) []byte { return []byte(string(body[:at]) + with + string(body[at:])) }
	add("truncated", body[:max(1, at)])
	add("inserted", cut(randomJSON(rng, 3)))
	add("whole", []byte(randomJSON(rng, 6)))
	add("inside", []byte(`{"X":`+randomJSON(rng, 6)+","+string(body[1:])))
	add("not UTF-8", cut(string([]byte{byte(0x80 + rng.IntN(0x80))})))
	flipped := bytes.Clone(body)
	for range 1 + rng.IntN(4) {
		flipped[rng.IntN(len(flipped))] = byte(rng.IntN(256))
	}
	add("flipped", flipped)
	deep := strings.Repeat([]string{"[", `{"a":`, `[{"a":`}[rng.IntN(3)], 70+rng.IntN(4000))
	add("deep", []byte(`{"X":`+deep+","+string(body[1:])))
	add("deep inside", cut(deep))
	if before, _, ok := bytes.Cut(body, []byte(":")); ok { // the name of the first member
		add("twice", []byte(string(before)+":"+randomJSON(rng, 1)+","+string(body[1:])))
		add("huge", []byte(string(before)+":"+strings.Repeat("9", rng.IntN(5000)+1)+"e"+strconv.Itoa(rng.IntN(1<<30))+"}"))
		add("other", []byte(string(before)+":"+randomJSON(rng, 4)+"}"))
	}
}

// randomJSON makes a value.
func randomJSON(rng *rand.Rand, depth int) string {
	kind := rng.IntN(9)
	if depth == 0 {
		kind = rng.IntN(6)
	}
	switch kind {
	case 0:
		return "null"
	case 1:
		return []string{"true", "false"}[rng.IntN(2)]
	case 2:
		return strconv.FormatInt(rng.Int64()-rng.Int64(), 10)
	case 3:
		return strconv.FormatFloat(rng.NormFloat64()*1e9, 'g', -1, 64)
	case 4, 5:
		return randomText(rng)
	case 6:
		var all []string
		for range rng.IntN(4) {
			all = append(all, randomJSON(rng, depth-1))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	var all []string
	for range rng.IntN(4) {
		all = append(all, randomText(rng)+":"+randomJSON(rng, depth-1))
	}
	return "{" + strings.Join(all, ",") + "}"
}

func randomText(rng *rand.Rand) string {
	text := make([]rune, rng.IntN(12))
	for i := range text {
		text[i] = []rune{rune(rng.IntN(0x80)), rune(rng.IntN(0x2000)), 'a', '/', '"', '\n', 0}[rng.IntN(7)]
	}
	b, err := json.Marshal(string(text))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Requests of every served operation, changed in every way that the model forbids and
// in many that nothing allows, are refused with the right code and by the name of the
// member (BT-28, CP-6, CP-16); none of them is a failure of the server, changes what it
// holds, or leaves anything in memory. Then the requests that were changed are accepted,
// and no change that the model allows is a failure. SAGEBRUSH_SEED
// repeats a run, but for the ids of keys.
func TestMutations(t *testing.T) { // not parallel: it measures the heap
	m := &mutants{t: t, seed: 1, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	t.Cleanup(m.client.CloseIdleConnections)
	if text := os.Getenv("SAGEBRUSH_SEED"); text != "" {
		var err error
		if m.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	m.d = start(t, t.TempDir(), withModel)
	live := liveRequests(t, m.d)
	for _, service := range served() {
		for _, op := range service.Served {
			if live[service.Target+"."+op.Name] == "" {
				t.Errorf("%s.%s has no request that is accepted: add it to liveRequests", service.Target, op.Name)
			}
		}
	}
	before := digest(t, m.d)
	m.with(func() {
		for _, service := range served() {
			suite := wiretest.Of(service)
			for _, op := range service.Served {
				var plain any
				numbers := json.NewDecoder(strings.NewReader(live[service.Target+"."+op.Name]))
				numbers.UseNumber()
				if err := numbers.Decode(&plain); err != nil {
					t.Fatal(err)
				}
				_, id := op.NewInput().Schema()
				for _, request := range []any{suite.Sample(t, id), plain} {
					for change := range suite.Mutations(t, op, request) {
						m.add(mutant{service, op, change})
					}
				}
			}
		}
	})
	rounds := 14
	if testing.Short() {
		rounds = 4
	}
	middle := uint64(0)
	rng := rand.New(rand.NewPCG(m.seed, 0))
	for round := range rounds {
		m.with(func() {
			for _, service := range served() {
				for _, op := range service.Served {
					_, id := op.NewInput().Schema()
					m.strange(rng, service, op, wiretest.Body(t, wiretest.Of(service).Sample(t, id)))
					m.strange(rng, service, op, []byte(live[service.Target+"."+op.Name]))
				}
			}
		})
		if round == rounds/2 {
			m.full, middle = true, heap()
		}
	}
	end := heap()
	t.Logf("seed %d: %d requests; %d more were valid, %d too large; heap %d KiB in the middle and %d KiB at the end", m.seed, m.sent, m.valid, m.over, middle>>10, end>>10)
	if m.sent < 20_000 && !testing.Short() {
		t.Errorf("only %d requests", m.sent)
	}
	if end > middle+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", middle, end)
	}
	if after := digest(t, m.d); after != before {
		t.Errorf("something was changed:\n%s\nand before:\n%s", after, before)
	}
	m.accepted(live)
	m.with(func() {
		for _, x := range m.later {
			m.queue <- x
		}
	})
}

// heap gives what is in use after a collection.
func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// liveRequests makes some of everything and gives a request of each operation that the
// server then accepts, by target.
func liveRequests(t *testing.T, d *Daemon) map[string]string {
	t.Helper()
	object(t, d, "PUT", "/bucket", nil)
	object(t, d, "PUT", "/bucket/in/a", []byte("1\n"))
	hosted(t, d, "live", 1)
	must(t, d, "CreateEndpointConfig", map[string]any{"EndpointConfigName": "other", "ProductionVariants": []any{variantIn("v", "live-m", 1, 1)}})
	must(t, d, "CreateModel", map[string]any{"ModelName": "old", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	must(t, d, "CreateModel", map[string]any{"ModelName": "hangs", "PrimaryContainer": map[string]any{"Image": "test/model", "Environment": map[string]string{"MODE": "hang"}}})
	must(t, d, "CreateTransformJob", job("done", "live-m", nil))
	await(t, d, "done")
	kms := func(operation string, in map[string]any) map[string]any {
		return must(t, d, "TrentService."+operation, in)
	}
	newID := func() string {
		return kms("CreateKey", map[string]any{})["KeyMetadata"].(map[string]any)["KeyId"].(string)
	}
	key, doomed, gone := newID(), newID(), newID()
	kms("CreateAlias", map[string]any{"AliasName": "alias/live", "TargetKeyId": key})
	kms("CreateAlias", map[string]any{"AliasName": "alias/gone", "TargetKeyId": key})
	kms("ScheduleKeyDeletion", map[string]any{"KeyId": gone, "PendingWindowInDays": 30})
	sealed := kms("Encrypt", map[string]any{"KeyId": key, "Plaintext": "eA=="})["CiphertextBlob"].(string)
	mustAuto(t, d, "RegisterScalableTarget", "live", map[string]any{"MinCapacity": 1, "MaxCapacity": 1})
	mustAuto(t, d, "PutScalingPolicy", "live", tracking(1000))

	const group, oldARN = "/aws/sagemaker/TransformJobs", "arn:aws:sagemaker:us-east-1:000000000000:model/old"
	streams := must(t, d, "Logs_20140328.DescribeLogStreams", map[string]any{"logGroupName": group})["logStreams"].([]any)
	all := map[string]string{}
	add := func(target, prefix string, in map[string]any) { all[prefix+"."+target] = string(body(in)) }
	sageMaker := func(operation string, in map[string]any) { add(operation, "SageMaker", in) }
	tags := []any{map[string]any{"Key": "k", "Value": "v"}}
	sageMaker("AddTags", map[string]any{"ResourceArn": oldARN, "Tags": tags})
	sageMaker("ListTags", map[string]any{"ResourceArn": oldARN, "MaxResults": 50})
	sageMaker("DeleteTags", map[string]any{"ResourceArn": oldARN, "TagKeys": []string{"k"}})
	sageMaker("CreateModel", map[string]any{"ModelName": "new", "PrimaryContainer": map[string]any{"Image": "test/model", "Environment": map[string]string{"A": "b"}}, "Tags": tags})
	sageMaker("CreateEndpointConfig", map[string]any{"EndpointConfigName": "new", "ProductionVariants": []any{variantIn("v", "live-m", 1, 1)}, "Tags": tags})
	sageMaker("CreateTransformJob", job("new", "hangs", func(in map[string]any) { in["Tags"] = tags; in["BatchStrategy"] = "MultiRecord" }))
	sageMaker("CreateEndpoint", map[string]any{"EndpointName": "new", "EndpointConfigName": "live-c", "Tags": tags})
	for kind, name := range map[string]string{"Model": "live-m", "TransformJob": "done", "EndpointConfig": "live-c", "Endpoint": "live"} {
		sageMaker("Describe"+kind, map[string]any{kind + "Name": name})
		sageMaker("List"+kind+"s", map[string]any{"NameContains": "l", "MaxResults": 5, "SortOrder": "Ascending", "CreationTimeAfter": 1650241569.5})
	}
	sageMaker("StopTransformJob", map[string]any{"TransformJobName": "new"})
	sageMaker("UpdateEndpointWeightsAndCapacities", map[string]any{"EndpointName": "live", "DesiredWeightsAndCapacities": []any{map[string]any{"VariantName": "v", "DesiredWeight": 0.5}}})
	sageMaker("UpdateEndpoint", map[string]any{"EndpointName": "live", "EndpointConfigName": "other"})
	sageMaker("DeleteEndpoint", map[string]any{"EndpointName": "live"})
	sageMaker("DeleteEndpointConfig", map[string]any{"EndpointConfigName": "new"})
	sageMaker("DeleteModel", map[string]any{"ModelName": "old"})

	on := map[string]string{
		"CancelKeyDeletion": gone, "CreateAlias": "", "CreateKey": "", "Decrypt": "", "DeleteAlias": "", "DescribeKey": key, "DisableKey": doomed, "DisableKeyRotation": key,
		"EnableKey": doomed, "EnableKeyRotation": key, "Encrypt": key, "GenerateDataKey": key, "GenerateDataKeyWithoutPlaintext": key, "GetKeyPolicy": key,
		"GetKeyRotationStatus": key, "ListAliases": "", "ListKeys": "", "ListResourceTags": key, "ReEncrypt": "", "ScheduleKeyDeletion": doomed, "TagResource": key, "UntagResource": key, "UpdateAlias": "",
	}
	keyTags := []any{map[string]any{"TagKey": "k", "TagValue": "v"}}
	more := map[string]map[string]any{
		"CreateAlias": {"AliasName": "alias/new", "TargetKeyId": key}, "CreateKey": {"Description": "d", "Tags": keyTags}, "Decrypt": {"CiphertextBlob": sealed},
		"DeleteAlias": {"AliasName": "alias/gone"}, "EnableKeyRotation": {"RotationPeriodInDays": 90}, "Encrypt": {"Plaintext": "eA=="}, "GenerateDataKey": {"KeySpec": "AES_256"},
		"GenerateDataKeyWithoutPlaintext": {"NumberOfBytes": 32}, "ListAliases": {"Limit": 1}, "ListKeys": {"Limit": 1}, "ReEncrypt": {"CiphertextBlob": sealed, "DestinationKeyId": key},
		"ScheduleKeyDeletion": {"PendingWindowInDays": 7}, "TagResource": {"Tags": keyTags}, "UntagResource": {"TagKeys": []string{"k"}}, "UpdateAlias": {"AliasName": "alias/live", "TargetKeyId": key},
	}
	for operation, id := range on {
		in := map[string]any{}
		if id != "" {
			in["KeyId"] = id
		}
		for k, v := range more[operation] {
			in[k] = v
		}
		add(operation, "TrentService", in)
	}

	logs := func(operation string, in map[string]any) { add(operation, "Logs_20140328", in) }
	logs("DescribeLogGroups", map[string]any{"logGroupNamePrefix": "/aws", "limit": 50})
	logs("DescribeLogStreams", map[string]any{"logGroupName": group, "limit": 50})
	logs("FilterLogEvents", map[string]any{"logGroupName": group, "limit": 10, "startTime": 0})
	logs("GetLogEvents", map[string]any{"logGroupName": group, "logStreamName": streams[0].(map[string]any)["logStreamName"], "limit": 10})
	logs("PutRetentionPolicy", map[string]any{"logGroupName": group, "retentionInDays": 7})
	logs("DeleteRetentionPolicy", map[string]any{"logGroupName": group})

	scaling := func(operation string, in map[string]any) {
		in["ServiceNamespace"], in["ResourceId"], in["ScalableDimension"] = "sagemaker", "endpoint/live/variant/v", "sagemaker:variant:DesiredInstanceCount"
		add(operation, "AnyScaleFrontendService", in)
	}
	scaling("RegisterScalableTarget", map[string]any{"MinCapacity": 1, "MaxCapacity": 1})
	scaling("PutScalingPolicy", tracking(500))
	scaling("DescribeScalingPolicies", map[string]any{"MaxResults": 5})
	scaling("DescribeScalingActivities", map[string]any{"MaxResults": 5})
	scaling("DeleteScalingPolicy", map[string]any{"PolicyName": "busy"})
	scaling("DeregisterScalableTarget", map[string]any{})
	add("DescribeScalableTargets", "AnyScaleFrontendService", map[string]any{"ServiceNamespace": "sagemaker", "MaxResults": 5})
	return all
}

// accepted sends the requests that were changed as they are, those that end something
// after those that use it.
func (m *mutants) accepted(live map[string]string) {
	m.t.Helper()
	try := func(target string) {
		m.t.Helper()
		if status, code, text := m.post(target, []byte(live[target])); status != 200 {
			m.t.Errorf("%s is refused: %d %s %s", target, status, code, text)
		}
		if strings.HasPrefix(target, "SageMaker.UpdateEndpoint") {
			status(m.t, m.d, "live", "InService")
		}
		delete(live, target)
	}
	for _, target := range []string{
		"TrentService.DisableKey", "TrentService.EnableKey", "TrentService.ScheduleKeyDeletion",
		"AnyScaleFrontendService.DescribeScalableTargets", "AnyScaleFrontendService.RegisterScalableTarget", "AnyScaleFrontendService.PutScalingPolicy",
		"AnyScaleFrontendService.DescribeScalingPolicies", "AnyScaleFrontendService.DescribeScalingActivities",
		"AnyScaleFrontendService.DeleteScalingPolicy", "AnyScaleFrontendService.DeregisterScalableTarget",
		"SageMaker.AddTags", "SageMaker.ListTags", "SageMaker.DeleteTags", "SageMaker.CreateTransformJob", "SageMaker.StopTransformJob",
		"SageMaker.CreateEndpointConfig", "SageMaker.DeleteEndpointConfig", "SageMaker.CreateEndpoint", "SageMaker.UpdateEndpointWeightsAndCapacities", "SageMaker.UpdateEndpoint",
	} {
		try(target)
	}
	for target := range live {
		if !strings.HasPrefix(target, "SageMaker.Delete") {
			try(target)
		}
	}
	for target := range live {
		try(target)
	}
}

// digest is all that a server holds: the rows of its database, and its files but for
// the audit log, which every refused change is in.
func digest(t *testing.T, d *Daemon) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(d.data, "sagebrush.db")+"?_pragma=query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	for _, table := range []string{"resources", "transform_objects", "transform_totals", "secrets", "async_invocations", "records"} {
		rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2")
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		row, at := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			at[i] = &row[i]
		}
		for rows.Next() {
			if err := rows.Scan(at...); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s %v %x\n", table, row[:min(2, len(row))], sha256.Sum256(fmt.Append(nil, row)))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	err = filepath.WalkDir(d.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), "sagebrush.db") || strings.HasPrefix(e.Name(), "audit.log") {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&out, "%s %x\n", path, sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
