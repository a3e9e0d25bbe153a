package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/objstore"
)

func testConcurrency(t *testing.T, h Harness) {
	const writers, rounds = 4, 8
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range rounds {
				if err := h.round(t, i, j); err != nil {
					t.Errorf("writer %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := h.keys(t, "own/"); len(got) != writers {
		t.Errorf("left are %q", got)
	}
}

// round is what one of several writers does at a time: it shares one key with
// the others, empties and fills folders, and puts an object and a folder at one
// name.
func (h Harness) round(t *testing.T, i, j int) error {
	ctx := t.Context()
	body := strings.Repeat(fmt.Sprintf("%d.%d ", i, j), 2000)
	var errs []error
	for _, key := range []string{"shared/k", fmt.Sprintf("own/%d/%d", i, j), "turn", fmt.Sprintf("turn/%d", i)} {
		_, err := h.tryPut(ctx, key, []byte(body))
		errs = append(errs, err)
	}
	for _, key := range []string{"shared/k", "turn"} {
		got, err := h.tryGet(ctx, key, objstore.All)
		word, _, _ := strings.Cut(string(got), " ")
		if string(got) != strings.Repeat(word+" ", 2000) {
			err = errors.Join(err, fmt.Errorf("a reader of %q saw a mixture of two writers' bytes", key))
		}
		errs = append(errs, err)
	}
	errs = append(errs, h.Store.Delete(ctx, h.ref(fmt.Sprintf("own/%d/%d", i, j-1))))
	return errors.Join(errs...)
}
