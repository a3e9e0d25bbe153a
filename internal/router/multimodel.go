package router

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// The bounds of a multi-model container.
const (
	// loadTime is how long the loading of a model may take; a request waits no longer
	// than its own limit (CC-82).
	loadTime = 360 * time.Second
	// maxLoads bounds the models that are loaded at the same time.
	maxLoads = 4
	// maxModels bounds the models that are kept loaded, whatever room there is.
	maxModels = 1000
	// deletedCheck is how often a model in use is looked for in the store.
	deletedCheck = time.Minute
)

// models are what a multi-model container of one instance has loaded (CC-80). A nil
// models has none.
type models struct {
	in        *Instance
	container int
	source    string // ModelDataUrl, a prefix
	uncached  bool   // ModelCacheSetting Disabled

	life  context.Context // ends when the instance is drained
	end   context.CancelFunc
	work  atomic.Int64  // loadings and unloadings under way
	slots chan struct{} // of loadings

	mu    sync.Mutex
	known map[string]*model // by the key below source
	used  list.List         // of *model, the last used first
}

// model is a model that is being loaded, is loaded, or is being unloaded. models.mu
// guards what changes.
type model struct {
	key    string
	opaque string // what the container and the disk know it by
	place  *list.Element
	users  int // requests that have it
	ready  chan struct{}
	err    error // of the loading; valid once ready is closed
	loaded bool
	gone   chan struct{} // not nil while it is being unloaded; closed at the end

	checked time.Time // when it was looked for in the store
	deleted bool      // it was not there any more
}

func newModels(in *Instance, container int, of resource.Container) *models {
	m := &models{in: in, container: container, source: of.ModelDataURL, uncached: of.Uncached, slots: make(chan struct{}, maxLoads), known: map[string]*model{}}
	m.life, m.end = context.WithCancel(context.Background())
	return m
}

// has reports whether a model is loaded.
func (m *models) has(target string) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.known[strings.TrimPrefix(target, "/")]
	return one != nil && one.loaded && one.gone == nil
}

// count is how many models are loaded.
func (m *models) count() (n int) {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.known {
		if one.loaded {
			n++
		}
	}
	return n
}

// loading reports whether something is being loaded or unloaded.
func (m *models) loading() bool { return m != nil && m.work.Load() > 0 }

// close ends the loadings; none begins after it.
func (m *models) close() {
	if m != nil {
		m.end()
	}
}

// begin starts a piece of work that Drain waits for.
func (m *models) begin(work func()) {
	m.work.Add(1)
	go func() {
		work()
		if m.work.Add(-1) == 0 && m.in.draining.Load() > 0 {
			m.in.signal()
		}
	}()
}

// modelKey checks a TargetModel and gives the key of its object below ModelDataUrl.
// It never leaves the prefix.
func modelKey(target string) (string, error) {
	key := strings.TrimPrefix(target, "/")
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return "", Errorf(ValidationError, "TargetModel %s is not the path of an object below the model's ModelDataUrl: %q is no part of one.", clip(target, 256), part)
		}
	}
	for i := range len(key) {
		if c := key[i]; c < ' ' || c == 0x7f {
			return "", Errorf(ValidationError, "TargetModel may hold printable characters only.")
		}
	}
	return key, nil
}

// opaqueName is what the container and the disk know a model by, whatever its name is.
func opaqueName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// callModel sends a call to a model of a multi-model container (CC-81). A container
// that has dropped the model gets it once more; one without room for the request has
// others unloaded.
func (x *exchange) callModel(ctx context.Context, call *instance.Call, deadline time.Time, send func() (instance.Head, []byte, error)) (instance.Head, []byte, error) {
	m := x.t.Instance.models
	key, err := modelKey(x.q.Model)
	if err != nil {
		return instance.Head{}, nil, err
	}
	for dropped := false; ; {
		one, err := m.acquire(ctx, x, key, deadline)
		if err != nil {
			return instance.Head{}, nil, err
		}
		call.Path = "/models/" + one.opaque + "/invoke"
		head, body, err := send()
		for err == nil && head.Status == 507 && m.unloadOne(x.t.Variant.rec, one) {
			head, body, err = send()
		}
		again := err == nil && head.Status == 404 && !dropped && m.dropped(ctx, one, x.t.Variant.rec)
		m.release(one, again, x.t.Variant.rec)
		if !again {
			return head, body, err
		}
		dropped = true
	}
}

// dropped asks the container whether it has dropped a model: 404 can be the model's
// own answer to the request, too.
func (m *models) dropped(ctx context.Context, one *model, rec *variantRecord) bool {
	head, _, err := m.call(ctx, "GET", "/models/"+one.opaque, nil)
	return err == nil && head.Status == 404
}

// acquire gives the model that a request names, loaded; release gives it back. It
// waits until deadline; the loading goes on after that.
func (m *models) acquire(ctx context.Context, x *exchange, key string, deadline time.Time) (*model, error) {
	rec := x.t.Variant.rec
	began := time.Now()
	patience := time.NewTimer(time.Until(deadline))
	defer patience.Stop()
	for first := true; ; first = false {
		one, gone := m.take(x, key)
		wait := one.ready
		if gone != nil {
			wait = gone
		}
		if first {
			rec.modelAsked(m.has(key))
		}
		select {
		case <-wait:
		case <-patience.C:
			m.release(one, false, rec)
			return nil, Errorf(ModelNotReadyException, "Model %s of endpoint %s is still being loaded. Repeat the request later.", clip(x.q.Model, 256), x.t.Endpoint.Name)
		case <-ctx.Done():
			m.release(one, false, rec)
			return nil, context.Cause(ctx)
		}
		if gone != nil {
			continue // it was unloaded; now it can be loaded again
		}
		rec.modelWait.observe(time.Since(began))
		if one.err != nil {
			m.release(one, false, rec)
			return nil, one.err
		}
		return one, nil
	}
}

func (v *variantRecord) modelAsked(hit bool) {
	if hit {
		v.modelHits.Add(1)
	} else {
		v.modelMisses.Add(1)
	}
}

// take counts a request as a user of a model, and has it loaded where it is not. A
// model that is being unloaded is not taken: gone is closed when it is away.
func (m *models) take(x *exchange, key string) (one *model, gone chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one = m.known[key]
	switch {
	case one == nil:
		one = &model{key: key, opaque: opaqueName(key), ready: make(chan struct{}), checked: time.Now()}
		one.place = m.used.PushFront(one)
		m.known[key] = one
		m.begin(func() { m.load(x.r, x.t.Endpoint, x.t.Variant.rec, one) })
	case one.gone != nil:
		return one, one.gone
	default:
		m.used.MoveToFront(one.place)
		if one.loaded && time.Since(one.checked) > deletedCheck {
			one.checked = time.Now()
			m.begin(func() { m.check(x.r, one) })
		}
	}
	one.users++
	return one, nil
}

// release gives a model back. forget has it loaded anew by the next request.
func (m *models) release(one *model, forget bool, rec *variantRecord) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one.gone != nil {
		return // it was not taken
	}
	one.users--
	switch {
	case forget:
		m.remove(one)
	case one.users == 0 && one.loaded && (m.uncached || one.deleted) && m.known[one.key] == one:
		m.startUnload(one, rec)
	}
}

// remove forgets a model; m.mu is held.
func (m *models) remove(one *model) {
	if m.known[one.key] == one {
		delete(m.known, one.key)
		m.used.Remove(one.place)
	}
}

// check looks whether a model's object was deleted; then the model is unloaded when
// nobody uses it.
func (m *models) check(r *Router, one *model) {
	ref, err := m.ref(one.key)
	if err != nil {
		return
	}
	if _, err := r.Objects.Stat(m.life, ref); !fault.Is(err, fault.NotFound) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	one.deleted = true
}
