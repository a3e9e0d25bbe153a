package kms

import (
	"context"
	"crypto/rand"

	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/local"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/kmsapi"
)

// Encrypt encrypts up to 4096 bytes.
func (s *Service) Encrypt(ctx context.Context, region string, in *kmsapi.EncryptInput) (wire.Message, error) {
	if err := refuseUse(in.GrantTokens, nil, in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	blob, arn, err := s.encrypt(ctx, region, "Encrypt", in.KeyId, in.Plaintext, in.EncryptionContext)
	return answer(&kmsapi.EncryptOutput{CiphertextBlob: blob, KeyId: &arn, EncryptionAlgorithm: ref(symmetric)}, dry(in.DryRun, err))
}

func (s *Service) encrypt(ctx context.Context, region, operation string, name *string, plaintext []byte, c map[string]string) (blob []byte, arn string, err error) {
	k, err := s.key(ctx, region, operation, name)
	if err != nil {
		return nil, "", err
	}
	blob, _, err = s.Keys.Encrypt(ctx, keyring.ID{Region: region, Name: k.ID}, plaintext, c)
	return blob, k.ARN, err
}

// Decrypt decrypts what Encrypt, GenerateDataKey or ReEncrypt made.
func (s *Service) Decrypt(ctx context.Context, region string, in *kmsapi.DecryptInput) (wire.Message, error) {
	if err := refuseUse(in.GrantTokens, in.Recipient, in.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	if err := refuseModifiers(in.DryRunModifiers); err != nil {
		return nil, err
	}
	plaintext, arn, err := s.decrypt(ctx, region, "Decrypt", in.KeyId, in.CiphertextBlob, in.EncryptionContext)
	return answer(&kmsapi.DecryptOutput{KeyId: &arn, Plaintext: plaintext, EncryptionAlgorithm: ref(symmetric)}, dry(in.DryRun, err))
}

// decrypt opens a ciphertext with the key that made it, which must be the named
// one where one is named. Nobody learns whether it could be opened who may not use
// the key.
func (s *Service) decrypt(ctx context.Context, region, operation string, name *string, blob []byte, c map[string]string) (plaintext []byte, arn string, err error) {
	var k local.Key
	if name != nil {
		if k, err = s.key(ctx, region, operation, name); err == nil {
			plaintext, err = s.Keys.Decrypt(ctx, keyring.ID{Region: region, Name: k.ID}, blob, c)
		}
	} else {
		plaintext, k, err = s.Keys.Open(ctx, region, blob, c)
		if k.ID != "" {
			if refused := s.allow(ctx, operation, k.ARN); refused != nil {
				err = refused
			}
		}
	}
	if err != nil {
		return nil, "", err
	}
	if plaintext == nil {
		plaintext = []byte{} // an empty text, not an absent one
	}
	return plaintext, k.ARN, nil
}

// ReEncrypt decrypts with one key and encrypts with another; the text does not
// leave the service.
func (s *Service) ReEncrypt(ctx context.Context, region string, in *kmsapi.ReEncryptInput) (wire.Message, error) {
	for _, algorithm := range []*string{in.SourceEncryptionAlgorithm, in.DestinationEncryptionAlgorithm} {
		if err := refuseUse(in.GrantTokens, nil, algorithm); err != nil {
			return nil, err
		}
	}
	if err := refuseModifiers(in.DryRunModifiers); err != nil {
		return nil, err
	}
	plaintext, from, err := s.decrypt(ctx, region, "ReEncryptFrom", in.SourceKeyId, in.CiphertextBlob, in.SourceEncryptionContext)
	if err != nil {
		return answer(nil, err)
	}
	defer clear(plaintext)
	blob, to, err := s.encrypt(ctx, region, "ReEncryptTo", in.DestinationKeyId, plaintext, in.DestinationEncryptionContext)
	return answer(&kmsapi.ReEncryptOutput{
		CiphertextBlob: blob, SourceKeyId: &from, KeyId: &to,
		SourceEncryptionAlgorithm: ref(symmetric), DestinationEncryptionAlgorithm: ref(symmetric),
	}, dry(in.DryRun, err))
}

// GenerateDataKey makes a data key, plain and wrapped.
func (s *Service) GenerateDataKey(ctx context.Context, region string, in *kmsapi.GenerateDataKeyInput) (wire.Message, error) {
	if err := refuseUse(in.GrantTokens, in.Recipient, nil); err != nil {
		return nil, err
	}
	key, err := dataKey(in.KeySpec, in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	blob, arn, err := s.encrypt(ctx, region, "GenerateDataKey", in.KeyId, key, in.EncryptionContext)
	return answer(&kmsapi.GenerateDataKeyOutput{CiphertextBlob: blob, Plaintext: key, KeyId: &arn}, dry(in.DryRun, err))
}

// GenerateDataKeyWithoutPlaintext makes a data key for somebody else to unwrap.
func (s *Service) GenerateDataKeyWithoutPlaintext(ctx context.Context, region string, in *kmsapi.GenerateDataKeyWithoutPlaintextInput) (wire.Message, error) {
	if err := refuseUse(in.GrantTokens, nil, nil); err != nil {
		return nil, err
	}
	key, err := dataKey(in.KeySpec, in.NumberOfBytes)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	blob, arn, err := s.encrypt(ctx, region, "GenerateDataKeyWithoutPlaintext", in.KeyId, key, in.EncryptionContext)
	return answer(&kmsapi.GenerateDataKeyWithoutPlaintextOutput{CiphertextBlob: blob, KeyId: &arn}, dry(in.DryRun, err))
}

// dataKey makes the key of a GenerateDataKey request.
func dataKey(spec *string, bytes *int32) ([]byte, error) {
	if (spec == nil) == (bytes == nil) {
		return nil, wire.Errorf(wire.ValidationException, "Please specify either number of bytes or key spec.")
	}
	n := value(bytes)
	switch value(spec) {
	case "AES_256":
		n = 32
	case "AES_128":
		n = 16
	}
	key := make([]byte, n)
	rand.Read(key) // It never fails: crypto/rand ends the program instead.
	return key, nil
}

// dry ends a request that was only a question: what would have succeeded fails.
func dry(run *bool, err error) error {
	if err == nil && value(run) {
		return wire.Errorf(kmsapi.DryRunOperationException, "The request would have succeeded, but the DryRun option is set.")
	}
	return err
}
