package kube

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// limits are how long the driver waits for what may never come.
type limits struct {
	// room is how long a pod may wait for a node, start how long until it runs.
	room, start time.Duration
	// drain is how long the end of an instance waits for its Output to take the last
	// of what it printed.
	drain time.Duration
	// force is how long Stop waits after force until it has the cluster forget the
	// pod, and then once more until it says so.
	force time.Duration
}

func defaultLimits() limits {
	return limits{room: 2 * time.Minute, start: 15 * time.Minute, drain: 10 * time.Second, force: 30 * time.Second}
}

// instance is one pod. It implements driver.Handle.
type instance struct {
	d     *Driver
	id    string
	sight *sight
	made  *corev1.Pod // as it was made or found: its name, its volumes
	addr  string

	asked  atomic.Bool // the server wants it to end
	forced atomic.Bool // and now
	term   sync.Once

	leaves  sync.Once
	leaving chan struct{} // closed when the cluster wants the pod gone
	done    chan struct{} // closed when the container has ended
	exit    driver.Exit
	gone    chan struct{} // closed when the pod is deleted
}

func (d *Driver) newInstance(id string, pod *corev1.Pod) *instance {
	return &instance{
		d: d, id: id, made: pod, sight: d.watch(pod),
		leaving: make(chan struct{}), done: make(chan struct{}), gone: make(chan struct{}),
	}
}

// awaitStart returns when the container exists and has an address.
func (i *instance) awaitStart(ctx context.Context, image string) error {
	err := i.sight.await(ctx, func(pod *corev1.Pod, deleted bool) (bool, error) { return i.d.started(pod, deleted, image) })
	if err == nil {
		pod, _ := i.sight.look()
		i.locate(pod)
	}
	return err
}

// locate notes where a pod serves.
func (i *instance) locate(pod *corev1.Pod) { i.addr = addressOf(pod) }

// discard deletes a pod that nobody got, and waits for that so that its name is free.
func (i *instance) discard() {
	defer i.sight.forget()
	ctx, cancel := call(context.WithoutCancel(i.d.life))
	defer cancel()
	if err := i.d.deletePod(ctx, i.made, 1); err != nil {
		i.d.log.Warn("a pod that did not start cannot be deleted", "instance", i.id, "error", err)
		return
	}
	i.awaitGone(ctx, i.d.limits.force)
}

// ID implements driver.Handle.
func (i *instance) ID() string { return i.id }

// Addr implements driver.Handle.
func (i *instance) Addr() string { return i.addr }

// Inside implements driver.Handle.
func (i *instance) Inside(path string) string { return i.d.volumes.inside(&i.made.Spec, path) }

// Leaving implements driver.Handle: the pod's node was cordoned, or the pod is being
// evicted or deleted by somebody else.
func (i *instance) Leaving() <-chan struct{} { return i.leaving }

// Done implements driver.Handle.
func (i *instance) Done() <-chan struct{} { return i.done }

func (i *instance) hasEnded() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

// Exit implements driver.Handle.
func (i *instance) Exit() driver.Exit {
	if !i.hasEnded() {
		return driver.Exit{}
	}
	return i.exit
}

// Stop implements driver.Handle. A kubelet always asks first and gives a second at
// least, so that is what force is. A pod whose node does not answer is forgotten by
// the cluster; what runs of it there ends when the node is back, or with it.
func (i *instance) Stop(ctx context.Context, grace time.Duration) error {
	i.asked.Store(true)
	if grace > 0 && ctx.Err() == nil && !i.hasEnded() {
		i.term.Do(func() { i.order(wholeSeconds(grace)) })
		patience := time.NewTimer(grace)
		defer patience.Stop()
		select {
		case <-i.done:
		case <-patience.C:
		case <-ctx.Done():
		}
	}
	if !i.hasEnded() {
		i.forced.Store(true)
		i.order(1)
	}
	for _, last := range []bool{false, true} {
		patience := time.NewTimer(i.d.limits.force)
		select {
		case <-i.gone:
			patience.Stop()
			return nil
		case <-patience.C:
		}
		if !last {
			i.order(0)
		}
	}
	return fault.New(fault.Unavailable, "instance %s does not end although it was deleted: the Kubernetes API server at %s does not answer, or holds on to pod %s", i.id, i.d.host, i.made.Name)
}

// wholeSeconds rounds up, as the API counts in seconds.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// order has the pod end within so many seconds. A failure means that the API server is
// away, and the goroutine that waits asks again.
func (i *instance) order(seconds int64) {
	if err := i.d.deletePod(i.d.life, i.made, seconds); err != nil {
		i.d.log.Debug("a pod was not deleted", "instance", i.id, "error", err)
	}
}

// begin starts what looks after an instance that runs.
func (i *instance) begin(w io.Writer, since time.Time) {
	i.d.mu.Lock()
	i.d.live[i.id] = i
	i.d.mu.Unlock()
	i.d.handlers.Go(func() { i.supervise(newOutput(w, since)) })
}

// supervise sees the instance to its end. It owns everything of it.
func (i *instance) supervise(o *output) {
	defer i.sight.forget()
	ctx, stop := context.WithCancel(i.d.life)
	defer stop()
	copied, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(copied)
		i.follow(ctx, o, over)
	}()
	exit, ok := i.await(ctx)
	close(over)
	if !ok { // the driver was closed
		i.letGo(copied)
		return
	}
	exit.At = time.Now()
	i.finishOutput(o, copied, stop)
	i.exit = exit
	close(i.done)
	if i.remove() {
		i.d.release(i.id)
		close(i.gone)
	}
}

// await waits for the end of the container; ok is false when the driver was closed
// first.
func (i *instance) await(ctx context.Context) (exit driver.Exit, ok bool) {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		pod, deleted := i.sight.look()
		if exit, over := ended(pod, deleted, i.asked.Load()); over {
			return exit, true
		}
		node := i.d.node(pod)
		if taken(pod) || node != nil && node.Spec.Unschedulable {
			i.leaves.Do(func() { close(i.leaving) })
		}
		if !i.asked.Load() && taken(pod) && node != nil && !answers(node) {
			i.d.log.Warn("the node of an instance does not answer, and the instance is lost", "instance", i.id, "node", node.Name)
			return driver.Exit{Code: -1, Lost: true}, true
		}
		select {
		case <-ctx.Done():
			return driver.Exit{}, false
		case <-i.sight.news:
		case <-again.C:
			i.sight.refresh(ctx)
			if i.forced.Load() {
				i.order(1)
			}
		}
	}
}

// remove deletes the pod and waits until it is gone, and reports false when the driver
// was closed first. One whose node does not answer is forgotten.
func (i *instance) remove() bool {
	for seconds := int64(1); ; seconds = 0 {
		i.order(seconds)
		if i.awaitGone(i.d.life, i.d.limits.force) {
			return true
		}
		if i.d.life.Err() != nil {
			return false
		}
		i.sight.refresh(i.d.life)
	}
}

// awaitGone waits a while until the pod is no more.
func (i *instance) awaitGone(ctx context.Context, patience time.Duration) bool {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		if _, deleted := i.sight.look(); deleted {
			return true
		}
		select {
		case <-i.sight.news:
		case <-limit.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// letGo returns when nothing is copied any more, or is stuck in the Output.
func (i *instance) letGo(copied <-chan struct{}) {
	patience := time.NewTimer(i.d.limits.drain)
	defer patience.Stop()
	select {
	case <-copied:
	case <-patience.C:
	}
}

// follow copies the log until the end of the container. A stream that ends before
// was broken off, and is taken up again.
func (i *instance) follow(ctx context.Context, o *output, over <-chan struct{}) {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		err := i.d.copyLog(ctx, i.made.Name, o, true)
		if errors.Is(err, errOutput) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case <-again.C:
		}
	}
}

// finishOutput waits until everything printed was taken, or until it is clear that the
// Output takes nothing. The log is read once more in case it was broken off; what was
// copied is not copied again, and that of a pod that is gone is gone.
func (i *instance) finishOutput(o *output, copied <-chan struct{}, stop context.CancelFunc) {
	patience := time.NewTimer(i.d.limits.drain)
	defer patience.Stop()
	select {
	case <-copied:
	case <-patience.C:
		stop()
		patience.Reset(time.Second)
		select {
		case <-copied:
		case <-patience.C:
			i.d.log.Warn("the last output of an instance was not taken in time", "instance", i.id)
			return
		}
	}
	if _, deleted := i.sight.look(); o.err == nil && !deleted {
		ctx, cancel := context.WithTimeout(i.d.life, i.d.limits.drain)
		defer cancel()
		if err := i.d.copyLog(ctx, i.made.Name, o, false); err != nil && !apierrors.IsNotFound(err) {
			i.d.log.Warn("the output of an instance may lack its end", "instance", i.id, "error", err)
		}
	}
	if o.err != nil {
		i.d.log.Warn("the output of an instance was lost", "instance", i.id, "error", o.err)
	}
}
