// Package s3api serves the embedded object store as Amazon S3 over HTTP, so
// that unmodified AWS clients can fill and read it.
//
// The protocol itself is the library gofakes3's; this package is its backend
// over a filestore, and a thin handler around it that corrects what it gets
// wrong: bodies in aws-chunked form with signed trailers, checksums of bodies
// and parts, ETags of multipart form, virtual-hosted addresses, other regions
// than us-east-1, browser access from foreign pages.
//
// Who asks is found out by the room api before it calls the handler, and Options.Allow
// says what the caller may do. The handler must get the request's path as it was sent (an
// http.ServeMux would clean "a//b").
package s3api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/rclone/gofakes3"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/objstore/filestore"
)

const (
	maxBody     = 5 << 30 // S3's limit for one PUT and for one part
	maxMetadata = 2000    // S3's limit for an object's metadata
	uploadLife  = 7 * 24 * time.Hour
	homeRegion  = "us-east-1"
)

// Options are the ways in which servers differ. The zero value works.
type Options struct {
	// Region is what GetBucketLocation says; "" means us-east-1.
	Region string
	// Logger receives failures of the server at level error and what clients do
	// at level debug; nil discards.
	Logger *slog.Logger
	// Allow says whether the caller, who is known from ctx, may do an action such as
	// "s3:GetObject" on a resource, an ARN. Nil allows everything.
	Allow func(ctx context.Context, action, resource string) error
	// MaxBody bounds one PUT and one part in bytes; 0 means S3's 5 GiB.
	MaxBody int64
	// UploadLife is how long a multipart upload may stay open; 0 means 7 days.
	UploadLife time.Duration
}

// New makes the handler. It does not close the store.
func New(store *filestore.Store, o Options) http.Handler {
	if o.Region == "" {
		o.Region = homeRegion
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBody <= 0 {
		o.MaxBody = maxBody
	}
	if o.UploadLife <= 0 {
		o.UploadLife = uploadLife
	}
	b := &backend{store: store, o: o, log: o.Logger, uploadLife: o.UploadLife}
	b.fake = gofakes3.New(b,
		gofakes3.WithTimeSkewLimit(0), // the room api judges the time with the signature
		gofakes3.WithMetadataSizeLimit(maxMetadata),
		gofakes3.WithLogger(logger{o.Logger}),
		gofakes3.WithUnimplementedPageError(),
	)
	return &handler{o: o, store: store, protocol: b.fake.Server()}
}

type handler struct {
	o        Options
	store    *filestore.Store
	protocol http.Handler
}

// call is what the handler and the backend share about one request.
type call struct {
	payload *payload
	header  http.Header // of the response
	listV2  bool
	// encryption is how the object that the request makes is to be encrypted.
	encryption filestore.Encryption
	// status replaces gofakes3's where it has none for an error code; 0 does not.
	status int
	// edit changes a response's XML, which is then short enough for one Write.
	edit func([]byte) []byte
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{header: http.Header{}}
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		// net/http says it only to who has a body to send. botocore always waits
		// for it, and loses the next answer on the connection when it never comes.
		w.WriteHeader(http.StatusContinue)
	}
	c := &call{header: w.Header()}
	r2 := r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	r2.Header = r.Header.Clone()
	url := *r.URL
	r2.URL = &url
	if bucket := h.bucketOfHost(r); bucket != "" {
		url.Path, url.RawPath = "/"+bucket+url.Path, ""
	}
	bucket, key := splitPath(url.Path)
	out := &response{ResponseWriter: w, call: c}
	if err := h.permit(r2, objstore.Ref{Bucket: bucket, Key: key}); err != nil {
		writeError(out, &failure{Code: "AccessDenied", Message: fault.TextOf(err), status: http.StatusForbidden})
		return
	}
	if refused := h.refuse(out, r2, bucket, key); refused {
		return
	}
	if f := c.prepareEncryption(r2, key); f != nil {
		writeError(out, f)
		return
	}
	p, err := newPayload(r2, key != "" && r2.Method == http.MethodPut, h.o.MaxBody)
	if err != nil {
		writeError(out, err)
		return
	}
	c.payload, r2.Body = p, p
	etagsIn(r2.Header)
	if bucket != "" && key == "" {
		w.Header().Set("X-Amz-Bucket-Region", h.o.Region)
	}
	query := r2.URL.Query()
	if bucket != "" && key == "" && query.Has("encryption") {
		h.bucketEncryption(out, r2, bucket)
		return
	}
	c.listV2 = query.Get("list-type") == "2"
	if query.Has("attributes") {
		c.edit = etagsInXML
	}
	h.protocol.ServeHTTP(out, r2)
	out.WriteHeader(http.StatusOK) // when nothing was written: corrects the head of a HEAD
}

// refuse answers what gofakes3 must not see: cross-origin requests of browsers,
// whose pages could otherwise use a server that trusts its own machine, and the
// location of buckets elsewhere than us-east-1, which it does not know.
func (h *handler) refuse(w *response, r *http.Request, bucket, key string) bool {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodOptions:
		writeError(w, &failure{Code: "AccessForbidden", Message: "CORSResponse: CORS is not enabled for this bucket.", status: http.StatusForbidden})
	case r.Method == http.MethodPost && key == "" && !q.Has("delete"):
		writeError(w, &failure{Code: "NotImplemented", Message: "Uploads from browser forms are not supported; use PutObject.", status: http.StatusNotImplemented})
	case r.Method == http.MethodGet && key == "" && bucket != "" && q.Has("location") && h.o.Region != homeRegion:
		h.location(w, r, bucket)
	default:
		return false
	}
	return true
}

func (h *handler) location(w *response, r *http.Request, bucket string) {
	ok, err := h.store.HasBucket(r.Context(), bucket)
	switch {
	case err != nil:
		writeError(w, &failure{Code: "InternalError", Message: "The bucket cannot be read.", status: http.StatusInternalServerError})
	case !ok:
		writeError(w, &failure{Code: "NoSuchBucket", Message: "The specified bucket does not exist", status: http.StatusNotFound})
	default:
		w.Header().Set("Content-Type", "application/xml")
		io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
			`<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`+h.o.Region+`</LocationConstraint>`)
	}
}

// splitPath reads /bucket/key as gofakes3 does.
func splitPath(path string) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimLeft(path, "/"), "/")
	return bucket, key
}
