package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// waits are what the parts of a run wait for at the moment, in words for users.
type waits struct {
	mu  sync.Mutex
	all map[string]func() string // by the part's name
}

func newWaits() *waits { return &waits{all: map[string]func() string{}} }

// set says what a part waits for; "" is nothing any more.
func (w *waits) set(part, what string) {
	if what == "" {
		w.live(part, nil)
		return
	}
	w.live(part, func() string { return what })
}

// live has what a part waits for asked anew each time; nil is nothing any more.
func (w *waits) live(part string, what func() string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if what == nil {
		delete(w.all, part)
		return
	}
	w.all[part] = what
}

// list gives all that is waited for, in the order of the parts' names.
func (w *waits) list() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var parts []string
	for part := range w.all {
		parts = append(parts, part)
	}
	slices.Sort(parts)
	var all []string
	for _, part := range parts {
		if what := w.all[part](); what != "" {
			all = append(all, what)
		}
	}
	return all
}

// Why says what a job is waiting for or doing now, in one sentence or several.
func (c *Control) Why(ctx context.Context, key resource.Key) (resource.TransformJob, string, error) {
	j, snap, err := c.Progress(ctx, key)
	if err != nil {
		return j, "", err
	}
	switch {
	case j.Status.Terminal() && j.FailureReason != "":
		return j, "it ended as " + string(j.Status) + ": " + j.FailureReason, nil
	case j.Status.Terminal():
		return j, "it ended as " + string(j.Status), nil
	}
	var parts []string
	if w := c.runs.waiting(j.Key.Folded()); w != nil {
		parts = w.list()
	}
	if snap.Instances > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d objects are done, %d instances serve, %d requests are under way",
			snap.ObjectsDone+snap.ObjectsFailed, snap.Objects, snap.Instances, snap.InFlight))
	}
	if j.Status == resource.JobStopping {
		parts = append(parts, fmt.Sprintf("it was asked to stop; its containers have %s to end", c.StopGrace))
	}
	if len(parts) == 0 {
		parts = []string{"it begins"}
	}
	return j, strings.Join(parts, "; "), nil
}
