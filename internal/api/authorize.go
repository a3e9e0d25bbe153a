package api

import (
	"context"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/local"
	"github.com/sagebrush-ml/sagebrush/internal/policy"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/cwlogs"
	"github.com/sagebrush-ml/sagebrush/internal/wire/kmsapi"
)

// need is one thing that the caller of an operation must be allowed to do.
type need struct {
	action   string // "" is the operation's own
	resource string // an ARN, or "*" where the action has none
	// tagged is the key of the resource when it has tags of its own.
	tagged *resource.Key
	// more are the condition keys that the request's members give.
	more []policy.Attribute
}

// needs says what an operation needs, by its decoded request. All of it must be
// allowed.
type needs func(c *call, in wire.Message) []need

// everywhere is what an operation without a resource needs, such as a list.
func everywhere() []need { return []need{{resource: "*"}} }

// authorize decides whether the caller may do an operation. It is asked when the
// request has been decoded, and before the operation acts.
func (s *Server) authorize(ctx context.Context, v *service, operation string, in wire.Message) error {
	all := everywhere()
	if v.needs != nil {
		all = v.needs(callOf(ctx), in)
	}
	return s.authorizeAll(ctx, v.Signing+":"+operation, all)
}

// authorizeAll decides about all that a request needs; action is the operation's own.
func (s *Server) authorizeAll(ctx context.Context, action string, all []need) error {
	c := callOf(ctx)
	for _, n := range all {
		if n.action == "" {
			n.action = action
		}
		if c.who != nil && n.tagged != nil && s.Control != nil {
			tags, err := s.Control.ListTags(ctx, s.Control.ARN(*n.tagged))
			if err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
			n.more = append(n.more, resourceTags(tags)...)
			if n.tagged.Region != c.region { // an ARN, or our own paths, may name another than the signature
				n.more = append(n.more, policy.Attribute{Key: requestedRegion, Value: n.tagged.Region})
			}
		}
		if err := c.allow(n.action, n.resource, n.more...); err != nil {
			return err
		}
	}
	return nil
}

// resourceTags are the condition keys of a resource's tags.
func resourceTags(tags []resource.Tag) (all []policy.Attribute) {
	for _, t := range tags {
		all = append(all, policy.Attribute{Key: "aws:ResourceTag/" + t.Key, Value: t.Value}, policy.Attribute{Key: "sagemaker:ResourceTag/" + t.Key, Value: t.Value})
	}
	return all
}

// requestTags are the condition keys of tags in a request.
func requestTags(tags []resource.Tag) []policy.Attribute {
	var keys []string
	var all []policy.Attribute
	for _, t := range tags {
		keys = append(keys, t.Key)
		all = append(all, policy.Attribute{Key: "aws:RequestTag/" + t.Key, Value: t.Value})
	}
	return append(all, many(tagKeys, keys)...)
}

// tagKeys is the condition key of the keys of tags in a request, requestedRegion that of
// the region that it is about.
const (
	tagKeys         = "aws:TagKeys"
	requestedRegion = "aws:RequestedRegion"
)

// kmsKeys is the condition key of the keys that a request names, as ARNs; nil where
// it names none.
func (s *Server) kmsKeys(name, region string, keys ...*string) []policy.Attribute {
	var arns []string
	for _, k := range keys {
		if value(k) == "" {
			continue
		}
		arn := *k
		if ref, err := (keyring.ID{Region: region, Name: arn}).Parse(s.Account); err == nil {
			arn = ref.ARN(s.Account)
		}
		arns = append(arns, arn)
	}
	return many(name, arns)
}

// many is a condition key that may have many values; nil where it has none.
func many(name string, values []string) []policy.Attribute {
	if len(values) == 0 {
		return nil
	}
	return []policy.Attribute{{Key: name, Many: values}}
}

// logNeeds says what the operations of CloudWatch Logs need: the group that they are
// about, or one stream of it.
func (s *Server) logNeeds(c *call, in wire.Message) []need {
	of := func(name, identifier *string, stream string) []need {
		group := value(name)
		if identifier != nil {
			group = strings.TrimSuffix(s.identified(c.region, *identifier), ":*")
		}
		return []need{{resource: s.groupARN(joblog.Group{Region: c.region, Name: group}) + ":log-stream:" + stream}}
	}
	switch in := in.(type) {
	case *cwlogs.DescribeLogStreamsInput:
		return of(in.LogGroupName, in.LogGroupIdentifier, "")
	case *cwlogs.GetLogEventsInput:
		return of(in.LogGroupName, in.LogGroupIdentifier, value(in.LogStreamName))
	case *cwlogs.FilterLogEventsInput:
		return of(in.LogGroupName, in.LogGroupIdentifier, "")
	case *cwlogs.PutRetentionPolicyInput:
		return of(in.LogGroupName, nil, "")
	case *cwlogs.DeleteRetentionPolicyInput:
		return of(in.LogGroupName, nil, "")
	}
	return everywhere()
}

// keyNeeds notes the tags in a request of KMS. The key service itself knows which key
// the request is about, and asks AllowKey. Who makes a key with tags must be allowed to
// tag it.
func (s *Server) keyNeeds(c *call, in wire.Message) []need {
	switch in := in.(type) {
	case *kmsapi.CreateKeyInput:
		if len(in.Tags) > 0 {
			c.more = requestTags(keyTags(in.Tags))
			return append(everywhere(), need{action: "kms:TagResource", resource: "*"})
		}
	case *kmsapi.TagResourceInput:
		c.more = requestTags(keyTags(in.Tags))
	case *kmsapi.UntagResourceInput:
		c.more = many(tagKeys, in.TagKeys)
	}
	return nil
}

func keyTags(in []kmsapi.Tag) (tags []resource.Tag) {
	for _, t := range in {
		tags = append(tags, resource.Tag{Key: value(t.TagKey), Value: value(t.TagValue)})
	}
	return tags
}

// AllowKey makes Allow for the key service over a keystore: the tags of the key are
// condition keys too.
func AllowKey(keys *local.Store) func(ctx context.Context, action, resource string) error {
	return func(ctx context.Context, action, arn string) error {
		c := callOf(ctx)
		if c == nil || c.who == nil || arn == "*" {
			return Allow(ctx, action, arn)
		}
		var tags []resource.Tag
		if k, err := keys.Get(ctx, keyring.ID{Region: c.region, Name: arn}); err == nil {
			tags = k.Tags
		}
		return c.allow(action, arn, resourceTags(tags)...)
	}
}
