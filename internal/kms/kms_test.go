package kms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/local"
	"github.com/sagebrush-ml/sagebrush/internal/kms"
	"github.com/sagebrush-ml/sagebrush/internal/masterkey"
	"github.com/sagebrush-ml/sagebrush/internal/state"
)

const (
	account = "111122223333"
	region  = "us-east-1"
	arn     = "arn:aws:kms:" + region + ":" + account + ":"
	nobody  = "1234abcd-12ab-34cd-56ef-1234567890ab"
)

// server is the API at a port, with AWS's own client.
type server struct {
	*awskms.Client
	service *kms.Service
	log     *syncBuffer
	days    int // that the clock has moved
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// The only access key of the server.
const (
	accessKey = "AKIAEXAMPLE000000000"
	secretKey = "a-secret-of-the-tests"
)

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func start(t *testing.T) *server {
	t.Helper()
	db, err := state.Open(t.Context(), "", state.Options{})
	no(t, err)
	t.Cleanup(func() { db.Close() })
	ring, err := masterkey.Open(masterkey.Source{Value: "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="})
	no(t, err)
	s := &server{log: &syncBuffer{}}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	now := func() time.Time { return time.Now().AddDate(0, 0, s.days) }
	keys, err := local.Open(t.Context(), local.Options{Account: account, State: db, Master: ring, Log: log, Now: now})
	no(t, err)
	s.service = &kms.Service{Keys: keys}
	users, err := identity.Open(t.Context(), identity.Options{Account: account, State: db, Master: ring, Conditions: identity.ConditionKeys(), Log: log, Now: time.Now})
	no(t, err)
	no(t, users.Import(t.Context(), identity.Root, []identity.Document{identity.AdministratorAccess()}, accessKey, keyring.Secret(secretKey)))
	h := httptest.NewServer(api.New(api.Options{
		KMS: s.service, Identities: users, Account: account, Region: region, Version: "test", Log: log, Now: time.Now,
	}))
	t.Cleanup(h.Close)
	s.Client = awskms.New(awskms.Options{
		Region: region, BaseEndpoint: &h.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})
	return s
}

func no(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fails checks the code of an answer and its words.
func fails(t *testing.T, err error, code, words string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), words) {
		t.Errorf("got %v, want %s: %s", err, code, words)
	}
}

func (s *server) create(t *testing.T) string {
	t.Helper()
	out, err := s.CreateKey(t.Context(), &awskms.CreateKeyInput{Description: aws.String("test key 123")})
	no(t, err)
	return *out.KeyMetadata.KeyId
}

func TestCreateAndDescribe(t *testing.T) {
	t.Parallel()
	s := start(t)
	key := s.create(t)
	out, err := s.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: &key})
	no(t, err)
	m := out.KeyMetadata
	if *m.Arn != arn+"key/"+key || *m.AWSAccountId != account || !m.Enabled || *m.Description != "test key 123" || m.KeyUsage != types.KeyUsageTypeEncryptDecrypt ||
		m.KeyState != types.KeyStateEnabled || m.Origin != types.OriginTypeAwsKms || m.KeyManager != types.KeyManagerTypeCustomer ||
		m.KeySpec != types.KeySpecSymmetricDefault || len(m.EncryptionAlgorithms) != 1 || *m.MultiRegion {
		t.Errorf("%+v", m)
	}
	if time.Since(*m.CreationDate).Abs() > time.Minute {
		t.Errorf("created at %v", m.CreationDate)
	}
	own, err := s.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: aws.String("alias/aws/s3")})
	if err != nil || own.KeyMetadata.KeyManager != types.KeyManagerTypeAws {
		t.Errorf("%+v, %v", own, err)
	}
}

// Every kind of key but the one is refused by name (I9).
func TestRefusedKeys(t *testing.T) {
	t.Parallel()
	s := start(t)
	for word, in := range map[string]*awskms.CreateKeyInput{
		"KeySpec RSA_2048":     {KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeEncryptDecrypt},
		"KeyUsage SIGN_VERIFY": {KeyUsage: types.KeyUsageTypeSignVerify},
		"Origin EXTERNAL":      {Origin: types.OriginTypeExternal},
		"MultiRegion":          {MultiRegion: aws.Bool(true)},
		"Policy":               {Policy: aws.String("{}")},
		"CustomKeyStoreId":     {CustomKeyStoreId: aws.String("cks-1")},
		"XksKeyId":             {XksKeyId: aws.String("xks-1")},
	} {
		_, err := s.CreateKey(t.Context(), in)
		fails(t, err, "UnsupportedOperationException", word+" ")
	}
	if list, err := s.ListKeys(t.Context(), &awskms.ListKeysInput{}); err != nil || len(list.Keys) != 0 {
		t.Errorf("refused keys were made: %v, %v", list, err)
	}
	_, err := s.Sign(t.Context(), &awskms.SignInput{KeyId: aws.String(nobody), Message: []byte("x"), SigningAlgorithm: types.SigningAlgorithmSpecEcdsaSha256})
	fails(t, err, "UnknownOperationException", "The KMS operation Sign is not supported by Sagebrush.")
}

func TestEncryptAndDecrypt(t *testing.T) {
	t.Parallel()
	s := start(t)
	key, other := s.create(t), s.create(t)
	c := map[string]string{"purpose": "test"}
	for _, text := range [][]byte{[]byte("x"), bytes.Repeat([]byte("y"), 4096)} {
		e, err := s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: text, EncryptionContext: c})
		no(t, err)
		for _, by := range []*string{nil, &key, aws.String(arn + "key/" + key)} {
			d, err := s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: e.CiphertextBlob, EncryptionContext: c, KeyId: by})
			if err != nil || !bytes.Equal(d.Plaintext, text) || *d.KeyId != arn+"key/"+key || d.EncryptionAlgorithm != types.EncryptionAlgorithmSpecSymmetricDefault {
				t.Errorf("%+v, %v", d, err)
			}
		}
		_, err = s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: e.CiphertextBlob})
		fails(t, err, "InvalidCiphertextException", "")
		_, err = s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: e.CiphertextBlob, EncryptionContext: c, KeyId: &other})
		fails(t, err, "IncorrectKeyException", "does not identify a CMK")

		r, err := s.ReEncrypt(t.Context(), &awskms.ReEncryptInput{CiphertextBlob: e.CiphertextBlob, SourceEncryptionContext: c, DestinationKeyId: &other})
		no(t, err)
		if *r.SourceKeyId != arn+"key/"+key || *r.KeyId != arn+"key/"+other {
			t.Errorf("%+v", r)
		}
		if d, err := s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: r.CiphertextBlob}); err != nil || !bytes.Equal(d.Plaintext, text) {
			t.Errorf("%+v, %v", d, err)
		}
		_, err = s.ReEncrypt(t.Context(), &awskms.ReEncryptInput{CiphertextBlob: e.CiphertextBlob, DestinationKeyId: &other})
		fails(t, err, "InvalidCiphertextException", "")
	}
	_, err := s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: make([]byte, 4097)})
	fails(t, err, "ValidationException", "Member must have length less than or equal to 4096")
	_, err = s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha1})
	fails(t, err, "InvalidKeyUsageException", "incompatible")
	_, err = s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), GrantTokens: []string{"t"}})
	fails(t, err, "UnsupportedOperationException", "GrantTokens")
	_, err = s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("x"), DryRun: aws.Bool(true)})
	fails(t, err, "DryRunOperationException", "would have succeeded")
	_, err = s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: aws.String(nobody), Plaintext: []byte("x"), DryRun: aws.Bool(true)})
	fails(t, err, "NotFoundException", "does not exist")
}

func TestDataKeys(t *testing.T) {
	t.Parallel()
	s := start(t)
	key := s.create(t)
	for _, in := range []*awskms.GenerateDataKeyInput{
		{KeySpec: types.DataKeySpecAes256}, {KeySpec: types.DataKeySpecAes128}, {NumberOfBytes: aws.Int32(1)}, {NumberOfBytes: aws.Int32(1024)},
	} {
		in.KeyId = &key
		out, err := s.GenerateDataKey(t.Context(), in)
		no(t, err)
		want := map[types.DataKeySpec]int{types.DataKeySpecAes256: 32, types.DataKeySpecAes128: 16}[in.KeySpec] + int(aws.ToInt32(in.NumberOfBytes))
		d, err := s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: out.CiphertextBlob})
		if err != nil || len(out.Plaintext) != want || !bytes.Equal(d.Plaintext, out.Plaintext) {
			t.Errorf("%d bytes, want %d; %v", len(out.Plaintext), want, err)
		}
		blind, err := s.GenerateDataKeyWithoutPlaintext(t.Context(), &awskms.GenerateDataKeyWithoutPlaintextInput{KeyId: &key, KeySpec: in.KeySpec, NumberOfBytes: in.NumberOfBytes})
		no(t, err)
		if d, err := s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: blind.CiphertextBlob}); err != nil || len(d.Plaintext) != want {
			t.Errorf("%d bytes, want %d; %v", len(d.Plaintext), want, err)
		}
	}
	for _, in := range []*awskms.GenerateDataKeyInput{{}, {KeySpec: types.DataKeySpecAes256, NumberOfBytes: aws.Int32(1)}} {
		in.KeyId = &key
		_, err := s.GenerateDataKey(t.Context(), in)
		fails(t, err, "ValidationException", "either number of bytes or key spec")
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	s := start(t)
	key := s.create(t)
	use := func() error {
		_, err := s.GenerateDataKey(t.Context(), &awskms.GenerateDataKeyInput{KeyId: &key, KeySpec: types.DataKeySpecAes256})
		return err
	}
	state := func() types.KeyState {
		out, err := s.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: &key})
		no(t, err)
		return out.KeyMetadata.KeyState
	}
	_, err := s.DisableKey(t.Context(), &awskms.DisableKeyInput{KeyId: &key})
	no(t, err)
	fails(t, use(), "DisabledException", arn+"key/"+key+" is disabled.")
	_, err = s.EnableKeyRotation(t.Context(), &awskms.EnableKeyRotationInput{KeyId: &key})
	fails(t, err, "DisabledException", "is disabled.")
	_, err = s.EnableKey(t.Context(), &awskms.EnableKeyInput{KeyId: &key})
	no(t, err)
	no(t, use())
	for _, window := range []int32{1, 6, 31} {
		_, err = s.ScheduleKeyDeletion(t.Context(), &awskms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: &window})
		fails(t, err, "ValidationException", "must be between 7 and 30")
	}
	out, err := s.ScheduleKeyDeletion(t.Context(), &awskms.ScheduleKeyDeletionInput{KeyId: &key})
	no(t, err)
	if *out.KeyId != arn+"key/"+key || out.KeyState != types.KeyStatePendingDeletion || *out.PendingWindowInDays != 30 || time.Until(*out.DeletionDate).Round(time.Hour) != 30*24*time.Hour {
		t.Errorf("%+v", out)
	}
	fails(t, use(), "KMSInvalidStateException", "is pending deletion.")
	_, err = s.ScheduleKeyDeletion(t.Context(), &awskms.ScheduleKeyDeletionInput{KeyId: &key})
	fails(t, err, "KMSInvalidStateException", "is pending deletion.")
	if _, err := s.CancelKeyDeletion(t.Context(), &awskms.CancelKeyDeletionInput{KeyId: &key}); err != nil || state() != types.KeyStateDisabled {
		t.Errorf("%v, %s", err, state())
	}
	_, err = s.CancelKeyDeletion(t.Context(), &awskms.CancelKeyDeletionInput{KeyId: &key})
	fails(t, err, "KMSInvalidStateException", "is not pending deletion.")
	_, err = s.ScheduleKeyDeletion(t.Context(), &awskms.ScheduleKeyDeletionInput{KeyId: &key, PendingWindowInDays: aws.Int32(7)})
	no(t, err)
	s.days = 7
	fails(t, use(), "NotFoundException", "Key '"+arn+"key/"+key+"' does not exist")
}

func TestRotationStatus(t *testing.T) {
	t.Parallel()
	s := start(t)
	key := s.create(t)
	status := func() *awskms.GetKeyRotationStatusOutput {
		out, err := s.GetKeyRotationStatus(t.Context(), &awskms.GetKeyRotationStatusInput{KeyId: &key})
		no(t, err)
		return out
	}
	if out := status(); out.KeyRotationEnabled || out.NextRotationDate != nil {
		t.Errorf("%+v", out)
	}
	_, err := s.EnableKeyRotation(t.Context(), &awskms.EnableKeyRotationInput{KeyId: &key})
	no(t, err)
	if out := status(); !out.KeyRotationEnabled || *out.RotationPeriodInDays != 365 || time.Until(*out.NextRotationDate).Round(time.Hour) != 365*24*time.Hour {
		t.Errorf("%+v", out)
	}
	e, err := s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("old")})
	no(t, err)
	s.days = 366
	again, err := s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("new")})
	no(t, err)
	for text, blob := range map[string][]byte{"old": e.CiphertextBlob, "new": again.CiphertextBlob} {
		if d, err := s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: blob}); err != nil || string(d.Plaintext) != text {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err = s.EnableKeyRotation(t.Context(), &awskms.EnableKeyRotationInput{KeyId: &key, RotationPeriodInDays: aws.Int32(1)})
	fails(t, err, "ValidationException", "greater than or equal to 90")
	_, err = s.DisableKeyRotation(t.Context(), &awskms.DisableKeyRotationInput{KeyId: &key})
	no(t, err)
	if status().KeyRotationEnabled {
		t.Error("still enabled")
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := map[string]bool{}
	var key string
	for range 5 {
		key = s.create(t)
		made[key] = true
	}
	pages := awskms.NewListKeysPaginator(s, &awskms.ListKeysInput{Limit: aws.Int32(2)})
	count := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		no(t, err)
		count++
		for _, k := range page.Keys {
			if !made[*k.KeyId] || *k.KeyArn != arn+"key/"+*k.KeyId {
				t.Errorf("%+v", k)
			}
			delete(made, *k.KeyId)
		}
	}
	if len(made) != 0 || count != 3 {
		t.Errorf("%d pages, without %v", count, made)
	}
	for i := range 3 {
		_, err := s.CreateAlias(t.Context(), &awskms.CreateAliasInput{AliasName: aws.String(fmt.Sprint("alias/a", i)), TargetKeyId: &key})
		no(t, err)
	}
	names := ""
	aliases := awskms.NewListAliasesPaginator(s, &awskms.ListAliasesInput{KeyId: &key, Limit: aws.Int32(2)})
	for aliases.HasMorePages() {
		page, err := aliases.NextPage(t.Context())
		no(t, err)
		for _, a := range page.Aliases {
			names += *a.AliasName + " "
			if *a.TargetKeyId != key || *a.AliasArn != arn+*a.AliasName {
				t.Errorf("%+v", a)
			}
		}
	}
	if names != "alias/a0 alias/a1 alias/a2 " {
		t.Error(names)
	}
	_, err := s.ListKeys(t.Context(), &awskms.ListKeysInput{Marker: aws.String("!")})
	fails(t, err, "InvalidMarkerException", "Marker")
}

func TestAliases(t *testing.T) {
	t.Parallel()
	s := start(t)
	key, other := s.create(t), s.create(t)
	alias := aws.String("alias/a")
	_, err := s.CreateAlias(t.Context(), &awskms.CreateAliasInput{AliasName: alias, TargetKeyId: &key})
	no(t, err)
	_, err = s.CreateAlias(t.Context(), &awskms.CreateAliasInput{AliasName: alias, TargetKeyId: &other})
	fails(t, err, "AlreadyExistsException", "An alias with the name "+arn+"alias/a already exists")
	_, err = s.CreateAlias(t.Context(), &awskms.CreateAliasInput{AliasName: aws.String("a"), TargetKeyId: &key})
	fails(t, err, "ValidationException", `Alias must start with the prefix "alias/".`)
	_, err = s.DisableKey(t.Context(), &awskms.DisableKeyInput{KeyId: alias})
	fails(t, err, "NotFoundException", "Invalid keyId 'alias/a'")
	e, err := s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: alias, Plaintext: []byte("x")})
	if err != nil || *e.KeyId != arn+"key/"+key {
		t.Errorf("%+v, %v", e, err)
	}
	_, err = s.UpdateAlias(t.Context(), &awskms.UpdateAliasInput{AliasName: alias, TargetKeyId: &other})
	no(t, err)
	if d, err := s.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: alias}); err != nil || *d.KeyMetadata.KeyId != other {
		t.Errorf("%+v, %v", d, err)
	}
	_, err = s.DeleteAlias(t.Context(), &awskms.DeleteAliasInput{AliasName: alias})
	no(t, err)
	_, err = s.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: alias})
	fails(t, err, "NotFoundException", "Alias "+arn+"alias/a is not found.")
}

func TestTagsAndPolicy(t *testing.T) {
	t.Parallel()
	s := start(t)
	key := s.create(t)
	tag := func(k, v string) types.Tag { return types.Tag{TagKey: &k, TagValue: &v} }
	_, err := s.TagResource(t.Context(), &awskms.TagResourceInput{KeyId: &key, Tags: []types.Tag{tag("a", "1"), tag("b", "2")}})
	no(t, err)
	_, err = s.TagResource(t.Context(), &awskms.TagResourceInput{KeyId: &key, Tags: []types.Tag{tag("a", "3")}})
	no(t, err)
	_, err = s.UntagResource(t.Context(), &awskms.UntagResourceInput{KeyId: &key, TagKeys: []string{"b", "none"}})
	no(t, err)
	out, err := s.ListResourceTags(t.Context(), &awskms.ListResourceTagsInput{KeyId: &key})
	if err != nil || len(out.Tags) != 1 || *out.Tags[0].TagKey != "a" || *out.Tags[0].TagValue != "3" {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = s.TagResource(t.Context(), &awskms.TagResourceInput{KeyId: &key, Tags: []types.Tag{tag("aws:x", "")}})
	fails(t, err, "TagException", "reserved")
	p, err := s.GetKeyPolicy(t.Context(), &awskms.GetKeyPolicyInput{KeyId: &key})
	if err != nil || !strings.Contains(*p.Policy, `"arn:aws:iam::`+account+`:root"`) || *p.PolicyName != "default" {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = s.GetKeyPolicy(t.Context(), &awskms.GetKeyPolicyInput{KeyId: &key, PolicyName: aws.String("other")})
	fails(t, err, "NotFoundException", "No such policy exists")
}

// Allow is asked for every operation, with the key's ARN, and nothing happens when
// it refuses.
func TestAllow(t *testing.T) {
	t.Parallel()
	s := start(t)
	key := s.create(t)
	e, err := s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("x")})
	no(t, err)
	_, err = s.CreateAlias(t.Context(), &awskms.CreateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: &key})
	no(t, err)
	var mu sync.Mutex
	var asked string
	s.service.Allow = func(_ context.Context, action, resource string) error {
		mu.Lock()
		defer mu.Unlock()
		asked = action + " " + resource
		return fault.New(fault.Denied, "User: x is not authorized to perform: %s", action)
	}
	on := " " + arn + "key/" + key
	for want, call := range map[string]func() error{
		"kms:CreateKey *":      func() error { _, err := s.CreateKey(t.Context(), &awskms.CreateKeyInput{}); return err },
		"kms:ListKeys *":       func() error { _, err := s.ListKeys(t.Context(), &awskms.ListKeysInput{}); return err },
		"kms:ListAliases *":    func() error { _, err := s.ListAliases(t.Context(), &awskms.ListAliasesInput{}); return err },
		"kms:DescribeKey" + on: func() error { _, err := s.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: &key}); return err },
		"kms:DisableKey" + on:  func() error { _, err := s.DisableKey(t.Context(), &awskms.DisableKeyInput{KeyId: &key}); return err },
		"kms:EnableKey" + on:   func() error { _, err := s.EnableKey(t.Context(), &awskms.EnableKeyInput{KeyId: &key}); return err },
		"kms:EnableKeyRotation" + on: func() error {
			_, err := s.EnableKeyRotation(t.Context(), &awskms.EnableKeyRotationInput{KeyId: &key})
			return err
		},
		"kms:DisableKeyRotation" + on: func() error {
			_, err := s.DisableKeyRotation(t.Context(), &awskms.DisableKeyRotationInput{KeyId: &key})
			return err
		},
		"kms:GetKeyRotationStatus" + on: func() error {
			_, err := s.GetKeyRotationStatus(t.Context(), &awskms.GetKeyRotationStatusInput{KeyId: &key})
			return err
		},
		"kms:GetKeyPolicy" + on: func() error {
			_, err := s.GetKeyPolicy(t.Context(), &awskms.GetKeyPolicyInput{KeyId: &key})
			return err
		},
		"kms:ScheduleKeyDeletion" + on: func() error {
			_, err := s.ScheduleKeyDeletion(t.Context(), &awskms.ScheduleKeyDeletionInput{KeyId: &key})
			return err
		},
		"kms:CancelKeyDeletion" + on: func() error {
			_, err := s.CancelKeyDeletion(t.Context(), &awskms.CancelKeyDeletionInput{KeyId: &key})
			return err
		},
		"kms:ListResourceTags" + on: func() error {
			_, err := s.ListResourceTags(t.Context(), &awskms.ListResourceTagsInput{KeyId: &key})
			return err
		},
		"kms:TagResource" + on: func() error {
			_, err := s.TagResource(t.Context(), &awskms.TagResourceInput{KeyId: &key, Tags: []types.Tag{}})
			return err
		},
		"kms:UntagResource" + on: func() error {
			_, err := s.UntagResource(t.Context(), &awskms.UntagResourceInput{KeyId: &key, TagKeys: []string{}})
			return err
		},
		"kms:Encrypt" + on: func() error {
			_, err := s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: []byte("x")})
			return err
		},
		"kms:Decrypt" + on: func() error {
			_, err := s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: e.CiphertextBlob})
			return err
		},
		"kms:Decrypt" + on + " ": func() error {
			_, err := s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: e.CiphertextBlob, KeyId: &key})
			return err
		},
		"kms:ReEncryptFrom" + on: func() error {
			_, err := s.ReEncrypt(t.Context(), &awskms.ReEncryptInput{CiphertextBlob: e.CiphertextBlob, DestinationKeyId: &key})
			return err
		},
		"kms:GenerateDataKey" + on: func() error {
			_, err := s.GenerateDataKey(t.Context(), &awskms.GenerateDataKeyInput{KeyId: &key, NumberOfBytes: aws.Int32(1)})
			return err
		},
		"kms:GenerateDataKeyWithoutPlaintext" + on: func() error {
			_, err := s.GenerateDataKeyWithoutPlaintext(t.Context(), &awskms.GenerateDataKeyWithoutPlaintextInput{KeyId: &key, NumberOfBytes: aws.Int32(1)})
			return err
		},
		"kms:CreateAlias " + arn + "alias/b": func() error {
			_, err := s.CreateAlias(t.Context(), &awskms.CreateAliasInput{AliasName: aws.String("alias/b"), TargetKeyId: &key})
			return err
		},
		"kms:UpdateAlias " + arn + "alias/a": func() error {
			_, err := s.UpdateAlias(t.Context(), &awskms.UpdateAliasInput{AliasName: aws.String("alias/a"), TargetKeyId: &key})
			return err
		},
		"kms:DeleteAlias " + arn + "alias/a": func() error {
			_, err := s.DeleteAlias(t.Context(), &awskms.DeleteAliasInput{AliasName: aws.String("alias/a")})
			return err
		},
	} {
		asked = ""
		fails(t, call(), "AccessDeniedException", "not authorized to perform")
		mu.Lock()
		if asked != strings.TrimSpace(want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
		mu.Unlock()
	}
	s.service.Allow = nil
	if k, err := s.DescribeKey(t.Context(), &awskms.DescribeKeyInput{KeyId: aws.String("alias/a")}); err != nil || k.KeyMetadata.KeyState != types.KeyStateEnabled {
		t.Errorf("%+v, %v", k, err)
	}
}

// No plaintext is in the log (I8).
func TestLogHasNoSecrets(t *testing.T) {
	t.Parallel()
	s := start(t)
	key := s.create(t)
	const text = "a very secret text"
	e, err := s.Encrypt(t.Context(), &awskms.EncryptInput{KeyId: &key, Plaintext: []byte(text)})
	no(t, err)
	e.CiphertextBlob[len(e.CiphertextBlob)-1] ^= 1
	_, err = s.Decrypt(t.Context(), &awskms.DecryptInput{CiphertextBlob: e.CiphertextBlob})
	fails(t, err, "InvalidCiphertextException", "")
	if strings.Contains(s.log.b.String()+err.Error(), "secret text") {
		t.Error(s.log.b.String())
	}
}
