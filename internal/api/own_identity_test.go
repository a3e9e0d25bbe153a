package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sagebrush-ml/sagebrush/internal/audit"
	"github.com/sagebrush-ml/sagebrush/internal/sigv4"
)

// everything is a statement that allows all.
const everything = `{"Effect":"Allow","Action":"*","Resource":"*"}`

// manage sends a request to our own paths, signed if the keys are not empty.
func manage(t testing.TB, s *Server, who aws.Credentials, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, "/-/api/v1/"+path, strings.NewReader(body))
	if who.AccessKeyID != "" {
		if err := v4.NewSigner().SignHTTP(t.Context(), who, r, sigv4.BodyHash([]byte(body)), "sagemaker", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// made reads the answer to who makes a key.
func made(t testing.TB, text string) (k NewAccessKey) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		t.Fatal(text, err)
	}
	return k
}

func (k NewAccessKey) credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret}
}

const reader = `{"policies":[{"name":"reader","document":{"Version":"2012-10-17","Statement":[` +
	`{"Effect":"Allow","Action":"iam:GetUser*","Resource":"arn:aws:iam::000000000000:user/${aws:username}"}]}}]}`

// A user is made with a policy and a key, does what the policy says, and is gone.
func TestManageUser(t *testing.T) {
	t.Parallel()
	s := known(t)
	admin := invoker(t, s, "admin", everything)
	ok := func(who aws.Credentials, method, path, body string) string {
		t.Helper()
		status, text := manage(t, s, who, method, path, body)
		if status != 200 {
			t.Fatalf("%s %s: %d %s", method, path, status, text)
		}
		return text
	}
	const odd = "a+b=c,d@e.f-g_h" // all that a name may have besides letters
	ok(admin, "POST", "users/"+odd, reader)
	k := made(t, ok(admin, "POST", "users/"+odd+"/keys", ""))
	alice := k.credentials()
	if k.User != odd || len(k.Secret) != 40 {
		t.Errorf("%+v", k.User)
	}
	if text := ok(alice, "GET", "users/"+odd, ""); !strings.Contains(text, `"arn": "arn:aws:iam::000000000000:user/`+odd+`"`) || !strings.Contains(text, `"Action": "iam:GetUser*"`) {
		t.Error(text)
	}
	if status, text := manage(t, s, alice, "GET", "users/admin", ""); status != 403 || !strings.Contains(text, "is not authorized to perform: iam:GetUser on resource: arn:aws:iam::000000000000:user/admin because no identity-based policy allows the iam:GetUser action") {
		t.Errorf("%d %s", status, text)
	}
	if text := ok(admin, "GET", "users", ""); !strings.Contains(text, `"name": "admin"`) || !strings.Contains(text, `"name": "reader"`) || strings.Contains(text, "Statement") {
		t.Error(text)
	}
	if text := ok(admin, "GET", "users/"+odd+"/keys", ""); !strings.Contains(text, `"status": "Active"`) || strings.Contains(text, admin.AccessKeyID) || strings.Contains(text, k.Secret) {
		t.Error(text)
	}
	if text := ok(admin, "GET", "keys", ""); !strings.Contains(text, k.ID) || !strings.Contains(text, admin.AccessKeyID) {
		t.Error(text)
	}

	ok(admin, "POST", "keys/"+k.ID+"/deactivate", "")
	if status, text := manage(t, s, alice, "GET", "users/"+odd, ""); status == 200 {
		t.Error(text)
	}
	ok(admin, "POST", "keys/"+k.ID+"/activate", "")
	next := made(t, ok(admin, "POST", "keys/"+k.ID+"/rotate", `{"graceSeconds":3600}`))
	if left := time.Until(*next.Until); next.Replaces != k.ID || left < 59*time.Minute || left > time.Hour {
		t.Errorf("%s replaces %s for %s", next.ID, next.Replaces, left)
	}
	ok(alice, "GET", "users/"+odd, "")
	ok(next.credentials(), "GET", "users/"+odd, "")
	ok(admin, "DELETE", "keys/"+k.ID, "")
	if status, text := manage(t, s, alice, "GET", "users/"+odd, ""); status != 400 && status != 403 || !strings.Contains(text, "The security token included in the request is invalid") {
		t.Errorf("%d %s", status, text)
	}

	ok(admin, "PUT", "users/"+odd+"/policies", `{"policies":[]}`)
	if status, _ := manage(t, s, next.credentials(), "GET", "users/"+odd, ""); status != 403 {
		t.Error("a user without policies may do something")
	}
	ok(admin, "DELETE", "users/"+odd, "")
	if status, _ := manage(t, s, admin, "GET", "users/"+odd, ""); status != 404 {
		t.Error("a user who was deleted is there")
	}

	ok(admin, "POST", "roles/worker", "")
	if text := ok(admin, "PUT", "roles/worker/policies", reader); !strings.Contains(text, `"arn": "arn:aws:iam::000000000000:role/worker"`) || !strings.Contains(text, "Statement") {
		t.Error(text)
	}
	if text := ok(admin, "POST", "roles/worker/end-sessions", ""); !strings.Contains(text, `"sessionsFrom"`) {
		t.Error(text)
	}
	if text := ok(admin, "GET", "roles", ""); !strings.Contains(text, `"roles"`) || !strings.Contains(text, "worker") || strings.Contains(text, "admin") {
		t.Error(text)
	}
	ok(admin, "DELETE", "roles/worker", "")
}

// Each call needs the actions of IAM that do the same there, and no others.
func TestManageActions(t *testing.T) {
	t.Parallel()
	s := known(t)
	admin := invoker(t, s, "admin", everything)
	const account = "arn:aws:iam::000000000000:"
	for i, c := range []struct {
		method, path, body string
		resource           string
		actions            []string
	}{
		{"GET", "users", "", "*", []string{"ListUsers"}},
		{"GET", "roles", "", "*", []string{"ListRoles"}},
		{"GET", "keys", "", "*", []string{"ListAccessKeys"}},
		{"GET", "users/bob", "", account + "user/bob", []string{"GetUser", "GetUserPolicy"}},
		{"GET", "roles/r", "", account + "role/r", []string{"GetRole", "GetRolePolicy"}},
		{"GET", "users/bob/keys", "", account + "user/bob", []string{"ListAccessKeys"}},
		{"POST", "users/new", "", account + "user/new", []string{"CreateUser"}},
		{"POST", "users/new", reader, account + "user/new", []string{"CreateUser", "PutUserPolicy"}},
		{"POST", "roles/new", "", account + "role/new", []string{"CreateRole"}},
		{"POST", "roles/new", reader, account + "role/new", []string{"CreateRole", "PutRolePolicy"}},
		{"PUT", "users/bob/policies", reader, account + "user/bob", []string{"PutUserPolicy", "DeleteUserPolicy"}},
		{"PUT", "roles/r/policies", reader, account + "role/r", []string{"PutRolePolicy", "DeleteRolePolicy"}},
		{"POST", "roles/r/end-sessions", "", account + "role/r", []string{"PutRolePolicy"}},
		{"POST", "users/bob/keys", "", account + "user/bob", []string{"CreateAccessKey"}},
		{"POST", "keys/KEY/rotate", "", account + "user/bob", []string{"CreateAccessKey", "UpdateAccessKey"}},
		{"POST", "keys/KEY/deactivate", "", account + "user/bob", []string{"UpdateAccessKey"}},
		{"POST", "keys/KEY/activate", "", account + "user/bob", []string{"UpdateAccessKey"}},
		{"DELETE", "keys/KEY", "", account + "user/bob", []string{"DeleteAccessKey"}},
		{"DELETE", "keys/AKIANONESUCH", "", account + "user/*", []string{"DeleteAccessKey"}},
		{"DELETE", "users/bob", "", account + "user/bob", []string{"DeleteUser"}},
		{"DELETE", "roles/r", "", account + "role/r", []string{"DeleteRole"}},
	} {
		for _, path := range []string{"users/bob", "users/new", "roles/r", "roles/new"} {
			manage(t, s, admin, "DELETE", path, "")
		}
		manage(t, s, admin, "POST", "users/bob", "")
		manage(t, s, admin, "POST", "roles/r", "")
		_, text := manage(t, s, admin, "POST", "users/bob/keys", "")
		path := strings.ReplaceAll(c.path, "KEY", made(t, text).ID)
		quoted := `"iam:` + strings.Join(c.actions, `","iam:`) + `"`
		may := invoker(t, s, fmt.Sprint("may", i), `{"Effect":"Allow","Action":[`+quoted+`],"Resource":"`+c.resource+`"}`)
		for _, missing := range c.actions {
			lacks := invoker(t, s, fmt.Sprint("lacks", missing, i), everything+`,{"Effect":"Deny","Action":"iam:`+missing+`","Resource":"*"}`)
			status, text := manage(t, s, lacks, c.method, path, c.body)
			if want := "is not authorized to perform: iam:" + missing + " on resource: " + c.resource + " with an explicit deny"; status != 403 || !strings.Contains(text, want) {
				t.Errorf("%s %s without %s: %d %s", c.method, c.path, missing, status, text)
			}
		}
		if status, text := manage(t, s, may, c.method, path, c.body); status != 200 && !strings.Contains(path, "NONESUCH") || status == 403 {
			t.Errorf("%s %s with all that it needs: %d %s", c.method, c.path, status, text)
		}
	}
}

// What cannot be is refused with IAM's status and a sentence that says why.
func TestManageRefusals(t *testing.T) {
	t.Parallel()
	s := known(t)
	admin := invoker(t, s, "admin", everything)
	manage(t, s, admin, "POST", "users/bob", "")
	for range 2 {
		manage(t, s, admin, "POST", "users/bob/keys", "")
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "users/bob", "", 409, "There is already a user bob."},
		{"POST", "users/b%20b", "", 400, "must have 1 to 64 letters"},
		{"POST", "users/x", `{"policies":[{"name":"p","document":{"Statement":{"Effect":"allow"}}}]}`, 400, `The policy \"p\" is not valid at Statement.Effect: it is \"allow\", and must be Allow or Deny.`},
		{"POST", "users/x", `{"policies":[{"name":"p"}]}`, 400, `The policy \"p\" is not valid`},
		{"POST", "users/x", `{"policy":[]}`, 400, `unknown field \"policy\"`},
		{"POST", "users/x", `{"policies":[]} {}`, 400, "something follows the object"},
		{"POST", "users/x", `[`, 400, "The request's body is not what is read here"},
		{"PUT", "users/none/policies", "{}", 404, "There is no user none."},
		{"DELETE", "roles/none", "", 404, "There is no role none."},
		{"POST", "roles/none/end-sessions", "", 404, "There is no role none."},
		{"POST", "users/bob/keys", "", 409, "has 2 access keys, the most that it may have"},
		{"POST", "keys/AKIANONESUCH/rotate", "", 404, "There is no access key AKIANONESUCH."},
		{"POST", "keys/" + admin.AccessKeyID + "/rotate", `{"graceSeconds":-1}`, 400, "The grace time must be from 0 to 7776000 seconds."},
		{"POST", "keys/" + admin.AccessKeyID + "/rotate", `{"graceSeconds":7776001}`, 400, "The grace time"},
		{"DELETE", "keys/" + admin.AccessKeyID, "", 409, "Nobody could administer this server after that: admin is the last user"},
		{"POST", "keys/" + admin.AccessKeyID + "/deactivate", "", 409, "Nobody could administer"},
		{"DELETE", "users/admin", "", 409, "Nobody could administer"},
		{"PUT", "users/admin/policies", reader, 409, "Nobody could administer"},
		{"POST", "users/x", strings.Repeat(" ", maxBody+1), 413, "more than 2097152 bytes"},
	} {
		if status, text := manage(t, s, admin, c.method, c.path, c.body); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %.80s: %d %s", c.method, c.path, c.body, status, text)
		}
	}
}

// A server that is open to any key lets nobody manage users who has not proved who it
// is: what is made there is good when the server is open no more.
func TestManageOpen(t *testing.T) {
	t.Parallel()
	s := known(t)
	s.Open = true
	admin := invoker(t, s, "admin", everything)
	for name, who := range map[string]aws.Credentials{"unsigned": {}, "any key": {AccessKeyID: "AKIAANYBODY000000000", SecretAccessKey: "x"}} {
		for _, call := range [][2]string{{"GET", "users"}, {"GET", "keys"}, {"POST", "users/eve"}, {"POST", "users/admin/keys"}, {"DELETE", "keys/" + admin.AccessKeyID}} {
			if status, text := manage(t, s, who, call[0], call[1], ""); status != http.StatusForbidden || !strings.Contains(text, "with an access key that the server knows") {
				t.Errorf("%s: %s %s: %d %s", name, call[0], call[1], status, text)
			}
		}
	}
	if status, text := manage(t, s, admin, "POST", "users/bob", ""); status != 200 {
		t.Error(text)
	}
}

// The audit log names who did what to which user and key, also what was refused, and
// no secret.
func TestManageAudit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	log, err := audit.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := known(t)
	s.Audit = log
	admin := invoker(t, s, "admin", everything)
	manage(t, s, admin, "POST", "users/bob", reader)
	manage(t, s, admin, "GET", "users", "")
	_, text := manage(t, s, admin, "POST", "users/bob/keys", "")
	bob := made(t, text)
	_, text = manage(t, s, admin, "POST", "keys/"+bob.ID+"/rotate", "")
	next := made(t, text)
	manage(t, s, admin, "POST", "keys/"+next.ID+"/deactivate", "")
	manage(t, s, admin, "DELETE", "users/admin", "")
	manage(t, s, admin, "POST", "keys/"+next.ID+"/activate", "")
	manage(t, s, next.credentials(), "GET", "users", "")
	manage(t, s, admin, "POST", "roles/r", `{`)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(got)) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(strings.TrimPrefix(e.Identity, "arn:aws:iam::000000000000:user/"), " ", e.Service, ":", e.Operation, " ", e.Resource, " ", e.Status, " ", e.Code))
	}
	const arn = "arn:aws:iam::000000000000:"
	want := []string{
		"admin iam:CreateUser " + arn + "user/bob 200 ",
		"admin iam:CreateAccessKey " + arn + "user/bob access-key/" + bob.ID + " 200 ",
		"admin iam:RotateAccessKey " + arn + "user/bob access-key/" + bob.ID + " access-key/" + next.ID + " 200 ",
		"admin iam:UpdateAccessKey " + arn + "user/bob access-key/" + next.ID + " Inactive 200 ",
		"admin iam:DeleteUser " + arn + "user/admin 409 DeleteConflict",
		"admin iam:UpdateAccessKey " + arn + "user/bob access-key/" + next.ID + " Active 200 ",
		"bob iam:ListUsers /-/api/v1/users 403 AccessDeniedException",
		"admin iam:CreateRole " + arn + "role/r 400 ValidationError",
	}
	if g, w := strings.Join(lines, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	for _, secret := range []string{bob.Secret, next.Secret, admin.SecretAccessKey} {
		if strings.Contains(string(got), secret) {
			t.Error("a secret is in the audit log")
		}
	}
}
