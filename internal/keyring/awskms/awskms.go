// Package awskms is the keyring of AWS KMS, or of anything else that speaks its
// API. Keys stay there: each data key is made and unwrapped by a request.
package awskms

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// Config says where the service is and who calls. The zero value is AWS with the
// usual environment.
type Config struct {
	// Endpoint is the URL of the service; "" is AWS's, or AWS_ENDPOINT_URL_KMS.
	Endpoint string
	// Credentials are who calls; nil is what the usual environment says.
	Credentials aws.CredentialsProvider
	// Timeout bounds a request with all its retries; 0 is 30 seconds.
	Timeout time.Duration
}

const defaultTimeout = 30 * time.Second

// Keyring is AWS KMS. It is safe for concurrent use.
type Keyring struct {
	client  *kms.Client
	timeout time.Duration
}

var _ keyring.Keyring = (*Keyring)(nil)

// New makes a Keyring. It sends nothing yet.
func New(ctx context.Context, c Config) (*Keyring, error) {
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The AWS configuration for the key service cannot be loaded.")
	}
	client := kms.NewFromConfig(loaded, func(o *kms.Options) {
		if c.Endpoint != "" {
			o.BaseEndpoint = &c.Endpoint
		}
		if c.Credentials != nil {
			o.Credentials = c.Credentials
		}
	})
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return &Keyring{client: client, timeout: c.Timeout}, nil
}

// in sends a request to the region of a key.
func in(id keyring.ID) func(*kms.Options) {
	return func(o *kms.Options) {
		if id.Region != "" {
			o.Region = id.Region
		}
	}
}

// Describe implements keyring.Keyring.
func (k *Keyring) Describe(ctx context.Context, id keyring.ID) (keyring.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	out, err := k.client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id.Name}, in(id))
	if err != nil {
		return keyring.Key{}, translate(ctx, "DescribeKey", id, err)
	}
	m := out.KeyMetadata
	if m.KeyUsage != types.KeyUsageTypeEncryptDecrypt || m.KeySpec != types.KeySpecSymmetricDefault {
		return keyring.Key{}, keyring.Errorf(keyring.InvalidKeyUsageException, "%s is a %s key for %s; data can be encrypted with symmetric encryption keys only.", aws.ToString(m.Arn), m.KeySpec, m.KeyUsage)
	}
	return keyring.Key{ID: aws.ToString(m.KeyId), ARN: aws.ToString(m.Arn), State: keyring.State(m.KeyState)}, nil
}

// GenerateDataKey implements keyring.Keyring.
func (k *Keyring) GenerateDataKey(ctx context.Context, id keyring.ID, c keyring.Context) (keyring.DataKey, error) {
	if _, err := c.Bytes(); err != nil {
		return keyring.DataKey{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	out, err := k.client.GenerateDataKey(ctx, &kms.GenerateDataKeyInput{
		KeyId: &id.Name, KeySpec: types.DataKeySpecAes256, EncryptionContext: c,
	}, in(id))
	if err != nil {
		return keyring.DataKey{}, translate(ctx, "GenerateDataKey", id, err)
	}
	if len(out.Plaintext) != keyring.DataKeySize {
		return keyring.DataKey{}, keyring.Errorf(keyring.InternalException, "The key service made a data key of %d bytes instead of %d.", len(out.Plaintext), keyring.DataKeySize)
	}
	return keyring.DataKey{KeyARN: aws.ToString(out.KeyId), Plaintext: out.Plaintext, Wrapped: out.CiphertextBlob}, nil
}

// Decrypt implements keyring.Keyring.
func (k *Keyring) Decrypt(ctx context.Context, id keyring.ID, wrapped []byte, c keyring.Context) (keyring.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &id.Name, CiphertextBlob: wrapped, EncryptionContext: c}, in(id))
	if err != nil {
		return nil, translate(ctx, "Decrypt", id, err)
	}
	return out.Plaintext, nil
}

// known are the codes that mean the same here as there.
func known(code keyring.Code) bool {
	switch code {
	case keyring.NotFoundException, keyring.DisabledException, keyring.InvalidStateException, keyring.AccessDeniedException,
		keyring.InvalidCiphertextException, keyring.IncorrectKeyException, keyring.InvalidKeyUsageException,
		keyring.ValidationException, keyring.ThrottlingException, keyring.UnavailableException, keyring.LimitExceededException:
		return true
	}
	return false
}

// translate makes an error of the seam. What the service said is for the user;
// what else went wrong is private.
func translate(ctx context.Context, operation string, id keyring.ID, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
		return cause
	}
	answered, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return keyring.Wrap(keyring.UnavailableException, err, "The key service did not answer %s for the key %s. Check that it can be reached, and the server's AWS credentials.", operation, id.Name)
	}
	code, text := keyring.Code(answered.ErrorCode()), answered.ErrorMessage()
	if text == "" {
		text = "the key service refused " + operation + " for the key " + id.Name + "."
	}
	switch {
	case known(code):
		return keyring.Wrap(code, err, "%s", text)
	case answered.ErrorFault() == smithy.FaultServer:
		return keyring.Wrap(keyring.UnavailableException, err, "The key service failed at %s for the key %s (%s): %s", operation, id.Name, code, text)
	}
	// Such as an unknown access key or a bad signature.
	return keyring.Wrap(keyring.AccessDeniedException, err, "The key service refused %s for the key %s (%s): %s", operation, id.Name, code, text)
}
