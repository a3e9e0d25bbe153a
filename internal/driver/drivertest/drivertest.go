// Package drivertest is the suite that every driver passes. It runs one Program
// under the driver and checks what the seam promises: start, output, environment,
// end, stop. What a driver promises beyond the seam it tests itself.
package drivertest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// Harness is what a driver's tests give the suite.
type Harness struct {
	// New gives a driver that runs nothing. It is called once for each test.
	New func(t *testing.T) driver.Driver
	// Image names the Program to the driver.
	Image string
	// PlatformEnv are the variables that the driver adds to those of the Spec. All
	// of them must be there; SM_MODEL_DIR only when there is a model folder.
	PlatformEnv []string
	// OptionalEnv are those that it may add.
	OptionalEnv []string
	// AnyImage says that the driver takes every image for there until Start.
	AnyImage bool
	// CannotFork says why the Program has no Fork here; "" when it has.
	CannotFork string
	// SameSession says that the driver ends only the children that stayed in the
	// session they were born in, as on systems that have nothing to find others.
	SameSession bool
	// Leave has the runtime want an instance gone that serves; nil where no runtime
	// ever does.
	Leave func(t *testing.T, d driver.Driver, i driver.Handle)
	// TermFirst says that the driver cannot end an instance without SIGTERM, and that
	// it gives a second at least between that and force.
	TermFirst bool
	// StreamsApart says that the driver keeps stdout and stderr apart until they are
	// written to Output, so that the order of lines holds within each of them only.
	StreamsApart bool
}

// Run runs the suite. Its tests run in parallel with each other.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"serves", testServes},
		{"environment and arguments", testEnvironment},
		{"model folder", testModel},
		{"output in order", testOutput},
		{"output that fails", testOutputFails},
		{"exit codes", testExitCodes},
		{"exit while serving", testExitServing},
		{"signal", testSignal},
		{"stop with SIGTERM", testStopTerm},
		{"stop with an exit code", testStopCode},
		{"stop by force", testStopForce},
		{"stop by force when the context ends", testStopContext},
		{"stop without grace", testStopNoGrace},
		{"leaving", testLeaving},
		{"stop twice and after the end", testStopTwice},
		{"stop from many sides", testStopConcurrent},
		{"stop takes the children", testStopChildren},
		{"end takes the children", testEndChildren},
		{"end of the start's context", testStartContext},
		{"start with a context that has ended", testStartCancelled},
		{"ID in use", testIDInUse},
		{"bad ID", testBadID},
		{"unknown image", testUnknownImage},
		{"prepare", testPrepare},
		{"prepare an unknown image", testPrepareUnknown},
		{"attach to nothing", testAttach},
		{"sweep with nothing to do", testSweep},
		{"many at once", testMany},
	}
	// Whatever ran before the suite is not the suite's leak.
	before := goleak.IgnoreCurrent()
	t.Run("suite", func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				tt.run(t, h)
			})
		}
	})
	client.CloseIdleConnections()
	if err := goleak.Find(before); err != nil {
		t.Errorf("after all instances have ended: %v", err)
	}
}
