package kms

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/kmsapi"
)

// CreateAlias gives a key a second name.
func (s *Service) CreateAlias(ctx context.Context, region string, in *kmsapi.CreateAliasInput) (wire.Message, error) {
	err := s.allowAlias(ctx, region, "CreateAlias", in.AliasName, in.TargetKeyId)
	if err == nil {
		err = s.Keys.CreateAlias(ctx, region, value(in.AliasName), keyring.ID{Region: region, Name: value(in.TargetKeyId)})
	}
	return answer(nil, err)
}

// UpdateAlias lets an alias name another key.
func (s *Service) UpdateAlias(ctx context.Context, region string, in *kmsapi.UpdateAliasInput) (wire.Message, error) {
	err := s.allowAlias(ctx, region, "UpdateAlias", in.AliasName, in.TargetKeyId)
	if err == nil {
		err = s.Keys.UpdateAlias(ctx, region, value(in.AliasName), keyring.ID{Region: region, Name: value(in.TargetKeyId)})
	}
	return answer(nil, err)
}

// DeleteAlias removes an alias. Its key stays.
func (s *Service) DeleteAlias(ctx context.Context, region string, in *kmsapi.DeleteAliasInput) (wire.Message, error) {
	err := s.allowAlias(ctx, region, "DeleteAlias", in.AliasName, nil)
	if err == nil {
		err = s.Keys.DeleteAlias(ctx, region, value(in.AliasName))
	}
	return answer(nil, err)
}

// allowAlias asks for an alias, for the key that it names and for the one that it is to
// name: who may not touch a key does not take its names away either.
func (s *Service) allowAlias(ctx context.Context, region, operation string, alias, key *string) error {
	err := s.allow(ctx, operation, keyring.Ref{Region: region, Alias: value(alias)}.ARN(s.Keys.Account))
	if err != nil || s.Allow == nil {
		return err
	}
	if operation != "CreateAlias" {
		if named, missing := s.Keys.Get(ctx, keyring.ID{Region: region, Name: value(alias)}); missing == nil {
			err = s.allow(ctx, operation, named.ARN)
		}
	}
	if err == nil && key != nil {
		_, err = s.key(ctx, region, operation, key)
	}
	return err
}

// ListAliases lists the aliases of the region or of one key.
func (s *Service) ListAliases(ctx context.Context, region string, in *kmsapi.ListAliasesInput) (wire.Message, error) {
	if err := s.allow(ctx, "ListAliases", "*"); err != nil {
		return nil, err
	}
	after, err := markerOf(in.Marker)
	if err != nil {
		return nil, err
	}
	var of *keyring.ID
	if in.KeyId != nil {
		of = &keyring.ID{Region: region, Name: *in.KeyId}
	}
	aliases, next, err := s.Keys.ListAliases(ctx, region, of, after, limit(in.Limit, defaultAliases))
	out := &kmsapi.ListAliasesOutput{Aliases: []kmsapi.AliasListEntry{}, Truncated: ref(next != ""), NextMarker: marker(next)}
	for _, a := range aliases {
		out.Aliases = append(out.Aliases, kmsapi.AliasListEntry{
			AliasName: &a.Name, AliasArn: &a.ARN, TargetKeyId: &a.KeyID, CreationDate: moment(a.Created), LastUpdatedDate: moment(a.Updated),
		})
	}
	return answer(out, err)
}

// TagResource sets tags of a key.
func (s *Service) TagResource(ctx context.Context, region string, in *kmsapi.TagResourceInput) (wire.Message, error) {
	id, err := s.owned(ctx, region, "TagResource", in.KeyId)
	if err == nil {
		err = s.Keys.Tag(ctx, id, tagsOf(in.Tags))
	}
	return answer(nil, err)
}

// UntagResource removes tags of a key.
func (s *Service) UntagResource(ctx context.Context, region string, in *kmsapi.UntagResourceInput) (wire.Message, error) {
	id, err := s.owned(ctx, region, "UntagResource", in.KeyId)
	if err == nil {
		err = s.Keys.Untag(ctx, id, in.TagKeys)
	}
	return answer(nil, err)
}

// ListResourceTags answers all tags at once: a key has at most 50. So there never
// is a marker.
func (s *Service) ListResourceTags(ctx context.Context, region string, in *kmsapi.ListResourceTagsInput) (wire.Message, error) {
	if in.Marker != nil {
		return nil, errMarker()
	}
	k, err := s.key(ctx, region, "ListResourceTags", in.KeyId)
	out := &kmsapi.ListResourceTagsOutput{Tags: []kmsapi.Tag{}, Truncated: ref(false)}
	for _, t := range k.Tags {
		out.Tags = append(out.Tags, kmsapi.Tag{TagKey: &t.Key, TagValue: &t.Value})
	}
	return answer(out, err)
}

// GetKeyPolicy answers the policy that every key has: access is given by the
// policies of access keys.
func (s *Service) GetKeyPolicy(ctx context.Context, region string, in *kmsapi.GetKeyPolicyInput) (wire.Message, error) {
	_, err := s.owned(ctx, region, "GetKeyPolicy", in.KeyId)
	if name := value(in.PolicyName); err == nil && name != "" && name != "default" {
		err = wire.Errorf(kmsapi.NotFoundException, "No such policy exists")
	}
	if err != nil {
		return answer(nil, err)
	}
	policy, err := json.MarshalIndent(map[string]any{
		"Version": "2012-10-17",
		"Id":      "key-default-1",
		"Statement": []map[string]any{{
			"Sid": "Enable IAM User Permissions", "Effect": "Allow",
			"Principal": map[string]string{"AWS": "arn:aws:iam::" + s.Keys.Account + ":root"},
			"Action":    "kms:*", "Resource": "*",
		}},
	}, "", "  ")
	return &kmsapi.GetKeyPolicyOutput{Policy: ref(string(policy)), PolicyName: ref("default")}, err
}

// marker makes the marker of a page after a name, nil for none. It is no secret,
// and whatever a stranger makes of it is only another name.
func marker(name string) *string {
	if name == "" {
		return nil
	}
	return ref(base64.RawURLEncoding.EncodeToString([]byte(name)))
}

func markerOf(text *string) (string, error) {
	if text == nil {
		return "", nil
	}
	name, err := base64.RawURLEncoding.Strict().DecodeString(*text)
	if err != nil || len(name) == 0 {
		return "", errMarker()
	}
	return string(name), nil
}

func errMarker() error {
	return wire.Errorf(kmsapi.InvalidMarkerException, "The Marker is not one that this list gave. Begin again without it.")
}
