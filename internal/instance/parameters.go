package instance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
)

// maxSmallAnswer bounds the answers to /ping and /execution-parameters.
const maxSmallAnswer = 64 << 10

// The strategies as containers spell them (CC-30).
const (
	MultiRecord  = "MULTI_RECORD"
	SingleRecord = "SINGLE_RECORD"
)

// Parameters are what the container proposes in /execution-parameters. A field
// is nil when it proposes nothing valid; the request and the defaults then
// decide (CC-32).
type Parameters struct {
	MaxConcurrentTransforms *int    // 1 to 100
	MaxPayloadInMB          *int    // 0 or more
	BatchStrategy           *string // MultiRecord or SingleRecord
}

// Parameters asks the container once for its execution parameters (CC-31). A
// container without that route answers 404, which is no fault (CC-33). Whatever
// else is wrong is ignored and told in a warning, one for each value (CC-34,
// CC-35).
func (in *Instance) Parameters(ctx context.Context) (p Parameters, warnings []string) {
	ctx, cancel := context.WithTimeout(ctx, in.opts.PingTimeout)
	defer cancel()
	c := in.NewConn()
	defer c.Close()
	answer, err := c.roundTrip(ctx, message{head: getHead("/execution-parameters")}, nil, in.opts.PingTimeout, maxSmallAnswer)
	switch {
	case err != nil:
		return p, []string{"GET /execution-parameters: " + answerText(err) + "; it is ignored"}
	case c.ans.status == 404:
		return p, nil
	case c.ans.status != 200:
		return p, []string{fmt.Sprintf("GET /execution-parameters was answered with %d; it is ignored", c.ans.status)}
	}
	return parseParameters(answer)
}

func parseParameters(answer []byte) (p Parameters, warnings []string) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(answer, &fields); err != nil || fields == nil {
		return p, []string{"the answer to GET /execution-parameters is not a JSON object: " + quote(answer) + "; it is ignored"}
	}
	warn := func(name, want string) {
		warnings = append(warnings, fmt.Sprintf("/execution-parameters: %s is %s instead of %s; it is ignored", name, quote(fields[name]), want))
	}
	if raw, ok := fields["MaxConcurrentTransforms"]; ok {
		if p.MaxConcurrentTransforms = wholeNumber(raw, 1, 100); p.MaxConcurrentTransforms == nil {
			warn("MaxConcurrentTransforms", "a whole number from 1 to 100")
		}
	}
	if raw, ok := fields["MaxPayloadInMB"]; ok {
		if p.MaxPayloadInMB = wholeNumber(raw, 0, maxPayloadInMB); p.MaxPayloadInMB == nil {
			warn("MaxPayloadInMB", "a whole number of 0 or more")
		}
	}
	if raw, ok := fields["BatchStrategy"]; ok {
		var s string
		if json.Unmarshal(raw, &s) == nil && (s == MultiRecord || s == SingleRecord) {
			p.BatchStrategy = &s
		} else {
			warn("BatchStrategy", MultiRecord+" or "+SingleRecord)
		}
	}
	return p, warnings
}

// maxPayloadInMB keeps a payload countable in bytes; no payload is that large.
const maxPayloadInMB = 1 << 20

// wholeNumber reads a JSON number between two bounds, nil when it is none.
// 6.0 is one.
func wholeNumber(raw json.RawMessage, least, most int) *int {
	var f float64
	if err := json.Unmarshal(raw, &f); err != nil || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	n := int(f)
	if f < float64(least) || f > float64(most) || float64(n) != f {
		return nil
	}
	return &n
}
