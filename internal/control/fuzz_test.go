package control

import (
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// A NextToken is taken only as a list gave it, and for the same question (CP-23).
func FuzzToken(f *testing.F) {
	k := tokens{secret: []byte("a secret of the server")}
	q := state.Query{Region: "us-east-1", NameContains: "x"}
	given := k.seal(q, &state.Cursor{})
	for _, s := range []string{given, given[1:], given + "=", strings.ToUpper(given), "\n" + given, strings.Repeat("A", 300), "x"} {
		f.Add(s, "x")
	}
	f.Fuzz(func(t *testing.T, token, name string) {
		q := q
		q.NameContains = name
		after, err := k.open(q, token)
		switch {
		case token == "" && (after != nil || err != nil):
			t.Errorf("no token gives %v, %v", after, err)
		case token != "" && (err == nil) != (token == given && name == "x"):
			t.Errorf("%q for %q gives %v, %v", token, name, after, err)
		case err != nil && !fault.Is(err, fault.Invalid):
			t.Errorf("%v", err)
		}
	})
}
