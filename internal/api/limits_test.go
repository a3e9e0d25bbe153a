package api

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/identity"
)

// A caller has its rate, and twice as many at once; others have theirs (CP-83).
func TestLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &limits{perSecond: 5}
		count := func(who *identity.Principal) (n int) {
			for l.take(who) == nil {
				n++
			}
			return n
		}
		one, two := &identity.Principal{Base: "AKIAONE"}, &identity.Principal{Base: "AKIATWO"}
		if n := count(one); n != 10 {
			t.Errorf("%d at once", n)
		}
		if n := count(&identity.Principal{Base: "AKIAONE", AccessKeyID: "ASIASESSION"}); n != 0 {
			t.Errorf("a session has %d more", n)
		}
		if a, b := count(two), count(nil); a != 10 || b != 10 {
			t.Errorf("others have %d and %d", a, b)
		}
		time.Sleep(time.Second)
		if n := count(one); n != 5 {
			t.Errorf("%d after a second", n)
		}
		time.Sleep(time.Minute)
		if n := count(one); n != 10 {
			t.Errorf("%d after a minute", n)
		}
	})
	none := &limits{}
	for range 1000 {
		if err := none.take(nil); err != nil {
			t.Fatal(err)
		}
	}
}

// Callers who come and go do not make the table grow.
func TestLimitsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &limits{perSecond: 1}
		busy := &identity.Principal{Base: "busy"}
		for l.take(busy) == nil {
		}
		for i := range 3 * maxBuckets {
			l.of(&identity.Principal{Base: fmt.Sprint("idle", i)}) // without taking: full
		}
		if len(l.buckets) > maxBuckets {
			t.Errorf("%d limiters", len(l.buckets))
		}
		if l.take(busy) == nil {
			t.Error("who is over the limit is forgotten for the sake of the idle")
		}
		for i := range 3 * maxBuckets {
			_ = l.take(&identity.Principal{Base: fmt.Sprint("new", i)})
		}
		if len(l.buckets) > maxBuckets {
			t.Errorf("%d limiters", len(l.buckets))
		}
	})
}
