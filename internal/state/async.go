package state

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// AsyncInvocation is one request of InvokeEndpointAsync that has not ended (RT-20).
// It is there from the moment that the caller has its answer until its output or its
// failure is written, through any end of the server.
type AsyncInvocation struct {
	// Seq is its place in the order of arrival. AddAsync sets it.
	Seq              int64 `json:"-"`
	Region, Endpoint string
	InferenceID      string
	// InputLocation is where the payload lies; "" is Payload.
	InputLocation string `json:",omitempty"`
	Payload       []byte `json:"-"`

	ContentType, Accept, CustomAttributes string `json:",omitempty"`
	// Output and Failure are the URIs of what comes of it; Failure may be "".
	Output, Failure string
	// KmsKeyID encrypts both; "" is what the bucket says.
	KmsKeyID string `json:",omitempty"`
	Created  time.Time
	// Expires is until when it may wait for its turn, Timeout how long it may take then.
	Expires time.Time
	Timeout time.Duration
}

// AsyncBacklog sums up an endpoint's invocations that have not ended.
type AsyncBacklog struct {
	Count  int64
	Bytes  int64     // of the payloads
	Oldest time.Time // zero when there are none
}

// AddAsync appends an invocation.
func (tx *Tx) AddAsync(a AsyncInvocation) (seq int64, err error) {
	body, err := json.Marshal(a)
	if err != nil {
		return 0, fmt.Errorf("encode an asynchronous invocation: %w", err)
	}
	if !tx.writes {
		return 0, errReadOnly
	}
	if a.Payload == nil {
		a.Payload = []byte{}
	}
	_, err = tx.get([]any{&seq}, `INSERT INTO async_invocations (region, endpoint_folded, created_ns, size, body, payload)
		VALUES (?, ?, ?, ?, ?, ?) RETURNING seq`,
		a.Region, strings.ToLower(a.Endpoint), toNano(a.Created), len(a.Payload), string(body), a.Payload)
	return seq, err
}

// NextAsync gives up to limit invocations of an endpoint with a Seq greater than
// after, in the order of Seq.
func (tx *Tx) NextAsync(region, endpoint string, after int64, limit int) (all []AsyncInvocation, err error) {
	err = tx.each(func(s scanner) error {
		var a AsyncInvocation
		var seq int64
		var body, payload []byte
		if err := s.Scan(&seq, &body, &payload); err != nil {
			return fmt.Errorf("read an asynchronous invocation: %w", err)
		}
		if err := json.Unmarshal(body, &a); err != nil {
			return fault.Wrap(fault.Internal, err, "The stored asynchronous invocation %d cannot be read. The state database is damaged, or a newer program wrote it.", seq)
		}
		a.Seq, a.Payload = seq, payload
		all = append(all, a)
		return nil
	}, `SELECT seq, body, payload FROM async_invocations WHERE region = ? AND endpoint_folded = ? AND seq > ? ORDER BY seq LIMIT ?`,
		region, strings.ToLower(endpoint), after, limit)
	return all, err
}

// RemoveAsync removes an invocation that has ended; one that is not there is no error.
func (tx *Tx) RemoveAsync(seq int64) error {
	_, err := tx.exec(`DELETE FROM async_invocations WHERE seq = ?`, seq)
	return err
}

// RemoveAllAsync removes all invocations of an endpoint.
func (tx *Tx) RemoveAllAsync(region, endpoint string) error {
	_, err := tx.exec(`DELETE FROM async_invocations WHERE region = ? AND endpoint_folded = ?`, region, strings.ToLower(endpoint))
	return err
}

// AsyncBacklog sums up an endpoint's invocations.
func (tx *Tx) AsyncBacklog(region, endpoint string) (AsyncBacklog, error) {
	var b AsyncBacklog
	var oldest int64
	_, err := tx.get([]any{&b.Count, &b.Bytes, &oldest}, `SELECT count(*), coalesce(sum(size), 0), coalesce(min(created_ns), 0) FROM async_invocations
		WHERE region = ? AND endpoint_folded = ?`, region, strings.ToLower(endpoint))
	b.Oldest = fromNano(oldest)
	return b, err
}
