package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/router"
)

// The bounds of the bodies of the runtime API.
const (
	// bodyMargin is what the real service lets pass beyond the limit before it stops
	// reading (RT-8).
	bodyMargin = 4096
	// bodyStep is how much is read before more room is made: a client gets room for
	// what it has sent, not for what it says that it will send.
	bodyStep = 64 << 10
	// bodyBudget bounds all bodies that are held at the same time.
	bodyBudget = 1 << 30
)

// bodies reads the bodies of the runtime API.
type bodies struct {
	held   atomic.Int64
	budget int64
	time   time.Duration
}

// tooLarge is a body over the limit.
type tooLarge struct{ limit int64 }

func (e *tooLarge) Error() string {
	return fmt.Sprintf("HTTP content length exceeded %d bytes.", e.limit)
}

// read reads a body of at most limit bytes. release, which is never nil, gives back
// what the body takes of the budget.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, release func(), err error) {
	taken := int64(0)
	release = func() { b.held.Add(-taken) }
	if r.ContentLength > limit+bodyMargin {
		return nil, release, &tooLarge{limit + bodyMargin}
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(b.time))
	first := int64(bodyStep)
	if r.ContentLength >= 0 {
		first = min(first, r.ContentLength+1)
	}
	for {
		if len(body) == cap(body) {
			more := max(first, min(int64(cap(body)), limit+bodyMargin+1-int64(cap(body))))
			if taken += more; b.held.Add(more) > b.budget {
				return nil, release, router.Errorf(router.ServiceUnavailable, "The server holds as many request bodies as it may. Repeat the request later.")
			}
			grown := make([]byte, len(body), int64(cap(body))+more)
			copy(grown, body)
			body = grown
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit+bodyMargin:
			return nil, release, &tooLarge{limit + bodyMargin}
		case err == io.EOF:
			_ = control.SetReadDeadline(time.Time{}) // the client's leaving is still watched for
			return body, release, checkLength(body, limit)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, release, router.Errorf(router.ValidationError, "The request's body did not arrive within %v.", b.time)
		case err != nil:
			return nil, release, router.Errorf(router.ValidationError, "The request ended before its body did.")
		}
	}
}

// checkLength is the constraint of the API's model (RT-1).
func checkLength(body []byte, limit int64) error {
	if int64(len(body)) > limit {
		return router.Errorf(router.ValidationError, "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less than or equal to %d", limit)
	}
	return nil
}
