package daemon

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// BenchmarkOutput is a job whose output is as large as its input, plain and encrypted,
// with all of the server in it: 256 MiB of lines in one object, and a container that sends
// back what it gets. Run under taskset it has one core, for the container too.
func BenchmarkOutput(b *testing.B) {
	d := start(b, b.TempDir(), withModel)
	object(b, d, "PUT", "/bucket", nil)
	line := append(bytes.Repeat([]byte("1,"), 127), '1', '\n')
	const size = 256 << 20
	object(b, d, "PUT", "/bucket/in/x", bytes.Repeat(line, size/len(line)))
	must(b, d, "CreateModel", map[string]any{"ModelName": "m", "PrimaryContainer": map[string]any{"Image": "test/model"}})
	key := newKey(b, d).ARN
	for name, id := range map[string]string{"plain": "", "encrypted": key} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			begun, n := serverTime(b), 0
			for b.Loop() {
				n++
				job := fmt.Sprintf("%s-%d-%d", name, n, time.Now().UnixNano())
				must(b, d, "CreateTransformJob", outputJob(job, id))
				if end := await(b, d, job); end["TransformJobStatus"] != "Completed" {
					b.Fatal(end)
				}
			}
			b.ReportMetric(float64(serverTime(b)-begun)/float64(n)/float64(size>>20), "server-cpu-ns/MiB")
		})
	}
}

func outputJob(name, key string) map[string]any {
	return job(name, "m", func(in map[string]any) {
		in["BatchStrategy"], in["MaxPayloadInMB"] = "MultiRecord", 6
		out := map[string]any{"S3OutputPath": "s3://bucket/out", "AssembleWith": "None"}
		if key != "" {
			out["KmsKeyId"] = key
		}
		in["TransformOutput"] = out
	})
}

// serverTime is what the server's process has used, which says more than the clock of a
// busy machine.
func serverTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
