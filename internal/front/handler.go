package front

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Handler is what front asks about the invocations of endpoints: which container
// a request goes to, and what the caller is told when that one fails.
//
// Its methods are called on the event loops, several of them at a time. They must
// not block: what has to wait (for an instance to start, for a disk) is answered
// with Elsewhere. Nothing that they are given may be kept when they return, except
// Target.Ref, which is the Handler's own. A panic in them is the end of the process.
type Handler interface {
	// Takes says whether a request is for Route. It is asked when the head of a
	// request for /endpoints/NAME/invocations is complete, and must not allocate.
	Takes(h *Head) Intake
	// Route decides where a request goes and fills in t for Forward, or a for Reply.
	Route(r *Request, t *Target, a *Answer) Verdict
	// Done is called once for each Forward, whatever happened. a is the answer to
	// the caller when the container's own cannot be it: for a status that is not
	// 2xx and for a failure. It is nil when the answer has been passed on already,
	// wholly or in part, and when the caller is gone.
	//
	// When o.Again is true, the request is still at hand and the caller has had
	// nothing: Done may put another address into t and return true, which is another
	// Forward, with another Done. After Refused and Saturated the container cannot
	// have seen the request; after Reset it may have.
	Done(t *Target, o *Outcome, a *Answer) (again bool)
}

// Head is the head of a request. Its slices are views, good until the call ends.
type Head struct {
	Method, Path, Query, Host []byte
	// Fields are the field lines in their order; names are as the client spells
	// them. net/http forgets the order of different names, so there it is not kept.
	Fields []Field
	// ContentLength is the length of the body; front takes no chunked ones.
	ContentLength int64

	close bool // the client wants no further request on the connection
}

// Field is one field line.
type Field struct{ Name, Value []byte }

// Get gives the first value of a field by its name in lower case, or nil.
func (h *Head) Get(lower string) []byte {
	for i := range h.Fields {
		if fold(h.Fields[i].Name, lower) {
			return h.Fields[i].Value
		}
	}
	return nil
}

// Request is a request whose body may be at hand.
type Request struct {
	Head
	// Body is the whole body. It is nil where the body follows later: Intake did
	// not ask for it, and it is too long to wait for.
	Body []byte
	// Whole tells whether Body is the body.
	Whole bool
}

// Intake is what Takes answers. The zero value leaves the request to net/http.
type Intake struct {
	Taken bool
	// Whole asks for the body before Route, because a signature covers it.
	Whole bool
	// MaxBody is the longest body in bytes; a longer one is refused (RT-8).
	MaxBody int64
}

// Verdict is what Route decides.
type Verdict int

const (
	// Forward sends the request to the Target.
	Forward Verdict = iota
	// Reply sends the Answer.
	Reply
	// Elsewhere leaves the request to net/http, for good. Only a request whose body
	// is whole, or has not been asked for, can go there.
	Elsewhere
)

// Target is where a request goes. Front owns it and clears it before each Route.
type Target struct {
	Addr netip.AddrPort
	// Path is the path at the container; "" is /invocations (CC-20).
	Path string
	// Fields are sent to the container, behind Host and Content-Length, which front
	// writes (CC-25, CC-52).
	Fields Fields
	// Limit is how long the container may take to answer, from the moment that the
	// request is complete (CC-24); 0 is for ever.
	Limit time.Duration
	// MaxAnswer is the longest body of an answer in bytes; 0 is without bound.
	MaxAnswer int64
	// Extra is added to the answer's head, when the container's answer is passed on
	// and when it is replaced (EP-35).
	Extra Fields
	// Ref is the Handler's own.
	Ref any
}

func (t *Target) reset() {
	*t = Target{Fields: t.Fields[:0], Extra: t.Extra[:0]}
}

// path is the path at the container.
func (t *Target) path() string {
	if t.Path == "" {
		return "/invocations"
	}
	return t.Path
}

// Fields are field lines as they go over the wire.
type Fields []byte

// Add adds a line. A control character in the value, which would begin another
// line, becomes a blank.
func (f *Fields) Add(name string, value []byte) {
	b := append(*f, name...)
	b = append(b, ": "...)
	at := len(b)
	b = append(b, value...)
	for i := at; i < len(b); i++ {
		if b[i] < ' ' || b[i] == 0x7f {
			b[i] = ' '
		}
	}
	*f = append(b, "\r\n"...)
}

// AddString is Add for a text.
func (f *Fields) AddString(name, value string) {
	at := len(*f)
	f.Add(name, nil)
	b := append((*f)[:len(*f)-2], value...)
	for i := at; i < len(b); i++ {
		if b[i] < ' ' || b[i] == 0x7f {
			b[i] = ' '
		}
	}
	*f = append(b, "\r\n"...)
}

// Answer is an answer that is not a container's.
type Answer struct {
	Status int
	Fields Fields
	Body   []byte
}

func (a *Answer) reset() { *a = Answer{Fields: a.Fields[:0], Body: a.Body[:0]} }

// Error makes the answer an error of the runtime API (RT-4). More members of the
// body, if there are any, are added as JSON: `"OriginalStatusCode":500`.
func (a *Answer) Error(status int, code, message string, more ...string) {
	a.Status = status
	a.Fields = a.Fields[:0]
	a.Fields.AddString("Content-Type", "application/json")
	a.Fields.AddString("x-amzn-ErrorType", code)
	b := append(a.Body[:0], `{"Message":`...)
	b, _ = jsontext.AppendQuote(b, message) // bytes that are not UTF-8 are replaced
	for _, m := range more {
		b = append(b, ',')
		b = append(b, m...)
	}
	a.Body = append(b, '}')
}

// Failure is why a container's answer could not be had.
type Failure int

const (
	// None: there is an answer, whatever its status.
	None Failure = iota
	// Refused: no connection, within 250 ms (CC-24).
	Refused
	// Saturated: more connections to this address are open than front allows.
	Saturated
	// Reset: the connection ended before the answer did.
	Reset
	// TimedOut: the answer was not complete within Target.Limit (RT-7).
	TimedOut
	// Malformed: what came is not HTTP.
	Malformed
	// TooLarge: the answer is longer than Target.MaxAnswer.
	TooLarge
	// ClientGone: the caller went away, or does not take its answer.
	ClientGone
	// Stopped: front was closed before the answer was complete.
	Stopped
)

// String names the failure for logs.
func (f Failure) String() string {
	names := [...]string{"none", "refused", "saturated", "reset", "timed out", "malformed answer", "answer too large", "client gone", "stopped"}
	if f < 0 || int(f) >= len(names) {
		return "failure " + strconv.Itoa(int(f))
	}
	return names[f]
}

// maxErrorBody bounds what is kept of an answer that is not 2xx.
const maxErrorBody = 64 << 10

// Outcome is how a call to a container ended.
type Outcome struct {
	Failure Failure
	// Status is the container's, 0 when none came.
	Status int
	// FirstByte and Total count from Route to the first and the last byte of the
	// answer; FirstByte is 0 when there was none.
	FirstByte, Total time.Duration
	// Sent and Received are bytes of bodies.
	Sent, Received int64
	// Body is the beginning, up to 64 KiB, of an answer that is not 2xx (RT-6).
	Body []byte
	// Again tells that the request can be sent once more.
	Again bool
}

func (o *Outcome) reset() { *o = Outcome{Body: o.Body[:0]} }

// defaultAnswer is what the caller is told where Done has not filled in a.
func (o *Outcome) defaultAnswer(a *Answer) {
	if a.Status != 0 {
		return
	}
	if o.Failure == None {
		a.Error(424, "ModelError", "The container answered with the status "+strconv.Itoa(o.Status)+".",
			`"OriginalStatusCode":`+strconv.Itoa(o.Status))
		return
	}
	a.Error(503, "ServiceUnavailable", "The container could not be reached: "+o.Failure.String()+".")
}

// fold reports whether name is lower in any case.
func fold(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range name {
		ch := name[i]
		if 'A' <= ch && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		if ch != lower[i] {
			return false
		}
	}
	return true
}
