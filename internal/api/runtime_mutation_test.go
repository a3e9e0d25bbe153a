package api

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"
)

// badValues are values that a member may not have, each with the constraint that names
// it. HTTP itself strips blanks at the ends of a value.
func (c *constraint) badValues(rng *rand.Rand) map[string]string {
	bad := map[string]string{}
	if c.integer {
		for _, text := range []string{"", "x", "1.5", "1e3", "0x50", "１", "9223372036854775808", strings.Repeat("9", 500), "--1"} {
			bad[text] = "Member must be an integer"
		}
		for range 20 {
			bad[strconv.Itoa(c.max+1+rng.IntN(1<<30))] = fmt.Sprintf("Member must have value less than or equal to %d", c.max)
			bad[strconv.Itoa(c.min-1-rng.IntN(1<<30))] = fmt.Sprintf("Member must have value greater than or equal to %d", c.min)
		}
		return bad
	}
	for _, n := range []int{c.max + 1, c.max + 2, 2*c.max + 1, 8000} {
		bad[strings.Repeat("a", n)] = fmt.Sprintf("Member must have length less than or equal to %d", c.max)
		bad[strings.Repeat("ü", n)] = fmt.Sprintf("Member must have length less than or equal to %d", c.max)
	}
	if c.min > 0 {
		bad[""] = fmt.Sprintf("Member must have length greater than or equal to %d", c.min)
	}
	for range 200 {
		text := make([]rune, 1+rng.IntN(20))
		for i := range text {
			text[i] = []rune{'a', '-', '.', '_', ' ', '\t', '/', ':', '!', 'ü', '\u2028', rune(' ' + rng.IntN(95))}[rng.IntN(12)]
		}
		value := strings.Trim(string(text), " \t")
		if n := utf8.RuneCountInString(value); n > c.max || n < c.min || n == 0 || c.match().MatchString(value) {
			continue // it is valid, or wrong in another way
		}
		bad[value] = "Member must satisfy regular expression pattern: " + c.pattern
	}
	return bad
}

// Every member of every operation of the runtime API is refused by its name when it is
// too short, too long, out of range or against its pattern, alone and beside others
// (RT-2, RT-20, RT-30), and no container hears of it.
func TestRuntimeMutations(t *testing.T) {
	t.Parallel()
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	var reached atomic.Int64
	p := newRuntime(t, true, func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		echo(w, r)
	})
	n := 0
	refused := func(what, path, member, constraint string, headers ...string) {
		n++
		a := p.do(p.request(path, "x", headers...))
		var body struct{ Message string }
		err := json.Unmarshal([]byte(a.body), &body)
		at := "Value at '" + strings.ToLower(member[:1]) + member[1:] + "' failed to satisfy constraint: " + constraint
		if err != nil || a.status != 400 || a.header.Get("X-Amzn-Errortype") != "ValidationError" || !strings.Contains(body.Message, at) {
			t.Errorf("seed %d: %s: %d %s %.300q\nwant %s", seed, what, a.status, a.header.Get("X-Amzn-Errortype"), a.body, at)
		}
	}
	for _, call := range runtimeCalls {
		path := "/endpoints/e/" + call.suffix
		for _, m := range call.members {
			bad := m.badValues(rng)
			for value, constraint := range bad {
				what := fmt.Sprintf("%s, %s %.100q", call.name, m.name, value)
				refused(what, path, m.name, constraint, m.header, value)
				if other := call.members[1]; m.name != other.name {
					refused(what+" beside another", path, other.name, "Member must have length", m.header, value, other.header, strings.Repeat("x", 1025))
				}
			}
			if len(bad) < 4 {
				t.Errorf("%s, %s: only %d bad values", call.name, m.name, len(bad))
			}
		}
		for _, name := range []string{"-", "-e", "e-", "e_", "e..", "%2e%2e", "%00", "e%0a", "%c3%bc", strings.Repeat("e", 64), strings.Repeat("e", 5000), "e%20"} {
			refused(call.name+" of "+name, "/endpoints/"+name+"/"+call.suffix, "EndpointName", "Member must")
		}
	}
	if reached.Load() != 0 {
		t.Errorf("seed %d: the container was asked %d times", seed, reached.Load())
	}
	t.Logf("%d requests", n)
}
