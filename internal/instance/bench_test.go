package instance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchServerEnv makes the test binary a trivial server: "nethttp" or "raw".
const benchServerEnv = "SAGEBRUSH_BENCH_SERVER"

// BenchmarkThroughput sends small invocations over some connections to a
// trivial server in another process, and reports requests a second; where wrk
// is installed, also the ratio to what wrk reaches on the same server. The two
// take turns, and the ratio is the median of the turns'. The CPU time of a
// request says more than its rate on a machine that is busy otherwise.
func BenchmarkThroughput(b *testing.B) {
	for _, kind := range []string{"nethttp", "raw"} {
		for _, conns := range []int{8, 32} {
			b.Run(fmt.Sprintf("%s/%d", kind, conns), func(b *testing.B) {
				addr := startBenchServer(b, kind)
				in, _ := launch(b, addr, Options{})
				const span = time.Second
				var ours, theirs, ratios, ourCPU, theirCPU []float64
				for b.Loop() {
					for range 5 {
						us := measureConns(b, in, conns, span)
						wrk := measureWrk(b, addr, conns, span)
						ours, ourCPU = append(ours, us.rate), append(ourCPU, us.cpu)
						theirs, theirCPU = append(theirs, wrk.rate), append(theirCPU, wrk.cpu)
						ratios = append(ratios, us.rate/wrk.rate)
					}
				}
				b.ReportMetric(median(ours), "req/s")
				b.ReportMetric(median(ourCPU), "cpu-us/req")
				if theirs[0] > 0 {
					b.ReportMetric(median(theirs), "wrk-req/s")
					b.ReportMetric(median(theirCPU), "wrk-cpu-us/req")
					b.ReportMetric(median(ratios), "ratio")
				}
			})
		}
	}
}

// throughput is requests a second and microseconds of CPU time a request.
type throughput struct{ rate, cpu float64 }

func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var benchBody = []byte("5.1,3.5,1.4,0.2\n")

func measureConns(b *testing.B, in *Instance, n int, span time.Duration) throughput {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	counts := make([]int, n)
	var all sync.WaitGroup
	begun, cpu := time.Now(), cpuTime()
	for i := range n {
		all.Go(func() {
			c := in.NewConn()
			defer c.Close()
			req := &Request{ContentType: "text/csv", Body: benchBody}
			var dst []byte
			for count := 0; ; count++ {
				if count%64 == 0 && time.Since(begun) > span {
					counts[i] = count
					return
				}
				resp, err := c.Invoke(ctx, req, dst[:0])
				if err != nil {
					b.Error(err)
					return
				}
				dst = resp.Body
			}
		})
	}
	all.Wait()
	sum := 0
	for _, count := range counts {
		sum += count
	}
	cpu = cpuTime() - cpu
	return throughput{float64(sum) / time.Since(begun).Seconds(), float64(cpu.Microseconds()) / float64(sum)}
}

var wrkRate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

func measureWrk(b *testing.B, addr string, n int, span time.Duration) throughput {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		return throughput{}
	}
	script := filepath.Join(b.TempDir(), "post.lua")
	lua := fmt.Sprintf("wrk.method=%q wrk.body=%q wrk.headers[%q]=%q", "POST", benchBody, "Content-Type", "text/csv")
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		b.Fatal(err)
	}
	threads := os.Getenv("SAGEBRUSH_BENCH_WRK_THREADS")
	if threads == "" {
		threads = "2"
	}
	cmd := exec.Command(wrk, "-t", threads, "-c", strconv.Itoa(n), "-d", span.String(), "-s", script, "http://"+addr+"/invocations")
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	found := wrkRate.FindSubmatch(out)
	if found == nil {
		b.Fatalf("wrk printed no rate: %s", out)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	state := cmd.ProcessState
	cpu := state.UserTime() + state.SystemTime()
	return throughput{rate, float64(cpu.Microseconds()) / (rate * span.Seconds())}
}

func median(v []float64) float64 {
	v = append([]float64(nil), v...)
	for i := range v {
		for j := i; j > 0 && v[j] < v[j-1]; j-- {
			v[j], v[j-1] = v[j-1], v[j]
		}
	}
	return v[len(v)/2]
}

func startBenchServer(b *testing.B, kind string) string {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchServerEnv+"="+kind)
	in, err := cmd.StdinPipe() // its end ends the server
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

func serveBench(kind string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if kind == "nethttp" {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = w.Write([]byte("0.97\n"))
		}))
		return
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go serveRaw(conn)
	}
}

// serveRaw answers each request that comes in one piece.
func serveRaw(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 64<<10)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 5\r\n\r\n0.97\n")
	have := 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		head, body, found := bytes.Cut(buf[:have], []byte("\r\n\r\n"))
		if !found || len(body) < len(benchBody) && bytes.HasPrefix(head, []byte("POST")) {
			continue
		}
		have = 0
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// BenchmarkInvoke is one connection and a server in the same process; the
// allocations are those of both, and the server makes none.
func BenchmarkInvoke(b *testing.B) {
	addr := serveTCP(b, func(_ int, conn net.Conn) { serveRaw(conn) })
	in, _ := launch(b, addr, Options{})
	c := newConn(b, in)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req := &Request{ContentType: "text/csv", Body: benchBody}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.Invoke(ctx, req, dst[:0])
		if err != nil {
			b.Fatal(err)
		}
		dst = resp.Body
	}
}
