package main

import (
	"net/http"
	"net/url"
	"unsafe"

	"github.com/sagebrush-ml/sagebrush/internal/front"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

// view shows a front.Request as an *http.Request to sigv4, without copying: its
// texts are good as long as the request's are.
type view struct {
	request http.Request
	url     url.URL
	header  http.Header
	values  []string
}

func newView() *view {
	v := &view{header: http.Header{}}
	v.request.URL, v.request.Header = &v.url, v.header
	return v
}

func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (v *view) show(r *front.Request) *http.Request {
	clear(v.header)
	v.values = v.values[:0]
	for _, f := range r.Fields {
		v.values = append(v.values, text(f.Value))
	}
	for i, f := range r.Fields {
		name := http.CanonicalHeaderKey(text(f.Name))
		v.header[name] = v.values[i : i+1 : i+1]
	}
	v.request.Method = text(r.Method)
	v.request.RequestURI = text(r.Path)
	v.url.RawQuery = text(r.Query)
	v.request.Host = text(r.Host)
	v.request.ContentLength = r.ContentLength
	return &v.request
}

func (h *handler) verify(r *front.Request) error {
	v, ok := h.views.Get().(*view)
	if !ok {
		v = newView()
	}
	defer h.views.Put(v)
	request := v.show(r)
	s, err := sigv4.Parse(request)
	if err != nil {
		return err
	}
	return h.verifier.Verify(request, &s, h.secret, sigv4.BodyHash(r.Body), sigv4.JSONRules())
}
