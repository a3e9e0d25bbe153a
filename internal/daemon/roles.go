package daemon

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/objstore"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
)

// as makes a context in which objects are read and written with the rights of a role
// as they are at each moment. A role that does not exist limits nothing on an open
// server, whose clients make roles up, nor on one with AnyRole, and is refused on any
// other (CP-34). One that is deleted under a job ends its rights.
func (d *Daemon) as(ctx context.Context, arn string) (context.Context, error) {
	if _, err := d.who.Role(arn); err != nil {
		if d.open || d.AnyRole {
			return ctx, nil
		}
		return nil, noRole(arn)
	}
	return objstore.WithRights(ctx, func(action, resource string) error {
		role, err := d.who.Role(arn)
		if err != nil {
			return noRole(arn)
		}
		_, err = role.Authorize(&policy.Request{Action: action, Resource: resource, Context: role.Attributes})
		return err
	}), nil
}

// noRole is the real service's sentence (CP-34).
func noRole(arn string) error {
	return fault.New(fault.Invalid, "The execution role ARN %q is invalid. Please ensure that the role exists and that its trust relationship policy allows the action %q for the service principal %q.",
		arn, "sts:AssumeRole", "sagemaker.amazonaws.com")
}
