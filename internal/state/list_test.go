package state

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

var statuses = []resource.TransformJobStatus{resource.JobCompleted, resource.JobFailed, resource.JobStopped, resource.JobInProgress}

// expected answers a query in the plainest way there is.
func expected(jobs []resource.TransformJob, q Query) []string {
	after := func(t, bound time.Time) bool { return t.After(bound) || q.AfterInclusive && t.Equal(bound) }
	var found []resource.TransformJob
	for _, j := range jobs {
		if j.Region == q.Region && strings.Contains(j.Name, q.NameContains) &&
			(q.Status == "" || string(j.Status) == q.Status) &&
			(q.CreatedAfter == nil || after(j.Created, *q.CreatedAfter)) &&
			(q.CreatedBefore == nil || j.Created.Before(*q.CreatedBefore)) &&
			(q.ModifiedAfter == nil || after(j.Modified, *q.ModifiedAfter)) &&
			(q.ModifiedBefore == nil || j.Modified.Before(*q.ModifiedBefore)) {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, func(a, b resource.TransformJob) int {
		var c int
		switch q.SortBy {
		case SortByStatus:
			c = cmp.Compare(a.Status, b.Status)
		case SortByCreationTime, "":
			c = a.Created.Compare(b.Created)
		}
		c = cmp.Or(c, cmp.Compare(a.Name, b.Name))
		if q.Descending {
			return -c
		}
		return c
	})
	names := []string{}
	for _, j := range found {
		names = append(names, j.Name)
	}
	return names
}

// pages reads all pages of a query.
func pages(t testing.TB, s *Store, q Query) []string {
	t.Helper()
	names := []string{}
	for {
		var jobs []resource.TransformJob
		var next *Cursor
		view(t, s, func(tx *Tx) (err error) { jobs, next, err = tx.ListTransformJobs(q); return err })
		if len(jobs) > q.Limit || next != nil && len(jobs) != q.Limit {
			t.Fatalf("a page of %d jobs with the limit %d, next %v", len(jobs), q.Limit, next)
		}
		for _, j := range jobs {
			names = append(names, j.Name)
		}
		if q.After = next; next == nil {
			return names
		}
	}
}

// CP-20 to CP-24: every filter, sort and page length, against the plain answer.
func suiteListAgreesWithModel(t *testing.T, s *Store) {
	r := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "A", "b", "%", "_", "é", "-", "10", `\`, "?"}
	var jobs []resource.TransformJob
	taken := map[string]bool{}
	for len(jobs) < 150 {
		name := parts[r.IntN(len(parts))] + parts[r.IntN(len(parts))] + fmt.Sprint(r.IntN(80))
		if taken[strings.ToLower(name)] {
			continue
		}
		taken[strings.ToLower(name)] = true
		j := newJob(name, int64(r.IntN(12))) // Many ties.
		j.Modified = at(int64(r.IntN(12)))
		j.Status = statuses[r.IntN(len(statuses))]
		if r.IntN(10) == 0 {
			j.Region = "eu-west-1"
		}
		jobs = append(jobs, j)
	}
	create(t, s, jobs...)
	update(t, s, func(tx *Tx) error { // Other kinds stay out of the list.
		return tx.PutModel(resource.Model{Meta: resource.Meta{Key: modelKey("a"), Created: at(1), Modified: at(1)}})
	})
	sometimes := func() *time.Time {
		if r.IntN(3) > 0 {
			return nil
		}
		bound := at(int64(r.IntN(14) - 1))
		return &bound
	}
	for range 200 {
		q := Query{
			Region: region, CreatedAfter: sometimes(), CreatedBefore: sometimes(),
			ModifiedAfter: sometimes(), ModifiedBefore: sometimes(), AfterInclusive: r.IntN(2) == 0,
			SortBy:     []Sort{"", SortByName, SortByCreationTime, SortByStatus}[r.IntN(4)],
			Descending: r.IntN(2) == 0, Limit: 1 + r.IntN(60),
		}
		if r.IntN(3) == 0 {
			q.NameContains = parts[r.IntN(len(parts))]
		}
		if r.IntN(3) == 0 {
			q.Status = string(statuses[r.IntN(len(statuses))])
		}
		if got, want := pages(t, s, q), expected(jobs, q); !slices.Equal(got, want) {
			t.Fatalf("%+v:\n got %v\nwant %v", q, got, want)
		}
	}
}

// The same, with more rows than are sorted: then the index of the order is walked.
func TestListWalksTheOrder(t *testing.T) {
	t.Parallel()
	s := openAt(t, "")
	var jobs []resource.TransformJob
	for i := range fewRows + 500 {
		j := newJob(numbered(i), int64(i*7919%5000))
		j.Modified, j.Status = at(int64(i*104729%5000)), resource.JobCompleted
		jobs = append(jobs, j)
	}
	create(t, s, jobs...)
	low := at(0)
	for _, sort := range []Sort{SortByName, SortByCreationTime, SortByStatus} {
		for _, q := range []Query{
			{ModifiedAfter: &low}, {CreatedAfter: &low}, {Status: "Completed"}, {Status: "Completed", CreatedAfter: &low},
		} {
			q.Region, q.SortBy, q.Descending, q.Limit = region, sort, true, 150
			want := expected(jobs, q)
			for range 2 { // The first page and the one after it.
				var page []resource.TransformJob
				view(t, s, func(tx *Tx) (err error) { page, q.After, err = tx.ListTransformJobs(q); return err })
				for i, j := range page {
					if j.Name != want[i] {
						t.Fatalf("%+v: %s at place %d, want %s", q, j.Name, i, want[i])
					}
				}
				want = want[len(page):]
			}
			if q.After == nil {
				t.Errorf("%+v: two pages were all", q)
			}
		}
	}
}

// CP-24: whoever is there all the time comes exactly once, whatever else comes
// and goes, the resource at the cursor included.
func suitePagingWhileRowsChange(t *testing.T, s *Store) {
	model := func(n, created int) resource.Model {
		return resource.Model{Meta: resource.Meta{Key: modelKey(numbered(n)), Created: at(int64(created)), Modified: at(1)}}
	}
	const count = 60
	update(t, s, func(tx *Tx) error {
		for n := range count {
			if err := tx.PutModel(model(n, n/5)); err != nil {
				return err
			}
		}
		return nil
	})
	q := Query{Region: region, Limit: 7, Descending: true}
	seen := map[string]int{}
	extra := count
	for {
		var models []resource.Model
		var next *Cursor
		view(t, s, func(tx *Tx) (err error) { models, next, err = tx.ListModels(q); return err })
		for _, m := range models {
			seen[m.Name]++
		}
		if next == nil {
			break
		}
		q.After = next
		update(t, s, func(tx *Tx) error { // The last one of the page goes, new ones come at both ends.
			extra += 2
			if err := tx.PutModel(model(extra, 1000)); err != nil {
				return err
			}
			if err := tx.PutModel(model(extra+1, -1000)); err != nil {
				return err
			}
			return tx.DeleteModel(models[len(models)-1].Key)
		})
	}
	for n := range count {
		if seen[numbered(n)] != 1 {
			t.Errorf("%s came %d times", numbered(n), seen[numbered(n)])
		}
	}
	for name, times := range seen {
		if times > 1 {
			t.Errorf("%s came %d times", name, times)
		}
	}
}

func suiteListRefuses(t *testing.T, s *Store) {
	for _, q := range []Query{{Limit: 0}, {Limit: -1}, {Limit: MaxPage + 1}, {Limit: 1, SortBy: "Colour"}} {
		wantKind(t, s.View(t.Context(), func(tx *Tx) error { _, _, err := tx.ListTransformJobs(q); return err }), fault.Invalid)
	}
	far := []time.Time{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)}
	create(t, s, newJob("j", 1))
	if got := pages(t, s, Query{Region: region, Limit: 1, CreatedBefore: &far[0], CreatedAfter: &far[1]}); len(got) != 1 {
		t.Errorf("bounds beyond the range of the table gave %v", got)
	}
}
