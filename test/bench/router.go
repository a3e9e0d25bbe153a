package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// routers are what is compared, in the order of the table: the first is no proxy.
var routers = []struct {
	name  string
	needs string // the program that must be installed
	// start starts the proxy of a container at an address. The whole server starts a
	// container of its own, of answers of size bytes.
	start func(ctx context.Context, b *bench, model string, size int) (*child, string, error)
}{
	{"direct", "", nil},
	{"nginx", "nginx", startNginx},
	{"haproxy", "haproxy", startHaproxy},
	{"front", "", startFront()},
	{"front, verifying", "", startFront("-verify", secretKey)},
	{"net/http, verifying", "", startFront("-verify", secretKey, "-portable")},
	{"serve, verifying", "", startServer},
	{"serve, unsigned", "", startServer},
}

// The key that requests are signed with.
const (
	accessKeyID = "AKIDBENCH0000000"
	secretKey   = "bench/secret/key"
)

// workers is how many workers or loops each proxy has.
const workers = 2

// flow is what wrk saw of a proxy in one turn. Under a load that leaves the model no
// time to accept within 250 ms, a few answers are errors.
type flow struct{ rate, p99, cpu, errors float64 }

// router compares the proxies with wrk as their client and one container.
func router(ctx context.Context, b *bench) error {
	if _, err := exec.LookPath("wrk"); err != nil {
		fmt.Println("  not measured: wrk is not installed (apt-get install wrk)")
		return nil
	}
	for _, size := range []int{1 << 10, 100 << 10} {
		for _, c := range []int{32, 256} {
			fmt.Printf("  requests and answers of %d KiB, %d connections\n", size>>10, c)
			if err := b.route(ctx, size, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// route measures one setting.
func (b *bench) route(ctx context.Context, size, connections int) error {
	flows := make([][]flow, len(routers))
	rounds := full(b, 5, 1)
	for i := range rounds {
		for k := range routers {
			k = (i + k) % len(routers)
			if n := routers[k].needs; n != "" {
				if _, err := exec.LookPath(n); err != nil {
					continue
				}
			}
			f, err := b.flow(ctx, k, size, connections)
			if err != nil {
				return fmt.Errorf("%s: %w", routers[k].name, err)
			}
			flows[k] = append(flows[k], f)
		}
	}
	t := newTable("proxy", "req/s", "to direct", "to nginx", "spread", "p99 ms", "CPU us/req", "spread", "to nginx", "spread", "errors")
	for k, r := range routers {
		if len(flows[k]) == 0 {
			t.row(r.name, "not installed")
			continue
		}
		rate := func(f flow) float64 { return f.rate }
		cpu := func(f flow) float64 { return f.cpu }
		row := []string{r.name, fmt.Sprintf("%.0f", median(of(flows[k], rate))), over(flows[k], flows[0], rate, false),
			over(flows[k], flows[nginxRow], rate, false), over(flows[k], flows[nginxRow], rate, true),
			fmt.Sprintf("%.2f", median(of(flows[k], func(f flow) float64 { return f.p99 })))}
		if k > 0 {
			row = append(row, fmt.Sprintf("%.1f", median(of(flows[k], cpu))), spread(of(flows[k], cpu)),
				over(flows[k], flows[nginxRow], cpu, false), over(flows[k], flows[nginxRow], cpu, true),
				fmt.Sprintf("%.0f", sum(of(flows[k], func(f flow) float64 { return f.errors }))))
		}
		t.row(row...)
	}
	if err := t.Flush(); err != nil || len(flows[nginxRow]) == 0 {
		return err
	}
	if err := judge(size, flows); err != nil {
		return err
	}
	return b.latency(ctx, size, connections, median(of(flows[nginxRow], func(f flow) float64 { return f.rate })))
}

// Rows of the table.
const (
	nginxRow     = 1
	frontRow     = 3
	verifyingRow = 4
	serverRow    = 6
	unsignedRow  = 7
)

// judge prints how front stands to nginx: by its CPU time with verification, less one
// pass of SHA-256 for a long body, and by its rate without.
func judge(size int, flows [][]flow) error {
	pass := 0.0
	if size > 64<<10 {
		var err error
		if pass, err = hashing(size); err != nil {
			return err
		}
		fmt.Printf("  one SHA-256 pass over %d KiB: %.0f us of CPU\n", size>>10, pass)
	}
	var cost []float64
	for i, f := range flows[verifyingRow] {
		cost = append(cost, (f.cpu-pass)/flows[nginxRow][i].cpu)
	}
	fmt.Printf("  CPU of front, verifying, less that pass, to nginx's: %.2f (%s), target <= 1: %s\n", median(cost), spread(cost), verdict(median(cost) <= 1))
	cost = cost[:0]
	for i, f := range flows[serverRow] {
		cost = append(cost, (f.cpu-pass)/flows[nginxRow][i].cpu)
	}
	fmt.Printf("  CPU of serve, verifying, less that pass, to nginx's: %.2f (%s), target <= 1: %s\n", median(cost), spread(cost), verdict(median(cost) <= 1))
	for _, row := range []int{frontRow, unsignedRow} {
		var rate []float64
		for i, f := range flows[row] {
			rate = append(rate, f.rate/flows[nginxRow][i].rate)
		}
		fmt.Printf("  req/s of %s to nginx's: %.2f (%s), target >= 1: %s\n", routers[row].name, median(rate), spread(rate), verdict(median(rate) >= 1))
	}
	fmt.Println()
	return nil
}

// hashing is the CPU time of one pass of SHA-256, in microseconds.
func hashing(size int) (float64, error) {
	body := make([]byte, size)
	const n = 2000
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return 0, err
	}
	for range n {
		digest := sha256.Sum256(body)
		body[0] = digest[0]
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return 0, err
	}
	used := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	return float64(used.Microseconds()) / n, nil
}

func sum(v []float64) (total float64) {
	for _, x := range v {
		total += x
	}
	return total
}

func of(flows []flow, value func(flow) float64) []float64 {
	var out []float64
	for _, f := range flows {
		out = append(out, value(f))
	}
	return out
}

// over is the ratio of two proxies turn by turn: its median, or its spread.
func over(a, b []flow, value func(flow) float64, wide bool) string {
	var out []float64
	for i := range min(len(a), len(b)) {
		out = append(out, value(a[i])/value(b[i]))
	}
	if len(out) == 0 {
		return "-"
	}
	if wide {
		return spread(out)
	}
	return fmt.Sprintf("%.2f", median(out))
}

// flow has wrk send to a proxy with a container of its own.
func (b *bench) flow(ctx context.Context, k, size, connections int) (f flow, err error) {
	err = b.proxied(ctx, k, size, func(addr string, proxy *child) error {
		script, _, err := b.request(ctx, addr, size, k != unsignedRow)
		if err != nil {
			return err
		}
		before := 0.0
		seconds := (*child).familySeconds
		if k == serverRow || k == unsignedRow {
			seconds = (*child).cpuSeconds // its container is its own child
		}
		if proxy != nil {
			if before, err = seconds(proxy); err != nil {
				return err
			}
		}
		out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c", strconv.Itoa(connections), "-d", full(b, 3*time.Second, time.Second).String(),
			"--latency", "-s", script, "http://"+addr+"/endpoints/bench/invocations").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		var requests float64
		f, requests, err = readWrk(string(out))
		if err == nil && proxy != nil {
			var after float64
			after, err = seconds(proxy)
			f.cpu = (after - before) / requests * 1e6
		}
		return err
	})
	return f, err
}

// proxied calls do with the address of a proxy that has a container of its own, or of
// the container alone.
func (b *bench) proxied(ctx context.Context, k, size int, do func(addr string, proxy *child) error) (err error) {
	var hello struct{ Addr string }
	model, err := start(ctx, &hello, nil, filepath.Join(b.programs, "model"), "-size", strconv.Itoa(size))
	if err != nil {
		return err
	}
	defer model.close(&err)
	addr := hello.Addr
	var proxy *child
	if routers[k].start != nil {
		if proxy, addr, err = routers[k].start(ctx, b, addr, size); err != nil {
			return err
		}
		defer proxy.close(&err)
	}
	return do(addr, proxy)
}

// wrkLine finds the numbers in what wrk prints.
var wrkLine = regexp.MustCompile(`(?m)^ +99% +([0-9.]+)(us|ms|s)$|^ +([0-9]+) requests in|^Requests/sec: +([0-9.]+)$|Non-2xx or 3xx responses: ([0-9]+)`)

func readWrk(out string) (f flow, requests float64, err error) {
	for _, m := range wrkLine.FindAllStringSubmatch(out, -1) {
		switch {
		case m[1] != "":
			f.p99, err = strconv.ParseFloat(m[1], 64)
			f.p99 *= map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3}[m[2]]
		case m[3] != "":
			requests, err = strconv.ParseFloat(m[3], 64)
		case m[4] != "":
			f.rate, err = strconv.ParseFloat(m[4], 64)
		default:
			f.errors, err = strconv.ParseFloat(m[5], 64)
		}
		if err != nil {
			return f, 0, err
		}
	}
	if requests == 0 || f.rate == 0 || f.errors > requests/100 {
		return f, 0, fmt.Errorf("wrk counted too little: %s", out)
	}
	return f, requests, nil
}

// request writes a script for wrk with the one request that every proxy gets, and a
// file with the request itself.
func (b *bench) request(ctx context.Context, addr string, size int, signed bool) (script, raw string, err error) {
	body := bytes.Repeat([]byte("1,2,3,4\n"), size/8)
	digest := sha256.Sum256(body)
	r, err := http.NewRequest(http.MethodPost, "http://"+addr+"/endpoints/bench/invocations", bytes.NewReader(body))
	if err != nil {
		return "", "", err
	}
	r.Header.Set("Content-Type", "text/csv")
	r.Header.Set("Accept", "*/*")
	if signed {
		err = v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secretKey}, r,
			hex.EncodeToString(digest[:]), "sagemaker", "us-west-2", time.Now())
	}
	if err != nil {
		return "", "", err
	}
	lua := fmt.Sprintf("wrk.method = \"POST\"\nwrk.body = string.rep(\"1,2,3,4\\n\", %d)\n", size/8)
	for name, values := range r.Header {
		lua += fmt.Sprintf("wrk.headers[%q] = %q\n", name, values[0])
	}
	script, raw = filepath.Join(b.tmp, "signed.lua"), filepath.Join(b.tmp, "signed.http")
	var sent bytes.Buffer
	if err := r.Write(&sent); err != nil {
		return "", "", err
	}
	if err := os.WriteFile(raw, sent.Bytes(), 0o600); err != nil {
		return "", "", err
	}
	return script, raw, os.WriteFile(script, []byte(lua), 0o600)
}

// startServer starts the real server with the container of the other proxies.
func startServer(ctx context.Context, b *bench, _ string, size int) (*child, string, error) {
	return b.serveModel(ctx, filepath.Join(b.programs, "model"), "-size", strconv.Itoa(size))
}

// serveModel starts the real server with one endpoint of one instance, which runs a
// command. It knows the key that the requests are signed with.
func (b *bench) serveModel(ctx context.Context, command ...string) (_ *child, addr string, err error) {
	data, err := os.MkdirTemp(b.tmp, "router-")
	if err != nil {
		return nil, "", err
	}
	key := fmt.Sprintf(`{"accessKeyId":%q,"secretAccessKey":%q}`, accessKeyID, secretKey)
	if err := os.WriteFile(filepath.Join(data, "credentials.json"), []byte(key), 0o600); err != nil {
		return nil, "", err
	}
	config := filepath.Join(data, "config.yaml")
	list, err := json.Marshal(command)
	if err != nil {
		return nil, "", err
	}
	text := fmt.Sprintf("images:\n  - image: bench/model\n    command: %s\n", list)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, "", err
	}
	s := &service{data: data}
	var hello struct{ URL string }
	s.child, err = start(ctx, &hello, nil, b.sagebrush, "serve", "--json", "--log-level=warn", "--listen=127.0.0.1:0", "--region=us-west-2", "--runtime=process", "--data="+data, "--config="+config)
	if err != nil {
		return nil, "", err
	}
	s.url = hello.URL
	if err := s.host(ctx); err != nil {
		return nil, "", errors.Join(err, s.stop(nil))
	}
	return s.child, strings.TrimPrefix(s.url, "http://"), nil
}

// host makes the endpoint "bench" and waits until it serves.
func (s *service) host(ctx context.Context) error {
	for _, step := range []struct {
		operation string
		in        map[string]any
	}{
		{"CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "bench/model"}}},
		{"CreateEndpointConfig", map[string]any{"EndpointConfigName": "c", "ProductionVariants": []any{
			map[string]any{"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}}}},
		{"CreateEndpoint", map[string]any{"EndpointName": "bench", "EndpointConfigName": "c"}},
	} {
		if err := s.call(ctx, step.operation, step.in); err != nil {
			return err
		}
	}
	for {
		var e struct{ EndpointStatus, FailureReason string }
		if err := s.http(ctx, "POST", "/", "DescribeEndpoint", []byte(`{"EndpointName":"bench"}`), &e); err != nil {
			return err
		}
		switch e.EndpointStatus {
		case "InService":
			return nil
		case "Failed":
			return errors.New(e.FailureReason)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func startFront(flags ...string) func(context.Context, *bench, string, int) (*child, string, error) {
	return func(ctx context.Context, b *bench, model string, _ int) (*child, string, error) {
		var hello struct{ Addr string }
		args := append([]string{"-to", model, "-loops", strconv.Itoa(workers)}, flags...)
		c, err := start(ctx, &hello, nil, filepath.Join(b.programs, "proxy"), args...)
		return c, hello.Addr, err
	}
}

// Debian's nginx and haproxy, with connections to the container kept, bodies passed on
// as they come, buffers that hold an answer, and no logs.
const (
	nginxConf = `daemon off;
%[1]s
worker_processes %[2]d;
worker_rlimit_nofile 8192;
pid %[3]s/nginx.pid;
error_log stderr crit;
events { worker_connections 2048; }
http {
  access_log off;
  client_body_temp_path %[3]s/c;
  proxy_temp_path %[3]s/p;
  fastcgi_temp_path %[3]s/f;
  uwsgi_temp_path %[3]s/u;
  scgi_temp_path %[3]s/s;
  keepalive_requests 1000000000;
  client_max_body_size 8m;
  upstream model { server %[4]s; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen %[5]s reuseport;
    location / {
      proxy_pass http://model/invocations;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffer_size 16k;
      proxy_buffers 16 16k;
    }
  }
}
`
	haproxyConf = `global
  nbthread %[1]d
  maxconn 4096
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend all
  bind %[3]s
  default_backend model
backend model
  http-request set-path /invocations
  server model %[2]s
`
)

func startNginx(ctx context.Context, b *bench, model string, _ int) (*child, string, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	return b.startPeer(ctx, addr, fmt.Sprintf(nginxConf, user, workers, b.tmp, model, addr), "nginx", "-c")
}

func startHaproxy(ctx context.Context, b *bench, model string, _ int) (*child, string, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	return b.startPeer(ctx, addr, fmt.Sprintf(haproxyConf, workers, model, addr), "haproxy", "-db", "-f")
}

// startPeer starts a program with a configuration file and waits until it accepts.
func (b *bench) startPeer(ctx context.Context, addr, config, program string, args ...string) (*child, string, error) {
	file := filepath.Join(b.tmp, program+".conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, "", err
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, "", err
	}
	c, err := startQuiet(ctx, path, append(args, file)...)
	if err != nil {
		return nil, "", err
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return c, addr, conn.Close()
		}
	}
	return nil, "", errors.Join(fmt.Errorf("%s does not accept: %s", program, strings.TrimSpace(c.err.String())), c.stop(nil))
}

// freeAddr is an address that was free a moment ago.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
