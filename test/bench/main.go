// Command bench measures a sagebrush binary and prints the figures of
// docs/performance.md. What is compared runs in turns in the same minutes, and
// a ratio is the median over the turns. It asserts nothing: a missed target is
// printed as such, and only what cannot be measured is an error.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run of the measurements.
type bench struct {
	sagebrush string // the binary that is measured
	programs  string // the folder of this program and its helpers
	tmp       string // removed at the end
	short     bool
}

// full gives a figure for the full run or its small one for the short run.
func full[T any](b *bench, long, short T) T {
	if b.short {
		return short
	}
	return long
}

// parts are the measurements in their order.
var parts = []struct {
	name, title string
	run         func(context.Context, *bench) error
}{
	{"engine", "Engine alone, one core, no HTTP", engine},
	{"multi", "MultiRecord against a trivial Go server, next to a plain load generator", multiRecord},
	{"single", "SingleRecord against a trivial Go server, next to wrk", singleRecord},
	{"memory", "Peak memory with one large object out of another S3", memory},
	{"objects", "Many small objects in one job", objects},
	{"router", "Invocations through internal/front, next to nginx and haproxy", router},
	{"stream", "Pieces of a streamed answer on their way", stream},
	{"ready", "From exec to the first 200 at /-/ready, and the demo", ready},
}

func main() {
	b := &bench{}
	flag.BoolVar(&b.short, "short", false, "small sizes, for a look at whether all of it works")
	only := flag.String("only", "", "the parts to run, with commas: engine,multi,single,memory,objects,router,stream,ready")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, flag.Arg(0), *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, binary, only string) (err error) {
	if b.sagebrush, err = filepath.Abs(binary); err != nil || binary == "" {
		return fmt.Errorf("the first argument must be the sagebrush binary")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.programs = filepath.Dir(self)
	if b.tmp, err = os.MkdirTemp("", "sagebrush-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.tmp)
	begun := time.Now()
	printMachine(b)
	wanted := strings.Split(only, ",")
	for _, p := range parts {
		if only != "" && !slices.Contains(wanted, p.name) {
			continue
		}
		fmt.Printf("\n%s\n", p.title)
		if err := p.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	fmt.Printf("\nAll of it took %.0f s.\n", time.Since(begun).Seconds())
	return nil
}
