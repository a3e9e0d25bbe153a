package api

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/router"
)

// member is a member of a request of the runtime API that comes in a header. The
// figures are those of the official model; a test compares them.
type member struct {
	name, header string
	*constraint
}

// constraint is what the model asks of a value.
type constraint struct {
	min, max int
	integer  bool
	pattern  string // as the model has it
	match    func() *regexp.Regexp
}

// constrain makes a constraint. expr says the same as pattern in Go's syntax and
// must match all of a value; "" is the pattern itself.
func constrain(least, most int, pattern, expr string) *constraint {
	if expr == "" {
		expr = pattern
	}
	return &constraint{min: least, max: most, pattern: pattern, match: sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:` + expr + `)$`)
	})}
}

func between(least, most int) *constraint { return &constraint{min: least, max: most, integer: true} }

// The shapes of the model.
const nameText = `^[a-zA-Z0-9](-*[a-zA-Z0-9])*`

var (
	endpointName     = constrain(0, 63, nameText, "")
	plainHeader      = constrain(0, 1024, `\p{ASCII}*`, `[\x00-\x7f]*`)
	printable        = constrain(1, 64, `\A\S[\p{Print}]*\z`, `[^\s][\x20-\x7e]*`)
	targetModel      = constrain(1, 1024, `\A\S[\p{Print}]*\z`, `[^\s][\x20-\x7e]*`)
	explanations     = constrain(1, 64, `.*`, "")
	componentName    = constrain(0, 63, `^[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?$`, "")
	sessionID        = constrain(0, 256, `^[a-zA-Z0-9](-*[a-zA-Z0-9])*$`, "")
	sessionOrNew     = constrain(0, 256, `^(NEW_SESSION)$|^[a-zA-Z0-9](-*[a-zA-Z0-9])*$`, "")
	inputLocation    = constrain(1, 1024, `^(https|s3)://([^/]+)/?(.*)$`, "")
	outputExtension  = constrain(1, 512, `^(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+$`, `[a-zA-Z0-9!_.*'()/-]+`)
	outputFilename   = constrain(1, 32, `^(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9-_\.]*$`, `[a-zA-Z0-9][a-zA-Z0-9_-]*(\.[a-zA-Z0-9_-]*)?`)
	requestTTL       = between(60, 21600)
	invocationsLimit = between(1, 3600)
)

// The members of the operations; header names differ between them (RT-2, RT-20,
// RT-30).
var invokeMembers = []member{
	{"ContentType", "Content-Type", plainHeader},
	{"Accept", "Accept", plainHeader},
	{"CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes", plainHeader},
	{"TargetModel", "X-Amzn-SageMaker-Target-Model", targetModel},
	{"TargetVariant", "X-Amzn-SageMaker-Target-Variant", endpointName},
	{"TargetContainerHostname", "X-Amzn-SageMaker-Target-Container-Hostname", endpointName},
	{"InferenceId", "X-Amzn-SageMaker-Inference-Id", printable},
	{"EnableExplanations", "X-Amzn-SageMaker-Enable-Explanations", explanations},
	{"InferenceComponentName", "X-Amzn-SageMaker-Inference-Component", componentName},
	{"SessionId", "X-Amzn-SageMaker-Session-Id", sessionOrNew},
}

// members are a request's members by name.
type members struct {
	header http.Header
	table  []member
}

// get gives a member, "" when the request has none or the operation none of the name.
func (m members) get(name string) string {
	for i := range m.table {
		if m.table[i].name == name {
			return m.header.Get(m.table[i].header)
		}
	}
	return ""
}

// number gives an integer member, or the default where it was not sent. It has been
// validated.
func (m members) number(name string, otherwise int) int {
	if n, err := strconv.Atoi(m.get(name)); err == nil {
		return n
	}
	return otherwise
}

// validate checks the endpoint's name and all members against the model, and names
// every violation.
func (q *runtimeRequest) validate() error {
	bad := endpointName.violations("EndpointName", q.endpoint)
	for _, m := range q.members.table {
		if values := q.members.header.Values(m.header); len(values) > 0 {
			bad = append(bad, m.violations(m.name, values[0])...)
		}
	}
	switch len(bad) {
	case 0:
		return nil
	case 1:
		return router.Errorf(router.ValidationError, "1 validation error detected: %s", bad[0])
	}
	return router.Errorf(router.ValidationError, "%d validation errors detected: %s", len(bad), strings.Join(bad, "; "))
}

// violations says what is wrong with a value. It does not repeat it: a member may be
// sensitive.
func (c *constraint) violations(name, v string) (bad []string) {
	add := func(format string, args ...any) {
		at := strings.ToLower(name[:1]) + name[1:]
		bad = append(bad, fmt.Sprintf("Value at '%s' failed to satisfy constraint: %s", at, fmt.Sprintf(format, args...)))
	}
	if c.integer {
		n, err := strconv.Atoi(v)
		switch {
		case err != nil:
			add("Member must be an integer")
		case n > c.max:
			add("Member must have value less than or equal to %d", c.max)
		case n < c.min:
			add("Member must have value greater than or equal to %d", c.min)
		}
		return bad
	}
	switch n := utf8.RuneCountInString(v); {
	case n > c.max:
		add("Member must have length less than or equal to %d", c.max)
		return bad // a stranger's text of any length is not matched
	case n < c.min:
		add("Member must have length greater than or equal to %d", c.min)
	}
	if !c.match().MatchString(v) {
		add("Member must satisfy regular expression pattern: %s", c.pattern)
	}
	return bad
}
