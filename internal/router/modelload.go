package router

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/modelcache"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// uri is where a model's archive lies (CC-82).
func (m *models) uri(key string) string { return strings.TrimRight(m.source, "/") + "/" + key }

func (m *models) ref(key string) (objstore.Ref, error) { return objstore.ParseURI(m.uri(key)) }

// load fetches a model and has the container load it. Requests wait for ready.
func (m *models) load(r *Router, e *Endpoint, rec *variantRecord, one *model) {
	ctx, cancel := context.WithTimeout(m.life, loadTime)
	defer cancel()
	go func() { // it ends with the loading
		select {
		case <-m.in.Exited():
			cancel()
		case <-ctx.Done():
		}
	}()
	var err error
	select {
	case m.slots <- struct{}{}:
		m.evict(rec, one)
		if err = m.fetch(ctx, r, rec, one); err == nil {
			err = m.loadFetched(ctx, r, e, rec, one)
		}
		<-m.slots
	case <-ctx.Done():
		err = m.notLoaded(one, context.Cause(ctx))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	one.err, one.loaded = err, err == nil
	if err != nil {
		m.remove(one)
		_ = os.RemoveAll(m.dir(one))
	}
	close(one.ready)
	if one.users == 0 && one.loaded && m.uncached {
		m.startUnload(one, rec) // everybody who asked for it has left
	}
}

// evict makes room where as many models are loaded as may be.
func (m *models) evict(rec *variantRecord, one *model) {
	for m.count() >= maxModels && m.unloadOne(rec, one) {
	}
}

// dir is a model's folder.
func (m *models) dir(one *model) string {
	return filepath.Join(m.in.ModelsDir(m.container), one.opaque)
}

// fetch puts a model's data to its place, all of it or nothing, with the rights of the
// role. What an earlier server put there is used.
func (m *models) fetch(ctx context.Context, r *Router, rec *variantRecord, one *model) error {
	dir := m.dir(one)
	if _, err := os.Stat(filepath.Join(dir, "model")); err == nil {
		return nil
	}
	defer func(began time.Time) { rec.modelDownload.observe(time.Since(began)) }(time.Now())
	part := dir + ".part"
	defer os.RemoveAll(part)
	for {
		err := errors.Join(os.RemoveAll(part), os.MkdirAll(filepath.Join(part, "model"), 0o755))
		limited := ctx
		if err == nil {
			limited, err = r.as(ctx, m.in.Model().ExecutionRoleArn)
		}
		if err == nil {
			err = modelcache.Fetch(limited, r.Objects, resource.ModelData{S3URI: m.uri(one.key), Gzip: true}, filepath.Join(part, "model"), nil)
		}
		if err == nil {
			err = errors.Join(os.RemoveAll(dir), os.Rename(part, dir))
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return m.notLoaded(one, context.Cause(ctx))
		case fault.KindOf(err) == fault.Internal && m.unloadOne(rec, one):
			continue // the disk may be full
		}
		return m.fetchFailure(one.key, err)
	}
}

// fetchFailure is the error of a model that could not be fetched: the caller's where
// it is not there or is no archive, the store's otherwise (RT-4).
func (m *models) fetchFailure(key string, err error) error {
	code := InternalDependencyException
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Denied, fault.Invalid, fault.Limit, fault.Unsupported:
		code = ValidationError
	}
	bucket := "?"
	if ref, err := m.ref(key); err == nil {
		bucket, key = ref.Bucket, ref.Key
	}
	e := Errorf(code, "Failed to download model data(bucket: %s, key: %s): %s", bucket, key, fault.TextOf(err))
	e.cause = err
	return e
}

// loadFetched has the container load a model (CC-81). One without room has others
// unloaded.
func (m *models) loadFetched(ctx context.Context, r *Router, e *Endpoint, rec *variantRecord, one *model) error {
	defer func(began time.Time) { rec.modelLoad.observe(time.Since(began)) }(time.Now())
	name := m.in.Name(m.container)
	url := m.in.Containers()[m.container].Inside(filepath.Join(m.dir(one), "model"))
	body, err := json.Marshal(map[string]string{"model_name": one.opaque, "url": url})
	if err != nil {
		return err
	}
	for asked := false; ; {
		head, answer, err := m.call(ctx, http.MethodPost, "/models", body)
		var none *instance.NoAnswerError
		switch {
		case err != nil && ctx.Err() != nil:
			return m.notLoaded(one, context.Cause(ctx))
		case errors.As(err, &none):
			return r.unanswered(e, name, none)
		case err != nil:
			return err
		case head.Status == http.StatusOK, head.Status == http.StatusConflict: // 409: it has it already
			return nil
		case head.Status == http.StatusInsufficientStorage && m.unloadOne(rec, one):
			continue
		case head.Status == http.StatusInsufficientStorage && !asked && m.unloadStrangers(ctx):
			asked = true
			continue
		}
		return r.modelError(e, name, head.Status, string(answer))
	}
}

// notLoaded is the error of a model that was not loaded in time, or whose instance is
// going.
func (m *models) notLoaded(one *model, cause error) error {
	e := Errorf(ModelNotReadyException, "Model %s could not be loaded within %v, or its instance is being replaced. Repeat the request later.", clip(one.key, 256), loadTime)
	e.cause = cause
	return e
}

// maxModelAnswer bounds what a container answers to loading and unloading.
const maxModelAnswer = 64 << 10

// call asks the container for something about a model.
func (m *models) call(ctx context.Context, method, path string, body []byte) (instance.Head, []byte, error) {
	c := m.in.Containers()[m.container]
	conn := c.Borrow()
	defer c.Return(conn)
	fields := []instance.Field{{Name: "Accept", Value: "application/json"}}
	if body != nil {
		fields = append(fields, instance.Field{Name: "Content-Type", Value: "application/json"})
	}
	return conn.Call(ctx, &instance.Call{Method: method, Path: path, Fields: fields, Body: body, Timeout: loadTime}, maxModelAnswer, nil)
}

// unloadOne unloads the model that was not used for longest and that nobody uses,
// other than keep. It reports whether there was one.
func (m *models) unloadOne(rec *variantRecord, keep *model) bool {
	m.mu.Lock()
	var one *model
	for el := m.used.Back(); el != nil; el = el.Prev() {
		if o := el.Value.(*model); o != keep && o.users == 0 && o.loaded && o.gone == nil {
			one = o
			break
		}
	}
	if one == nil {
		m.mu.Unlock()
		return false
	}
	one.gone = make(chan struct{})
	m.mu.Unlock()
	m.unload(one, rec)
	return true
}

// unloadStrangers unloads what the container has and the router does not know, as
// after a restart of the server. It reports whether there was anything.
func (m *models) unloadStrangers(ctx context.Context) (found bool) {
	_, answer, err := m.call(ctx, http.MethodGet, "/models", nil)
	var list struct {
		Models []struct {
			Name string `json:"modelName"`
		} `json:"models"`
	}
	if err != nil || json.Unmarshal(answer, &list) != nil {
		return false
	}
	mine := map[string]bool{}
	m.mu.Lock()
	for _, one := range m.known {
		mine[one.opaque] = true
	}
	m.mu.Unlock()
	for _, other := range list.Models {
		if mine[other.Name] || !safeID.MatchString(other.Name) {
			continue
		}
		head, _, err := m.call(ctx, http.MethodDelete, "/models/"+other.Name, nil)
		found = found || err == nil && head.Status == http.StatusOK
	}
	return found
}

// startUnload unloads a model in the background; m.mu is held.
func (m *models) startUnload(one *model, rec *variantRecord) {
	one.gone = make(chan struct{})
	m.begin(func() { m.unload(one, rec) })
}

// unload has the container drop a model, and removes its data. Nobody uses it, and
// one.gone is set: until it is closed nobody takes it.
func (m *models) unload(one *model, rec *variantRecord) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(m.life, DefaultTimeout)
	defer cancel()
	// A container that does not obey is found out when it has no room for the next.
	_, _, _ = m.call(ctx, http.MethodDelete, "/models/"+one.opaque, nil)
	_ = os.RemoveAll(m.dir(one))
	rec.modelUnload.observe(time.Since(began))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(one)
	close(one.gone)
}
