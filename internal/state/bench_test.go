package state

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func BenchmarkOpenEmptyFolder(b *testing.B) {
	dir := b.TempDir()
	for i := range b.N {
		s, err := Open(b.Context(), filepath.Join(dir, fmt.Sprint(i), "state.db"), Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}

// One writer pays for a sync with every Update; sixteen share them.
func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openAt(b, filepath.Join(b.TempDir(), "state.db"))
			var n atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
						if err := s.Update(b.Context(), creating(fmt.Sprint("job-", i))); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func BenchmarkReadJob(b *testing.B) {
	s := openAt(b, filepath.Join(b.TempDir(), "state.db"))
	create(b, s, fullJob("j"))
	b.ReportAllocs()
	for b.Loop() {
		readJob(b, s, "j")
	}
}

func BenchmarkAddObjects1000(b *testing.B) {
	s := openAt(b, filepath.Join(b.TempDir(), "state.db"))
	create(b, s, newJob("j", 1))
	from := 0
	for b.Loop() {
		add(b, s, "j", objectsFrom(from, from+1000))
		from += 1000
	}
}

// BenchmarkObjects100k is a job of many objects, with what a resumed job does.
func BenchmarkObjects100k(b *testing.B) {
	const count = 100_000
	s := openAt(b, filepath.Join(b.TempDir(), "state.db"))
	create(b, s, newJob("j", 1))
	for from := 0; from < count; from += 1000 {
		add(b, s, "j", objectsFrom(from, from+1000))
	}
	update(b, s, func(tx *Tx) error {
		results := make([]ObjectResult, count-1000)
		for i := range results {
			results[i] = ObjectResult{Seq: int64(i + 1), State: ObjectDone}
		}
		return tx.FinishObjects(jobKey("j"), results)
	})
	b.Run("NextObjects/first", func(b *testing.B) {
		for b.Loop() {
			next(b, s, "j", 0, 1000)
		}
	})
	b.Run("NextObjects/later", func(b *testing.B) {
		for b.Loop() {
			next(b, s, "j", count-1000, 1000)
		}
	})
	b.Run("ObjectTotals", func(b *testing.B) {
		for b.Loop() {
			totals(b, s, "j")
		}
	})
	b.Run("FinishObjects64", func(b *testing.B) {
		create(b, s, newJob(fmt.Sprint("finish-", b.N), 1))
		results := make([]ObjectResult, 64)
		for n := range b.N {
			b.StopTimer()
			add(b, s, fmt.Sprint("finish-", b.N), objectsFrom(n*64, n*64+64))
			for i := range results {
				results[i] = ObjectResult{Seq: int64(n*64 + i + 1), State: ObjectDone}
			}
			b.StartTimer()
			update(b, s, func(tx *Tx) error { return tx.FinishObjects(jobKey(fmt.Sprint("finish-", b.N)), results) })
		}
	})
	b.Run("ClearObjects", func(b *testing.B) {
		for range b.N {
			update(b, s, func(tx *Tx) error { return tx.ClearObjects(jobKey("j")) })
			b.StopTimer()
			for from := 0; from < count; from += 1000 {
				add(b, s, "j", objectsFrom(from, from+1000))
			}
			b.StartTimer()
		}
	})
}

// BenchmarkList pages over 100,000 jobs whose names and times go together, which
// is the worst case for a filter by time in the order of names.
func BenchmarkList(b *testing.B) {
	const count = 100_000
	s := openAt(b, filepath.Join(b.TempDir(), "state.db"))
	for from := 0; from < count; from += 5000 {
		update(b, s, func(tx *Tx) error {
			for n := from; n < from+5000; n++ {
				j := newJob(fmt.Sprintf("batch-transform-%06d", n), int64(n)*1e9)
				j.Status = []resource.TransformJobStatus{resource.JobCompleted, resource.JobCompleted, resource.JobFailed}[n%3]
				if n%1000 == 0 {
					j.Status = resource.JobStopped
				}
				if err := tx.CreateTransformJob(j); err != nil {
					return err
				}
			}
			return nil
		})
	}
	middle, late := at(count/2*1e9), at((count-500)*1e9)
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"newest", Query{Descending: true}},
		{"byName", Query{SortBy: SortByName}},
		{"byStatus", Query{SortBy: SortByStatus}},
		{"afterCursor", Query{Descending: true, After: &Cursor{Name: "batch-transform-050000", Created: toNano(middle)}}},
		{"status/common", Query{Status: "Completed"}},
		{"status/rare", Query{Status: "Stopped"}},
		{"status/absent", Query{Status: "Stopping"}},
		{"status/byName", Query{Status: "Failed", SortBy: SortByName}},
		{"created/late/byName", Query{CreatedAfter: &late, SortBy: SortByName}},
		{"created/middle/byName", Query{CreatedAfter: &middle, SortBy: SortByName}},
		{"created/middle/byStatus", Query{CreatedAfter: &middle, SortBy: SortByStatus}},
		{"modified/late", Query{ModifiedAfter: &late}},
		{"modified/middle", Query{ModifiedAfter: &middle}},
		{"status/modified/middle", Query{Status: "Failed", ModifiedAfter: &middle}},
		{"name/common", Query{NameContains: "transform", Descending: true}},
		{"name/rare", Query{NameContains: "-05555", Descending: true}},
		{"name/absent", Query{NameContains: "zzz", Descending: true}},
		{"name/absent/byName", Query{NameContains: "zzz", SortBy: SortByName}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.q.Region, c.q.Limit = region, 100
			for b.Loop() {
				view(b, s, func(tx *Tx) error { _, _, err := tx.ListTransformJobs(c.q); return err })
			}
		})
	}
}
