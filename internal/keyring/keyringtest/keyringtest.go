// Package keyringtest is the suite that every keyring passes, and a keyring in memory
// for tests of those who use one.
package keyringtest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// Harness is a keyring with what an administrator of its keys does.
type Harness struct {
	Keyring keyring.Keyring
	Account string
	// NewKey makes an enabled key in a region and gives its id.
	NewKey func(t *testing.T, region string) string
	// Alias gives a key a second name.
	Alias func(t *testing.T, region, alias, keyID string)
	// SetState brings a key into a state, from whichever it is in.
	SetState func(t *testing.T, region, keyID string, s keyring.State)
	// Rotate makes the keyring use new material of the key from now on.
	Rotate func(t *testing.T, region, keyID string)
}

const region = "us-east-1"

// Run runs the suite. new makes a keyring without keys.
func Run(t *testing.T, harness func(t *testing.T) Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"names": testNames, "data keys": testDataKeys, "context": testContext, "states": testStates,
		"unknown": testUnknown, "damage": testDamage, "regions": testRegions, "rotation": testRotation,
		"service's own": testOwn, "secrets": testSecrets, "cancelled": testCancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, harness(t))
		})
	}
}

func id(name string) keyring.ID { return keyring.ID{Region: region, Name: name} }

// want checks an error's code, its words, and that the text of its fault has both.
func want(t *testing.T, err error, code keyring.Code, kind fault.Kind, words string) {
	t.Helper()
	text := fault.TextOf(err)
	if !fault.Is(err, kind) || !strings.HasPrefix(text, string(code)+": ") || !strings.Contains(text, words) {
		t.Errorf("got %v (%v), want a fault %v of %s: ... %s", err, fault.KindOf(err), kind, code, words)
	}
}

func generate(t *testing.T, h Harness, name string, c keyring.Context) keyring.DataKey {
	t.Helper()
	k, err := h.Keyring.GenerateDataKey(t.Context(), id(name), c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// testNames: a key is found by its id, its ARN, its alias and its alias' ARN.
func testNames(t *testing.T, h Harness) {
	key, other := h.NewKey(t, region), h.NewKey(t, region)
	h.Alias(t, region, "alias/Volumes_1", key)
	arn := "arn:aws:kms:" + region + ":" + h.Account + ":"
	for _, name := range []string{key, arn + "key/" + key, "alias/Volumes_1", arn + "alias/Volumes_1"} {
		k, err := h.Keyring.Describe(t.Context(), id(name))
		if want := (keyring.Key{ID: key, ARN: arn + "key/" + key, State: keyring.Enabled}); err != nil || k != want {
			t.Errorf("%s is %+v, %v; want %+v", name, k, err, want)
		}
		d := generate(t, h, name, nil)
		if d.KeyARN != arn+"key/"+key {
			t.Errorf("%s: wrapped by %s", name, d.KeyARN)
		}
		for _, by := range []string{key, "alias/Volumes_1", arn + "alias/Volumes_1"} {
			if got, err := h.Keyring.Decrypt(t.Context(), id(by), d.Wrapped, nil); err != nil || !bytes.Equal(got, d.Plaintext) {
				t.Errorf("%s, unwrapped by %s: %v", name, by, err)
			}
		}
		_, err = h.Keyring.Decrypt(t.Context(), id(other), d.Wrapped, nil)
		want(t, err, keyring.IncorrectKeyException, fault.Invalid, "does not identify")
	}
}

func testDataKeys(t *testing.T, h Harness) {
	key := h.NewKey(t, region)
	seen := map[string]bool{}
	for range 10 {
		d := generate(t, h, key, nil)
		if len(d.Plaintext) != keyring.DataKeySize || bytes.Contains(d.Wrapped, d.Plaintext) || len(d.Wrapped) > 1024 {
			t.Fatalf("a data key of %d bytes, wrapped in %d", len(d.Plaintext), len(d.Wrapped))
		}
		for _, b := range [][]byte{d.Plaintext, d.Wrapped} {
			if seen[string(b)] {
				t.Fatal("two data keys are the same")
			}
			seen[string(b)] = true
		}
	}
}

// testContext: a data key is unwrapped with an equal context only.
func testContext(t *testing.T, h Harness) {
	key := h.NewKey(t, region)
	contexts := []keyring.Context{nil, {"a": "b"}, {"a": "c"}, {"a": "b", "c": "d"}, {"ab": ""}, {"": "ab"}, {"ü": "\x00"}}
	for i, made := range contexts {
		d := generate(t, h, key, made)
		for j, given := range contexts {
			got, err := h.Keyring.Decrypt(t.Context(), id(key), d.Wrapped, given)
			if i == j {
				if err != nil || !bytes.Equal(got, d.Plaintext) {
					t.Errorf("%v: %v", made, err)
				}
				continue
			}
			want(t, err, keyring.InvalidCiphertextException, fault.Invalid, "")
		}
	}
	_, err := h.Keyring.GenerateDataKey(t.Context(), id(key), keyring.Context{"long": strings.Repeat("x", 8192)})
	want(t, err, keyring.ValidationException, fault.Invalid, "encryption context")
}

// testStates: only an enabled key can be used, also for what it wrapped before.
func testStates(t *testing.T, h Harness) {
	key := h.NewKey(t, region)
	d := generate(t, h, key, nil)
	for _, tt := range []struct {
		state keyring.State
		code  keyring.Code
		words string
	}{
		{keyring.Disabled, keyring.DisabledException, "is disabled."},
		{keyring.Enabled, "", ""},
		{keyring.PendingDeletion, keyring.InvalidStateException, "is pending deletion."},
		{keyring.Enabled, "", ""},
	} {
		h.SetState(t, region, key, tt.state)
		k, err := h.Keyring.Describe(t.Context(), id(key))
		if err != nil || k.State != tt.state || (k.Usable() == nil) != (tt.code == "") {
			t.Errorf("%s: %+v, %v", tt.state, k, err)
		}
		_, generated := h.Keyring.GenerateDataKey(t.Context(), id(key), nil)
		_, decrypted := h.Keyring.Decrypt(t.Context(), id(key), d.Wrapped, nil)
		for what, err := range map[string]error{"described": k.Usable(), "generated": generated, "decrypted": decrypted} {
			if tt.code == "" && err != nil {
				t.Errorf("%s, %s: %v", tt.state, what, err)
			}
			if tt.code != "" {
				want(t, err, tt.code, fault.Unusable, key+" "+tt.words)
			}
		}
	}
}

func testUnknown(t *testing.T, h Harness) {
	const nobody = "1234abcd-12ab-34cd-56ef-1234567890ab"
	arn := "arn:aws:kms:" + region + ":" + h.Account + ":"
	for name, words := range map[string]string{
		nobody:                "Key '" + arn + "key/" + nobody + "' does not exist",
		arn + "key/" + nobody: "Key '" + arn + "key/" + nobody + "' does not exist",
		"alias/nobody":        "Alias " + arn + "alias/nobody is not found.",
		arn + "alias/nobody":  "Alias " + arn + "alias/nobody is not found.",
		"nonsense":            "Invalid keyId 'nonsense'",
	} {
		_, described := h.Keyring.Describe(t.Context(), id(name))
		_, generated := h.Keyring.GenerateDataKey(t.Context(), id(name), nil)
		_, decrypted := h.Keyring.Decrypt(t.Context(), id(name), generate(t, h, h.NewKey(t, region), nil).Wrapped, nil)
		for _, err := range []error{described, generated, decrypted} {
			want(t, err, keyring.NotFoundException, fault.NotFound, words)
		}
	}
	_, err := h.Keyring.Describe(t.Context(), id("arn:aws:kms:"+region+":999988887777:key/"+nobody))
	want(t, err, keyring.AccessDeniedException, fault.Denied, nobody)
}

// testDamage: no bit of a wrapped key can change.
func testDamage(t *testing.T, h Harness) {
	key := h.NewKey(t, region)
	wrapped := generate(t, h, key, nil).Wrapped
	bad := [][]byte{[]byte("x"), wrapped[:len(wrapped)-1], append(bytes.Clone(wrapped), 0)}
	for i := range wrapped {
		b := bytes.Clone(wrapped)
		b[i] ^= 1 << (i % 8)
		bad = append(bad, b)
	}
	for i, b := range bad {
		_, err := h.Keyring.Decrypt(t.Context(), id(key), b, nil)
		// Damage in the key's id makes it another key.
		if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Denied) {
			t.Errorf("damage %d: %v", i, err)
		}
	}
}

// testRegions: a key belongs to one region.
func testRegions(t *testing.T, h Harness) {
	key := h.NewKey(t, region)
	h.Alias(t, region, "alias/here", key)
	d := generate(t, h, key, nil)
	there := func(name string) keyring.ID { return keyring.ID{Region: "eu-west-1", Name: name} }
	for name, words := range map[string]string{key: "does not exist", "alias/here": "is not found", d.KeyARN: "Invalid arn " + region} {
		_, err := h.Keyring.Describe(t.Context(), there(name))
		want(t, err, keyring.NotFoundException, fault.NotFound, words)
	}
	_, err := h.Keyring.Decrypt(t.Context(), there(h.NewKey(t, "eu-west-1")), d.Wrapped, nil)
	want(t, err, keyring.IncorrectKeyException, fault.Invalid, "does not identify")
}

// testRotation: what older material wrapped is still unwrapped.
func testRotation(t *testing.T, h Harness) {
	key := h.NewKey(t, region)
	var all []keyring.DataKey
	for range 3 {
		all = append(all, generate(t, h, key, nil))
		h.Rotate(t, region, key)
	}
	for i, d := range all {
		if got, err := h.Keyring.Decrypt(t.Context(), id(key), d.Wrapped, nil); err != nil || !bytes.Equal(got, d.Plaintext) {
			t.Errorf("version %d: %v", i+1, err)
		}
	}
}

// testOwn: the keys of S3 and of volumes are there without anybody making them.
func testOwn(t *testing.T, h Harness) {
	first := generate(t, h, "alias/aws/s3", nil)
	if second := generate(t, h, "alias/aws/s3", nil); first.KeyARN != second.KeyARN {
		t.Errorf("%s, then %s", first.KeyARN, second.KeyARN)
	}
	if other := generate(t, h, "alias/aws/ebs", nil); other.KeyARN == first.KeyARN {
		t.Error("S3 and volumes have one key")
	}
	_, err := h.Keyring.Describe(t.Context(), id("alias/aws/nonesuch"))
	want(t, err, keyring.NotFoundException, fault.NotFound, "alias/aws/nonesuch is not found.")
}

// testSecrets: no data key shows in what is printed or logged (I8).
func testSecrets(t *testing.T, h Harness) {
	key := h.NewKey(t, region)
	d := generate(t, h, key, nil)
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	l.Info("made", "key", d, "plaintext", d.Plaintext)
	got, err := h.Keyring.Decrypt(t.Context(), id(key), d.Wrapped, nil)
	l.Info("opened", "plaintext", got, "error", err)
	_, err = h.Keyring.Decrypt(t.Context(), id(key), d.Wrapped, keyring.Context{"other": "context"})
	l.Info("refused", "error", err, "value", fmt.Sprintf("%#v %+v", err, d))
	for _, form := range []string{string(d.Plaintext), fmt.Sprintf("%x", []byte(d.Plaintext)), fmt.Sprint([]byte(d.Plaintext))} {
		if strings.Contains(log.String(), form) {
			t.Error("a data key is in the log")
		}
	}
}

func testCancelled(t *testing.T, h Harness) {
	key := h.NewKey(t, region)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Keyring.GenerateDataKey(ctx, id(key), nil); err == nil {
		t.Error("a cancelled request succeeded")
	}
}
