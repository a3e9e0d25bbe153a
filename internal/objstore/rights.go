package objstore

import "context"

// Rights say whether a role may do an action such as "s3:GetObject" on a resource, an
// ARN. They are asked for each object, so that a change of the role's policies holds
// from the next one on. They must be safe for concurrent use.
type Rights func(action, resource string) error

type rightsKey struct{}

// WithRights makes a context in which somebody acts for a role. The role travels with
// the context, so that whoever reads model data, input or a manifest, or writes
// output, is bound by it without knowing.
func WithRights(ctx context.Context, rights Rights) context.Context {
	return context.WithValue(ctx, rightsKey{}, rights)
}

// Ask decides whether the role of a context may do an action on an object, or with an
// empty key on a bucket. A context without a role has the server's own rights.
func Ask(ctx context.Context, action string, ref Ref) error {
	rights, ok := ctx.Value(rightsKey{}).(Rights)
	if !ok {
		return nil
	}
	arn := "arn:aws:s3:::" + ref.Bucket
	if ref.Key != "" {
		arn += "/" + ref.Key
	}
	return rights("s3:"+action, arn)
}
