// Package vectors_test runs the tables of this folder (*.json) end to end: each
// vector is one transform job of a real daemon over real processes, from the
// request of CreateTransformJob to the bytes of the output. README.md says how to
// read and write a vector.
package vectors_test

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/driver/process"
)

// TestMain lets the test binary be the processes that the daemon starts, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "shim":
			os.Exit(process.ShimMain(os.Args[2:]))
		case "model":
			os.Exit(modelMain())
		}
	}
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		flag.Set("test.parallel", "12") // jobs mostly wait for their processes
	}
	os.Exit(m.Run())
}
