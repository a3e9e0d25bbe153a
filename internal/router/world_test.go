package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/driver/fake"
	"github.com/sagebrush-ml/sagebrush/internal/fleet"
	"github.com/sagebrush-ml/sagebrush/internal/modelcache"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	region  = "eu-west-1"
	account = "123456789012"
)

// world is a router over a fleet of scripted containers. An image is the name of a
// handler.
type world struct {
	t       *testing.T
	router  *Router
	fleet   *fleet.Fleet
	objects *memstore.Store
	images  map[string]func(*fake.Container) http.Handler
	serial  atomic.Int64
}

func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, objects: memstore.New("bucket"), images: map[string]func(*fake.Container) http.Handler{}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	models, err := modelcache.Open(modelcache.Options{Dir: filepath.Join(t.TempDir(), "cache"), Store: w.objects, Bytes: 1 << 30, Log: log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	w.fleet = fleet.New(fleet.Options{
		Driver: fake.New(func(s driver.Spec) (fake.Script, error) {
			h, ok := w.images[s.Image]
			if !ok {
				return fake.Script{}, fmt.Errorf("no image %s", s.Image)
			}
			return fake.Script{Handler: h}, nil
		}),
		Models: models, Work: filepath.Join(t.TempDir(), "work"), StopGrace: time.Second, Log: log, Now: time.Now,
	})
	o := Options{Account: account, Objects: w.objects, Log: log, Now: time.Now}
	for _, f := range change {
		f(&o)
	}
	w.router = New(o)
	t.Cleanup(w.router.Close)
	return w
}

// handler is a container that answers pings, and everything else as h does.
func handler(h http.HandlerFunc) func(*fake.Container) http.Handler {
	return func(*fake.Container) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/ping" {
				return
			}
			h(w, r)
		})
	}
}

// echo answers with the request.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	_, _ = io.Copy(w, r.Body)
}

func single(image string) resource.ModelSpec {
	return resource.ModelSpec{Container: resource.Container{Image: image}}
}

// launch starts an instance of a model that is stopped with the test.
func (w *world) launch(m resource.ModelSpec) *Instance {
	w.t.Helper()
	b, err := w.fleet.Prepare(context.Background(), fleet.Needs{Model: m})
	if err != nil {
		w.t.Fatal(err)
	}
	in, err := b.Launch(context.Background(), fleet.Order{
		ID:               fmt.Sprintf("i%d", w.serial.Add(1)),
		Env:              func(resource.Container) map[string]string { return map[string]string{} },
		Output:           func(int) (io.Writer, time.Time) { return io.Discard, time.Time{} },
		ReadyTimeout:     10 * time.Second,
		MaxResponseBytes: 64 << 20,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = in.Stop(context.Background()); b.Release() })
	if err := in.WaitReady(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return NewInstance(in)
}

// endpoint makes an endpoint that serves.
func endpoint(name string, variants ...*Variant) *Endpoint {
	return &Endpoint{Region: region, Name: name, Serves: true, Status: resource.EndpointInService, Variants: variants, Limits: Limits{Waiting: 100}}
}

func variant(name string, share float64, instances ...*Instance) *Variant {
	v := &Variant{Name: name, Share: share, Instances: instances}
	if len(instances) > 0 {
		v.Model = instances[0].Model()
	}
	return v
}

func (w *world) publish(endpoints ...*Endpoint) { w.router.Publish(NewTable(endpoints)) }

// request makes a request to an endpoint.
func request(name, body string) *Request {
	return &Request{Ask: Ask{Region: region, Endpoint: name}, Body: []byte(body)}
}

// wantError checks the code and the message of an error.
func wantError(t *testing.T, err error, code Code, message string) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want %s", err, code)
	}
	if e.Code != code || e.Message != message && message != "" {
		t.Fatalf("error %s %q\nwant  %s %q", e.Code, e.Message, code, message)
	}
	if e.Status != code.Status() {
		t.Errorf("status %d, want %d", e.Status, code.Status())
	}
	return e
}
