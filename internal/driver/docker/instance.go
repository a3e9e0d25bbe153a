package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// limits are how long the driver waits for what may never come.
type limits struct {
	// drain is how long the end of an instance waits for its Output to take the last
	// of what it printed.
	drain time.Duration
	// force is how long Stop waits after force before it says so.
	force time.Duration
	// order bounds a signal's way to the container.
	order time.Duration
	// restart is how long an engine whose containers survive may take to come back
	// before they count as lost.
	restart time.Duration
	// linger is how long an instance that has ended keeps its network when nobody
	// stops it.
	linger time.Duration
}

func defaultLimits() limits {
	return limits{drain: 10 * time.Second, force: 30 * time.Second, order: 10 * time.Second, restart: time.Minute, linger: time.Minute}
}

// instance is one container. It implements driver.Handle.
type instance struct {
	d         *Driver
	id        string
	container string // the engine's IDs, "" for what was not made
	network   string
	addr      string
	folders   []folder
	sealed    bool
	attached  *client.HijackedResponse // of a sealed one: what it prints, until it is read

	asked atomic.Bool // the server wants it to end
	term  sync.Once
	done  chan struct{} // closed when the container has ended
	exit  driver.Exit

	left    sync.Once
	leaving chan struct{} // closed when nobody needs the address any more
	gone    chan struct{} // closed when everything is removed
}

func (d *Driver) newInstance(id, container string) *instance {
	return &instance{
		d: d, id: id, container: container,
		done: make(chan struct{}), leaving: make(chan struct{}), gone: make(chan struct{}),
	}
}

// nowhere refuses connections: the address of a container that has ended already, which
// has none.
const nowhere = "127.0.0.1:0"

// locate reads from the engine what an instance that runs has: its address, its
// network, and for one that is adopted its folders.
func (i *instance) locate(c container.InspectResponse) error {
	if c.NetworkSettings == nil {
		return fault.New(fault.Internal, "the Docker engine does not say where instance %s is", i.id)
	}
	for _, n := range c.NetworkSettings.Networks {
		i.network = n.NetworkID
		if i.addr = nowhere; n.IPAddress.IsValid() {
			i.addr = net.JoinHostPort(n.IPAddress.String(), strconv.Itoa(port))
		}
	}
	for _, b := range c.NetworkSettings.Ports[tcp(port)] {
		i.addr = net.JoinHostPort(b.HostIP.String(), b.HostPort)
	}
	if i.folders == nil {
		for _, m := range c.Mounts {
			i.folders = append(i.folders, folder{host: m.Source, inside: m.Destination})
		}
	}
	return nil
}

// ID implements driver.Handle.
func (i *instance) ID() string { return i.id }

// Addr implements driver.Handle.
func (i *instance) Addr() string { return i.addr }

// Inside implements driver.Handle. What the container does not see keeps its name.
func (i *instance) Inside(path string) string {
	path = filepath.Clean(path)
	best, inside := -1, path
	for _, f := range i.folders {
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(f.host, "/"))
		if ok && (rest == "" || rest[0] == '/') && len(f.host) > best {
			best, inside = len(f.host), f.inside+rest
		}
	}
	return inside
}

// Leaving implements driver.Handle: an engine moves no container.
func (i *instance) Leaving() <-chan struct{} { return nil }

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

// Stop implements driver.Handle. It fails only when the container survives force,
// which means that the engine hangs.
func (i *instance) Stop(ctx context.Context, grace time.Duration) error {
	i.asked.Store(true)
	i.leave()
	if grace > 0 && ctx.Err() == nil && !i.hasEnded() {
		i.term.Do(func() { i.signal("SIGTERM") })
		patience := time.NewTimer(grace)
		defer patience.Stop()
		select {
		case <-i.done:
		case <-patience.C:
		case <-ctx.Done():
		}
	}
	if !i.hasEnded() {
		i.signal("SIGKILL")
	}
	force := time.NewTimer(i.d.limits.force)
	defer force.Stop()
	select {
	case <-i.gone:
		return nil
	case <-force.C:
	}
	return fault.New(fault.Unavailable, "instance %s does not end although it was killed: the Docker engine at %s hangs", i.id, i.d.host)
}

// leave says that nobody will connect to the instance any more.
func (i *instance) leave() { i.left.Do(func() { close(i.leaving) }) }

// signal sends a signal. A failure means that the container is ending or that the
// engine is away, and the goroutine that waits sees to both.
func (i *instance) signal(name string) {
	ctx, cancel := context.WithTimeout(i.d.life, i.d.limits.order)
	defer cancel()
	if _, err := i.d.engine.ContainerKill(ctx, i.container, client.ContainerKillOptions{Signal: name}); err != nil {
		i.d.log.Debug("a signal was not delivered", "instance", i.id, "signal", name, "error", err)
	}
}

// begin starts what looks after an instance that runs.
func (i *instance) begin(w io.Writer, since time.Time) {
	o := newOutput(w, since)
	o.untimed = i.sealed
	i.d.mu.Lock()
	i.d.live[i.id] = i
	i.d.mu.Unlock()
	i.d.handlers.Go(func() { i.supervise(o) })
}

// supervise sees the instance to its end. It owns everything of it.
func (i *instance) supervise(o *output) {
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
	i.finishOutput(o, copied, stop, exit.Lost)
	i.exit = exit
	if exit.Lost {
		i.d.lose(i.id)
		i.d.release(i.id)
		close(i.done)
		close(i.gone)
		i.d.settle(ctx) // in case the engine is back already
		return
	}
	i.removeContainer()
	close(i.done)
	i.linger()
	i.removeNetwork()
	i.d.release(i.id)
	close(i.gone)
}

// linger keeps the network as long as somebody may still connect. Without it, the
// address would be looked for outside this machine, and whoever answers there
// would get the request.
func (i *instance) linger() {
	patience := time.NewTimer(i.d.limits.linger)
	defer patience.Stop()
	select {
	case <-i.leaving:
	case <-patience.C:
	case <-i.d.life.Done():
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
// was broken off by the engine, and is taken up again.
func (i *instance) follow(ctx context.Context, o *output, over <-chan struct{}) {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		var err error
		if i.sealed {
			err = i.d.copyAttached(ctx, i, o)
		} else {
			err = i.d.copyLog(ctx, i.container, o, true)
		}
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

// finishOutput waits until everything printed was taken, or until it is clear
// that the Output takes nothing. The log is read once more in case it was broken
// off; what was copied is not copied again.
func (i *instance) finishOutput(o *output, copied <-chan struct{}, stop context.CancelFunc, lost bool) {
	if lost {
		stop()
	}
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
	if o.err == nil && !lost && !i.sealed {
		ctx, cancel := context.WithTimeout(i.d.life, i.d.limits.drain)
		defer cancel()
		if err := i.d.copyLog(ctx, i.container, o, false); err != nil && !errdefs.IsNotFound(err) {
			i.d.log.Warn("the output of an instance may lack its end", "instance", i.id, "error", err)
		}
	}
	if o.err != nil {
		i.d.log.Warn("the output of an instance was lost", "instance", i.id, "error", o.err)
	}
}

// await waits for the end of the container; ok is false when the driver was
// closed first.
func (i *instance) await(ctx context.Context) (exit driver.Exit, ok bool) {
	for {
		waiting := i.d.engine.ContainerWait(ctx, i.container, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
		var err error
		select {
		case result := <-waiting.Result:
			return i.ended(ctx, int(result.StatusCode)), true
		case err = <-waiting.Error:
		}
		switch {
		case ctx.Err() != nil:
			return driver.Exit{}, false
		case errdefs.IsNotFound(err):
			i.d.log.Warn("the container of an instance was removed by somebody else", "instance", i.id)
			return driver.Exit{Code: -1, Signal: "killed"}, true
		}
		i.d.log.Warn("the Docker engine broke off", "instance", i.id, "error", err)
		if !i.survived(ctx) {
			return driver.Exit{Code: -1, Lost: true}, ctx.Err() == nil
		}
		i.d.log.Info("the Docker engine is back and the instance goes on", "instance", i.id)
	}
}

// ended tells a container's end from that of its engine, which ends containers
// when it stops.
func (i *instance) ended(ctx context.Context, code int) driver.Exit {
	ctx, cancel := call(ctx)
	defer cancel()
	found, err := i.d.engine.ContainerInspect(ctx, i.container, client.ContainerInspectOptions{})
	if err != nil && away(err) || !i.asked.Load() && !i.endedAlone(ctx) {
		i.d.log.Warn("the Docker engine stopped, and the instance with it", "instance", i.id)
		i.d.forget()
		return driver.Exit{Code: -1, Lost: true}
	}
	exit := driver.ExitOfCode(code)
	if err == nil && found.Container.State != nil {
		exit.OOM = found.Container.State.OOMKilled
	}
	return exit
}

// endedAlone reports whether the engine that now accepts connections is the one
// that saw the container end. One that stops takes no connections any more, and
// its successor has not seen it.
func (i *instance) endedAlone(ctx context.Context) bool {
	i.d.mu.Lock()
	survives := i.d.facts != nil && i.d.facts.survives
	i.d.mu.Unlock()
	if survives {
		return true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := i.d.engine.Events(ctx, client.EventsListOptions{
		Since:   "1",
		Until:   strconv.FormatInt(time.Now().Add(2*time.Second).Unix(), 10),
		Filters: client.Filters{}.Add("container", i.container).Add("event", "die"),
	})
	for {
		select {
		case <-seen.Messages:
			return true
		case <-seen.Err: // also at the end
			return false
		}
	}
}

// survived reports whether the instance still runs after the connection to the
// engine broke, or ended as the server wanted. One that did neither was ended with
// its engine. An engine that refuses is given time only when its containers
// outlive it.
func (i *instance) survived(ctx context.Context) bool {
	i.d.mu.Lock()
	patient := i.d.facts != nil && i.d.facts.survives
	i.d.mu.Unlock()
	i.d.forget()
	ctx, cancel := context.WithTimeout(ctx, i.d.limits.restart)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		found, err := i.d.engine.ContainerInspect(ctx, i.container, client.ContainerInspectOptions{})
		switch {
		case err == nil:
			return i.asked.Load() || found.Container.State != nil && running(found.Container.State.Status)
		case !away(err), refused(err) && !patient:
			i.d.log.Warn("the instance is lost", "instance", i.id, "error", err)
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
}

// remove takes the container and the network away. What cannot be removed now is
// removed later.
func (i *instance) remove() {
	i.removeContainer()
	i.removeNetwork()
}

func (i *instance) removeContainer() {
	if i.container != "" {
		i.postpone(i.d.removeContainer(context.WithoutCancel(i.d.life), i.container))
	}
}

func (i *instance) removeNetwork() {
	if i.network != "" {
		i.postpone(i.d.removeNetwork(context.WithoutCancel(i.d.life), i.network))
	}
}

// undo removes what a call to the engine may have made before it was cut off.
func (i *instance) undo() {
	ctx := context.WithoutCancel(i.d.life)
	found, err := i.d.list(ctx, i.id)
	found.containers = slices.DeleteFunc(found.containers, func(c container.Summary) bool { return running(c.State) })
	if err == nil {
		err = i.d.clear(ctx, found)
	}
	i.postpone(err)
}

func (i *instance) postpone(err error) {
	if err != nil {
		i.d.log.Warn("an instance cannot be removed yet", "instance", i.id, "error", err)
		i.d.lose(i.id)
	}
}
