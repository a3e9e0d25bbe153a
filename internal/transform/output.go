package transform

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

// sink is where the answers of one object go. Nothing that it was given can be
// seen before commit. commit or abort ends it; abort after commit does nothing.
type sink interface {
	// add takes the answers of consecutive mini-batches, each ending at ends[i].
	add(answers []byte, ends []int, contentType string) error
	// stream opens the sink for the one answer of a streamed object.
	stream(contentType string) (io.Writer, error)
	commit(ctx context.Context) error
	abort()
}

// output makes the sink of the job's layout.
func (p *passage) output() sink {
	key := strings.Trim(p.Output.Key, "/")
	if key != "" {
		key += "/"
	}
	name := objstore.Ref{Bucket: p.Output.Bucket, Key: key + p.o.Rel}
	if p.parts() {
		return &series{store: p.Store, base: name, key: p.OutputKey, scratch: p.Scratch, ctx: p.ctx}
	}
	name.Key += ".out"
	return &single{store: p.Store, ref: name, key: p.OutputKey, ctx: p.ctx}
}

// parts reports whether answers become a series of objects (SD-5).
func (p *passage) parts() bool { return p.Settings.Layout == "parts" }

// single writes all answers to one object, input name + ".out" (BT-100).
type single struct {
	store objstore.Store
	ref   objstore.Ref
	key   string
	ctx   context.Context
	w     objstore.Writer
}

// open starts the object, with the Content-Type of the first answer (BT-113).
func (s *single) open(contentType string) (err error) {
	if s.w == nil {
		s.w, err = s.store.Create(s.ctx, s.ref, objstore.Meta{ContentType: orOctets(contentType), SSEKMSKeyID: s.key})
	}
	return err
}

func (s *single) add(answers []byte, _ []int, contentType string) error {
	if err := s.open(contentType); err != nil {
		return err
	}
	_, err := s.w.Write(answers)
	return err
}

func (s *single) stream(contentType string) (io.Writer, error) {
	if err := s.open(contentType); err != nil {
		return nil, err
	}
	return s.w, nil
}

// commit publishes the object; one that got no answers is published empty (BT-42).
func (s *single) commit(context.Context) error {
	if err := s.open(""); err != nil {
		return err
	}
	_, err := s.w.Commit()
	return err
}

func (s *single) abort() {
	if s.w != nil {
		s.w.Abort()
	}
}

// orOctets is the type of answers that have none.
func orOctets(contentType string) string {
	if contentType == "" {
		return "application/octet-stream"
	}
	return contentType
}

// maxParts bounds the series of one object.
const maxParts = 100_000

// series writes each answer to an object of its own, NAME.part0001 and so on, as
// the seed describes. The answers wait in one file until the last is there.
type series struct {
	store       objstore.Store
	base        objstore.Ref
	key         string
	scratch     string
	ctx         context.Context
	spool       *os.File
	ends        []int64
	size        int64
	contentType string
}

// open starts the spool.
func (s *series) open(contentType string) (err error) {
	if s.spool != nil {
		return nil
	}
	s.contentType = orOctets(contentType)
	if s.spool, err = os.CreateTemp(s.scratch, "parts-"); err != nil {
		return err
	}
	return os.Remove(s.spool.Name()) // the open file is enough, and leaves nothing behind
}

func (s *series) add(answers []byte, ends []int, contentType string) error {
	if err := s.open(contentType); err != nil {
		return err
	}
	if len(s.ends)+len(ends) > maxParts {
		return fmt.Errorf("the object has over %d mini-batches, which is the most that a series of parts may have", maxParts)
	}
	for _, end := range ends {
		s.ends = append(s.ends, s.size+int64(end))
	}
	s.size += int64(len(answers))
	_, err := s.spool.Write(answers)
	return err
}

func (s *series) stream(contentType string) (io.Writer, error) {
	if err := s.open(contentType); err != nil {
		return nil, err
	}
	return s.spool, nil
}

// commit publishes the parts in order and removes those that a longer series of
// an earlier run left behind. An object without answers has one empty part.
func (s *series) commit(ctx context.Context) error {
	if err := s.open(""); err != nil {
		return err
	}
	if len(s.ends) == 0 {
		size, err := s.spool.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		s.ends = []int64{size}
	}
	from := int64(0)
	fresh := make(map[string]bool, len(s.ends))
	for i, end := range s.ends {
		ref := s.part(i + 1)
		fresh[ref.Key] = true
		if err := s.publish(ctx, ref, from, end); err != nil {
			return err
		}
		from = end
	}
	return s.removeStale(ctx, fresh)
}

// part names part n, from 1.
func (s *series) part(n int) objstore.Ref {
	return objstore.Ref{Bucket: s.base.Bucket, Key: fmt.Sprintf("%s.part%04d", s.base.Key, n)}
}

// publish writes one part from the spool.
func (s *series) publish(ctx context.Context, ref objstore.Ref, from, end int64) error {
	w, err := s.store.Create(ctx, ref, objstore.Meta{ContentType: s.contentType, SSEKMSKeyID: s.key})
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := io.Copy(w, io.NewSectionReader(s.spool, from, end-from)); err != nil {
		return err
	}
	_, err = w.Commit()
	return err
}

// removeStale deletes parts of this object that are not of this series.
func (s *series) removeStale(ctx context.Context, fresh map[string]bool) error {
	prefix := s.base.Key + ".part"
	for info, err := range s.store.List(ctx, s.base.Bucket, prefix) {
		if err != nil {
			return err
		}
		if fresh[info.Key] || !isPartNumber(info.Key[len(prefix):]) {
			continue
		}
		if err := s.store.Delete(ctx, info.Ref); err != nil {
			return err
		}
	}
	return nil
}

// isPartNumber reports whether s is what part puts behind ".part".
func isPartNumber(s string) bool {
	return len(s) >= 4 && strings.Trim(s, "0123456789") == "" && path.Base(s) == s
}

func (s *series) abort() {
	if s.spool != nil {
		s.spool.Close()
	}
}
