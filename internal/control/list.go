package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// List is what every list operation takes. Zero members do not filter.
type List struct {
	Region                        string
	NameContains                  string
	CreatedAfter, CreatedBefore   *time.Time
	ModifiedAfter, ModifiedBefore *time.Time
	Status                        string
	SortBy                        string // "" is CreationTime
	// Ascending is the order; the default is descending (SD-4, CP-21).
	Ascending bool
	// MaxResults is 0 for the default of 10 (CP-20).
	MaxResults int
	NextToken  string
}

// defaultPage is the length of a page that was not asked for (CP-20).
const defaultPage = 10

// query makes the store's query, with its token read.
func (c *Control) query(l List) (state.Query, error) {
	q := state.Query{
		Region: l.Region, NameContains: l.NameContains, Status: l.Status,
		CreatedAfter: l.CreatedAfter, CreatedBefore: l.CreatedBefore,
		ModifiedAfter: l.ModifiedAfter, ModifiedBefore: l.ModifiedBefore,
		SortBy: state.Sort(l.SortBy), Descending: !l.Ascending, Limit: l.MaxResults,
		// "Greater than or equal" is documented for models and not for jobs (CP-22);
		// one rule for all is easier to predict.
		AfterInclusive: true,
	}
	if q.SortBy == "" {
		q.SortBy = state.SortByCreationTime
	}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	after, err := c.tokens.open(q, l.NextToken)
	q.After = after
	return q, err
}

// times prints a query's time bounds for the token's digest.
func times(q state.Query) string {
	var b strings.Builder
	for _, t := range []*time.Time{q.CreatedAfter, q.CreatedBefore, q.ModifiedAfter, q.ModifiedBefore} {
		if t != nil {
			fmt.Fprint(&b, t.UnixNano())
		}
		b.WriteByte('|')
	}
	return b.String()
}

// list reads one page and seals the token of the next.
func list[T any](ctx context.Context, c *Control, l List, read func(*state.Tx, state.Query) ([]T, *state.Cursor, error)) (rows []T, next string, err error) {
	q, err := c.query(l)
	if err != nil {
		return nil, "", err
	}
	err = c.State.View(ctx, func(tx *state.Tx) error {
		var cursor *state.Cursor
		rows, cursor, err = read(tx, q)
		next = c.tokens.seal(q, cursor)
		return err
	})
	return rows, next, err
}

// ListModels gives a page of models (CP-37) and the token of the next.
func (c *Control) ListModels(ctx context.Context, l List) ([]resource.Model, string, error) {
	return list(ctx, c, l, (*state.Tx).ListModels)
}

// ListTransformJobs gives a page of jobs (BT-163) and the token of the next.
func (c *Control) ListTransformJobs(ctx context.Context, l List) ([]resource.TransformJob, string, error) {
	return list(ctx, c, l, (*state.Tx).ListTransformJobs)
}

// notFound turns a missing row into the operation's own sentence.
func notFound(err error, format string, args ...any) error {
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, format, args...)
	}
	return err
}
