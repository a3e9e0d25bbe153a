package state

import (
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// ObjectState says how far a job is with one input object.
type ObjectState string

// The states. An object leaves pending once and never comes back.
const (
	ObjectPending ObjectState = "pending"
	ObjectDone    ObjectState = "done"   // its output is committed
	ObjectFailed  ObjectState = "failed" // it was tried and has no output
)

// Object is one input object of a transform job.
type Object struct {
	// Seq is the object's place in the job, counted from 1 in the order in which
	// the objects were added. AddObjects sets it.
	Seq int64
	// Key is the object's key in its bucket, Rel the part of it that names the output.
	Key, Rel string
	Size     int64 // bytes
	ETag     string
	Modified time.Time
	State    ObjectState
	// Class and Detail say why an object failed; the words are the caller's.
	Class, Detail string
	Counts
}

// Counts is the work that was done for objects.
type Counts struct {
	Records, Requests, Retries int64
	BytesIn, BytesOut          int64
}

// ObjectResult is the end of one object.
type ObjectResult struct {
	Seq           int64
	State         ObjectState // ObjectDone or ObjectFailed
	Class, Detail string
	Counts
}

// Total sums up the objects in one state.
type Total struct {
	Objects int64
	Size    int64 // bytes, as listed
	Counts
}

// ObjectTotals sums up the objects of a job by their state.
type ObjectTotals struct{ Pending, Done, Failed Total }

// of gives the total of a state, or nil for a state that does not exist.
func (t *ObjectTotals) of(state ObjectState) *Total {
	switch state {
	case ObjectPending:
		return &t.Pending
	case ObjectDone:
		return &t.Done
	case ObjectFailed:
		return &t.Failed
	}
	return nil
}

// jobID finds a job's number. The kind of the key is not looked at.
func (tx *Tx) jobID(job resource.Key) (int64, error) {
	job.Kind = resource.KindTransformJob
	return tx.id(job)
}

// AddObjects appends pending objects to a job, a thousand or so at a time, and
// reports how many were new. An object whose Key and Rel the job has already is
// passed over, so that an entry that a manifest repeats is processed once
// (BT-45). Two keys with one Rel are fault.Invalid, because one output would
// overwrite the other (BT-104). Of each Object only Key, Rel, Size, ETag and
// Modified are read.
func (tx *Tx) AddObjects(job resource.Key, objects []Object) (added int, err error) {
	id, err := tx.jobID(job)
	if err != nil {
		return 0, err
	}
	var last int64
	if _, err := tx.get([]any{&last}, `SELECT seq FROM transform_objects WHERE job = ? ORDER BY seq DESC LIMIT 1`, id); err != nil {
		return 0, err
	}
	var sum Total
	for i := range objects {
		isNew, err := tx.addObject(id, last+sum.Objects+1, &objects[i])
		if err != nil {
			return 0, err
		}
		if isNew {
			sum.Objects++
			sum.Size += objects[i].Size
		}
	}
	return int(sum.Objects), tx.addTotal(id, ObjectPending, sum)
}

func (tx *Tx) addObject(job, seq int64, o *Object) (bool, error) {
	n, err := tx.exec(`INSERT INTO transform_objects
		(job, seq, object_key, rel, size, etag, modified_ns, state, class, detail, records, requests, retries, bytes_in, bytes_out)
		VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', '', '', 0, 0, 0, 0, 0)
		ON CONFLICT (job, rel) DO NOTHING`,
		job, seq, o.Key, o.Rel, o.Size, o.ETag, toNano(o.Modified))
	if err != nil || n == 1 {
		return n == 1, err
	}
	var other string
	if _, err := tx.get([]any{&other}, `SELECT object_key FROM transform_objects WHERE job = ? AND rel = ?`, job, o.Rel); err != nil {
		return false, err
	}
	if other != o.Key {
		return false, fault.New(fault.Invalid, "The input objects %q and %q have the same relative path %q, so one output would overwrite the other. Rename one of them.", other, o.Key, o.Rel)
	}
	return false, nil
}

// addTotal adds to the sums of a state.
func (tx *Tx) addTotal(job int64, state ObjectState, t Total) error {
	if t == (Total{}) {
		return nil
	}
	_, err := tx.exec(`INSERT INTO transform_totals AS old
		(job, state, objects, size, records, requests, retries, bytes_in, bytes_out)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (job, state) DO UPDATE SET
			objects = old.objects + excluded.objects, size = old.size + excluded.size,
			records = old.records + excluded.records, requests = old.requests + excluded.requests,
			retries = old.retries + excluded.retries,
			bytes_in = old.bytes_in + excluded.bytes_in, bytes_out = old.bytes_out + excluded.bytes_out`,
		job, string(state), t.Objects, t.Size, t.Records, t.Requests, t.Retries, t.BytesIn, t.BytesOut)
	return err
}

// FinishObjects records the ends of objects that are pending. An object that is
// not, or that the job does not have, is fault.Conflict: it was finished twice.
func (tx *Tx) FinishObjects(job resource.Key, results []ObjectResult) error {
	id, err := tx.jobID(job)
	if err != nil {
		return err
	}
	var moved ObjectTotals
	for i := range results {
		r := &results[i]
		if r.State != ObjectDone && r.State != ObjectFailed {
			return fault.New(fault.Internal, "Object %d of transform job %s cannot end as %q.", r.Seq, job.Name, r.State)
		}
		size, err := tx.finishObject(id, job, r)
		if err != nil {
			return err
		}
		moved.Pending.add(Total{Objects: -1, Size: -size})
		moved.of(r.State).add(Total{Objects: 1, Size: size, Counts: r.Counts})
	}
	for _, state := range []ObjectState{ObjectPending, ObjectDone, ObjectFailed} {
		if err := tx.addTotal(id, state, *moved.of(state)); err != nil {
			return err
		}
	}
	return nil
}

func (t *Total) add(d Total) {
	t.Objects += d.Objects
	t.Size += d.Size
	t.Records += d.Records
	t.Requests += d.Requests
	t.Retries += d.Retries
	t.BytesIn += d.BytesIn
	t.BytesOut += d.BytesOut
}

// finishObject moves one object out of pending and gives its size.
func (tx *Tx) finishObject(id int64, job resource.Key, r *ObjectResult) (size int64, err error) {
	if !tx.writes {
		return 0, errReadOnly
	}
	found, err := tx.get([]any{&size}, `UPDATE transform_objects SET state = ?, class = ?, detail = ?,
			records = ?, requests = ?, retries = ?, bytes_in = ?, bytes_out = ?
		WHERE job = ? AND seq = ? AND state = 'pending' RETURNING size`,
		string(r.State), r.Class, r.Detail, r.Records, r.Requests, r.Retries, r.BytesIn, r.BytesOut, id, r.Seq)
	if err == nil && !found {
		err = fault.New(fault.Conflict, "Object %d of transform job %s is not pending.", r.Seq, job.Name)
	}
	return size, err
}

const objectColumns = `seq, object_key, rel, size, etag, modified_ns, state, class, detail, records, requests, retries, bytes_in, bytes_out`

// NextObjects gives up to limit pending objects with a Seq greater than after, in
// the order of Seq. An empty answer means that there are no more.
func (tx *Tx) NextObjects(job resource.Key, after int64, limit int) ([]Object, error) {
	return tx.objects(job, limit, `SELECT `+objectColumns+` FROM transform_objects
		WHERE job = ? AND seq > ? AND state = 'pending' ORDER BY seq LIMIT ?`, after)
}

// FailedObjects gives the first objects of a job that failed, up to limit, in the
// order of Seq.
func (tx *Tx) FailedObjects(job resource.Key, limit int) ([]Object, error) {
	return tx.objects(job, limit, `SELECT `+objectColumns+` FROM transform_objects
		WHERE job = ? AND state = 'failed' ORDER BY seq LIMIT ?`)
}

func (tx *Tx) objects(job resource.Key, limit int, query string, args ...any) ([]Object, error) {
	id, err := tx.jobID(job)
	if err != nil {
		return nil, err
	}
	var objects []Object
	err = tx.each(func(s scanner) error {
		var o Object
		var modified int64
		err := s.Scan(&o.Seq, &o.Key, &o.Rel, &o.Size, &o.ETag, &modified, &o.State, &o.Class, &o.Detail,
			&o.Records, &o.Requests, &o.Retries, &o.BytesIn, &o.BytesOut)
		if err != nil {
			return fmt.Errorf("read an object of %s: %w", job, err)
		}
		o.Modified = fromNano(modified)
		objects = append(objects, o)
		return nil
	}, query, append(append([]any{id}, args...), limit)...)
	return objects, err
}

// ObjectTotals sums up the objects of a job. It reads three rows, however many
// objects there are.
func (tx *Tx) ObjectTotals(job resource.Key) (ObjectTotals, error) {
	var totals ObjectTotals
	id, err := tx.jobID(job)
	if err != nil {
		return totals, err
	}
	err = tx.each(func(s scanner) error {
		var state ObjectState
		var t Total
		if err := s.Scan(&state, &t.Objects, &t.Size, &t.Records, &t.Requests, &t.Retries, &t.BytesIn, &t.BytesOut); err != nil {
			return fmt.Errorf("read the totals of %s: %w", job, err)
		}
		if sum := totals.of(state); sum != nil {
			*sum = t
		}
		return nil
	}, `SELECT state, objects, size, records, requests, retries, bytes_in, bytes_out FROM transform_totals WHERE job = ?`, id)
	return totals, err
}

// ClearObjects forgets all objects of a job: a listing that was interrupted is
// begun anew.
func (tx *Tx) ClearObjects(job resource.Key) error {
	id, err := tx.jobID(job)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM transform_totals WHERE job = ?`, id); err != nil {
		return err
	}
	_, err = tx.exec(`DELETE FROM transform_objects WHERE job = ?`, id)
	return err
}
