package router

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// The bounds of captured data. What does not fit is dropped and counted: capture
// never delays or fails a request (EP-53).
const (
	captureHeld  = 64 << 20         // bytes of requests and answers that wait to be written
	captureBatch = 4 << 20          // bytes of lines after which an object is written
	captureAge   = 10 * time.Second // how long a line waits for others
)

// capture keeps a part of requests and answers, and writes it in the background.
type capture struct {
	r *Router

	mu      sync.Mutex
	held    int64
	batches map[batchKey]*batch
	more    chan struct{} // has a value when a batch is full
}

// batchKey is what the lines of one object have in common (EP-51). role is that of the
// model, with whose rights it is written.
type batchKey struct {
	destination, key, endpoint, variant, role string
	hour                                      time.Time
}

type batch struct {
	began   time.Time
	records []captured
	bytes   int64
}

// captured is one request with its answer.
type captured struct {
	config              *resource.DataCapture
	rec                 *variantRecord
	at                  time.Time
	inferenceID         string
	inType, outType     string
	input, output       []byte
	hasInput, hasOutput bool
}

func (c *captured) size() int64 { return int64(len(c.input)+len(c.output)) + 512 }

// sampled decides whether a request is captured (EP-50).
func (e *Endpoint) sampled() bool {
	c := e.Capture
	return c != nil && c.Enabled && c.Percent > 0 && (c.Percent >= 100 || rand.IntN(100) < c.Percent)
}

// captureAnswer keeps a request and its answer.
func (r *Router) captureAnswer(t *Ticket, q *Request, a *Answer) {
	config := t.Endpoint.Capture
	one := captured{config: config, rec: t.Variant.rec, at: r.Now(), inferenceID: q.InferenceID}
	if config.Input {
		one.hasInput, one.inType, one.input = true, q.ContentType, q.Body
	}
	if config.Output {
		one.hasOutput, one.outType, one.output = true, a.ContentType, a.Body
	}
	key := batchKey{config.DestinationURI, config.KmsKeyID, t.Endpoint.Name, t.Variant.Name, t.Variant.Model.ExecutionRoleArn, one.at.UTC().Truncate(time.Hour)}
	if !r.capture.keep(key, one) {
		t.Variant.rec.captureDropped.Add(1)
	}
}

// keep adds a record to its batch, unless too much waits already.
func (c *capture) keep(key batchKey, one captured) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := one.size()
	if c.held+size > captureHeld || c.r.life.Err() != nil {
		return false
	}
	c.held += size
	b := c.batches[key]
	if b == nil {
		b = &batch{began: time.Now()}
		c.batches[key] = b
	}
	b.records = append(b.records, one)
	if b.bytes += size; b.bytes >= captureBatch {
		select {
		case c.more <- struct{}{}:
		default:
		}
	}
	return true
}

// take removes the batches that are due, all of them at the end.
func (c *capture) take(all bool) map[batchKey]*batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := map[batchKey]*batch{}
	for k, b := range c.batches {
		if all || b.bytes >= captureBatch || time.Since(b.began) >= captureAge {
			due[k] = b
			delete(c.batches, k)
		}
	}
	return due
}

// run writes batches until the router ends, and then what is left.
func (c *capture) run() {
	tick := time.NewTicker(captureAge / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.write(c.r.life, c.take(false))
		case <-c.more:
			c.write(c.r.life, c.take(false))
		case <-c.r.life.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.life), captureAge)
			defer cancel()
			c.write(ctx, c.take(true))
			return
		}
	}
}

// write writes batches, each as one object.
func (c *capture) write(ctx context.Context, due map[batchKey]*batch) {
	for k, b := range due {
		if err := c.writeOne(ctx, k, b); err != nil {
			c.r.Log.Warn("captured data could not be written and is lost", "endpoint", k.endpoint, "variant", k.variant, "records", len(b.records), "error", err)
			for _, one := range b.records {
				one.rec.captureDropped.Add(1)
			}
		}
		c.mu.Lock()
		c.held -= b.bytes
		c.mu.Unlock()
	}
}

func (c *capture) writeOne(ctx context.Context, k batchKey, b *batch) error {
	ref, err := objstore.ParseURI(k.object(b.records[0].at))
	if err == nil {
		ctx, err = c.r.as(ctx, k.role)
	}
	if err != nil {
		return err
	}
	w, err := c.r.Objects.Create(ctx, ref, objstore.Meta{ContentType: "application/jsonl", SSEKMSKeyID: k.key})
	if err != nil {
		return err
	}
	defer w.Abort()
	for i := range b.records {
		line, err := b.records[i].line()
		if err != nil {
			return err
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	_, err = w.Commit()
	return err
}

// object is the URI of a batch whose first record is of a time (EP-51).
func (k batchKey) object(first time.Time) string {
	first = first.UTC()
	return fmt.Sprintf("%s/%s/%s/%s/%s-%03d-%s.jsonl", strings.TrimRight(k.destination, "/"), k.endpoint, k.variant,
		first.Format("2006/01/02/15"), first.Format("04-05"), first.Nanosecond()/1e6, uuid.NewString())
}

// captureData is one side of a line (EP-52).
type captureData struct {
	ContentType string `json:"observedContentType,omitempty"`
	Mode        string `json:"mode"`
	Data        string `json:"data"`
	Encoding    string `json:"encoding"`
}

// line is the record as one line of JSON (EP-52).
func (c *captured) line() ([]byte, error) {
	var out struct {
		Data struct {
			Input  *captureData `json:"endpointInput,omitempty"`
			Output *captureData `json:"endpointOutput,omitempty"`
		} `json:"captureData"`
		Meta struct {
			EventID     string `json:"eventId"`
			InferenceID string `json:"inferenceId,omitempty"`
			Time        string `json:"inferenceTime"`
		} `json:"eventMetadata"`
		Version string `json:"eventVersion"`
	}
	out.Version = "0"
	out.Meta.EventID, out.Meta.InferenceID, out.Meta.Time = uuid.NewString(), c.inferenceID, c.at.UTC().Format(time.RFC3339)
	if c.hasInput {
		out.Data.Input = c.side("INPUT", c.inType, c.input)
	}
	if c.hasOutput {
		out.Data.Output = c.side("OUTPUT", c.outType, c.output)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(out)
	return b.Bytes(), err
}

// side encodes a body: as text where its type is listed, else in Base64 (EP-52).
func (c *captured) side(mode, contentType string, body []byte) *captureData {
	d := &captureData{ContentType: contentType, Mode: mode}
	switch {
	case utf8.Valid(body) && listed(c.config.CSV, contentType):
		d.Encoding, d.Data = "CSV", string(body)
	case utf8.Valid(body) && listed(c.config.JSON, contentType):
		d.Encoding, d.Data = "JSON", string(body)
	default:
		d.Encoding, d.Data = "BASE64", base64.StdEncoding.EncodeToString(body)
	}
	return d
}

// listed reports whether a content type is in a list; parameters do not count.
func listed(list []string, contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = contentType
	}
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, media) || strings.EqualFold(s, contentType) })
}
