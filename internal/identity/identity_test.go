package identity

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/masterkey"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

const account = "111122223333"

// world is a store with a clock that a test moves, and its log.
type world struct {
	*Store
	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

func (w *world) move(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func master(b byte) masterkey.Source {
	return masterkey.Source{Value: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, masterkey.Size))}
}

func open(t testing.TB, path string) *world {
	t.Helper()
	db, err := state.Open(t.Context(), path, state.Options{})
	no(t, err)
	t.Cleanup(func() { db.Close() })
	w := &world{now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
	no(t, w.reopen(t, db, master(1)))
	return w
}

// reopen opens the store over a database with master keys.
func (w *world) reopen(t testing.TB, db *state.Store, current masterkey.Source, former ...masterkey.Source) error {
	t.Helper()
	ring, err := masterkey.Open(current, former...)
	no(t, err)
	s, err := Open(t.Context(), Options{
		Account: account, State: db, Master: ring, Conditions: ConditionKeys(), Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Now: func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
	})
	if err == nil {
		w.Store = s
	}
	return err
}

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func allow(actions, resource string) []Document {
	return []Document{{Name: "p", Text: fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["%s"],"Resource":"%s"}]}`, strings.ReplaceAll(actions, " ", `","`), resource)}}
}

// user makes a user with a key.
func (w *world) user(t testing.TB, name string, docs []Document) (id string, secret keyring.Secret) {
	t.Helper()
	no(t, w.Create(t.Context(), User, name, docs))
	id, secret, err := w.CreateKey(t.Context(), name)
	no(t, err)
	return id, secret
}

// good reports whether a key is let in.
func (w *world) good(id string) bool {
	_, err := w.Lookup(id, "")
	return err == nil
}

func want(t *testing.T, err error, kind fault.Kind, words string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(fault.TextOf(err), words) {
		t.Errorf("got %v (%v), want %v: %s", err, fault.KindOf(err), kind, words)
	}
}

func TestAccessKeys(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	id, secret := w.user(t, "alice", allow("sagemaker:Describe*", "*"))
	if !strings.HasPrefix(id, "AKIA") || len(id) != 20 || len(secret) != 40 {
		t.Errorf("%s with a secret of %d", id, len(secret))
	}
	c, err := w.Lookup(id, "")
	no(t, err)
	if !bytes.Equal(c.Secret, secret) || c.Principal.ARN != "arn:aws:iam::"+account+":user/alice" || c.Principal.AccessKeyID != id || c.Principal.UserID != "alice" {
		t.Errorf("%+v", c.Principal)
	}
	r := &policy.Request{Action: "sagemaker:DescribeModel", Resource: "arn:aws:sagemaker:us-east-1:" + account + ":model/m"}
	if d, err := c.Principal.Authorize(r); err != nil || !d.Allowed() || d.Policy != "p" {
		t.Errorf("%+v, %v", d, err)
	}
	r.Action = "sagemaker:CreateModel"
	d, err := c.Principal.Authorize(r)
	want(t, err, fault.Denied, "User: arn:aws:iam::"+account+":user/alice is not authorized to perform: sagemaker:CreateModel on resource: "+r.Resource+
		" because no identity-based policy allows the sagemaker:CreateModel action")
	if d.Effect != policy.None {
		t.Errorf("%+v", d)
	}
	// Policies that change hold from the next lookup on.
	no(t, w.SetPolicies(t.Context(), User, "alice", allow("sagemaker:*", "*")))
	if c, err = w.Lookup(id, ""); err != nil || !must(c.Principal.Authorize(r)) {
		t.Errorf("%v", err)
	}
	no(t, w.SetActive(t.Context(), id, false))
	if w.good(id) {
		t.Error("a key that is switched off is good")
	}
	no(t, w.SetActive(t.Context(), id, true))
	if !w.good(id) {
		t.Error("a key that is switched on again is not good")
	}
	no(t, w.Revoke(t.Context(), id))
	_, err = w.Lookup(id, "")
	want(t, err, fault.Denied, "The security token included in the request is invalid.")
	if err != error(ErrUnknown) {
		t.Errorf("%v is not ErrUnknown", err)
	}
}

func must(d policy.Decision, err error) bool { return err == nil && d.Allowed() }

func TestRotation(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	old, _ := w.user(t, "alice", nil)
	fresh, _, err := w.Rotate(t.Context(), old, time.Hour)
	no(t, err)
	if !w.good(old) || !w.good(fresh) || old == fresh {
		t.Error("not both are good in the grace time")
	}
	_, _, err = w.Rotate(t.Context(), fresh, time.Hour)
	want(t, err, fault.Limit, "has 2 access keys")
	w.move(59 * time.Minute)
	if !w.good(old) {
		t.Error("the old key ended early")
	}
	w.move(time.Minute)
	if w.good(old) || !w.good(fresh) {
		t.Error("the old key is good after its grace time")
	}
	// What has expired makes room, and no grace ends a key at once.
	again, _, err := w.Rotate(t.Context(), fresh, 0)
	no(t, err)
	if w.good(fresh) || !w.good(again) {
		t.Error("a rotation without grace left the old key")
	}
	all, err := w.List(t.Context())
	no(t, err)
	if len(all) != 1 || len(all[0].Keys) != 1 || all[0].Keys[0].ID != again || !all[0].Keys[0].Active {
		t.Errorf("%+v", all)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	id, _ := w.user(t, "alice", nil)
	_, _, err := w.CreateKey(t.Context(), "alice")
	no(t, err)
	many := make([]Document, 11)
	for i := range many {
		many[i] = AdministratorAccess()
		many[i].Name = fmt.Sprint("p", i)
	}
	for name, tt := range map[string]struct {
		err   error
		kind  fault.Kind
		words string
	}{
		"taken":          {w.Create(t.Context(), User, "alice", nil), fault.Exists, "already a user alice"},
		"bad name":       {w.Create(t.Context(), User, "a/b", nil), fault.Invalid, "must have 1 to 64"},
		"no name":        {w.Create(t.Context(), Role, "", nil), fault.Invalid, "must have 1 to 64"},
		"bad policy":     {w.Create(t.Context(), User, "bob", []Document{{"p", "{}"}}), fault.Invalid, "there is no Statement"},
		"unknown key":    {w.SetPolicies(t.Context(), User, "alice", []Document{{"p", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Null":{"aws:MultiFactorAuthPresent":true}}}}`}}), fault.Invalid, "aws:MultiFactorAuthPresent"},
		"same policies":  {w.SetPolicies(t.Context(), User, "alice", []Document{AdministratorAccess(), AdministratorAccess()}), fault.Invalid, "Two policies"},
		"policy's name":  {w.SetPolicies(t.Context(), User, "alice", []Document{{"p q", AdministratorAccess().Text}}), fault.Invalid, "policy name"},
		"many policies":  {w.SetPolicies(t.Context(), User, "alice", many), fault.Limit, "may be 10"},
		"third key":      {second(w.CreateKey(t.Context(), "alice")), fault.Limit, "has 2 access keys"},
		"nobody":         {second(w.CreateKey(t.Context(), "bob")), fault.NotFound, "no user bob"},
		"no such role":   {w.EndSessions(t.Context(), "alice"), fault.NotFound, "no role alice"},
		"no such key":    {w.Revoke(t.Context(), "AKIANONESUCH"), fault.NotFound, "no access key AKIANONESUCH"},
		"delete nobody":  {w.Delete(t.Context(), User, "bob"), fault.NotFound, "no user bob"},
		"import secret":  {w.Import(t.Context(), "bob", nil, "AKIAIMPORTED00000000", keyring.Secret("short")), fault.Invalid, "cannot be imported"},
		"import user":    {w.Import(t.Context(), "b/b", nil, "AKIAIMPORTED00000000", newSecret()), fault.Invalid, "cannot be imported"},
		"key with token": {lookup(w, id, "token"), fault.Denied, "is invalid"},
		"session, none":  {lookup(w, "", "token"), fault.Denied, "is invalid"},
	} {
		if !fault.Is(tt.err, tt.kind) || !strings.Contains(fault.TextOf(tt.err), tt.words) {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
}

func second(_ string, _ keyring.Secret, err error) error { return err }

func lookup(w *world, id, token string) error {
	_, err := w.Lookup(id, token)
	return err
}

// A key that was imported, and revoked, does not come back with the next start.
func TestImport(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	const id = "AKIAIMPORTED00000000"
	secret := newSecret()
	admin := []Document{AdministratorAccess()}
	for range 2 {
		no(t, w.Import(t.Context(), Root, admin, id, secret))
	}
	c, err := w.Lookup(id, "")
	no(t, err)
	if !bytes.Equal(c.Secret, secret) || c.Principal.ARN != "arn:aws:iam::"+account+":root" || c.Principal.UserID != account ||
		!must(c.Principal.Authorize(&policy.Request{Action: "x:Y", Resource: "*"})) {
		t.Errorf("%+v", c.Principal)
	}
	if slices.ContainsFunc(c.Principal.Attributes, func(a policy.Attribute) bool { return a.Key == "aws:username" }) {
		t.Error("root has a user name")
	}
	no(t, w.Import(t.Context(), Root, nil, "AKIAIMPORTED00000001", newSecret()))
	if c, err := w.Lookup("AKIAIMPORTED00000001", ""); err != nil || !must(c.Principal.Authorize(&policy.Request{Action: "x:Y", Resource: "*"})) {
		t.Errorf("the policies of a user that is there were changed: %v", err)
	}
	no(t, w.Revoke(t.Context(), id))
	no(t, w.Import(t.Context(), Root, admin, id, secret))
	if w.good(id) {
		t.Error("a revoked key came back")
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	no(t, w.Create(t.Context(), Role, "worker", allow("s3:* sagemaker:*", "*")))
	arn := "arn:aws:iam::" + account + ":role/worker"
	narrow := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","kms:*"],"Resource":"*"},{"Effect":"Deny","Action":"s3:GetBucketPolicy","Resource":"*"}]}`
	plain, err := w.AssumeRole(arn, "run-1", "", DefaultSession)
	no(t, err)
	tight, err := w.AssumeRole(arn, "run-2", narrow, MinSession)
	no(t, err)
	if !strings.HasPrefix(plain.AccessKeyID, "ASIA") || !plain.Expires.Equal(w.now.Add(time.Hour)) || plain.Principal.ARN != "arn:aws:sts::"+account+":assumed-role/worker/run-1" {
		t.Errorf("%+v", plain)
	}
	for i, s := range []Session{plain, tight} {
		for range 2 { // read, then remembered
			c, err := w.Lookup(s.AccessKeyID, s.Token)
			if err != nil || !bytes.Equal(c.Secret, s.Secret) || c.Principal.ARN != s.Principal.ARN {
				t.Fatalf("%d: %+v, %v", i, c, err)
			}
			for action, want := range map[string][2]string{
				"s3:GetObject":          {"", ""},
				"s3:PutObject":          {"", " because no session policy allows the s3:PutObject action"},
				"s3:GetBucketPolicy":    {"", " with an explicit deny in a session policy"},
				"kms:Encrypt":           {" because no identity-based policy allows the kms:Encrypt action", " because no identity-based policy allows the kms:Encrypt action"},
				"sagemaker:CreateModel": {"", " because no session policy allows the sagemaker:CreateModel action"},
			} {
				_, err := c.Principal.Authorize(&policy.Request{Action: action, Resource: "arn:aws:s3:::b/k"})
				if text := fault.TextOf(err); (err == nil) != (want[i] == "") || !strings.HasSuffix(text, want[i]) {
					t.Errorf("%d, %s: %v", i, action, err)
				}
			}
		}
	}
	// A token is good with its own key only, and whole.
	for name, err := range map[string]error{
		"another's key": lookup(w, tight.AccessKeyID, plain.Token),
		"no token":      lookup(w, plain.AccessKeyID, ""),
		"cut":           lookup(w, plain.AccessKeyID, plain.Token[:len(plain.Token)-4]),
		"long":          lookup(w, plain.AccessKeyID, plain.Token+strings.Repeat("A", maxToken)),
		"changed":       lookup(w, plain.AccessKeyID, changed(plain.Token)),
		"of something":  lookup(w, plain.AccessKeyID, base64.StdEncoding.EncodeToString(w.Master.Seal([]byte(`{}`), "other"))),
		"empty":         lookup(w, "", base64.StdEncoding.EncodeToString(w.Master.Seal([]byte(`{}`), tokenPurpose))),
	} {
		if err != error(ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.move(MinSession)
	if err := lookup(w, tight.AccessKeyID, tight.Token); err != error(ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	// Its role's policies hold as they are now; without the role it is nothing.
	no(t, w.SetPolicies(t.Context(), Role, "worker", allow("kms:*", "*")))
	c, err := w.Lookup(plain.AccessKeyID, plain.Token)
	no(t, err)
	if must(c.Principal.Authorize(&policy.Request{Action: "s3:GetObject", Resource: "*"})) {
		t.Error("the role's former policies hold")
	}
	no(t, w.EndSessions(t.Context(), "worker"))
	if err := lookup(w, plain.AccessKeyID, plain.Token); err != error(ErrUnknown) {
		t.Errorf("ended: %v", err)
	}
	w.move(time.Millisecond)
	later, err := w.AssumeRole(arn, "run-3", "", MaxSession)
	no(t, err)
	no(t, lookup(w, later.AccessKeyID, later.Token))
	no(t, w.Delete(t.Context(), Role, "worker"))
	if err := lookup(w, later.AccessKeyID, later.Token); err != error(ErrUnknown) {
		t.Errorf("of a deleted role: %v", err)
	}
	for name, tt := range map[string]struct {
		arn, session, document string
		lasts                  time.Duration
		kind                   fault.Kind
	}{
		"no role":      {arn, "ok", "", time.Hour, fault.NotFound},
		"other":        {"arn:aws:iam::444455556666:role/worker", "ok", "", time.Hour, fault.NotFound},
		"no ARN":       {"worker", "ok", "", time.Hour, fault.NotFound},
		"name":         {"", "a b", "", time.Hour, fault.Invalid},
		"short":        {"", "ok", "", time.Minute, fault.Invalid},
		"long":         {"", "ok", "", 13 * time.Hour, fault.Invalid},
		"policy":       {"", "ok", "{}", time.Hour, fault.Invalid},
		"policy, long": {"", "ok", narrow + strings.Repeat(" ", maxPolicyText), time.Hour, fault.Invalid},
	} {
		if tt.arn == "" {
			_ = w.Create(t.Context(), Role, "again", nil)
			tt.arn = "arn:aws:iam::" + account + ":role/again"
		}
		if _, err := w.AssumeRole(tt.arn, tt.session, tt.document, tt.lasts); !fault.Is(err, tt.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// changed flips a bit in the middle of a token.
func changed(token string) string {
	b, _ := base64.StdEncoding.DecodeString(token)
	b[len(b)/2] ^= 1
	return base64.StdEncoding.EncodeToString(b)
}

func TestRole(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	no(t, w.Create(t.Context(), Role, "sagemaker", allow("s3:GetObject", "arn:aws:s3:::in/*")))
	for _, arn := range []string{"arn:aws:iam::" + account + ":role/sagemaker", "arn:aws:iam::" + account + ":role/service-role/sagemaker"} {
		p, err := w.Role(arn)
		no(t, err)
		if !must(p.Authorize(&policy.Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::in/a"})) || must(p.Authorize(&policy.Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::other/a"})) {
			t.Errorf("%s is not limited by its policies", arn)
		}
	}
	_, err := w.Role("arn:aws:iam::" + account + ":user/sagemaker")
	want(t, err, fault.NotFound, "no role")
}

// What is stored is read again, also under a new master key; with a wrong one the
// store does not open.
func TestReopen(t *testing.T) {
	t.Parallel()
	w := open(t, filepath.Join(t.TempDir(), "state.db"))
	id, secret := w.user(t, "alice", allow("x:Y", "*"))
	no(t, w.Create(t.Context(), Role, "r", nil))
	session, err := w.AssumeRole("arn:aws:iam::"+account+":role/r", "run", "", time.Hour)
	no(t, err)
	before, err := w.List(t.Context())
	no(t, err)
	db := w.State
	want(t, w.reopen(t, db, master(2)), fault.Invalid, "sealed under the master key")
	no(t, w.reopen(t, db, master(2), master(1)))
	no(t, lookup(w, session.AccessKeyID, session.Token)) // sealed under the former key
	no(t, w.reopen(t, db, master(2)))
	c, err := w.Lookup(id, "")
	no(t, err)
	if !bytes.Equal(c.Secret, secret) {
		t.Error("the secret changed")
	}
	if err := lookup(w, session.AccessKeyID, session.Token); err != error(ErrUnknown) {
		t.Errorf("a token of a former master key: %v", err)
	}
	after, err := w.List(t.Context())
	no(t, err)
	if fmt.Sprint(after) != fmt.Sprint(before) || len(after) != 2 {
		t.Errorf("%v became %v", before, after)
	}
}

// A stolen database gives no secret, and no log or list does (I8).
func TestSecretsAreNotSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := open(t, filepath.Join(dir, "state.db"))
	id, secret := w.user(t, "alice", nil)
	no(t, w.Create(t.Context(), Role, "r", nil))
	session, err := w.AssumeRole("arn:aws:iam::"+account+":role/r", "run", "", time.Hour)
	no(t, err)
	all, err := w.List(t.Context())
	no(t, err)
	c, err := w.Lookup(id, "")
	no(t, err)
	w.Log.Info("seen", "identities", all, "credential", c, "session", session, "secret", secret)
	seen := w.log.String() + fmt.Sprintf("%v %+v %#v %s", all, c, c.Secret, session.Secret)
	no(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			var text []byte
			text, err = os.ReadFile(filepath.Join(dir, name))
			seen += string(text)
		}
		return err
	}))
	raw, err := base64.StdEncoding.DecodeString(session.Token)
	no(t, err)
	seen += string(raw)
	for what, s := range map[string]keyring.Secret{"key": secret, "session": session.Secret} {
		for _, form := range []string{string(s), base64.StdEncoding.EncodeToString(s), fmt.Sprintf("%x", []byte(s))} {
			if strings.Contains(seen, form) {
				t.Errorf("the secret of the %s is seen", what)
			}
		}
	}
}

// Whoever looks after Revoke has returned finds nothing, while others look and
// change.
func TestRevocationIsAtOnce(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	stay, _ := w.user(t, "stays", nil)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			name := fmt.Sprint("user", i)
			for range 5 {
				if err := w.Create(t.Context(), User, name, nil); err != nil {
					t.Error(err)
				}
				id, _, err := w.CreateKey(t.Context(), name)
				if err != nil || !w.good(id) {
					t.Errorf("a new key is not good: %v", err)
				}
				if err := w.Revoke(t.Context(), id); err != nil || w.good(id) {
					t.Errorf("a revoked key is good: %v", err)
				}
				if err := w.Delete(t.Context(), User, name); err != nil || !w.good(stay) {
					t.Errorf("others went too: %v", err)
				}
			}
		})
	}
	all.Wait()
}

// When the identities cannot be read nobody is let in.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	id, _ := w.user(t, "alice", nil)
	no(t, w.State.Update(t.Context(), func(tx *state.Tx) error {
		return tx.PutRecord(state.Record{Kind: User.recordKind(), Name: "broken", Body: []byte("{")})
	}))
	want(t, w.SetActive(t.Context(), id, true), fault.Internal, "identity broken cannot be read")
	if err := w.reload(t.Context()); !fault.Is(err, fault.Internal) || w.good(id) {
		t.Errorf("%v", err)
	}
}

// A cancelled change changes nothing.
func TestCancelled(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Create(ctx, User, "alice", nil); err == nil {
		t.Error("created")
	}
}

// The remembered sessions stay within their bound.
func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	no(t, w.Create(t.Context(), Role, "r", nil))
	for i := range maxSessions + 10 {
		s, err := w.AssumeRole("arn:aws:iam::"+account+":role/r", fmt.Sprint("run", i), "", time.Hour)
		no(t, err)
		no(t, lookup(w, s.AccessKeyID, s.Token))
	}
	if n := len(w.current.Load().sessions); n > maxSessions || n == 0 {
		t.Errorf("%d sessions are remembered", n)
	}
}

// FuzzToken: whatever a stranger calls a token is not known.
func FuzzToken(f *testing.F) {
	w := open(f, "")
	no(f, w.Create(f.Context(), Role, "r", nil))
	s, err := w.AssumeRole("arn:aws:iam::"+account+":role/r", "run", "", time.Hour)
	no(f, err)
	f.Add(s.AccessKeyID, changed(s.Token))
	f.Add("", "AAAA")
	f.Fuzz(func(t *testing.T, id, token string) {
		if c, err := w.Lookup(id, token); err != error(ErrUnknown) {
			t.Errorf("%q with %q is %+v, %v", id, token, c, err)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	w := open(b, "")
	id, _ := w.user(b, "alice", allow("sagemaker:*", "*"))
	no(b, w.Create(b.Context(), Role, "r", allow("sagemaker:*", "*")))
	s, err := w.AssumeRole("arn:aws:iam::"+account+":role/r", "run", AdministratorAccess().Text, time.Hour)
	no(b, err)
	r := &policy.Request{Action: "sagemaker:InvokeEndpoint", Resource: "arn:aws:sagemaker:us-east-1:" + account + ":endpoint/e"}
	for name, key := range map[string][2]string{"key": {id, ""}, "session": {s.AccessKeyID, s.Token}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, err := w.Lookup(key[0], key[1])
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.Principal.Authorize(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
