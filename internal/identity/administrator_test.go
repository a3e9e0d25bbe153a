package identity

import (
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Nothing that takes a key or a right away leaves a server without somebody who can
// let others in, whoever asks for it.
func TestLastAdministrator(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	ctx := t.Context()
	all := []Document{AdministratorAccess()}
	id, _ := w.user(t, "admin", all)
	other, _ := w.user(t, "other", allow("iam:CreateUser iam:CreateAccessKey", "*")) // lacks PutUserPolicy
	for name, err := range map[string]error{
		"delete":     w.Delete(ctx, User, "admin"),
		"revoke":     w.Revoke(ctx, id),
		"deactivate": w.SetActive(ctx, id, false),
		"policies":   w.SetPolicies(ctx, User, "admin", allow("sagemaker:*", "*")),
		"condition": w.SetPolicies(ctx, User, "admin", []Document{{"p", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*",` +
			`"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.1"}}}]}`}}),
		"one user": w.SetPolicies(ctx, User, "admin", allow("iam:*", "arn:aws:iam::"+account+":user/admin")),
	} {
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	want(t, w.Revoke(ctx, id), fault.Conflict, "admin is the last user with an active access key who may do iam:CreateUser")
	if !w.good(id) {
		t.Fatal("a change that was refused was made")
	}
	// A key that ends does not count, so its successor is the last one.
	fresh, _, err := w.Rotate(ctx, id, time.Hour)
	no(t, err)
	want(t, w.Revoke(ctx, fresh), fault.Conflict, "last user")
	no(t, w.Revoke(ctx, id))
	// What concerns others, or keeps an administrator, is not refused.
	no(t, w.Revoke(ctx, other))
	no(t, w.Delete(ctx, User, "other"))
	no(t, w.SetPolicies(ctx, User, "admin", allow("iam:*", "*")))
	heir, _ := w.user(t, "heir", allow("iam:*", "arn:aws:iam::*:user/*"))
	no(t, w.Delete(ctx, User, "admin"))
	want(t, w.SetActive(ctx, heir, false), fault.Conflict, "heir is the last user")
	// Whoever owns the folder is asked nothing.
	no(t, w.Reset(ctx, "heir", nil))
	no(t, w.Reset(ctx, "nobody", all))
	if w.good(heir) {
		t.Error("a key outlived a reset")
	}
	no(t, w.Delete(ctx, User, "heir")) // nobody could administer before it either
}

// The owner of a key is known also when the key is of no use.
func TestOwnerOf(t *testing.T) {
	t.Parallel()
	w := open(t, "")
	id, _ := w.user(t, "alice", nil)
	no(t, w.SetActive(t.Context(), id, false))
	if user, err := w.OwnerOf(t.Context(), id); user != "alice" || err != nil {
		t.Errorf("%q, %v", user, err)
	}
	_, err := w.OwnerOf(t.Context(), "AKIANONESUCH")
	want(t, err, fault.NotFound, "no access key AKIANONESUCH")
}
