// Package kms is the API of the key service, which AWS calls KMS, over the
// embedded keystore: conversions between its shapes and the store, the order of
// checks, and refusals by name. Keys are symmetric and for encryption; all other
// kinds of keys are refused.
package kms

import (
	"context"
	"errors"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/local"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/kmsapi"
)

// Service serves the operations. Each takes the region of the request and a
// validated input. It is safe for concurrent use.
type Service struct {
	Keys *local.Store
	// Allow says whether the caller, who is known from ctx, may do an action such as
	// "kms:Encrypt" on a resource: an ARN, or "*" where the action has none. Nil
	// allows everything.
	Allow func(ctx context.Context, action, resource string) error
}

// allow asks Allow.
func (s *Service) allow(ctx context.Context, operation, resource string) error {
	if s.Allow == nil {
		return nil
	}
	return s.Allow(ctx, "kms:"+operation, resource)
}

// key finds a key on which the caller may do an operation.
func (s *Service) key(ctx context.Context, region, operation string, name *string) (local.Key, error) {
	k, err := s.Keys.Get(ctx, keyring.ID{Region: region, Name: value(name)})
	if err == nil {
		err = s.allow(ctx, operation, k.ARN)
	}
	return k, err
}

// owned is key for operations that take no alias.
func (s *Service) owned(ctx context.Context, region, operation string, name *string) (keyring.ID, error) {
	id := keyring.ID{Region: region, Name: value(name)}
	ref, err := id.Parse(s.Keys.Account)
	if err == nil && ref.Alias != "" {
		err = keyring.Errorf(keyring.NotFoundException, "Invalid keyId '%s': %s takes the id or the ARN of a key, no alias", id.Name, operation)
	}
	if err == nil {
		_, err = s.key(ctx, region, operation, name)
	}
	return id, err
}

// answer ends an operation: a refusal of the keystore keeps its code.
func answer(out wire.Message, err error) (wire.Message, error) {
	e, ok := errors.AsType[*keyring.Error](err)
	switch {
	case err == nil:
		return out, nil
	case ok && !fault.Is(err, fault.Unavailable):
		return nil, wire.Errorf(wire.Code(e.Code), "%s", e.Text)
	}
	return nil, err
}

// CreateKey makes a key.
func (s *Service) CreateKey(ctx context.Context, region string, in *kmsapi.CreateKeyInput) (wire.Message, error) {
	if err := refuseKey(in); err != nil {
		return nil, err
	}
	if err := s.allow(ctx, "CreateKey", "*"); err != nil {
		return nil, err
	}
	k, err := s.Keys.Create(ctx, region, value(in.Description), tagsOf(in.Tags))
	return answer(&kmsapi.CreateKeyOutput{KeyMetadata: s.metadata(k)}, err)
}

// DescribeKey describes a key, usable or not.
func (s *Service) DescribeKey(ctx context.Context, region string, in *kmsapi.DescribeKeyInput) (wire.Message, error) {
	if err := refuseGrants(in.GrantTokens); err != nil {
		return nil, err
	}
	k, err := s.key(ctx, region, "DescribeKey", in.KeyId)
	return answer(&kmsapi.DescribeKeyOutput{KeyMetadata: s.metadata(k)}, err)
}

// The lengths of pages that were not asked for.
const (
	defaultKeys    = 100
	defaultAliases = 50
)

// ListKeys lists the keys of the region.
func (s *Service) ListKeys(ctx context.Context, region string, in *kmsapi.ListKeysInput) (wire.Message, error) {
	if err := s.allow(ctx, "ListKeys", "*"); err != nil {
		return nil, err
	}
	after, err := markerOf(in.Marker)
	if err != nil {
		return nil, err
	}
	keys, next, err := s.Keys.List(ctx, region, after, limit(in.Limit, defaultKeys))
	out := &kmsapi.ListKeysOutput{Keys: []kmsapi.KeyListEntry{}, Truncated: ref(next != ""), NextMarker: marker(next)}
	for _, k := range keys {
		out.Keys = append(out.Keys, kmsapi.KeyListEntry{KeyId: &k.ID, KeyArn: &k.ARN})
	}
	return answer(out, err)
}

// EnableKey makes a disabled key usable again.
func (s *Service) EnableKey(ctx context.Context, region string, in *kmsapi.EnableKeyInput) (wire.Message, error) {
	id, err := s.owned(ctx, region, "EnableKey", in.KeyId)
	if err == nil {
		err = s.Keys.SetEnabled(ctx, id, true)
	}
	return answer(nil, err)
}

// DisableKey makes a key unusable until it is enabled.
func (s *Service) DisableKey(ctx context.Context, region string, in *kmsapi.DisableKeyInput) (wire.Message, error) {
	id, err := s.owned(ctx, region, "DisableKey", in.KeyId)
	if err == nil {
		err = s.Keys.SetEnabled(ctx, id, false)
	}
	return answer(nil, err)
}

// The days after which a key is deleted and rotated.
const (
	minWindow, maxWindow = 7, 30
	defaultWindow        = 30
	defaultPeriod        = 365
)

// ScheduleKeyDeletion deletes a key after some days.
func (s *Service) ScheduleKeyDeletion(ctx context.Context, region string, in *kmsapi.ScheduleKeyDeletionInput) (wire.Message, error) {
	window := int32(defaultWindow)
	if in.PendingWindowInDays != nil {
		window = *in.PendingWindowInDays
	}
	if window < minWindow || window > maxWindow {
		return nil, wire.Errorf(wire.ValidationException, "PendingWindowInDays is %d, and must be between %d and %d.", window, minWindow, maxWindow)
	}
	id, err := s.owned(ctx, region, "ScheduleKeyDeletion", in.KeyId)
	var k local.Key
	if err == nil {
		k, err = s.Keys.ScheduleDeletion(ctx, id, int(window))
	}
	return answer(&kmsapi.ScheduleKeyDeletionOutput{KeyId: &k.ARN, DeletionDate: &k.Deletes, KeyState: ref(string(k.State)), PendingWindowInDays: &window}, err)
}

// CancelKeyDeletion keeps a key, disabled.
func (s *Service) CancelKeyDeletion(ctx context.Context, region string, in *kmsapi.CancelKeyDeletionInput) (wire.Message, error) {
	id, err := s.owned(ctx, region, "CancelKeyDeletion", in.KeyId)
	var k local.Key
	if err == nil {
		k, err = s.Keys.CancelDeletion(ctx, id)
	}
	return answer(&kmsapi.CancelKeyDeletionOutput{KeyId: &k.ARN}, err)
}

// EnableKeyRotation gives a key new material from time to time.
func (s *Service) EnableKeyRotation(ctx context.Context, region string, in *kmsapi.EnableKeyRotationInput) (wire.Message, error) {
	id, err := s.owned(ctx, region, "EnableKeyRotation", in.KeyId)
	if err == nil {
		_, err = s.Keys.SetRotation(ctx, id, limit(in.RotationPeriodInDays, defaultPeriod))
	}
	return answer(nil, err)
}

// DisableKeyRotation ends the rotation of a key.
func (s *Service) DisableKeyRotation(ctx context.Context, region string, in *kmsapi.DisableKeyRotationInput) (wire.Message, error) {
	id, err := s.owned(ctx, region, "DisableKeyRotation", in.KeyId)
	if err == nil {
		_, err = s.Keys.SetRotation(ctx, id, 0)
	}
	return answer(nil, err)
}

// GetKeyRotationStatus tells whether and when a key rotates.
func (s *Service) GetKeyRotationStatus(ctx context.Context, region string, in *kmsapi.GetKeyRotationStatusInput) (wire.Message, error) {
	k, err := s.key(ctx, region, "GetKeyRotationStatus", in.KeyId)
	out := &kmsapi.GetKeyRotationStatusOutput{KeyId: &k.ID, KeyRotationEnabled: ref(k.RotationDays > 0)}
	if k.RotationDays > 0 {
		out.RotationPeriodInDays, out.NextRotationDate = ref(int32(k.RotationDays)), &k.Rotates
	}
	return answer(out, err)
}

// metadata is what DescribeKey tells of a key.
func (s *Service) metadata(k local.Key) *kmsapi.KeyMetadata {
	m := &kmsapi.KeyMetadata{
		AWSAccountId:          &s.Keys.Account,
		KeyId:                 &k.ID,
		Arn:                   &k.ARN,
		CreationDate:          &k.Created,
		Enabled:               ref(k.State == keyring.Enabled),
		Description:           &k.Description,
		KeyUsage:              ref(encryptDecrypt),
		KeyState:              ref(string(k.State)),
		Origin:                ref(awsKMS),
		KeyManager:            ref("CUSTOMER"),
		CustomerMasterKeySpec: ref(symmetric),
		KeySpec:               ref(symmetric),
		EncryptionAlgorithms:  []string{symmetric},
		MultiRegion:           ref(false),
	}
	if k.Manager != "" {
		m.KeyManager = ref("AWS")
	}
	if !k.Deletes.IsZero() {
		m.DeletionDate = &k.Deletes
	}
	return m
}

func tagsOf(in []kmsapi.Tag) []resource.Tag {
	var tags []resource.Tag
	for _, t := range in {
		tags = append(tags, resource.Tag{Key: value(t.TagKey), Value: value(t.TagValue)})
	}
	return tags
}

// value gives what a pointer points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func ref[T any](v T) *T { return &v }

// limit gives a number that may be absent.
func limit(n *int32, absent int) int {
	if n == nil {
		return absent
	}
	return int(*n)
}

// moment leaves a time out that has not come.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
