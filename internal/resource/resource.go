// Package resource holds Sagebrush's nouns: models, transform jobs, their names,
// ARNs and statuses, and the legal moves between statuses. It does no I/O and
// takes time as an argument, so everything in it can be tested as a table.
//
// Its structs are what the durable store keeps. A Spec is what the user asked
// for and never changes after Create; the rest is written only by Apply.
package resource

import (
	"strings"
	"time"
)

// Kind is a family of resources, spelt as in its ARN (CP-8).
type Kind string

// The kinds that Sagebrush keeps.
const (
	KindModel        Kind = "model"
	KindTransformJob Kind = "transform-job"
)

// Key names one resource. Names keep their case, but two names that differ only
// in case are the same resource, because their ARNs are equal (CP-8, CP-9).
type Key struct {
	Region string
	Kind   Kind
	Name   string
}

// Folded is the key under which uniqueness is decided: the name in lower case.
func (k Key) Folded() Key {
	k.Name = strings.ToLower(k.Name)
	return k
}

// String is for logs.
func (k Key) String() string { return k.Region + "/" + string(k.Kind) + "/" + k.Name }

// ARN gives the Amazon resource name of the key in an account. The name is in
// lower case, as the real service has it (CP-8).
func (k Key) ARN(account string) string {
	return "arn:aws:sagemaker:" + k.Region + ":" + account + ":" + string(k.Kind) + "/" + strings.ToLower(k.Name)
}

// ParseARN reads the ARN of a resource of a kind that Sagebrush keeps. The name
// comes back as it is written in the ARN, so in lower case.
func ParseARN(arn string) (key Key, account string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sagemaker" {
		return Key{}, "", false
	}
	kind, name, found := strings.Cut(parts[5], "/")
	if !found || name == "" {
		return Key{}, "", false
	}
	switch Kind(kind) {
	case KindModel, KindTransformJob, KindEndpointConfig, KindEndpoint:
		return Key{Region: parts[3], Kind: Kind(kind), Name: name}, parts[4], true
	}
	return Key{}, "", false
}

// Meta is what every stored resource has beside its own content.
type Meta struct {
	Key
	// Rev counts the writes; a write with a stale Rev is refused. 0 is new.
	Rev uint64 `json:"-"`
	// Created never changes; Modified moves with every write of the status.
	Created  time.Time `json:"-"`
	Modified time.Time `json:"-"`
	// Tags are the resource's tags (CP-60), at most 50.
	Tags []Tag `json:"-"`
}

// Tag is one tag. Extras of Sagebrush travel under the key prefix "sagebrush:".
type Tag struct{ Key, Value string }

// TagValue gives the value of a tag, or "" when it is not there.
func (m Meta) TagValue(key string) string {
	for _, t := range m.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}
