package control

import (
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/transform"
)

// CP-23: a token comes back only to the list that gave it, whole and unchanged.
func TestTokens(t *testing.T) {
	t.Parallel()
	k := tokens{secret: []byte("a secret of the server")}
	q := state.Query{Region: "r", NameContains: "a", SortBy: state.SortByName, Limit: 10}
	token := k.seal(q, &state.Cursor{Name: "abc", Created: 7})
	if token == "" || k.seal(q, nil) != "" {
		t.Fatalf("token %q", token)
	}
	q.Limit = 50 // the size of a page may change
	after, err := k.open(q, token)
	if err != nil || after.Name != "abc" || after.Created != 7 {
		t.Errorf("opened %+v, %v", after, err)
	}
	other := q
	other.Status = "Failed"
	if _, err := k.open(other, token); err == nil {
		t.Error("a token of other filters was accepted")
	}
	for i := range token {
		flipped := token[:i] + string(token[i]^1) + token[i+1:]
		if _, err := k.open(q, flipped); err == nil {
			t.Errorf("a token with character %d changed was accepted", i)
		}
	}
	if _, err := (tokens{secret: []byte("another server's")}).open(q, token); err == nil {
		t.Error("a token of another server was accepted")
	}
}

// I8: values of secret variables are masked; others, and short ones, are not.
func TestMasker(t *testing.T) {
	t.Parallel()
	m := newMasker(map[string]string{"API_TOKEN": "hunter2", "MODE": "fast"}, map[string]string{"DB_PASSWORD": "pass", "KEY_SECRET": "abc"})
	if got := m.Text("hunter2 fast pass abc"); got != "**** fast **** abc" {
		t.Errorf("got %q", got)
	}
}

// CP-60, and our own prefix: what tags a resource may have.
func TestCheckTags(t *testing.T) {
	t.Parallel()
	many := make([]resource.Tag, 51)
	for i := range many {
		many[i].Key = strings.Repeat("k", i+1)
	}
	for name, tags := range map[string][]resource.Tag{
		"51 tags":            many,
		"twice":              {{Key: "a"}, {Key: "a"}},
		"reserved":           {{Key: "AWS:x"}},
		"unknown of ours":    {{Key: "sagebrush:layout", Value: "parts"}},
		"bad value of ours":  {{Key: layoutTag, Value: "both"}},
		"empty value of it":  {{Key: layoutTag}},
		"other case of ours": {{Key: layoutTag, Value: "Parts"}},
	} {
		if checkTags(tags) == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if err := checkTags(append(many[:49], resource.Tag{Key: layoutTag, Value: "parts"})); err != nil {
		t.Error(err)
	}
}

// BT-92, and both stories where they are of one class.
func TestGraver(t *testing.T) {
	t.Parallel()
	client := &transform.Failure{Class: transform.ClientError, Text: "the object"}
	algorithm := &transform.Failure{Class: transform.AlgorithmError, Text: "the object"}
	died := &transform.Failure{Class: transform.AlgorithmError, Text: "it died"}
	broken := &transform.Failure{Class: transform.InternalError, Text: "the disk"}
	if graver(nil, died) != died || graver(client, died) != died || graver(broken, died) != broken {
		t.Error("the graver one was not chosen")
	}
	if got := graver(algorithm, died).Text; got != "the object. Then it died" {
		t.Errorf("both give %q", got)
	}
}
