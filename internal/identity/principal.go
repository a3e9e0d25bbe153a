package identity

import (
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
)

// Principal is who calls. It is never changed; its policies are those of the
// moment of the lookup.
type Principal struct {
	ARN string
	// UserID is what aws:userid and GetCallerIdentity say.
	UserID string
	// AccessKeyID is by which key the caller came, "" for a role that nobody assumed.
	AccessKeyID string
	// Base is the access key, or the ARN of the role, that the credentials come from:
	// what all sessions of one have in common.
	Base string
	// Attributes are the condition keys that the principal itself gives. They are not
	// to be written to.
	Attributes []policy.Attribute

	policies policy.Set
	session  policy.Set // nil: no session policy
}

// AdministratorAccess allows everything.
func AdministratorAccess() Document {
	return Document{
		Name: "AdministratorAccess",
		Text: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	}
}

// Authorize decides a request. What is not allowed is fault.Denied in AWS's
// wording. The decision is the one that counted, for the audit log.
func (p *Principal) Authorize(r *policy.Request) (policy.Decision, error) {
	kind, d := policy.Identity, p.policies.Decide(r)
	if p.session != nil && d.Effect != policy.Deny {
		// A session may do what both allow. An explicit deny is told before a lack.
		if own := p.session.Decide(r); own.Effect == policy.Deny || d.Effect == policy.Allow && !own.Allowed() {
			kind, d = policy.Session, own
		}
	}
	if d.Allowed() {
		return d, nil
	}
	return d, fault.New(fault.Denied, "%s", d.Refusal(p.ARN, r, kind))
}

// Always reports whether the principal may do an action on a resource whatever else
// is true of the request. False says nothing: Authorize then decides.
func (p *Principal) Always(action, resource string) bool {
	d, ok := p.policies.Fixed(action, resource)
	if !ok || !d.Allowed() {
		return false
	}
	if p.session == nil {
		return true
	}
	d, ok = p.session.Fixed(action, resource)
	return ok && d.Allowed()
}

// ConditionKeys are the condition keys that policies may use. Whoever makes a
// policy.Request sets those that apply to it, beside the Principal's Attributes
// (marked *):
//
//	aws:username*, aws:userid*, aws:PrincipalArn*, aws:PrincipalAccount*,
//	aws:PrincipalType*      who calls; a session has no aws:username
//	aws:SourceIp            the address of the caller
//	aws:SecureTransport     whether the request came over TLS
//	aws:CurrentTime,
//	aws:EpochTime           when it came
//	aws:UserAgent           what the client calls itself; not proven
//	aws:RequestedRegion     for which region it is
//	aws:TagKeys,
//	aws:RequestTag/KEY      tags in the request
//	aws:ResourceTag/KEY,
//	sagemaker:ResourceTag/KEY  tags of the resource
//	sagemaker:VolumeKmsKey,
//	sagemaker:OutputKmsKey  keys in the request, as ARNs
//	sagemaker:InstanceTypes instance types in the request; many values
//	iam:PassedToService     the service that a role is passed to
func ConditionKeys() *policy.Keys {
	return policy.NewKeys(
		"aws:username", "aws:userid", "aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalType",
		"aws:SourceIp", "aws:SecureTransport", "aws:CurrentTime", "aws:EpochTime", "aws:UserAgent", "aws:RequestedRegion",
		"aws:TagKeys", "aws:RequestTag/*", "aws:ResourceTag/*", "sagemaker:ResourceTag/*",
		"sagemaker:VolumeKmsKey", "sagemaker:OutputKmsKey", "sagemaker:InstanceTypes", "iam:PassedToService",
	)
}
