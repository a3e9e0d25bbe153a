package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

const (
	account = "111122223333"
	uuid    = "1234abcd-12ab-34cd-56ef-1234567890ab"
)

func TestParse(t *testing.T) {
	t.Parallel()
	arn := "arn:aws:kms:us-east-1:" + account + ":"
	for name, want := range map[string]string{
		uuid:                               "key " + uuid,
		"mrk-" + strings.Repeat("0a", 16):  "key mrk-" + strings.Repeat("0a", 16),
		arn + "key/" + uuid:                "key " + uuid,
		"alias/a":                          "alias alias/a",
		"alias/aws/s3":                     "alias alias/aws/s3",
		arn + "alias/a":                    "alias alias/a",
		"fake-key-id":                      "NotFoundException: Invalid keyId 'fake-key-id'",
		"134f2428cec14b25a1ae9048164dba47": "NotFoundException: Invalid keyId '134f2428cec14b25a1ae9048164dba47'",
		strings.ToUpper(uuid):              "NotFoundException: Invalid keyId",
		"":                                 "NotFoundException: Invalid keyId ''",
		"arn:aws:kms:eu-west-1:" + account + ":key/x":    "NotFoundException: Invalid arn eu-west-1",
		"arn:aws:kms:us-east-1:444455556666:key/" + uuid: "AccessDeniedException: The key arn:aws:kms:us-east-1:444455556666:key/" + uuid + " belongs to another account",
		arn + uuid:                "NotFoundException: Invalid arn '" + arn + uuid + "'",
		arn + "key/no":            "NotFoundException: Invalid keyId",
		"arn:aws:s3:::bucket/key": "NotFoundException: Invalid arn",
		"arn:aws:kms":             "NotFoundException: Invalid arn",
	} {
		ref, err := ID{Region: "us-east-1", Name: name}.Parse(account)
		got := ""
		switch {
		case err != nil:
			got = fault.TextOf(err)
		case ref.Alias != "":
			got = "alias " + ref.Alias
		default:
			got = "key " + ref.KeyID
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if err == nil {
			again, err := ID{Region: "us-east-1", Name: ref.ARN(account)}.Parse(account)
			if err != nil || again != ref {
				t.Errorf("%s: %s is read as %+v, %v", name, ref.ARN(account), again, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("arn:aws:kms:us-east-1:111122223333:key/" + uuid)
	f.Add("alias/x")
	f.Fuzz(func(t *testing.T, name string) {
		ref, err := ID{Region: "us-east-1", Name: name}.Parse(account)
		if err == nil && (ref.Region != "us-east-1" || (ref.KeyID == "") == (ref.Alias == "")) {
			t.Errorf("%q is %+v", name, ref)
		}
		if err != nil && fault.TextOf(err) == "" {
			t.Errorf("%q: %v", name, err)
		}
	})
}

// Two contexts are the same bytes only if they are equal, whatever their texts.
func TestContextBytes(t *testing.T) {
	t.Parallel()
	texts := rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00=")), 0, 4, -1)
	contexts := rapid.MapOfN(texts, texts, 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := Context(contexts.Draw(t, "a")), Context(contexts.Draw(t, "b"))
		x, err := a.Bytes()
		y, err2 := b.Bytes()
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if bytes.Equal(x, y) != maps.Equal(a, b) {
			t.Fatalf("%v and %v are %x and %x", a, b, x, y)
		}
	})
	if _, err := (Context{"k": strings.Repeat("x", maxContext)}).Bytes(); !fault.Is(err, fault.Invalid) {
		t.Error("a context that is too long was accepted")
	}
	if _, err := (Context{"k": strings.Repeat("x", maxContext-1)}).Bytes(); err != nil {
		t.Error(err)
	}
}

func TestUsable(t *testing.T) {
	t.Parallel()
	for state, want := range map[State]string{
		Enabled: "", Disabled: "DisabledException: arn is disabled.", PendingDeletion: "KMSInvalidStateException: arn is pending deletion.",
		"PendingImport": "KMSInvalidStateException: arn is in the state PendingImport, in which it cannot be used.",
	} {
		err := Key{ARN: "arn", State: state}.Usable()
		if fault.TextOf(err) != want || want != "" && !fault.Is(err, fault.Unusable) {
			t.Errorf("%s: %v", state, err)
		}
	}
}

// A cause is in the chain, and not in the text.
func TestErrorKeepsItsCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp 10.0.0.1")
	err := error(Wrap(UnavailableException, cause, "The key service does not answer."))
	if !errors.Is(err, cause) || !fault.Is(err, fault.Unavailable) || strings.Contains(fault.TextOf(err), "10.0.0.1") {
		t.Errorf("%v", err)
	}
}

// A secret shows in nothing that prints.
func TestSecretIsNotSeen(t *testing.T) {
	t.Parallel()
	k := DataKey{KeyARN: "arn", Plaintext: Secret("very secret")}
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+"\n", k)
		fmt.Fprintf(&b, verb+"\n", k.Plaintext)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("x", "key", k, "secret", k.Plaintext)
	}
	if err := json.NewEncoder(&b).Encode(k); err != nil {
		t.Fatal(err)
	}
	for _, seen := range []string{"very", "76657279", "dmVyeS", "118 101 114 121"} {
		if strings.Contains(b.String(), seen) {
			t.Errorf("%q is in %s", seen, b.String())
		}
	}
	k.Plaintext.Wipe()
	if !bytes.Equal(k.Plaintext, make([]byte, 11)) {
		t.Error("not wiped")
	}
}
