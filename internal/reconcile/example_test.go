package reconcile_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
)

// A loop that brings a counter up to its goal, one step a run.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	have, want := 0, 3
	loop := reconcile.New(reconcile.Options[string]{
		Func: func(_ context.Context, key string) (time.Duration, error) {
			if have == want {
				fmt.Println(key, "is as wanted")
				cancel()
				return 0, nil
			}
			have++
			fmt.Println(key, "has", have)
			return time.Millisecond, nil
		},
	})
	loop.Add("counter")
	loop.Run(ctx)
	// Output:
	// counter has 1
	// counter has 2
	// counter has 3
	// counter is as wanted
}
