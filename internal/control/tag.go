package control

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

// maxTags is the number of tags that a resource may have (CP-60).
const maxTags = 50

// The tags under our own prefix, which carry what has no field in the API.
const (
	// layoutTag chooses the output layout of one job, under either compat setting.
	layoutTag = "sagebrush:output-layout"
	// writableTag gives every instance of a job a model folder of its own that it
	// may write to (CC-11).
	writableTag = "sagebrush:writable-model"
	// keepAliveTag is a duration such as 15m. It lets the variants of an endpoint have
	// no instance after so long without a request, and has the instances of a transform
	// job kept for so long for another job that is just like it.
	keepAliveTag = "sagebrush:keep-alive"
)

// ownTags are those tags with the values that they may have.
var ownTags = map[string][]string{
	layoutTag:    {string(resource.LayoutSingle), string(resource.LayoutParts)},
	writableTag:  {"true", "false"},
	keepAliveTag: nil, // a duration
}

// checkOwnTag refuses a tag under our own prefix that does nothing, so that a
// misspelt one is not ignored.
func checkOwnTag(t resource.Tag) error {
	if !strings.HasPrefix(t.Key, "sagebrush:") {
		return nil
	}
	values, known := ownTags[t.Key]
	if !known {
		return fault.New(fault.Invalid, "The tag %q is not one that Sagebrush knows. It knows %s.", t.Key, strings.Join(slices.Sorted(maps.Keys(ownTags)), ", "))
	}
	if t.Key == keepAliveTag {
		if d, err := time.ParseDuration(t.Value); err != nil || d <= 0 {
			return fault.New(fault.Invalid, "The tag %s is %q, and must be a duration over 0 such as 90s or 15m.", t.Key, t.Value)
		}
		return nil
	}
	if !slices.Contains(values, t.Value) {
		return fault.New(fault.Invalid, "The tag %s is %q, and may be %s.", t.Key, t.Value, strings.Join(values, " or "))
	}
	return nil
}

// checkTags refuses tags that a resource cannot have.
func checkTags(tags []resource.Tag) error {
	if len(tags) > maxTags {
		return fault.New(fault.Limit, "The resource would have %d tags, and may have %d.", len(tags), maxTags)
	}
	seen := map[string]bool{}
	for _, t := range tags {
		if seen[t.Key] {
			return fault.New(fault.Invalid, "The tag key %q is given twice.", t.Key)
		}
		seen[t.Key] = true
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return fault.New(fault.Invalid, "The tag key %q begins with aws:, which is reserved.", t.Key)
		}
		if err := checkOwnTag(t); err != nil {
			return err
		}
	}
	return nil
}

// AddTags sets tags, over those of the same key, and gives all that the resource
// has then (CP-60).
func (c *Control) AddTags(ctx context.Context, arn string, tags []resource.Tag) (all []resource.Tag, err error) {
	err = c.changeTags(ctx, arn, func(old []resource.Tag) ([]resource.Tag, error) {
		all = slices.Clone(old)
		for _, t := range tags {
			i := slices.IndexFunc(all, func(o resource.Tag) bool { return o.Key == t.Key })
			if i < 0 {
				all = append(all, t)
			} else {
				all[i] = t
			}
		}
		return all, checkTags(all)
	})
	return all, err
}

// DeleteTags removes tags by their keys; those that are not there are no error.
func (c *Control) DeleteTags(ctx context.Context, arn string, keys []string) error {
	return c.changeTags(ctx, arn, func(old []resource.Tag) ([]resource.Tag, error) {
		return slices.DeleteFunc(slices.Clone(old), func(t resource.Tag) bool { return slices.Contains(keys, t.Key) }), nil
	})
}

// ListTags gives the resource's tags, in the order in which they were added.
func (c *Control) ListTags(ctx context.Context, arn string) (tags []resource.Tag, err error) {
	key, err := c.keyOf(arn)
	if err != nil {
		return nil, err
	}
	err = c.State.View(ctx, func(tx *state.Tx) error {
		tags, err = tx.Tags(key)
		return err
	})
	return tags, c.noSuch(err, key)
}

// changeTags replaces a resource's tags in one transaction.
func (c *Control) changeTags(ctx context.Context, arn string, change func([]resource.Tag) ([]resource.Tag, error)) error {
	key, err := c.keyOf(arn)
	if err != nil {
		return err
	}
	err = c.State.Update(ctx, func(tx *state.Tx) error {
		old, err := tx.Tags(key)
		if err != nil {
			return err
		}
		tags, err := change(old)
		if err != nil {
			return err
		}
		return tx.SetTags(key, tags)
	})
	return c.noSuch(err, key)
}

// keyOf finds the resource of an ARN of this account.
func (c *Control) keyOf(arn string) (resource.Key, error) {
	key, account, ok := resource.ParseARN(arn)
	if !ok {
		return key, fault.New(fault.Invalid, "Could not find a resource with the ARN %q: Sagebrush keeps tags of models and transform jobs.", arn)
	}
	if account != c.Account {
		return key, fault.New(fault.NotFound, "Could not find %s %q: the account here is %s.", key.Kind, arn, c.Account)
	}
	return key, nil
}

// noSuch is the sentence for a resource that does not exist (CP-61, UK-24).
func (c *Control) noSuch(err error, key resource.Key) error {
	return notFound(err, "Could not find %s %q.", key.Kind, c.ARN(key))
}
