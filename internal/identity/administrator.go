package identity

import (
	"context"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// administration is what somebody must be allowed to do, whatever else is true of a
// request, who can let others in: with it everything that was removed by mistake can
// be made again.
func administration() []string {
	return []string{"iam:CreateUser", "iam:PutUserPolicy", "iam:CreateAccessKey"}
}

// remove is change for what takes a key or a right away. It is refused when nobody
// could administer the server after it, and somebody could before: the way back
// would then be the data folder alone.
func (s *Store) remove(ctx context.Context, fn func(tx *state.Tx) error) error {
	return s.change(ctx, func(tx *state.Tx) error {
		last, err := s.administrator(tx)
		if err == nil {
			err = fn(tx)
		}
		if err != nil || last == "" {
			return err
		}
		left, err := s.administrator(tx)
		if err == nil && left == "" {
			err = fault.New(fault.Conflict, "Nobody could administer this server after that: %s is the last user with an active access key who may do iam:CreateUser, iam:PutUserPolicy and iam:CreateAccessKey on every user. Make another such user first.", last)
		}
		return err
	})
}

// administrator names a user who may do all of administration by an access key that
// is active and does not end; "" is nobody.
func (s *Store) administrator(tx *state.Tx) (name string, err error) {
	err = s.each(tx, func(kind Kind, user string, r *record) error {
		lasting := func(k keyRecord) bool { return k.Active && k.Expires.IsZero() }
		if name != "" || kind != User || !slices.ContainsFunc(r.Keys, lasting) {
			return nil
		}
		set, err := s.parse(kind, user, r)
		if err == nil && s.administers(set) {
			name = user
		}
		return err
	})
	return name, err
}

// administers reports whether policies allow all of administration on every user.
func (s *Store) administers(set policy.Set) bool {
	for _, action := range administration() {
		if d, fixed := set.Fixed(action, s.ARN(User, "*")); !fixed || !d.Allowed() {
			return false
		}
	}
	return true
}

// Reset takes all access keys of a user away and replaces its policies, without
// asking who is left: it is for whoever owns the server's own folder, and gives the
// user a key then. A user that there is not is no error.
func (s *Store) Reset(ctx context.Context, user string, policies []Document) error {
	if err := s.checkPolicies(policies); err != nil {
		return err
	}
	err := s.edit(ctx, User, user, func(r *record) error {
		r.Keys, r.Policies = nil, policies
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
