package process

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/driver/drivertest"
)

// TestMain makes the test binary play the other parts: the shim, the container
// and the server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "shim":
			os.Exit(ShimMain(os.Args[2:]))
		case "program":
			drivertest.Main([]string{os.Args[0], "program"}, os.Args[2:])
		case "server":
			serverMain(os.Args[2])
		}
	}
	// A variable of the server that no instance may see: the suite compares keys.
	os.Setenv("AWS_SECRET_ACCESS_KEY", "the server's own")
	goleak.VerifyTestMain(m)
}
